"""A machine's draft of one text: each sentence normalised, its facts protected, translated, checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from translations import catalog, doubt, glossary, quality, sentences
from translations.normalise import normalise
from translations.protect import names_in, protect, restore

# Out of the models' vocabulary: one of these in a sentence can turn the whole sentence into noise.
_PICTURES = re.compile("[\u2190-\u2bff\u3030\ufe0f\u200d\U0001f000-\U0001faff]+")


@dataclass(frozen=True)
class Rendered:
    """What an engine made of a sentence: ``Rendered("They said me sudaca.", 1)``; ``unknown`` counts the words it says it lacks.

    ``words`` are those of ``text`` with how sure the engine is of each; none where it does not say.
    """

    text: str
    unknown: int = 0
    words: tuple[doubt.Word, ...] = ()


class Step(Protocol):
    """One direction of an engine."""

    def translate(self, sentence: str) -> Rendered: ...


@dataclass(frozen=True)
class Draft:
    """``Draft("They scraped my residence card.", ("doubtful",), ("Rasgaram",))``.

    ``flags`` are those of quality.py, ``doubtful`` and ``details_listed``; ``doubtful`` holds the words of the original that may be
    missing or wrong.
    """

    text: str
    flags: tuple[str, ...]
    doubtful: tuple[str, ...] = ()


def draft(text: str, steps: Sequence[Step], source: str, target: str, names: Sequence[str] = ()) -> Draft:
    """Translate a text, step by step for a pivot; paragraphs stay paragraphs, and ``names`` stay as they are written."""
    made, flags = [], dict.fromkeys(["empty"] if not text.strip() else [])
    doubtful: dict[str, None] = {}
    for paragraph in sentences.paragraphs(text):
        parts = [_sentence(sentence, steps, source, target, names) for sentence in sentences.split(paragraph)]
        made.append(" ".join(part.text for part in parts if part.text))
        flags.update(dict.fromkeys(flag for part in parts for flag in part.flags))
        doubtful.update(dict.fromkeys(word for part in parts for word in part.doubtful))
    return Draft("\n\n".join(made), tuple(flags), tuple(doubtful))


def _sentence(sentence: str, steps: Sequence[Step], source: str, target: str, names: Sequence[str]) -> Draft:
    pictures = "".join(_PICTURES.findall(sentence))
    words = _PICTURES.sub(" ", sentence).strip()
    if not re.search(r"\w", words):
        return Draft(sentence, ())
    masked, facts = protect(words, (*names, *names_in(words)))
    readable = normalise(masked, source)
    answer = _through(steps, readable)
    text, listed = restore(answer.text, facts), ""
    if text is None:
        readable = normalise(words, source)
        answer = _through(steps, readable)
        text = answer.text
        lost = [fact for fact in facts if fact not in text]
        listed = f" [{', '.join(lost)}]" if lost else ""
    flags = quality.flags(readable, answer.text, source, target, catalog.scripts(target), answer.unknown)
    if listed:
        flags = (*flags, "details_listed")
    counterparts = glossary.counterparts(readable, answer.text, source, target)
    suspects: tuple[str, ...] = ()
    if doubt.is_doubtful(answer.words, counterparts):
        flags = (*flags, "doubtful")
        suspects = tuple(word for word in doubt.suspects(answer.words, counterparts) if not re.fullmatch(r"XX\d+", word))
    return Draft(" ".join(part for part in (text + listed, pictures) if part), flags, suspects)


def _through(steps: Sequence[Step], sentence: str) -> Rendered:
    unknown = 0
    words: tuple[doubt.Word, ...] = ()
    for step in steps:
        made = step.translate(sentence)
        sentence, unknown = made.text, max(unknown, made.unknown)
        # In a pivot, the words that a later step doubts are not those of the original.
        words = made.words if len(steps) == 1 else ()
    return Rendered(sentence, unknown, words)
