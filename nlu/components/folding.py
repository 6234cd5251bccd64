"""Writes a text the way rules compare it, and remembers where each character came from."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_ARABIC = {"ى": "ي", "ة": "ه", "ٱ": "ا", "ـ": ""}
_QUOTES = {"’": "'", "‘": "'", "´": "'", "`": "'", "“": '"', "”": '"'}


@dataclass(frozen=True)
class Folded:
    """``fold("Não!")`` is ``Folded("nao!", (0, 1, 2, 3))``: lower case, no accents, no invisible characters.

    ``origin[i]`` is the code point of the original text that gave ``text[i]``.
    """

    text: str
    origin: tuple[int, ...]

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Start and end in the original text of what stands at start:end here."""
        return self.origin[start], self.origin[end - 1] + 1


def fold(text: str) -> Folded:
    """People text without accents, and Arabic with or without vowel signs and hamza: all of them compare equal."""
    letters: list[str] = []
    origin: list[int] = []
    for place, character in enumerate(text):
        for letter in _fold_character(character):
            letters.append(letter)
            origin.append(place)
    return Folded("".join(letters), tuple(origin))


@lru_cache(maxsize=4_096)
def _fold_character(character: str) -> str:
    if character in _QUOTES:
        return _QUOTES[character]
    if character.isspace():
        return " "
    out = []
    for part in unicodedata.normalize("NFKD", character).casefold():
        kind = unicodedata.category(part)
        if kind in ("Mn", "Cf", "Cc", "Cs"):
            continue
        out.append(str(unicodedata.digit(part)) if kind == "Nd" else _ARABIC.get(part, part))
    return "".join(out)
