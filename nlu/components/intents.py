"""What a short text wants: one of the intents of domain.yml, from the encoder that knows its language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression

from components.encoder import E5, USE, encode_training
from components.languages import USE_LANGUAGES

_STRICTNESS = 0.03
_REPORT_COUNTS = 0.05  # accounts outnumber all other sentences: counted fully, every doubt would be a report
LONGEST = 200  # code points: what somebody wants is said at the beginning


@dataclass(frozen=True)
class IntentReader:
    """One encoder's view: ``weights`` holds one row an intent, the bias last."""

    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class Intents:
    names: tuple[str, ...]
    readers: Mapping[str, IntentReader]

    def ranking(self, vector: np.ndarray, encoder: str) -> list[tuple[str, float]]:
        """Every intent with its confidence, the likeliest first. ``vector``: the encoder's row for the beginning of the text."""
        reader = self.readers[encoder]
        odds = reader.weights[:, :-1] @ ((vector - reader.mean) / reader.spread) + reader.weights[:, -1]
        shares = np.exp(odds - odds.max())
        shares /= shares.sum()
        return [(self.names[i], round(float(shares[i]), 4)) for i in np.argsort(-shares, kind="stable")]


def train(sentences: Sequence[tuple[str, str, str]], kept_in: Path) -> Intents:
    """``sentences``: text, intent, language. Each encoder learns from all the languages it knows."""
    names = tuple(sorted({intent for _, intent, _ in sentences}))
    readers = {}
    for encoder in (USE, E5):
        known = [s for s in sentences if encoder == E5 or s[2] in USE_LANGUAGES]
        vectors = encode_training([text[:LONGEST] for text, _, _ in known], encoder, kept_in)
        mean, spread = vectors.mean(axis=0), vectors.std(axis=0) + 1e-6
        wanted = np.array([names.index(intent) for _, intent, _ in known])
        counts = np.where(wanted == names.index("report"), _REPORT_COUNTS, 1.0)
        model = LogisticRegression(C=1 / (_STRICTNESS * counts.sum()), max_iter=150, random_state=0)
        model.fit((vectors - mean) / spread, wanted, sample_weight=counts)
        readers[encoder] = IntentReader(mean, spread, np.concatenate([model.coef_, model.intercept_[:, None]], axis=1))
    return Intents(names, readers)
