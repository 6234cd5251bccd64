"""A machine's draft of one text: each sentence normalised, its facts protected, translated, checked."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from translations import catalog, quality, sentences
from translations.normalise import normalise
from translations.protect import protect, restore

# Out of the models' vocabulary: one of these in a sentence can turn the whole sentence into noise.
_PICTURES = re.compile("[\u2190-\u2bff\u3030\ufe0f\u200d\U0001f000-\U0001faff]+")


@dataclass(frozen=True)
class Rendered:
    """What an engine made of a sentence: ``Rendered("They said me sudaca.", 1)``; ``unknown`` counts the words it says it lacks."""

    text: str
    unknown: int = 0


class Step(Protocol):
    """One direction of an engine."""

    def translate(self, sentence: str) -> Rendered: ...


@dataclass(frozen=True)
class Draft:
    """``Draft("I don't want my family to know.", ())``; flags are those of quality.py and ``details_listed``."""

    text: str
    flags: tuple[str, ...]


def draft(text: str, steps: Sequence[Step], source: str, target: str, names: Sequence[str] = ()) -> Draft:
    """Translate a text, step by step for a pivot; paragraphs stay paragraphs, and ``names`` stay as they are written."""
    made, flags = [], dict.fromkeys(["empty"] if not text.strip() else [])
    for paragraph in sentences.paragraphs(text):
        parts = [_sentence(sentence, steps, source, target, names) for sentence in sentences.split(paragraph)]
        made.append(" ".join(part.text for part in parts if part.text))
        flags.update(dict.fromkeys(flag for part in parts for flag in part.flags))
    return Draft("\n\n".join(made), tuple(flags))


def _sentence(sentence: str, steps: Sequence[Step], source: str, target: str, names: Sequence[str]) -> Draft:
    pictures = "".join(_PICTURES.findall(sentence))
    words = _PICTURES.sub(" ", sentence).strip()
    if not re.search(r"\w", words):
        return Draft(sentence, ())
    masked, facts = protect(words, names)
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
    return Draft(" ".join(part for part in (text + listed, pictures) if part), flags)


def _through(steps: Sequence[Step], sentence: str) -> Rendered:
    unknown = 0
    for step in steps:
        made = step.translate(sentence)
        sentence, unknown = made.text, max(unknown, made.unknown)
    return Rendered(sentence, unknown)
