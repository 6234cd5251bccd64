"""A first suggestion of the bias motivation: is anything here an indicator of bias at all, and if so, of which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import regex

from components import judging
from components.e5 import QUESTIONS, SECOND
from components.folding import Folded, fold
from components.judging import Judge
from components.languages import Reading
from components.lexicon import ANY, INDICATORS, KINDS, STRANDS, Hit, Lexicon
from components.network import Network, Seen, network

FEWEST_WORDS = 4
_LONGEST = 2_000  # code points looked at
_WINDOW, _STRIDE = 45, 30  # words; a long story says most of what points to bias in one place
_MOST_WINDOWS = 8  # a story longer than this is judged by its beginning
_MOST_READ = 3  # of these: a network takes a third of a millisecond for every token
_RUN, _MOST_RUNS = 3, 3  # words; on the development accounts they touch the marked cue more often than two runs of six
_PART, _PART_STRIDE = 8, 4  # words; a part by itself says more plainly what the whole drowns
_LONGEST_RUN = 80  # code points read of one
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
class _Window:
    """A stretch of the text that is judged by itself: its place in the original and its words there."""

    start: int
    end: int
    words: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Looked:
    """A stretch that was read: the listed words in it as numbers, and what the network saw there."""

    window: _Window
    listed: np.ndarray
    seen: Seen


# -- learning ------------------------------------------------------------------------------------------------------------------


def learn(development: Sequence[Example], lexicon: Lexicon) -> Judge:
    """Weigh the network's odds and the listed words on the development accounts, from which the network did not learn."""
    words = np.stack([_word_features(lexicon.hits(fold(one.text), {one.language})) for one in development])
    wanted = np.array([[strand in one.strands for strand in STRANDS] for one in development])
    odds = np.stack([_opinions(one.text, network().read([one.text])[0]) for one in development])
    return judging.learn(judging.evidence(odds, words), wanted)


def _opinions(text: str, seen: Seen) -> np.ndarray:
    """Opinions x questions: of the network that saw the text, of the second one, and of both where they read it part by part."""
    [second] = network(SECOND).read([text])
    in_parts = [_strongest(parts, whole) for parts, whole in zip(_of_parts(text), (seen, second))]
    return np.stack([*seen.odds, second.odds[0], *in_parts])


def _of_parts(text: str) -> list[np.ndarray]:
    """What each network says of the parts of a text, parts x questions; nothing where the text is no longer than a part."""
    words = _words(text)
    starts = range(0, len(words) - _PART + _PART_STRIDE, _PART_STRIDE) if len(words) > _PART else ()
    spans = [words[start : start + _PART] for start in starts]
    parts = [text[span[0][0] : span[-1][1]] for span in spans]
    return [_last_odds(one, parts) for one in (network(), network(SECOND))]


def _strongest(parts: np.ndarray, whole: Seen) -> np.ndarray:
    """Of all parts the highest odds of an indicator, and what the part that points to a strand most strongly says of them all."""
    if not len(parts):
        return np.asarray(whole.odds[0])
    best = int(_pointing(parts).max(axis=1).argmax())
    return np.concatenate([parts[:, :1].max(axis=0), parts[best, 1:]])


def _last_odds(one: Network, texts: Sequence[str]) -> np.ndarray:
    """Texts x questions, as the network says them at its end."""
    return np.stack([seen.odds[0] for seen in one.read(texts)]) if texts else np.zeros((0, QUESTIONS), np.float32)


def _pointing(odds: np.ndarray) -> np.ndarray:
    """How strongly each text points to each strand: the log of its share."""
    shares: np.ndarray = -np.logaddexp(0, -odds[:, :1]) - np.logaddexp(0, -odds[:, 1:])
    return shares


# -- suggesting ----------------------------------------------------------------------------------------------------------------


def look(text: str, folded: Folded, hits: Sequence[Hit]) -> list[Looked]:
    """Read the text; of a long one the stretches with the most listed words, else the first ones. Nothing if it is too short."""
    words = _words(text)
    if len(words) < FEWEST_WORDS:
        return []
    windows = _windows(text, words)
    listed = [_word_features([hit for hit in hits if _is_inside(folded, hit, window)]) for window in windows]
    kept = sorted(sorted(range(len(windows)), key=lambda i: -listed[i].sum())[:_MOST_READ])
    seen = network().read([text[windows[i].start : windows[i].end] for i in kept])
    return [Looked(windows[i], listed[i], one) for i, one in zip(kept, seen)]


def suggest(
    text: str,
    looked: Sequence[Looked],
    reading: Reading,
    hits: Sequence[Hit],
    judge: Judge,
    spans: Mapping[str, Sequence[tuple[int, int]]],
    folded: Folded,
) -> dict[str, Any]:
    """``{"state", "motivations": [{"code", "confidence", "band", "detail", "evidence": [{"start", "end", "why"}]}]}``.

    Offsets are code points of ``text``. ``spans``: evidence found elsewhere ("earlier_incidents"). State "unsupported": the
    network does not know the writing. "unclear": too short, nothing points to bias, or only who somebody is was mentioned.
    """
    if not looked:
        return {"state": "unclear", "motivations": []}
    if not reading.is_known:
        return {"state": "unsupported", "motivations": []}
    read = max(looked, key=lambda one: float(_pointing(one.seen.odds[:1]).max()))  # the stretch that points most strongly to bias
    odds = _opinions(text[read.window.start : read.window.end], read.seen)
    confidence = judge.confidence(judging.evidence(odds[None], read.listed[None]))[0]
    runs = _Runs(text, read.window)
    motivations = [
        {
            "code": strand,
            "confidence": round(float(confidence[place]), 3),
            "band": "likely" if confidence[place] >= judge.likely else "possible",
            "detail": _detail(strand, hits),
            "evidence": _evidence(runs, place, folded, hits, spans),
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
    runs: _Runs,
    strand: int,
    folded: Folded,
    hits: Sequence[Hit],
    spans: Mapping[str, Sequence[tuple[int, int]]],
) -> list[dict[str, Any]]:
    """Words of the lists; where none of these points to bias, the words that say most to the network; what else points to it."""
    found: dict[tuple[int, int], str] = {}
    for hit in hits:
        if hit.strand in (STRANDS[strand], ANY):
            span = folded.span(hit.start, hit.end)
            if span not in found or KINDS.index(hit.kind) < KINDS.index(found[span]):
                found[span] = hit.kind
    found = {span: why for span, why in found.items() if not _is_covered(span, found)}
    if not any(why in INDICATORS for why in found.values()):
        found.update((span, "model_weight") for span in runs.pointing_to(strand))
    for why, stretches in spans.items():
        found.update({span: why for span in stretches if not any(span[0] < end and start < span[1] for start, end in found)})
    return [{"start": start, "end": end, "why": why} for (start, end), why in sorted(found.items())]


def _is_covered(span: tuple[int, int], found: Mapping[tuple[int, int], str]) -> bool:
    return any(start <= span[0] and span[1] <= end and (start, end) != span for start, end in found)


class _Runs:
    """The runs of a few words in a stretch; what each says to both networks when it stands alone is read when first asked for."""

    def __init__(self, text: str, window: _Window) -> None:
        self._text, self._words = text, window.words
        count = len(window.words)
        self._runs = [range(i, min(i + _RUN, count)) for i in range(max(1, count - _RUN + 1))] if count else []

    @cached_property
    def _odds(self) -> np.ndarray:
        spans = [(self._words[run[0]][0], self._words[run[-1]][1]) for run in self._runs]
        texts = [self._text[start:end][:_LONGEST_RUN] for start, end in spans]
        return np.mean([_last_odds(one, texts) for one in (network(), network(SECOND))], axis=0)

    def pointing_to(self, strand: int) -> list[tuple[int, int]]:
        """The few that point to this strand most strongly; those side by side as one."""
        if not self._runs:
            return []
        alone = _pointing(self._odds)[:, strand]
        taken: set[int] = set()
        for place in np.argsort(-alone, kind="stable"):
            if len(taken) < _MOST_RUNS * _RUN and taken.isdisjoint(self._runs[place]):
                taken.update(self._runs[place])
        begins, ends = (sorted(i for i in taken if i + beside not in taken) for beside in (-1, 1))
        return [(self._words[begin][0], self._words[end][1]) for begin, end in zip(begins, ends)]


def _windows(text: str, words: Sequence[tuple[int, int]]) -> list[_Window]:
    words = [span for span in words if span[1] <= _LONGEST]
    if len(words) <= _WINDOW:
        return [_Window(0, min(len(text), _LONGEST), tuple(words))]
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
