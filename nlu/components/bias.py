"""A first suggestion of the bias motivation: is anything here an indicator of bias at all, and if so, of which."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import regex
from sklearn.linear_model import LogisticRegression

from components.encoder import LONGEST, encode
from components.folding import Folded, fold
from components.languages import is_encoded, languages_of
from components.lexicon import INDICATORS, KINDS, STRANDS, Hit, Lexicon

# Set on the safe side: a missing suggestion costs one question, a wrong one colours how a report is read.
INDICATED = 0.6  # below: nothing here points to bias
INDICATED_BY_WORDS = 0.45  # the same, when a word list has found a slur, a symbol, hostile words or a reason
SUGGESTED = 0.5  # indicator and strand together
FEWEST_WORDS = 4
_WINDOW, _STRIDE = 40, 25  # words; a long story says most of what points to bias in one place
_MOST_DELETIONS = 24  # bounds the cost of evidence: each deletion is one more encoding
_DROP = 0.08  # a word whose loss lowers the score by this much carries the suggestion
_VECTOR_SCALE, _WORDS_SCALE = 4.0, 1.5
_WORD = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}]\p{M}*|(?:(?![\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}])[\p{L}\p{M}\p{N}'’-])+")


@dataclass(frozen=True)
class Example:
    """``Example("he called me …", frozenset({"race"}))``; no strand: an account without bias, or no account at all."""

    text: str
    strands: frozenset[str]


@dataclass(frozen=True)
class Weights:
    """Two logistic regressions as plain numbers: ``indicator`` one row, ``strands`` one row a strand; the last column is the bias."""

    indicator: np.ndarray
    strands: np.ndarray


@dataclass(frozen=True)
class _Window:
    """A stretch of the text that is judged by itself: its place in the original and its words there."""

    start: int
    end: int
    words: tuple[tuple[int, int], ...]


def train(examples: Sequence[Example], lexicon: Lexicon) -> Weights:
    """Learn both stages; the same examples in the same order give the same numbers."""
    vectors = encode([example.text for example in examples])
    rows = np.stack([_features(v, _hits(e.text, lexicon)) for v, e in zip(vectors, examples)])
    biased = np.array([bool(example.strands) for example in examples])
    of_strand = [np.array([strand in example.strands for example in examples])[biased] for strand in STRANDS]
    return Weights(
        indicator=_fit(rows, biased)[None, :],
        strands=np.stack([_fit(rows[biased], is_one) for is_one in of_strand]),
    )


def suggest(text: str, vector: np.ndarray, weights: Weights, lexicon: Lexicon) -> dict[str, Any]:
    """``{"state", "motivations": [{"code", "confidence", "evidence": [{"start", "end", "why"}]}]}``; offsets in ``text``.

    ``vector`` is the encoder's row for the whole text. State "unsupported": the encoder does not know the language. "unclear": too
    short, nothing points to bias, or only who somebody is was mentioned.
    """
    words = _words(text)
    if len(words) < FEWEST_WORDS:
        return {"state": "unclear", "motivations": []}
    languages = languages_of(text)
    if not is_encoded(text):
        return {"state": "unsupported", "motivations": []}
    folded = fold(text)
    hits = lexicon.hits(folded, languages)
    best, scores = _best_window(text, words, vector, folded, hits, weights)
    motivations = [
        {
            "code": strand,
            "confidence": round(float(scores[place]), 3),
            "evidence": _evidence(text, best, place, folded, hits, weights),
        }
        for place, strand in enumerate(STRANDS)
        if scores[place] >= SUGGESTED
    ]
    motivations.sort(key=lambda motivation: -motivation["confidence"])
    return {"state": "suggested" if motivations else "unclear", "motivations": motivations}


def _best_window(
    text: str, words: Sequence[tuple[int, int]], vector: np.ndarray, folded: Folded, hits: Sequence[Hit], weights: Weights
) -> tuple[_Window, np.ndarray]:
    """The stretch that points most strongly to bias, and its scores by strand (zero when nothing does)."""
    windows = _windows(text, words)
    vectors = vector[None, :] if len(windows) == 1 else encode([text[w.start : w.end] for w in windows])
    scored = []
    for window, row in zip(windows, vectors):
        inside = [hit for hit in hits if _is_inside(folded, hit, window)]
        features = _features(row, inside)
        indicated = _probability(weights.indicator, features)[0]
        by_words = any(hit.kind in INDICATORS for hit in inside)
        enough = indicated >= (INDICATED_BY_WORDS if by_words else INDICATED)
        strands = _probability(weights.strands, features)
        scored.append((window, indicated * strands if enough else np.zeros(len(STRANDS))))
    return max(scored, key=lambda pair: float(pair[1].max()))


def _evidence(
    text: str, window: _Window, strand: int, folded: Folded, hits: Sequence[Hit], weights: Weights
) -> list[dict[str, Any]]:
    """Words of the lists, united with the words whose deletion lowers the score most."""
    found: dict[tuple[int, int], str] = {}
    for hit in hits:
        if hit.strand in (STRANDS[strand], "any"):
            span = folded.span(hit.start, hit.end)
            if span not in found or KINDS.index(hit.kind) < KINDS.index(found[span]):
                found[span] = hit.kind
    for span in _carrying_words(text, window, strand, weights):
        if not any(span[0] < end and start < span[1] for start, end in found):
            found[span] = "model_weight"
    return [{"start": start, "end": end, "why": why} for (start, end), why in sorted(found.items())]


def _carrying_words(text: str, window: _Window, strand: int, weights: Weights) -> list[tuple[int, int]]:
    """At most three words without which the encoder alone would see less of this strand."""
    longest = sorted(window.words, key=lambda span: (span[0] - span[1], span[0]))[:_MOST_DELETIONS]
    candidates = sorted(longest)
    shorter = [text[window.start : start] + " " + text[end : window.end] for start, end in candidates]
    rows = encode([text[window.start : window.end], *shorter])
    features = np.stack([_features(row, ()) for row in rows])
    scores = _probability(weights.indicator, features)[:, 0] * _probability(weights.strands, features)[:, strand]
    drops = [(scores[0] - score, span) for score, span in zip(scores[1:], candidates)]
    carrying = sorted((drop, span) for drop, span in drops if drop >= _DROP)[-3:]
    return [span for _, span in carrying]


def _windows(text: str, words: Sequence[tuple[int, int]]) -> list[_Window]:
    words = [span for span in words if span[1] <= LONGEST]
    if len(words) <= _WINDOW:
        return [_Window(0, min(len(text), LONGEST), tuple(words))]
    starts = range(0, len(words) - _WINDOW + _STRIDE, _STRIDE)
    parts = [words[start : start + _WINDOW] for start in starts]
    return [_Window(part[0][0], part[-1][1], tuple(part)) for part in parts if part]


def _words(text: str) -> list[tuple[int, int]]:
    return [found.span() for found in _WORD.finditer(text)]


def _is_inside(folded: Folded, hit: Hit, window: _Window) -> bool:
    start, end = folded.span(hit.start, hit.end)
    return window.start <= start and end <= window.end


def _hits(text: str, lexicon: Lexicon) -> list[Hit]:
    languages: Collection[str] = languages_of(text)
    return lexicon.hits(fold(text), languages)


def _features(vector: np.ndarray, hits: Sequence[Hit]) -> np.ndarray:
    """The encoder's numbers, whether each kind of hit is there, and which strands they point to."""
    kinds = [float(any(hit.kind == kind for hit in hits)) for kind in KINDS]
    strands = [float(any(hit.strand == strand for hit in hits)) for strand in STRANDS]
    return np.concatenate([vector * _VECTOR_SCALE, np.array(kinds + strands) * _WORDS_SCALE])


def _fit(rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    model = LogisticRegression(max_iter=500, random_state=0).fit(rows, wanted)
    return np.append(model.coef_[0], model.intercept_[0])


def _probability(weights: np.ndarray, features: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-(features @ weights[:, :-1].T + weights[:, -1])))
