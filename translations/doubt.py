"""Whether a translation is to be doubted: the model's own surprise at it, and words of the original that have no counterpart.

A fluent sentence may be wrong ("They scraped my residence card" for one that was torn up), and then nothing shows but that the
model found its own word unlikely. The weights were fitted by ``python -m bench.fit_doubt``; docs/languages.md says what they catch.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from translations.glossary import Counterparts, plain

# Of measures(), in order; then the sum from which a translation is doubted.
WEIGHTS = (0.658, 3.366, 3.972)
DOUBTED_FROM = 3.395
_UNLIKELY = 1.6  # nats: a word that the model gave less than one chance in five
_MOST_NAMED = 4


@dataclass(frozen=True)
class Word:
    """One word of a translation: ``Word("scraped", 1.7, 2.5, "Rasgaram")``.

    ``surprise`` is -log of its probability and ``doubt`` the entropy of the most open choice within it, both in nats; ``of`` is the
    word of the original that the model was looking at.
    """

    text: str
    surprise: float
    doubt: float
    of: str


def measures(words: Sequence[Word], counterparts: Counterparts) -> tuple[float, float, float]:
    """How surprised the model is by the words that the glossary does not confirm, how open its most open choice was, and 1.0 where
    a word of the original has no counterpart."""
    surprise = sum(word.surprise for word in words if not _is_confirmed(word, counterparts))
    doubt = max((word.doubt for word in words), default=0.0)
    return math.log1p(surprise), math.log1p(doubt), float(bool(counterparts.missing))


def is_doubtful(words: Sequence[Word], counterparts: Counterparts) -> bool:
    """Without ``words``, because the engine says nothing of its chances, the glossary alone is asked."""
    if not words:
        return bool(counterparts.missing)
    found = measures(words, counterparts)
    return sum(weight * value for weight, value in zip(WEIGHTS, found, strict=True)) > DOUBTED_FROM


def suspects(words: Sequence[Word], counterparts: Counterparts) -> tuple[str, ...]:
    """The words of the original that may have come through wrong or not at all, as they are written, at most four."""
    unlikely = sorted((word for word in words if not _is_confirmed(word, counterparts)), key=lambda word: -word.surprise)
    named = [*counterparts.missing, *(_bare(word.of) for word in unlikely[:1])]
    named += [_bare(word.of) for word in unlikely[1:] if word.surprise > _UNLIKELY]
    told: list[str] = []
    for word in named:
        is_word = any(letter.isalpha() for letter in word)  # a number that changed has a flag of its own
        # "levantou" is not named beside "levantou-me".
        if is_word and not any(plain(one) in plain(word) or plain(word) in plain(one) for one in told):
            told.append(word)
    return tuple(told[:_MOST_NAMED])


def _is_confirmed(word: Word, counterparts: Counterparts) -> bool:
    return plain(_bare(word.text)) in counterparts.confirmed


def _bare(word: str) -> str:
    return re.sub(r"^\W+|\W+$", "", word)
