"""What is suspicious about a translation, in words: hints to look at the original; none says that a translation is good."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

from translations.scripts import scripts_of

_NEGATIONS: Mapping[str, re.Pattern[str]] = {
    "pt": re.compile(r"\b(?:não|nao|nunca|ninguém|ninguem|nada|nem|jamais|nenhuma?|sem)\b", re.IGNORECASE),
    "en": re.compile(r"\b(?:not|no|never|nobody|nothing|none|nor|neither|without|cannot|unable|nowhere)\b|n['’]t\b", re.IGNORECASE),
}
_REPEATS = re.compile(r"\b(\w{2,})\b(?:\W+\1\b){2,}|\b(\w+ \w+(?: \w+)?)\b(?:\W+\2\b)+|([^\s.])(?:\W?\3){5,}", re.IGNORECASE)
_HALF_DAY = re.compile(r"\d\s?[ap]\.?m\b", re.IGNORECASE)
_NUMBER_WORDS: Mapping[str, Mapping[str, str]] = {
    "pt": dict(
        zip(
            "um uma dois duas três tres quatro cinco seis sete oito nove dez onze doze meio-dia meia-noite".split(),
            "1 1 2 2 3 3 4 5 6 7 8 9 10 11 12 12 12".split(),
            strict=True,
        )
    ),
    "en": dict(
        zip(
            "one two three four five six seven eight nine ten eleven twelve noon midnight first second third".split(),
            "1 2 3 4 5 6 7 8 9 10 11 12 12 12 1 2 3".split(),
            strict=True,
        )
    ),
}


def flags(
    source: str, target: str, source_language: str, target_language: str, target_scripts: frozenset[str], unknown: int = 0
) -> tuple[str, ...]:
    """What to look at twice, out of: negation_lost, numbers_changed, copied_words, repeats, empty, wrong_script.

    ``source`` is the sentence as the engine read it, ``target`` its translation; ``target_scripts`` are ISO 15924 codes.
    """
    if source.strip() and not target.strip():
        return ("empty",)
    found = []
    if _negation_lost(source, target, source_language, target_language):
        found.append("negation_lost")
    if _numbers_changed(source, target, source_language, target_language):
        found.append("numbers_changed")
    if _copied_words(source, target):
        found.append("copied_words")
    if _REPEATS.search(target) and not _REPEATS.search(source):
        found.append("repeats")
    if _wrong_script(target, target_scripts):
        found.append("wrong_script")
    return tuple(found)


def _negation_lost(source: str, target: str, source_language: str, target_language: str) -> bool:
    here, there = _NEGATIONS.get(source_language), _NEGATIONS.get(target_language)
    return bool(here and there and here.search(source) and not there.search(target))


def _numbers_changed(source: str, target: str, source_language: str, target_language: str) -> bool:
    here, there = Counter(re.findall(r"\d+", source)), Counter(re.findall(r"\d+", target))
    lost, invented = here - there, there - here
    # "às 8" may become "at eight" and "dois homens" "2 men": both are kept numbers.
    lost -= _spelled_numbers(target, target_language)
    invented -= _spelled_numbers(source, source_language)
    if _HALF_DAY.search(source) or _HALF_DAY.search(target):
        lost, invented = _by_half_days(lost), _by_half_days(invented)
    return lost != invented


def _by_half_days(numbers: Counter[str]) -> Counter[str]:
    # "5pm" becomes "17h", and "18:00" becomes "6:00 p.m.".
    counted: Counter[str] = Counter()
    for number, count in numbers.items():
        counted[str(int(number) % 12) if len(number) <= 2 and int(number) <= 24 else number] += count
    return counted


def _spelled_numbers(text: str, language: str) -> Counter[str]:
    words = _NUMBER_WORDS.get(language, {})
    return Counter(words[word] for word in re.findall(r"[\w-]+", text.lower()) if word in words)


def _copied_words(source: str, target: str) -> bool:
    # Names begin with one capital and are rightly copied; slang and shouting are what an engine gives up on.
    words = [word for word in re.findall(r"[^\W\d_]{3,}", source) if word.islower() or word.isupper()]
    there = {_plain(word) for word in re.findall(r"[^\W\d_]{3,}", target)}
    copied = sum(_plain(word) in there for word in words)
    return bool(words) and copied >= 0.3 * len(words)


def _plain(word: str) -> str:
    return unicodedata.normalize("NFC", word).casefold()


def _wrong_script(target: str, expected: frozenset[str]) -> bool:
    seen = scripts_of(target)
    letters = seen.total()
    return letters > 0 and sum(count for script, count in seen.items() if script in expected) < 0.5 * letters
