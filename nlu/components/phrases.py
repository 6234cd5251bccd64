"""The phrases we listen for, one small file a language, turned into patterns over folded text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from components.folding import fold

_LIST = re.compile(r"\{([a-z_]+)\}")
# Arabic writes "and", "in", "to", "like" and "the" as part of the word.
_ARABIC_START = "(?:[وف]?(?:[بكل]?ال|لل|[بكل])?)"
_ARABIC = re.compile(r"[\u0600-\u06ff]")


def pattern(phrases: Sequence[str], lists: Mapping[str, Sequence[str]] | None = None) -> re.Pattern[str] | None:
    """One pattern for all the phrases of a rule, or None when there are none.

    A phrase is a regular expression in folded text, whole words only; a blank stands for any blank, ``{place}`` for one of the
    words of the list ``place``. An Arabic phrase may start with a clitic.
    """
    if not phrases:
        return None
    return re.compile("|".join(_whole_words(_expand(_folded(phrase), lists or {})) for phrase in phrases))


def _expand(phrase: str, lists: Mapping[str, Sequence[str]]) -> str:
    def words_of(found: re.Match[str]) -> str:
        words = "|".join(_folded(word) for word in lists[found.group(1)])
        return f"(?:{_ARABIC_START if _ARABIC.search(words) else ''}(?:{words}))"

    return re.sub(r" +", r"\\s+", _LIST.sub(words_of, phrase))


def _whole_words(phrase: str) -> str:
    return rf"(?<!\w){_ARABIC_START if _ARABIC.search(phrase) else ''}(?:{phrase})(?!\w)"


def _folded(phrase: str) -> str:
    # Letters fold; what makes it a pattern ("\d", "\w") stays.
    return "".join(part if part.startswith("\\") else fold(part).text for part in re.split(r"(\\.)", phrase))
