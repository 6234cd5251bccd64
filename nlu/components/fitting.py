"""Logistic regression small enough to keep as plain numbers."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize


def fit(rows: np.ndarray, wanted: np.ndarray, strictness: float) -> np.ndarray:
    """Weights of one yes-or-no question; the last number is the bias.

    ``rows``: one example a row; ``wanted``: 0 or 1 each. ``strictness``: how strongly, per example, the weights are held back.
    """
    examples = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    signs = np.where(wanted, 1.0, -1.0)
    held = np.full(examples.shape[1], strictness * len(rows))
    held[-1] = 1e-6

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        margins = signs * (examples @ weights)
        value = np.logaddexp(0.0, -margins).sum() + 0.5 * (held * weights * weights).sum()
        slope = -(signs * share(-margins)) @ examples + held * weights
        return float(value), slope

    return np.asarray(minimize(loss, np.zeros(examples.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 80}).x)


def probability(weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """For each row and each question (a row of ``weights``): how likely a yes."""
    return share(rows @ weights[:, :-1].T + weights[:, -1])


def share(odds: np.ndarray) -> np.ndarray:
    """Log odds as a probability."""
    return 0.5 * (1.0 + np.tanh(0.5 * odds))
