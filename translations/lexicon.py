"""Insults in the reporter's own words, and what they mean: engines lose them, and they are evidence of a motivation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast

import yaml

FILE = Path(__file__).parent / "lexicons" / "slurs.yaml"
# Scripts without spaces between words: a term is looked for anywhere.
_UNSPACED = re.compile("[\u3400-\u9fff\uac00-\ud7af]")


class LexiconError(Exception):
    """The lexicon cannot be read; the message names the language and the line."""


@dataclass(frozen=True)
class Gloss:
    """One insult in a text: ``Gloss(10, 15, "bicha", "female animal; faggot", "gay men", 3)``.

    ``start`` and ``end`` are code points of the text; ``term`` is as it was written there. ``literal`` is English. Severity 1: an
    insult by its use; 2: a slur; 3: one that dehumanises.
    """

    start: int
    end: int
    term: str
    literal: str
    target: str
    severity: int


def gloss(text: str, language: str) -> list[Gloss]:
    """Every insult of a text in its order, the longest where two begin alike; empty for a language without a lexicon."""
    found: list[Gloss] = []
    for pattern, literal, target, severity in _lexicon().get(language, ()):
        found += [Gloss(m.start(), m.end(), m[0], literal, target, severity) for m in pattern.finditer(text)]
    found.sort(key=lambda one: (one.start, -one.end))
    kept: list[Gloss] = []
    for one in found:
        if not kept or one.start >= kept[-1].end:
            kept.append(one)
    return kept


def languages() -> frozenset[str]:
    """The languages that have a lexicon."""
    return frozenset(_lexicon())


_Entry = tuple[re.Pattern[str], str, str, int]


@cache
def _lexicon() -> Mapping[str, tuple[_Entry, ...]]:
    return read(FILE)


def read(file: Path) -> Mapping[str, tuple[_Entry, ...]]:
    """The entries of a file by language. Raises LexiconError."""
    try:
        raw = cast(dict[str, list[str]], yaml.safe_load(file.read_text("utf-8")))
    except (OSError, yaml.YAMLError) as error:
        raise LexiconError(f"{file.name} cannot be read: {error}") from None
    found = {}
    for language, lines in raw.items():
        entries = []
        for line in lines:
            try:
                terms, literal, target, severity = line.split("|")
                entries.append((_pattern(terms), literal.strip(), target.strip(), int(severity)))
            except (ValueError, AttributeError):
                raise LexiconError(f"{file.name}: '{line}' of '{language}' is not 'words|meaning|who|severity'") from None
        found[language] = tuple(entries)
    return found


def _pattern(terms: str) -> re.Pattern[str]:
    alternatives = []
    for term in sorted((term.strip() for term in terms.split(",")), key=len, reverse=True):
        escaped = re.escape(term).replace(r"\*", r"\w*")
        alternatives.append(escaped if _UNSPACED.search(term) else rf"(?<!\w){escaped}(?!\w)")
    return re.compile("|".join(alternatives), re.IGNORECASE)
