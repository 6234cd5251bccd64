"""Guesses the languages of a text, and with them whose rules may read it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import regex

from components.folding import fold

_ROMANISED = "-Latn"  # "usne mujhe gali di" is hi-Latn: another script than the language's own
_SCRIPTS: tuple[tuple[regex.Pattern[str], tuple[str, ...]], ...] = tuple(
    (regex.compile(pattern), tuple(languages.split()))
    for pattern, languages in (
        (r"\p{Han}", "zh-Hans zh-Hant"),
        (r"\p{Hangul}", "ko"),
        (r"\p{Cyrillic}", "ru uk"),
        (r"\p{Arabic}", "ar fa ur"),
        (r"\p{Devanagari}", "hi"),
        (r"\p{Gurmukhi}", "pa"),
        (r"\p{Bengali}", "bn"),
        (r"\p{Gujarati}", "gu"),
    )
)
_LATIN = regex.compile(r"\p{Latin}")
_LETTER = regex.compile(r"\p{L}")
_KANA = regex.compile(r"[\p{Hiragana}\p{Katakana}]")
_WORD = regex.compile(r"[\p{L}\p{M}'’]+")
_NATIVE_LATIN = frozenset("de en es fr it nl pl pt ro so tl tr vi".split())
_BOTH_CHINESE = frozenset({"zh-Hans", "zh-Hant"})  # short texts are often the same in both
_BUCKETS = 1 << 15
_LONGEST = 600  # code points looked at
_PART = 8  # words: a text in two languages is guessed part by part
_CLOSE = 4.0  # nats: languages this near the best may all lend their rules
_SMOOTHING = 0.05


@dataclass(frozen=True)
class Reading:
    """``Reading(frozenset({"pt"}))``. ``is_known``: whether the network was tuned to this writing."""

    languages: frozenset[str]
    is_known: bool = True


class Languages:
    """Naive Bayes over pieces of words, learned from the training sentences themselves.

    ``labels``: language codes, those in Latin letters that are not the language's own with "-Latn" behind. ``table``: the log
    probability of each bucket of pieces (row) in each label (column).
    """

    def __init__(self, labels: Sequence[str], table: np.ndarray) -> None:
        self.labels, self.table = tuple(labels), table

    @classmethod
    def learn(cls, sentences: Mapping[str, Sequence[str]]) -> Languages:
        """``{"pt": ["o meu vizinho …"], …}``; a sentence in Latin letters of a language that is not counts apart."""
        counts: dict[str, np.ndarray] = {}
        for language, texts in sorted(sentences.items()):
            for text in texts:
                is_foreign = language not in _NATIVE_LATIN and _share(_LATIN, text) > 0.5
                label = language + _ROMANISED if is_foreign else language
                np.add.at(counts.setdefault(label, np.zeros(_BUCKETS)), _pieces(text), 1.0)
        labels = sorted(counts)
        table = np.stack([np.log((counts[at] + _SMOOTHING) / (counts[at].sum() + _SMOOTHING * _BUCKETS)) for at in labels], axis=1)
        return cls(labels, table.astype(np.float32))

    def read(self, text: str) -> Reading:
        """Every language the text may be written in."""
        text = text[:_LONGEST]
        words = _WORD.findall(text)
        parts = [" ".join(words[i : i + _PART]) for i in range(0, len(words), _PART)] if len(words) > _PART + 4 else [text]
        readings = [self._read_part(part) for part in parts if _LETTER.search(part)]
        known = sum(reading.is_known for reading in readings)
        return Reading(frozenset(code for reading in readings for code in reading.languages), known * 2 >= len(readings))

    def _read_part(self, text: str) -> Reading:
        if _KANA.search(text):  # Japanese: its Chinese characters would pass for Chinese
            return Reading(frozenset(), is_known=False)
        found = [codes for pattern, codes in _SCRIPTS if _share(pattern, text) >= 0.4]
        if found:
            near = self._nearest(text, [i for i, label in enumerate(self.labels) if label in found[0]])
            return Reading(frozenset(_BOTH_CHINESE if _BOTH_CHINESE & set(near) else near))
        if _share(_LATIN, text) < 0.5:
            return Reading(frozenset(), is_known=False)
        near = self._nearest(text, [i for i, at in enumerate(self.labels) if at in _NATIVE_LATIN or at.endswith(_ROMANISED)])
        return Reading(frozenset(at.removesuffix(_ROMANISED) for at in near))

    def _nearest(self, text: str, allowed: Sequence[int]) -> list[str]:
        """The allowed labels close to the best one, the best first."""
        if not allowed:
            return []
        pieces = _pieces(text)
        scores = self.table[pieces][:, allowed].sum(axis=0)
        order = np.argsort(-scores, kind="stable")
        return [self.labels[allowed[i]] for i in order if scores[i] >= scores[order[0]] - _CLOSE]


def _share(script: regex.Pattern[str], text: str) -> float:
    return len(script.findall(text)) / max(1, len(_LETTER.findall(text)))


def _pieces(text: str) -> np.ndarray:
    """Buckets of the pieces of one to four letters of each word, and of the words, as written and without accents."""
    found = []
    for word in _WORD.findall(text[:_LONGEST].lower()):
        for spelling in {word, fold(word).text}:
            framed = f" {spelling} "
            found += [framed[i : i + n] for n in (1, 2, 3, 4) for i in range(len(framed) - n + 1)] + [framed] * 3
    return np.array([zlib.crc32(piece.encode("utf-8", "replace")) % _BUCKETS for piece in found], dtype=np.int64)
