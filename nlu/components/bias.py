"""A first suggestion of the bias motivation: is anything here an indicator of bias at all, and if so, of which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import regex

from components import judging
from components.encoder import E5, LONGEST, USE, encode, encode_training
from components.fitting import fit, probability
from components.folding import Folded, fold
from components.judging import Judge
from components.languages import USE_LANGUAGES, Reading
from components.lexicon import ANY, INDICATORS, KINDS, STRANDS, Hit, Lexicon

FEWEST_WORDS = 4
_WINDOW, _STRIDE = 40, 25  # words; a long story says most of what points to bias in one place
_MOST_WINDOWS = 8  # a story longer than this is judged by its beginning
_MOST_BY_E5 = 1  # windows: E5 is ten times slower
_MOST_DELETIONS = {USE: 16, E5: 2}  # bounds the cost of evidence: each deletion is one more encoding
_DROP = 0.08  # a word whose loss lowers the score by this much carries the suggestion
_STRICTNESS = 0.05
_WORDS_SCALE = 3.0
_PIECE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
_WORD = regex.compile(rf"[{_PIECE}]\p{{M}}*|(?:(?![{_PIECE}])[\p{{L}}\p{{M}}\p{{N}}'’*@$-])+")


@dataclass(frozen=True)
class Example:
    """``Example("he called me …", frozenset({"race"}), "en")``; no strand: an account without bias, or no account at all."""

    text: str
    strands: frozenset[str]
    language: str


@dataclass(frozen=True)
class Reader:
    """One encoder and two logistic regressions as plain numbers; the last column of each is the bias.

    ``mean``, ``spread``: of the encoder's rows over the training accounts. ``indicator``: one row. ``strands``: one row a strand.
    """

    mean: np.ndarray
    spread: np.ndarray
    indicator: np.ndarray
    strands: np.ndarray

    def features(self, vectors: np.ndarray, words: np.ndarray) -> np.ndarray:
        return np.concatenate([(vectors - self.mean) / self.spread, words * _WORDS_SCALE], axis=1)

    def scores(self, vectors: np.ndarray, words: np.ndarray) -> np.ndarray:
        """One row a text, one column a strand: how likely an indicator is there and points to it."""
        rows = self.features(vectors, words)
        return probability(self.indicator, rows) * probability(self.strands, rows)

    def opinion(self, vectors: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The log odds of an indicator, one column, and of each strand if there is one."""
        rows = self.features(vectors, words)
        return rows @ self.indicator[:, :-1].T + self.indicator[:, -1], rows @ self.strands[:, :-1].T + self.strands[:, -1]


@dataclass(frozen=True)
class Weights:
    """What training found: a reader for each encoder, and who weighs what they say, by the encoder that leads."""

    readers: Mapping[str, Reader]
    judges: Mapping[str, Judge]


@dataclass(frozen=True)
class _Window:
    """A stretch of the text that is judged by itself: its place in the original and its words there."""

    start: int
    end: int
    words: tuple[tuple[int, int], ...]


# -- learning ------------------------------------------------------------------------------------------------------------------


def train(examples: Sequence[Example], development: Sequence[Example], lexicon: Lexicon, kept_in: Path) -> Weights:
    """Learn both stages with each encoder, then weigh them on the development accounts, which the readers never see.

    The same examples in the same order give the same numbers.
    """
    readers = _readers(examples, lexicon, kept_in)
    words, wanted, by_use = _described(development, lexicon)
    judges = {}
    for encoder, used in ((USE, by_use), (E5, ~by_use)):
        some = [example for example, is_used in zip(development, used) if is_used]
        vectors = {e: encode_training([example.text for example in some], e, kept_in) for e in _opinions_of(encoder)}
        opinions = [readers[e].opinion(vectors[e], words[used]) for e in vectors]
        judges[encoder] = judging.learn(judging.evidence(opinions, words[used]), wanted[used])
    return Weights(readers, judges)


def _readers(examples: Sequence[Example], lexicon: Lexicon, kept_in: Path) -> dict[str, Reader]:
    words, wanted, by_use = _described(examples, lexicon)
    readers = {}
    for encoder, used in ((USE, by_use), (E5, np.ones(len(examples), dtype=bool))):
        vectors = encode_training([example.text for example, is_used in zip(examples, used) if is_used], encoder, kept_in)
        readers[encoder] = _reader(vectors, words[used], wanted[used])
    return readers


def _described(examples: Sequence[Example], lexicon: Lexicon) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each example the listed words, the strands, and whether USE knows its language."""
    words = np.stack([_word_features(lexicon.hits(fold(example.text), {example.language})) for example in examples])
    wanted = np.array([[strand in example.strands for strand in STRANDS] for example in examples])
    return words, wanted, np.array([example.language in USE_LANGUAGES for example in examples])


def _opinions_of(encoder: str) -> tuple[str, ...]:
    """Whose opinions count where this encoder leads: E5 is heard about every language."""
    return (E5, USE) if encoder == USE else (E5,)


def _reader(vectors: np.ndarray, words: np.ndarray, wanted: np.ndarray) -> Reader:
    mean, spread = vectors.mean(axis=0), vectors.std(axis=0) + 1e-6
    rows = np.concatenate([(vectors - mean) / spread, words * _WORDS_SCALE], axis=1)
    biased = wanted.any(axis=1)
    strands = [fit(rows[biased], wanted[biased, place], _STRICTNESS) for place in range(len(STRANDS))]
    return Reader(mean, spread, fit(rows, biased, _STRICTNESS)[None, :], np.stack(strands))


# -- suggesting ----------------------------------------------------------------------------------------------------------------


def suggest(
    text: str,
    reading: Reading,
    hits: Sequence[Hit],
    weights: Weights,
    spans: Mapping[str, Sequence[tuple[int, int]]],
    folded: Folded,
) -> dict[str, Any]:
    """``{"state", "motivations": [{"code", "confidence", "band", "detail", "evidence": [{"start", "end", "why"}]}]}``.

    Offsets are code points of ``text``. ``spans``: evidence found elsewhere ("earlier_incidents"). State "unsupported": no encoder
    knows the writing. "unclear": too short, nothing points to bias, or only who somebody is was mentioned.
    """
    words = _words(text)
    if len(words) < FEWEST_WORDS:
        return {"state": "unclear", "motivations": []}
    if reading.encoder is None:
        return {"state": "unsupported", "motivations": []}
    judge = weights.judges[reading.encoder]
    best, confidence = _best_window(text, words, reading.encoder, folded, hits, weights)
    motivations = [
        {
            "code": strand,
            "confidence": round(float(confidence[place]), 3),
            "band": "likely" if confidence[place] >= judge.likely else "possible",
            "detail": _detail(strand, hits),
            "evidence": _evidence(text, best, place, folded, hits, weights, reading.encoder, spans),
        }
        for place, strand in enumerate(STRANDS)
        if confidence[place] >= judge.possible
    ]
    motivations.sort(key=lambda motivation: -motivation["confidence"])
    return {"state": "suggested" if motivations else "unclear", "motivations": motivations}


def _best_window(
    text: str, words: Sequence[tuple[int, int]], encoder: str, folded: Folded, hits: Sequence[Hit], weights: Weights
) -> tuple[_Window, np.ndarray]:
    """The stretch that points most strongly to bias, and how sure it is of each strand."""
    windows = _windows(text, words)
    features = np.stack([_word_features([hit for hit in hits if _is_inside(folded, hit, window)]) for window in windows])
    if encoder == E5 and len(windows) > _MOST_BY_E5:
        # The windows with the most words of the lists, the first ones else.
        kept = sorted(np.argsort(-features.sum(axis=1), kind="stable")[:_MOST_BY_E5])
        windows, features = [windows[i] for i in kept], features[kept]
    vectors = encode([text[w.start : w.end] for w in windows], encoder)
    place = int(weights.readers[encoder].scores(vectors, features).max(axis=1).argmax()) if len(windows) > 1 else 0
    best, words_there = windows[place], features[place : place + 1]
    rows = {encoder: vectors[place : place + 1]}
    opinions = [
        weights.readers[one].opinion(rows[one] if one in rows else encode([text[best.start : best.end]], one), words_there)
        for one in _opinions_of(encoder)
    ]
    return best, weights.judges[encoder].confidence(judging.evidence(opinions, words_there))[0]


def _detail(strand: str, hits: Sequence[Hit]) -> list[str]:
    """Finer codes: of the words that point to a motivation first; of who somebody is only where those say no more."""
    pointing = [hit.code for hit in hits if hit.strand == strand and hit.kind in INDICATORS and "." in hit.code]
    named = [hit.code for hit in hits if hit.strand == strand and "." in hit.code]
    return sorted(set(pointing or named))


def _evidence(
    text: str,
    window: _Window,
    strand: int,
    folded: Folded,
    hits: Sequence[Hit],
    weights: Weights,
    encoder: str,
    spans: Mapping[str, Sequence[tuple[int, int]]],
) -> list[dict[str, Any]]:
    """Words of the lists, what else points to it, and the words whose deletion lowers the score most."""
    found: dict[tuple[int, int], str] = {}
    for hit in hits:
        if hit.strand in (STRANDS[strand], ANY):
            span = folded.span(hit.start, hit.end)
            if span not in found or KINDS.index(hit.kind) < KINDS.index(found[span]):
                found[span] = hit.kind
    found = {span: why for span, why in found.items() if not _is_covered(span, found)}
    if encoder == USE or not any(why in INDICATORS for why in found.values()):
        for span in _carrying_words(text, window, strand, weights, encoder):
            if not any(span[0] < end and start < span[1] for start, end in found):
                found[span] = "model_weight"
    for why, others in spans.items():
        found.update({span: why for span in others if not any(span[0] < end and start < span[1] for start, end in found)})
    return [{"start": start, "end": end, "why": why} for (start, end), why in sorted(found.items())]


def _is_covered(span: tuple[int, int], found: Mapping[tuple[int, int], str]) -> bool:
    return any(start <= span[0] and span[1] <= end and (start, end) != span for start, end in found)


def _carrying_words(text: str, window: _Window, strand: int, weights: Weights, encoder: str) -> list[tuple[int, int]]:
    """At most three words, or runs of them, without which the encoder alone would see less of this strand."""
    candidates = _candidates(window.words, _MOST_DELETIONS[encoder])
    shorter = [text[window.start : start] + " " + text[end : window.end] for start, end in candidates]
    rows = encode([text[window.start : window.end], *shorter], encoder)
    nothing = np.zeros((len(rows), len(_word_features(()))))
    scores = weights.readers[encoder].scores(rows, nothing)[:, strand]
    drops = [(scores[0] - score, span) for score, span in zip(scores[1:], candidates)]
    carrying = sorted((drop, span) for drop, span in drops if drop >= _DROP)[-3:]
    return [span for _, span in carrying] or [max(drops)[1]]


def _candidates(words: Sequence[tuple[int, int]], most: int) -> list[tuple[int, int]]:
    """Runs of neighbouring words, as many as may be tried: single words of a short text."""
    each = -(-len(words) // most)
    return [(words[i][0], words[min(i + each, len(words)) - 1][1]) for i in range(0, len(words), each)]


def _windows(text: str, words: Sequence[tuple[int, int]]) -> list[_Window]:
    words = [span for span in words if span[1] <= LONGEST]
    if len(words) <= _WINDOW:
        return [_Window(0, min(len(text), LONGEST), tuple(words))]
    starts = range(0, len(words) - _WINDOW + _STRIDE, _STRIDE)
    parts = [words[start : start + _WINDOW] for start in starts]
    return [_Window(part[0][0], part[-1][1], tuple(part)) for part in parts if part][:_MOST_WINDOWS]


def is_account(text: str) -> bool:
    """Whether there are words enough to judge."""
    return len(_words(text)) >= FEWEST_WORDS


def _words(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in _WORD.finditer(text)]


def _is_inside(folded: Folded, hit: Hit, window: _Window) -> bool:
    start, end = folded.span(hit.start, hit.end)
    return window.start <= start and end <= window.end


def _word_features(hits: Sequence[Hit]) -> np.ndarray:
    """Whether each kind of hit is there, which strands the indicators point to, and which strands are only named."""
    kinds = [float(any(hit.kind == kind for hit in hits)) for kind in KINDS]
    pointed = [float(any(hit.strand == strand and hit.kind in INDICATORS for hit in hits)) for strand in STRANDS]
    named = [float(any(hit.strand == strand for hit in hits)) for strand in STRANDS]
    return np.array(kinds + pointed + named)
