"""The phrases we listen for, one small file a language, turned into patterns over folded text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from components.folding import fold

_LIST = re.compile(r"\{([a-z_]+)\}")
# Arabic writes "and", "in", "to", "like" and "the" as part of the word.
_ARABIC_START = "(?:[وف]?(?:[بكل]?ال|لل|[بكل])?)"
_ARABIC = re.compile(r"[\u0620-\u063a\u0641-\u064a]")
_PERSIAN_OR_URDU = re.compile(r"[\u067e\u0686\u0698\u06a9\u06af\u06cc\u06be\u06c1\u0679\u0688\u0691\u06d2\u06ba]")
_IN_WORD = r"[\w\u0900-\u0963\u0966-\u0dff]"  # \w leaves out the vowel signs of India's scripts
_UNSPACED = re.compile(r"[\u3400-\u9fff\u1100-\u11ff\uac00-\ud7a3]")  # Han, and Hangul, whose particles follow without a space


def pattern(phrases: Sequence[str], lists: Mapping[str, Sequence[str]] | None = None) -> re.Pattern[str] | None:
    """One pattern for all the phrases of a rule, or None when there are none.

    A phrase is a regular expression in folded text, whole words only (in Chinese and Korean: any place); a blank stands for any
    blank, `` ?`` for one that may be missing, ``{place}`` for one of the words of the list ``place``. An Arabic phrase may start
    with a clitic.
    """
    if not phrases:
        return None
    arabic = not any(
        _PERSIAN_OR_URDU.search(phrase) for phrase in [*phrases, *(w for words in (lists or {}).values() for w in words)]
    )
    written = [_expand(_folded(phrase), lists or {}, arabic) for phrase in phrases]
    anywhere = [f"(?:{phrase})" for phrase in written if _UNSPACED.search(phrase)]
    words = [f"{_start(phrase, arabic)}(?:{phrase})" for phrase in written if not _UNSPACED.search(phrase)]
    # One look at each place for all of them: where no word begins, none is tried.
    whole = [rf"(?<!{_IN_WORD})(?:{'|'.join(words)})(?!{_IN_WORD})"] if words else []
    return re.compile("|".join(whole + anywhere))


def _expand(phrase: str, lists: Mapping[str, Sequence[str]], arabic: bool) -> str:
    def words_of(found: re.Match[str]) -> str:
        words = "|".join(_folded(word) for word in lists[found.group(1)])
        return f"(?:{_start(words, arabic)}(?:{words}))"

    return re.sub(r" +", r"\\s+", re.sub(r" +\?", r"\\s*", _LIST.sub(words_of, phrase)))


def _start(phrase: str, arabic: bool) -> str:
    return _ARABIC_START if arabic and _ARABIC.search(phrase) else ""


def _folded(phrase: str) -> str:
    # Letters fold; what makes it a pattern ("\d", "\w") stays.
    return "".join(part if part.startswith("\\") else fold(part).text for part in re.split(r"(\\.)", phrase))
