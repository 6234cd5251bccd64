"""Facts that no engine may touch: addresses, links, numbers to call, money, codes, names travel as XX1 and come back unchanged."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

# In this order: an e-mail address holds a link, a link may hold a telephone number.
_FACTS = re.compile(
    r"""
      [\w.+-]+@[\w-]+(?:\.[\w-]+)+                                   # someone@example.org
    | (?:https?://|www\.)\S*[^\s.,;:!?)\]»”"']                       # links
    | (?<![\w@])@\w{3,}                                              # @names
    | (?:[€$£¥₹₺₽₩₫₱]|R\$|US\$)\s?\d+(?:[.,]\d+)*                    # €30
    | \d+(?:[.,]\d+)*\s?(?:€|£|₽|₺|zł)                               # 30 €
    | (?<![\w])\+?\(?\d[\d\s().-]{5,18}\d(?!\w)                      # telephone numbers
    | \b(?=[A-Z0-9-]*\d)(?=[A-Z0-9-]*[A-Z])[A-Z0-9]+(?:-[A-Z0-9]+)*\b    # plates and codes: 24-AB-17
    """,
    re.VERBOSE,
)


# "Rua do Ouro", "St Mary's School": two words or more with a capital, and what joins them.
_CAPITAL = r"[^\W\d_a-zà-öø-ÿ][^\W\d_A-ZÀ-ÖØ-Þ]+(?:['’]\w+)?"
_NAME = re.compile(rf"(?<![\w'’]){_CAPITAL}(?:(?: (?:d[aeio]s?|del|della|du|des|de la|of|of the|e))? {_CAPITAL})+(?!\w)")
_MOST_CAPITALS = 0.7  # of the words; with more, capitals say nothing about names


def names_in(sentence: str) -> tuple[str, ...]:
    """Names of several words, such as streets, which a machine would translate: ``("Rua do Ouro",)`` becomes "Gold Street"."""
    words = re.findall(r"[^\W\d_]+(?:['’]\w+)?", sentence)
    if not words or sum(word[0].isupper() for word in words) > _MOST_CAPITALS * len(words):
        return ()
    found = [match[0] for match in _NAME.finditer(sentence) if match.start() > 0]
    # The first word of a sentence has its capital from its place alone.
    first = _NAME.match(sentence)
    if first and (rest := _NAME.fullmatch(first[0].split(" ", 1)[1])):
        found.append(rest[0])
    return tuple(found)


def protect(text: str, names: Sequence[str] = ()) -> tuple[str, tuple[str, ...]]:
    """The text with its facts replaced, and the facts: ``("Call XX1.", ("+351 912 345 678",))``. XX1 stands for the first.

    ``names`` are words of a case file, people or places, that must come through as they are written.
    """
    facts: list[str] = []

    def replace(match: re.Match[str]) -> str:
        fact = match[0].rstrip()
        if match.lastgroup != "name" and not any(character.isdigit() for character in fact) and "@" not in fact and "." not in fact:
            return match[0]
        facts.append(fact)
        return f"XX{len(facts)}" + match[0][len(fact) :]

    if re.search(r"\bXX\d", text):
        return text, ()
    return _what_to_keep(tuple(names)).sub(replace, text), tuple(facts)


@lru_cache(16)
def _what_to_keep(names: tuple[str, ...]) -> re.Pattern[str]:
    kept = sorted({name.strip() for name in names if name.strip()}, key=len, reverse=True)
    if not kept:
        return _FACTS
    # Spaces of a name count for nothing in a verbose pattern, so each is escaped.
    listed = "|".join(re.escape(name) for name in kept)
    return re.compile(rf"{_FACTS.pattern} | (?P<name>\b(?:{listed})\b)", re.VERBOSE)


def restore(text: str, facts: Sequence[str]) -> str | None:
    """The text with its facts back in place, or None when a placeholder was lost, doubled or invented."""
    found = re.findall(r"\bXX\s?(\d+)\b", text)
    if sorted(found, key=int) != [str(number) for number in range(1, len(facts) + 1)]:
        return None
    return re.sub(r"\bXX\s?(\d+)\b", lambda match: facts[int(match[1]) - 1], text)
