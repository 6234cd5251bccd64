"""A Firefox model read a second time, to say how sure it is of a translation: the engine itself gives no scores.

The weights are those the engine translates with, in Marian's "tiny" shape: six encoder and two SSRU decoder layers of 256 numbers,
eight heads. The translation is laid before the decoder word by word, and each word gets the probability that the model gives it.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from translations.doubt import Word

Floats = NDArray[np.float32]

_WIDTH, _HEADS, _ENCODERS, _DECODERS = 256, 8, 6, 2
_LONGEST = 512  # pieces
_FREQUENT = 1500  # of the vocabulary, which is ordered by frequency: always among the words a model chooses from
_FLOATS, _BYTES = 0x404, 0x4101  # Marian's names of the two types
_END = 0  # </s>


class ModelError(Exception):
    """The model is not of the shape this module reads."""


class Pieces(Protocol):
    """What is used of a SentencePieceProcessor."""

    def encode(self, text: str) -> Sequence[int]: ...

    def id_to_piece(self, piece: int) -> str: ...


class Marian:
    """One direction: ``Marian(folder, processor).read("Rasgaram o cartão.", "They scraped the card.")``."""

    def __init__(self, folder: Path, pieces: Pieces) -> None:
        """``folder`` holds ``model.*.bin`` and ``lex.*.bin``. Raises ModelError, or OSError when a file is missing."""
        self._pieces = pieces
        self._weights = _weights(_one(folder, "model.*.bin"))
        self._likely = _Shortlist(_one(folder, "lex.*.bin"))
        steps = np.exp(-np.log(10000) / (_WIDTH // 2 - 1) * np.arange(_WIDTH // 2))
        turns = np.arange(_LONGEST)[:, None] * steps
        self._places = np.concatenate([np.sin(turns), np.cos(turns)], axis=1).astype(np.float32)

    def read(self, source: str, target: str) -> tuple[Word, ...]:
        """The words of a translation, as the model would have expected them; none where either is too long for the model."""
        here, there = [*self._pieces.encode(source), _END], [*self._pieces.encode(target), _END]
        if len(here) > _LONGEST or len(there) > _LONGEST:
            return ()
        state, looked_at = self._decoded(self._encoded(here), there)
        chances = self._chances(state, here, there)
        choices = np.exp(chances)
        doubts = -(choices * chances).sum(axis=1)
        surprises = -chances[np.arange(len(there)), -len(there) + np.arange(len(there))]
        return self._words(here, there, surprises, doubts, looked_at)

    def _encoded(self, pieces: Sequence[int]) -> Floats:
        state = self._embedded(pieces) + self._places[: len(pieces)]
        for layer in range(1, _ENCODERS + 1):
            state, _ = self._attended(f"encoder_l{layer}_self", state, state)
            state = self._fed_forward(f"encoder_l{layer}", state)
        return state

    def _decoded(self, source: Floats, pieces: Sequence[int]) -> tuple[Floats, Floats]:
        """Of each piece the state that predicts it, and how much it looks at each piece of the source."""
        weights = self._weights
        state = self._places[: len(pieces)].copy()
        state[1:] += self._embedded(pieces[:-1])
        looked_at = np.empty(0, np.float32)
        for layer in range(1, _DECODERS + 1):
            name = f"decoder_l{layer}"
            forget = 1 / (1 + np.exp(-(state @ weights[f"{name}_rnn_Wf"] + weights[f"{name}_rnn_bf"])))
            fresh = (1 - forget) * (state @ weights[f"{name}_rnn_W"])
            memory = np.empty_like(state)
            cell = np.zeros(_WIDTH, np.float32)
            for place in range(len(pieces)):
                cell = forget[place] * cell + fresh[place]
                memory[place] = cell
            state = self._normed(f"{name}_rnn_ffn", state + np.maximum(memory, 0))
            state, looked_at = self._attended(f"{name}_context", state, source)
            state = self._fed_forward(name, state)
        return state, looked_at

    def _attended(self, name: str, asking: Floats, asked: Floats) -> tuple[Floats, Floats]:
        weights = self._weights

        def heads(part: str, state: Floats) -> Floats:
            made: Floats = state @ weights[f"{name}_W{part}"] + weights[f"{name}_b{part}"]
            return made.reshape(len(state), _HEADS, -1).transpose(1, 0, 2)

        scores = heads("q", asking) @ heads("k", asked).transpose(0, 2, 1) * np.float32((_WIDTH / _HEADS) ** -0.5)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        found = (scores @ heads("v", asked)).transpose(1, 0, 2).reshape(len(asking), _WIDTH)
        state = asking + found @ weights[f"{name}_Wo"] + weights[f"{name}_bo"]
        return self._normed(f"{name}_Wo", state), scores.mean(axis=0)

    def _fed_forward(self, name: str, state: Floats) -> Floats:
        weights = self._weights
        inner = np.maximum(state @ weights[f"{name}_ffn_W1"] + weights[f"{name}_ffn_b1"], 0)
        return self._normed(f"{name}_ffn_ffn", state + inner @ weights[f"{name}_ffn_W2"] + weights[f"{name}_ffn_b2"])

    def _normed(self, name: str, state: Floats) -> Floats:
        away = state - state.mean(axis=-1, keepdims=True)
        spread = np.sqrt((away * away).mean(axis=-1, keepdims=True) + np.float32(1e-6))
        normed: Floats = away / spread * self._weights[f"{name}_ln_scale"] + self._weights[f"{name}_ln_bias"]
        return normed

    def _embedded(self, pieces: Sequence[int]) -> Floats:
        made: Floats = self._weights["Wemb"][pieces] * (self._weights["Wemb scale"] * np.float32(_WIDTH**0.5))
        return made

    def _chances(self, state: Floats, source: Sequence[int], target: Sequence[int]) -> Floats:
        """Log-probabilities of the pieces a model would choose from; those of the translation are the last columns, in order."""
        choices = np.setdiff1d(self._likely.pieces(source), target)
        pieces = np.concatenate([choices, np.asarray(target)])
        scores = state @ (self._weights["Wemb"][pieces] * self._weights["Wemb scale"]).T
        scores += self._weights["decoder_ff_logit_out_b"][0, pieces]
        # A piece that comes twice must count once.
        again = [place for place, piece in enumerate(target) if piece in target[:place]]
        counted = np.ones(len(pieces), bool)
        counted[[len(choices) + place for place in again]] = False
        scores -= scores.max(axis=1, keepdims=True)
        total = np.log(np.exp(scores[:, counted]).sum(axis=1, keepdims=True))
        made: Floats = scores - total
        return made

    def _words(
        self, here: Sequence[int], there: Sequence[int], surprises: Floats, doubts: Floats, looked_at: Floats
    ) -> tuple[Word, ...]:
        originals = self._spelled(here)
        owner = [number for number, (_, places) in enumerate(originals) for _ in places]
        found = []
        for text, places in self._spelled(there):
            looks = np.bincount(owner, weights=looked_at[places][:, : len(owner)].sum(axis=0), minlength=len(originals))
            of = originals[int(looks.argmax())][0] if originals else ""
            found.append(Word(text, float(surprises[places].sum()), float(doubts[places].max()), of))
        return tuple(found)

    def _spelled(self, pieces: Sequence[int]) -> list[tuple[str, list[int]]]:
        """The words that pieces spell, each with the places of its pieces."""
        words: list[tuple[str, list[int]]] = []
        for place, piece in enumerate(pieces[:-1]):
            spelled = self._pieces.id_to_piece(piece)
            if spelled.startswith("\u2581") or not words:
                words.append((spelled.removeprefix("\u2581"), [place]))
            else:
                words[-1] = (words[-1][0] + spelled, [*words[-1][1], place])
        return words


class _Shortlist:
    """For each piece of the source language the fifty of the target language that it becomes most often."""

    def __init__(self, file: Path) -> None:
        read = file.read_bytes()
        _, _, _, _, offsets, listed = struct.unpack_from("<6Q", read)
        self._offsets = np.frombuffer(read, np.uint64, offsets, 48).astype(np.int64)
        self._listed = np.frombuffer(read, np.uint32, listed, 48 + 8 * offsets)

    def pieces(self, source: Sequence[int]) -> NDArray[np.int64]:
        listed = [self._listed[self._offsets[piece] : self._offsets[piece + 1]] for piece in set(source)]
        return np.unique(np.concatenate([np.arange(_FREQUENT), *listed])).astype(np.int64)


def _one(folder: Path, pattern: str) -> Path:
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise ModelError(f"{folder.name} holds {len(found)} files {pattern}, not one")
    return found[0]


def _weights(file: Path) -> Mapping[str, Any]:
    """Marian's binary: version and count; of each item name length, type, dimensions and size; names; shapes; padding; data."""
    try:
        found = _items(file.read_bytes())
    except (struct.error, ValueError, IndexError) as error:
        raise ModelError(f"{file.name} cannot be read: {type(error).__name__}") from error
    if "decoder_l2_rnn_Wf" not in found or found["Wemb"].shape[1] != _WIDTH:
        raise ModelError(f"{file.name} is not one of Firefox's tiny models")
    return found


def _items(read: bytes) -> dict[str, Any]:
    """The weights by name, the whole numbers among them turned into fractions."""
    _, count = struct.unpack_from("<QQ", read)
    heads = [struct.unpack_from("<4Q", read, 16 + 32 * item) for item in range(count)]
    at = 16 + 32 * count
    names, shapes = [], []
    for length, _, _, _ in heads:
        names.append(read[at : at + length - 1].decode())
        at += length
    for _, _, dimensions, _ in heads:
        shapes.append(struct.unpack_from(f"<{dimensions}i", read, at))
        at += 4 * dimensions
    at += 8 + struct.unpack_from("<Q", read, at)[0]
    found: dict[str, Any] = {}
    for name, shape, (_, kind, _, size) in zip(names, shapes, heads, strict=True):
        values = int(np.prod(shape))
        if kind == _FLOATS:
            found[name] = np.frombuffer(read, np.float32, values, at).reshape(shape).copy()
        elif kind == _BYTES:
            whole = np.frombuffer(read, np.int8, values, at)
            scale = np.float32(1) / np.frombuffer(read, np.float32, 1, at + values)[0]
            if name == "Wemb":  # stays small: a sentence needs only some of its 32,000 rows
                found |= {name: whole.reshape(shape).copy(), "Wemb scale": scale}
            else:  # stored transposed
                found[name] = np.ascontiguousarray(whole.reshape(shape[::-1]).T * scale)
        at += size
    return found
