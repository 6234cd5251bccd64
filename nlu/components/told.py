"""Which facts a text already tells. A fact marked as told is never asked: rules that say yes only when it is plain."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from components.folding import Folded
from components.phrases import pattern

FACTS = ("when", "where", "who", "injury", "online", "threat", "damage", "ongoing")
MARKS: Mapping[str, str] = dict(zip("wpointdg", FACTS))  # in a file of sentences, behind " #"; "-" where none is told


class ToldRules:
    """Rules as in ``data/en/told.yml``: {language: {"lists": {…}, "facts": {"when": {"says": […], "unless": […]}}}}."""

    def __init__(self, languages: Mapping[str, Mapping[str, Any]]) -> None:
        self._rules: dict[str, dict[str, tuple[re.Pattern[str] | None, re.Pattern[str] | None]]] = {}
        for language, rules in languages.items():
            lists = rules.get("lists", {})
            self._rules[language] = {
                fact: (pattern(rule.get("says", ()), lists), pattern(rule.get("unless", ()), lists))
                for fact, rule in rules["facts"].items()
            }

    def told(self, text: Folded, languages: Collection[str]) -> dict[str, bool]:
        """A yes or no for each of FACTS, read with the rules of the languages the text may be in."""
        return {fact: bool(self.spans(fact, text, languages)) for fact in FACTS}

    def spans(self, fact: str, text: Folded, languages: Collection[str]) -> list[tuple[int, int]]:
        """Where in the folded text the fact is told."""
        rules = [self._rules[language] for language in sorted(languages) if language in self._rules]
        return sorted({span for rule in rules if fact in rule for span in _said(text.text, *rule[fact])})


def _said(text: str, says: re.Pattern[str] | None, unless: re.Pattern[str] | None) -> list[tuple[int, int]]:
    """Where the text says it and no ``unless`` phrase covers that place ("every monday" is no date)."""
    if says is None:
        return []
    covered = [found.span() for found in unless.finditer(text)] if unless else []
    return [
        found.span()
        for found in says.finditer(text)
        if not any(start <= found.start() < end or found.start() <= start < found.end() for start, end in covered)
    ]
