"""Writes a text the way rules compare it, and remembers where each character came from."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

_SAME_LETTER = {"ى": "ي", "ة": "ه", "ٱ": "ا", "ـ": "", "ı": "i", "ł": "l", "đ": "d"}  # Unicode takes them for letters of their own
# The vowel signs of India's alphabets are letters; these of their signs are left out or mixed up in texts.
_NASALS_AND_DOTS = frozenset("\u0901\u0902\u093c\u0981\u09bc\u0a01\u0a02\u0a3c\u0a70\u0a71\u0a81\u0a82\u0abc")
_QUOTES = {"’": "'", "‘": "'", "´": "'", "`": "'", "“": '"', "”": '"'}


# Letters of other alphabets that look like ours, and numbers and signs that stand for a letter inside a word.
_LOOK_ALIKES = str.maketrans("асеорхуікмтнвԁһјѕꓲαεορυιτκνχ", "aceopxyikmthbdhjsiaeopuitkvx")
_SIGNS = str.maketrans("013457@$!|", "oieastasii")
_MASKED_WORD = re.compile(r"[^\s\"(),;:?…]+")
_SPELT = re.compile(r"(?<!\w)\w(?:[.\-_*·]\w){2,}(?!\w)|(?<!\w)\w(?: \w){3,}(?!\w)")


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


def unmasked(text: str) -> str:
    """Folded text of the same length in which "f4gg0t", Cyrillic "раkі" and "f.a.g" are "faggot", "paki" and "fag  ".

    Only for looking up slurs: what a reporter wrote is never changed.
    """
    plain = _MASKED_WORD.sub(lambda found: _unmask_word(found.group()), text)
    return _SPELT.sub(_closed_up, plain)


def spelt_out(text: str) -> list[tuple[int, int]]:
    """Where a word is written letter by letter: "f.a.g" or "p a k i"."""
    return [found.span() for found in _SPELT.finditer(text)]


def _unmask_word(word: str) -> str:
    latin = sum("a" <= letter <= "z" for letter in word)
    if not latin:
        return word  # a word of another alphabet, or a number
    letters = word.translate(_LOOK_ALIKES)
    end = len(letters.rstrip("!.'"))
    return letters[:end].translate(_SIGNS) + letters[end:]


def _closed_up(found: re.Match[str]) -> str:
    letters = found.group()[::2]
    return letters + " " * (len(found.group()) - len(letters))


@lru_cache(maxsize=4_096)
def _fold_character(character: str) -> str:
    if character in _QUOTES:
        return _QUOTES[character]
    if character.isspace():
        return " "
    out = []
    for part in unicodedata.normalize("NFKD", character).casefold():
        kind = unicodedata.category(part)
        if kind in ("Mn", "Cf", "Cc", "Cs") and not ("\u0900" <= part <= "\u0dff" and part not in _NASALS_AND_DOTS):
            continue
        out.append(str(unicodedata.digit(part)) if kind == "Nd" else _SAME_LETTER.get(part, part))
    return "".join(out)
