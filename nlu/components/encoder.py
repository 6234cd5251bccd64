"""Rows of numbers for training sentences: each is encoded once in the life of an installation."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from components.e5 import MADE_BY_TUNING, ROW
from components.network import network

_BATCH = 32
_HERE = Path(__file__).parent


def encode(texts: Sequence[str]) -> np.ndarray:
    """One row of ROW float32 a text. A text without content gives a row too."""
    # Every text of a batch is padded to the longest: neighbours of like length keep that cheap.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows = np.empty((len(texts), ROW), dtype=np.float32)
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        rows[batch] = [seen.row for seen in network().read([texts[i] for i in batch])]
    return rows


def encode_training(texts: Sequence[str], kept_in: Path) -> np.ndarray:
    """The same rows for sentences of the training files.

    ``kept_in``: a folder for what was encoded before. Never for a reporter's text: nothing else here writes anything down.
    """
    path = kept_in / f"rows-{_made_by()}.npz"
    known = _read_kept(path)
    keys = [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24] for text in texts]
    missing = {key: text for key, text in zip(keys, texts) if key not in known}
    if missing:
        known.update(zip(missing, encode(list(missing.values()))))
        _keep(path, known)
    return np.stack([known[key] for key in keys]) if keys else np.zeros((0, ROW), dtype=np.float32)


def _made_by() -> str:
    """A mark of the weights and the code that a row depends on."""
    digest = hashlib.sha256()
    for path in (MADE_BY_TUNING, _HERE / "e5.py", _HERE / "network.py"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _read_kept(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path) as kept:
            return dict(zip(kept["keys"].tolist(), kept["rows"]))
    except (OSError, ValueError, KeyError):
        return {}  # none yet, or half written: encoding again gives the same


def _keep(path: Path, known: Mapping[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
        np.savez(file, keys=np.array(list(known)), rows=np.stack(list(known.values())))
    os.replace(file.name, path)
    for other in set(path.parent.glob("rows-*.npz")) - {path}:
        other.unlink(missing_ok=True)  # rows of an earlier network
