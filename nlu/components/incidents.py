"""What kind of incident a text tells of: one or several of a few types, learned from English examples and read in any language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.encoder import encode_training
from components.fitting import fit, share
from components.intents import Reader

_STRICTNESS = 0.003
_ENOUGH = 0.6


class Incidents:
    """``names``: the types, as in ``data/en/incidents.yml``: {type: "- example" lines}; "none" is for what is no incident."""

    def __init__(self, names: Sequence[str], reader: Reader) -> None:
        self.names, self.reader = tuple(names), reader

    @classmethod
    def learn(cls, groups: Mapping[str, Mapping[str, str]], kept_in: Path) -> Incidents:
        examples = [
            (line.strip().removeprefix("- "), kind.split("+"))
            for of_language in groups.values()
            for kind, lines in of_language.items()
            for line in lines.splitlines()
            if line.strip()
        ]
        names = sorted({kind for _, kinds in examples for kind in kinds} - {"none"})
        wanted = np.array([[name in kinds for name in names] for _, kinds in examples])
        vectors = encode_training([text for text, _ in examples], kept_in)
        mean, spread = vectors.mean(axis=0), vectors.std(axis=0) + 1e-6
        rows = (vectors - mean) / spread
        return cls(names, Reader(mean, spread, np.stack([fit(rows, of_one, _STRICTNESS) for of_one in wanted.T])))

    def of(self, row: np.ndarray) -> list[tuple[str, float]]:
        """The types with their confidence, the likeliest first; none when nothing fits well. ``row``: of the text."""
        found: list[Any] = [(name, round(float(p), 3)) for name, p in zip(self.names, share(self.reader.odds(row))) if p >= _ENOUGH]
        return sorted(found, key=lambda pair: -pair[1])
