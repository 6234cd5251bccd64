"""A first suggestion of the bias motivation: is anything here an indicator of bias at all, and if so, of which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import regex

from components.encoder import E5, LONGEST, USE, encode, encode_training
from components.fitting import fit, probability
from components.folding import Folded, fold
from components.languages import USE_LANGUAGES, Reading
from components.lexicon import ANY, INDICATORS, KINDS, STRANDS, Hit, Lexicon

FEWEST_WORDS = 4
_WINDOW, _STRIDE = 40, 25  # words; a long story says most of what points to bias in one place
_MOST_WINDOWS = 8  # a story longer than this is judged by its beginning
_MOST_BY_E5 = 1  # windows: E5 is ten times slower
_MOST_DELETIONS = {USE: 16, E5: 2}  # bounds the cost of evidence: each deletion is one more encoding
_DROP = 0.08  # a word whose loss lowers the score by this much carries the suggestion
_STRICTNESS = {USE: 0.02, E5: 0.02}
_WORDS_SCALE = 3.0
_FOLDS = 4
_FALSE_ALARMS = 0.03  # at most this share of unbiased training accounts, judged by a model that has not seen their language group
_SURE = 0.98
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
        return np.concatenate([(vectors - self.mean) / self.spread, words], axis=1)

    def scores(self, vectors: np.ndarray, words: np.ndarray) -> np.ndarray:
        """One row a text, one column a strand: how likely an indicator is there and points to it."""
        rows = self.features(vectors, words)
        return probability(self.indicator, rows) * probability(self.strands, rows)


@dataclass(frozen=True)
class Weights:
    """What training found. ``calibration``: slope and shift of the log odds. ``possible`` and ``likely``: the least confidence."""

    readers: Mapping[str, Reader]
    calibration: tuple[float, float]
    possible: float
    likely: float


@dataclass(frozen=True)
class _Window:
    """A stretch of the text that is judged by itself: its place in the original and its words there."""

    start: int
    end: int
    words: tuple[tuple[int, int], ...]


# -- learning ------------------------------------------------------------------------------------------------------------------


def train(examples: Sequence[Example], lexicon: Lexicon, kept_in: Path) -> Weights:
    """Learn both stages with each encoder; the same examples in the same order give the same numbers."""
    words = np.stack([_word_features(lexicon.hits(fold(e.text), {e.language})) for e in examples])
    wanted = np.array([[strand in e.strands for strand in STRANDS] for e in examples])
    by_use = np.array([e.language in USE_LANGUAGES for e in examples])
    vectors = {encoder: encode_training([e.text for e in examples], encoder, kept_in) for encoder in (USE, E5)}
    rows_of = {USE: by_use, E5: np.ones(len(examples), dtype=bool)}

    def learn(used: np.ndarray) -> dict[str, Reader]:
        return {
            encoder: _reader(encoder, vectors[encoder][at], words[at], wanted[at])
            for encoder in (USE, E5)
            for at in [used & rows_of[encoder]]
        }

    # Judged by models that saw nothing of a language or its neighbours in the list: one story is often told in several languages.
    languages = sorted({e.language for e in examples})
    fold_of = np.array([languages.index(e.language) % _FOLDS for e in examples])
    judged = np.zeros(wanted.shape)
    for one in range(_FOLDS):
        readers, here = learn(fold_of != one), fold_of == one
        by_e5 = readers[E5].scores(vectors[E5][here], words[here])
        by_both = (by_e5 + readers[USE].scores(vectors[USE][here], words[here])) / 2
        judged[here] = np.where(by_use[here][:, None], by_both, by_e5)
    accounts = np.array([len(_words(e.text)) >= FEWEST_WORDS for e in examples])
    return Weights(learn(np.ones(len(examples), dtype=bool)), *_bands(judged[accounts], wanted[accounts]))


def _reader(encoder: str, vectors: np.ndarray, words: np.ndarray, wanted: np.ndarray) -> Reader:
    mean, spread = vectors.mean(axis=0), vectors.std(axis=0) + 1e-6
    rows = np.concatenate([(vectors - mean) / spread, words], axis=1)
    biased = wanted.any(axis=1)
    strands = [fit(rows[biased], wanted[biased, place], _STRICTNESS[encoder]) for place in range(len(STRANDS))]
    return Reader(mean, spread, fit(rows, biased, _STRICTNESS[encoder])[None, :], np.stack(strands))


def _bands(judged: np.ndarray, wanted: np.ndarray) -> tuple[tuple[float, float], float, float]:
    """Calibration of the scores, and from which confidence on a suggestion is possible and likely."""
    odds = _log_odds(judged)
    slope, shift = fit(odds.reshape(-1, 1), wanted.reshape(-1), 1e-6)
    calibration = (float(slope), float(shift))
    confidence = _calibrated(judged, calibration)
    best = confidence.max(axis=1)
    silent = ~wanted.any(axis=1)
    possible = max(0.3, float(np.quantile(best[silent], 1 - _FALSE_ALARMS)))
    right = wanted[np.arange(len(wanted)), confidence.argmax(axis=1)]
    steps = np.arange(possible, 0.99, 0.01)
    sure = [step for step in steps if right[best >= step].mean() >= _SURE] if len(steps) else []
    return calibration, possible, float(sure[0]) if sure else 0.95


def _log_odds(scores: np.ndarray) -> np.ndarray:
    some = np.clip(scores, 1e-4, 1 - 1e-4)
    odds: np.ndarray = np.log(some / (1 - some))
    return odds


def _calibrated(scores: np.ndarray, calibration: tuple[float, float]) -> np.ndarray:
    slope, shift = calibration
    return np.asarray(1.0 / (1.0 + np.exp(-(slope * _log_odds(scores) + shift))))


# -- suggesting ----------------------------------------------------------------------------------------------------------------


def suggest(
    text: str, reading: Reading, hits: Sequence[Hit], weights: Weights, spans: Mapping[str, Sequence[tuple[int, int]]], folded: Folded
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
    best, scores = _best_window(text, words, reading.encoder, folded, hits, weights)
    confidence = _calibrated(scores, weights.calibration)
    motivations = [
        {
            "code": strand,
            "confidence": round(float(confidence[place]), 3),
            "band": "likely" if confidence[place] >= weights.likely else "possible",
            "detail": _detail(strand, hits),
            "evidence": _evidence(text, best, place, folded, hits, weights, reading.encoder, spans),
        }
        for place, strand in enumerate(STRANDS)
        if confidence[place] >= weights.possible
    ]
    motivations.sort(key=lambda motivation: -motivation["confidence"])
    return {"state": "suggested" if motivations else "unclear", "motivations": motivations}


def _best_window(
    text: str, words: Sequence[tuple[int, int]], encoder: str, folded: Folded, hits: Sequence[Hit], weights: Weights
) -> tuple[_Window, np.ndarray]:
    """The stretch that points most strongly to bias, and its scores by strand."""
    windows = _windows(text, words)
    features = np.stack([_word_features([hit for hit in hits if _is_inside(folded, hit, window)]) for window in windows])
    if encoder == E5 and len(windows) > _MOST_BY_E5:
        # The windows with the most words of the lists, the first ones else.
        kept = sorted(np.argsort(-features.sum(axis=1), kind="stable")[:_MOST_BY_E5])
        windows, features = [windows[i] for i in kept], features[kept]
    scores = weights.readers[encoder].scores(encode([text[w.start : w.end] for w in windows], encoder), features)
    place = int(scores.max(axis=1).argmax())
    best = windows[place]
    if encoder == USE:  # the second opinion on the one stretch that matters
        by_e5 = weights.readers[E5].scores(encode([text[best.start : best.end]], E5), features[place : place + 1])
        return best, np.asarray((scores[place] + by_e5[0]) / 2)
    return best, np.asarray(scores[place])


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
    return np.array(kinds + pointed + named) * _WORDS_SCALE
