"""What the network and the lists say of an account becomes one confidence for each motivation, weighed on other accounts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from components.fitting import fit, probability, share
from components.lexicon import STRANDS

_STRICTNESS = 0.001
_FALSE_ALARMS = 0.06  # of the development accounts without bias, three quarters of which name who somebody is
_SURE = 0.98
_LEAST = 0.2
_TINY = 1e-5


@dataclass(frozen=True)
class Judge:
    """``weights``: of the columns of ``evidence`` once ``mean`` is taken off and ``spread`` divided by, the bias last.

    A confidence of ``possible`` or more is worth a suggestion; from ``likely`` on nearly all of them were right.
    """

    mean: np.ndarray
    spread: np.ndarray
    weights: np.ndarray
    possible: float
    likely: float

    def confidence(self, evidence: np.ndarray) -> np.ndarray:
        """One row an account, one column a strand."""
        texts, strands, columns = evidence.shape
        rows = (evidence.reshape(-1, columns) - self.mean) / self.spread
        return probability(self.weights[None, :], rows).reshape(texts, strands)


def evidence(odds: np.ndarray, words: np.ndarray) -> np.ndarray:
    """What there is to weigh: accounts x strands x columns.

    ``odds``: accounts x opinions x questions, the log odds that there is an indicator at all (first question) and of each strand if
    so. ``words``: as bias.py counts them: a column for each kind of listed word, then one a strand that words point to, then one a
    strand that is named.
    """
    texts, strands = len(words), len(STRANDS)
    columns: list[np.ndarray] = []
    for opinion in np.moveaxis(odds, 1, 0):
        indicator, of_strand = opinion[:, :1], opinion[:, 1:]
        joint = np.clip(share(indicator) * share(of_strand), _TINY, 1 - _TINY)
        ahead = np.sort(of_strand, axis=1)
        rival = np.where(of_strand == ahead[:, -1:], ahead[:, -2:-1], ahead[:, -1:])
        columns += [np.log(joint / (1 - joint)), indicator, of_strand, of_strand - rival]
    kinds, pointed, named = words[:, : -2 * strands], words[:, -2 * strands : -strands], words[:, -strands:]
    elsewhere = (pointed.max(axis=1, keepdims=True) - pointed) > 0
    columns += [pointed, named, elsewhere, *(kinds[:, place : place + 1] for place in (0, 4))]  # slurs, who somebody is
    columns += [np.eye(strands)[place][None, :] for place in range(strands)]
    return np.stack([np.broadcast_to(column, (texts, strands)).astype(np.float64) for column in columns], axis=-1)


def learn(seen: np.ndarray, wanted: np.ndarray) -> Judge:
    """``seen``: the evidence for the development accounts; ``wanted``: their strands, True or False."""
    rows = seen.reshape(-1, seen.shape[-1])
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    weights = fit((rows - mean) / spread, wanted.reshape(-1), _STRICTNESS)
    confidence = Judge(mean, spread, weights, 0.0, 0.0).confidence(seen)
    best, silent = confidence.max(axis=1), ~wanted.any(axis=1)
    quiet = [step for step in np.arange(_LEAST, 0.9, 0.01) if (best[silent] >= step).mean() <= _FALSE_ALARMS] or [0.9]
    possible = max(quiet, key=lambda step: _macro_f1(confidence >= step, wanted))
    right = wanted[np.arange(len(wanted)), confidence.argmax(axis=1)]
    sure = [step for step in np.arange(possible, 0.99, 0.01) if (best >= step).any() and right[best >= step].mean() >= _SURE]
    return Judge(mean, spread, weights, float(possible), float(sure[0]) if sure else 0.95)


def _macro_f1(said: np.ndarray, wanted: np.ndarray) -> float:
    both, either = (said & wanted).sum(axis=0), said.sum(axis=0) + wanted.sum(axis=0)
    return float(np.mean(2 * both / np.maximum(1, either)))
