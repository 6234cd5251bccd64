"""A first suggestion of the bias motivation: is anything here an indicator of bias at all, and if so, of which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import regex

from components import e5, judging
from components.encoder import E5, LONGEST, USE, encode, encode_training
from components.fitting import fit
from components.folding import Folded, fold
from components.judging import Judge
from components.languages import USE_LANGUAGES, Reading
from components.lexicon import ANY, INDICATORS, KINDS, STRANDS, Hit, Lexicon

FEWEST_WORDS = 4
_WINDOW, _STRIDE = 45, 30  # words; a long story says most of what points to bias in one place
_MOST_WINDOWS = 8  # a story longer than this is judged by its beginning
_MOST_READ = 3  # of these: the tuned network takes most of a millisecond for every token
_NEARLY = -0.7  # nats: half as likely
_RUN = 6  # words: the shortest stretch in which a hostile meaning mostly fits
_STRICTNESS = 0.05
_WORDS_SCALE = 3.0
_PIECE = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}"
_WORD = regex.compile(rf"[{_PIECE}]\p{{M}}*|(?:(?![{_PIECE}])[\p{{L}}\p{{M}}\p{{N}}'’*@$-])+")


@dataclass(frozen=True)
class Example:
    """``Example("he called me …", frozenset({"race"}), "en")``; no strand: an account without bias, or no account at all.

    ``told``: the facts it tells, None where nobody has marked them.
    """

    text: str
    strands: frozenset[str]
    language: str
    told: frozenset[str] | None = None


@dataclass(frozen=True)
class Reader:
    """An encoder's rows and two logistic regressions as plain numbers; the last column of each is the bias.

    ``mean``, ``spread``: of the rows over the training accounts. ``indicator``: one row. ``strands``: one row a strand.
    """

    mean: np.ndarray
    spread: np.ndarray
    indicator: np.ndarray
    strands: np.ndarray

    def opinion(self, vectors: np.ndarray, words: np.ndarray) -> np.ndarray:
        """The log odds of an indicator, and of each strand if there is one: texts x e5.QUESTIONS."""
        rows = np.concatenate([(vectors - self.mean) / self.spread, words * _WORDS_SCALE], axis=1)
        questions = np.concatenate([self.indicator, self.strands])
        return np.asarray(rows @ questions[:, :-1].T + questions[:, -1])


@dataclass(frozen=True)
class Weights:
    """What training found: a reader of each encoder's rows, and who weighs the opinions, by the encoder that knows the language."""

    readers: Mapping[str, Reader]
    judges: Mapping[str, Judge]


@dataclass(frozen=True)
class _Window:
    """A stretch of the text that is judged by itself: its place in the original and its words there."""

    start: int
    end: int
    words: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Looked:
    """A stretch that was read: the listed words in it as numbers, and what E5, as it came and tuned, saw there."""

    window: _Window
    listed: np.ndarray
    seen: e5.Seen


# -- learning ------------------------------------------------------------------------------------------------------------------


def train(examples: Sequence[Example], development: Sequence[Example], lexicon: Lexicon, kept_in: Path) -> Weights:
    """Learn to read the encoders' rows, then weigh this and tuned E5 on the development accounts, from which none of them learned.

    The same examples in the same order give the same numbers.
    """
    readers = {}
    for encoder in (USE, E5):
        known = [example for example in examples if encoder == E5 or example.language in USE_LANGUAGES]
        rows = encode_training([example.text for example in known], encoder, kept_in)
        readers[encoder] = _reader(rows, *_described(known, lexicon))
    judges = {}
    for encoder in (USE, E5):
        some = [example for example in development if (example.language in USE_LANGUAGES) == (encoder == USE)]
        words, wanted = _described(some, lexicon)
        seen = [one for example in some for one in e5.network().read([example.text])]
        judges[encoder] = judging.learn(
            judging.evidence(_opinions([e.text for e in some], seen, words, encoder, readers), words), wanted
        )
    return Weights(readers, judges)


def _opinions(
    texts: Sequence[str], seen: Sequence[e5.Seen], words: np.ndarray, encoder: str, readers: Mapping[str, Reader]
) -> list[np.ndarray]:
    """Who is heard: tuned E5 and E5 as it came about every language, USE where it knows it."""
    heard = [np.stack([one.odds for one in seen]), readers[E5].opinion(np.stack([one.row for one in seen]), words)]
    return [*heard, readers[USE].opinion(encode(texts), words)] if encoder == USE else heard


def _described(examples: Sequence[Example], lexicon: Lexicon) -> tuple[np.ndarray, np.ndarray]:
    """For each example the listed words, and the strands."""
    words = np.stack([_word_features(lexicon.hits(fold(example.text), {example.language})) for example in examples])
    return words, np.array([[strand in example.strands for strand in STRANDS] for example in examples])


def _reader(vectors: np.ndarray, words: np.ndarray, wanted: np.ndarray) -> Reader:
    mean, spread = vectors.mean(axis=0), vectors.std(axis=0) + 1e-6
    rows = np.concatenate([(vectors - mean) / spread, words * _WORDS_SCALE], axis=1)
    biased = wanted.any(axis=1)
    strands = [fit(rows[biased], wanted[biased, place], _STRICTNESS) for place in range(len(STRANDS))]
    return Reader(mean, spread, fit(rows, biased, _STRICTNESS)[None, :], np.stack(strands))


# -- suggesting ----------------------------------------------------------------------------------------------------------------


def look(text: str, folded: Folded, hits: Sequence[Hit]) -> list[Looked]:
    """Read the text, of a long one the stretches with the most words of the lists, the first ones else; nothing if it is too short."""
    words = _words(text)
    if len(words) < FEWEST_WORDS:
        return []
    windows = _windows(text, words)
    listed = [_word_features([hit for hit in hits if _is_inside(folded, hit, window)]) for window in windows]
    kept = sorted(sorted(range(len(windows)), key=lambda i: -listed[i].sum())[:_MOST_READ])
    seen = e5.network().read([text[windows[i].start : windows[i].end] for i in kept])
    return [Looked(windows[i], listed[i], one) for i, one in zip(kept, seen)]


def suggest(
    text: str,
    looked: Sequence[Looked],
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
    if not looked:
        return {"state": "unclear", "motivations": []}
    if reading.encoder is None:
        return {"state": "unsupported", "motivations": []}
    judge = weights.judges[reading.encoder]
    listed = np.stack([one.listed for one in looked])
    stretches = [text[one.window.start : one.window.end] for one in looked]
    opinions = _opinions(stretches, [one.seen for one in looked], listed, reading.encoder, weights.readers)
    confidences = judge.confidence(judging.evidence(opinions, listed))
    best = int(confidences.max(axis=1).argmax())  # the stretch that points most strongly to bias
    confidence = confidences[best]
    motivations = [
        {
            "code": strand,
            "confidence": round(float(confidence[place]), 3),
            "band": "likely" if confidence[place] >= judge.likely else "possible",
            "detail": _detail(strand, hits),
            "evidence": _evidence(text, looked[best].window, place, folded, hits, spans),
        }
        for place, strand in enumerate(STRANDS)
        if confidence[place] >= judge.possible
    ]
    motivations.sort(key=lambda motivation: -motivation["confidence"])
    return {"state": "suggested" if motivations else "unclear", "motivations": motivations}


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
    spans: Mapping[str, Sequence[tuple[int, int]]],
) -> list[dict[str, Any]]:
    """Words of the lists; where none of these points to bias, the words to which the network owes most; what else points to it."""
    found: dict[tuple[int, int], str] = {}
    for hit in hits:
        if hit.strand in (STRANDS[strand], ANY):
            span = folded.span(hit.start, hit.end)
            if span not in found or KINDS.index(hit.kind) < KINDS.index(found[span]):
                found[span] = hit.kind
    found = {span: why for span, why in found.items() if not _is_covered(span, found)}
    if not any(why in INDICATORS for why in found.values()):
        found.update((span, "model_weight") for span in _carrying_words(text, window, strand))
    for why, stretches in spans.items():
        found.update({span: why for span in stretches if not any(span[0] < end and start < span[1] for start, end in found)})
    return [{"start": start, "end": end, "why": why} for (start, end), why in sorted(found.items())]


def _is_covered(span: tuple[int, int], found: Mapping[tuple[int, int], str]) -> bool:
    return any(start <= span[0] and span[1] <= end and (start, end) != span for start, end in found)


def _carrying_words(text: str, window: _Window, strand: int) -> list[tuple[int, int]]:
    """The run of a few words that points to this strand most strongly when it stands alone, and a second one nearly as strong."""
    starts = range(0, max(1, len(window.words) - _RUN + _RUN // 2), _RUN // 2)
    runs = [(part[0][0], part[-1][1]) for part in (window.words[start : start + _RUN] for start in starts)]
    odds = e5.network().odds([text[start:end] for start, end in runs])
    alone = -np.logaddexp(0, -odds[:, 0]) - np.logaddexp(0, -odds[:, 1 + strand])
    best = runs[int(alone.argmax())]
    apart = [(score, run) for score, run in zip(alone, runs) if run[1] <= best[0] or best[1] <= run[0]]
    second = max(apart, default=None)
    return [best, second[1]] if second and second[0] >= alone.max() + _NEARLY else [best]


def _windows(text: str, words: Sequence[tuple[int, int]]) -> list[_Window]:
    words = [span for span in words if span[1] <= LONGEST]
    if len(words) <= _WINDOW:
        return [_Window(0, min(len(text), LONGEST), tuple(words))]
    starts = range(0, len(words) - _WINDOW + _STRIDE, _STRIDE)
    parts = [words[start : start + _WINDOW] for start in starts]
    return [_Window(part[0][0], part[-1][1], tuple(part)) for part in parts if part][:_MOST_WINDOWS]


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
