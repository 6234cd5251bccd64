"""Words and symbols that point to a bias motivation, with the place where they stand."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from components.folding import Folded
from components.phrases import pattern

STRANDS = ("race", "religion", "sexual_orientation", "disability", "transgender", "sex_gender")
KINDS = ("slur", "hostile_words", "symbol", "reason_given", "identity")
INDICATORS = frozenset(KINDS) - {"identity"}  # who somebody is says nothing about why it happened


@dataclass(frozen=True)
class Hit:
    """``Hit("race", "slur", 14, 20)``: folded text 14:20 is a slur that points to race. ``strand`` is "any" for a bare reason."""

    strand: str
    kind: str
    start: int
    end: int


class Lexicon:
    """Entries as in ``data/en/lexicon.yml``: {language: [{"strand", "kind", "words": […]}, …]}."""

    def __init__(self, languages: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self._patterns: dict[str, list[tuple[str, str, re.Pattern[str]]]] = {}
        for language, entries in languages.items():
            lists = {f"identity_{e['strand']}": e["words"] for e in entries if e["kind"] == "identity"}
            lists["identity"] = [word for words in lists.values() for word in words]
            self._patterns[language] = [
                (entry["strand"], entry["kind"], found)
                for entry in entries
                if (found := pattern(entry["words"], lists)) is not None
            ]

    def hits(self, text: Folded, languages: Collection[str]) -> list[Hit]:
        """Everything found, in the order of the text."""
        found = {
            Hit(strand, kind, match.start(), match.end())
            for language in languages
            for strand, kind, words in self._patterns.get(language, ())
            for match in words.finditer(text.text)
        }
        return sorted(found, key=lambda hit: (hit.start, hit.end, hit.strand, hit.kind))
