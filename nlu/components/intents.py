"""What a short text wants: one of the intents of domain.yml."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from components.encoder import encode_training

_STRICTNESS = 0.03
_REPORT_COUNTS = 0.5  # accounts outnumber all other sentences: counted fully, every doubt would be a report
LONGEST = 200  # code points: what somebody wants is said at the beginning


@dataclass(frozen=True)
class Reader:
    """``weights`` holds one row a question, the bias last; ``mean`` and ``spread`` are of the rows it learned from."""

    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray

    def odds(self, row: np.ndarray) -> np.ndarray:
        """The log odds of each question. ``row``: what the network made of a text."""
        return np.asarray(self.weights[:, :-1] @ ((row - self.mean) / self.spread) + self.weights[:, -1])


@dataclass(frozen=True)
class Intents:
    names: tuple[str, ...]
    reader: Reader

    def ranking(self, row: np.ndarray) -> list[tuple[str, float]]:
        """Every intent with its confidence, the likeliest first. ``row``: of the beginning of the text."""
        odds = self.reader.odds(row)
        shares = np.exp(odds - odds.max())
        shares /= shares.sum()
        return [(self.names[i], round(float(shares[i]), 4)) for i in np.argsort(-shares, kind="stable")]


def train(sentences: Sequence[tuple[str, str, str]], kept_in: Path) -> Intents:
    """``sentences``: text, intent, language."""
    names = tuple(sorted({intent for _, intent, _ in sentences}))
    rows = encode_training([text[:LONGEST] for text, _, _ in sentences], kept_in)
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    wanted = np.array([names.index(intent) for _, intent, _ in sentences])
    counts = np.where(wanted == names.index("report"), _REPORT_COUNTS, 1.0)
    model = LogisticRegression(C=1 / (_STRICTNESS * counts.sum()), max_iter=150, random_state=0)
    model.fit((rows - mean) / spread, wanted, sample_weight=counts)
    return Intents(names, Reader(mean, spread, np.concatenate([model.coef_, model.intercept_[:, None]], axis=1)))
