"""The words an incident is told with, in Portuguese and English: which of the original have no counterpart in a translation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "glossary.txt"
_WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)*")


@dataclass(frozen=True)
class Counterparts:
    """How many words of a sentence the glossary knows, and those of them that the translation lacks.

    ``Counterparts(2, ("Rasgaram",), {"card"})`` for "Rasgaram o meu cartão de residência." and "They scraped my residence card."
    """

    known: int
    missing: tuple[str, ...]
    confirmed: frozenset[str]  # words of the translation that are a counterpart, without accents and capitals


def counterparts(source: str, target: str, source_language: str, target_language: str) -> Counterparts:
    """Look for the counterpart of each known word; none is known where the two languages are not those of the glossary."""
    entries = _entries().get((source_language, target_language))
    if not entries:
        return Counterparts(0, (), frozenset())
    here, there = plain(source), plain(target)
    accepted: dict[str, bool] = {}
    confirmed: set[str] = set()
    for entry in entries:
        for match in entry.said.finditer(here):
            found = [part for counterpart in entry.meant.finditer(there) for part in counterpart[0].split()]
            accepted[match[0]] = accepted.get(match[0], False) or bool(found)
            confirmed.update(found)
    written = {plain(word): word for word in _WORD.findall(source)}
    missing = tuple(written.get(word, word) for word, is_there in accepted.items() if not is_there)
    return Counterparts(len(accepted), missing, frozenset(confirmed))


@dataclass(frozen=True)
class _Entry:
    said: re.Pattern[str]
    meant: re.Pattern[str]


@cache
def _entries() -> Mapping[tuple[str, str], tuple[_Entry, ...]]:
    rows = [_row(line) for line in FILE.read_text("utf-8").splitlines() if line and not line.startswith("#")]
    return {
        ("pt", "en"): tuple(_Entry(_any(pt[:1]), _any(en)) for pt, en in rows),
        ("en", "pt"): tuple(_Entry(_any(en[:1]), _any(pt)) for pt, en in rows),
    }


def _row(line: str) -> tuple[Sequence[str], Sequence[str]]:
    """The two sides of a line, each the words that are looked for and those that are only accepted."""
    portuguese, english = plain(line).split(" | ")
    return portuguese.split("/"), english.split("/")


def _any(sides: Sequence[str]) -> re.Pattern[str]:
    words = " ".join(sides).replace("$", r"(?!\w)").split() or ["(?!)"]
    return re.compile(rf"\b(?:{'|'.join(words)})\w*".replace("_", " "))


def plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(character for character in decomposed if unicodedata.category(character) != "Mn")
