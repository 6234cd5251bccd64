"""Words and symbols that point to a bias motivation, with the place where they stand and what they mean."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from components.folding import Folded, spelt_out, unmasked
from components.phrases import pattern

STRANDS = ("race", "religion", "sexual_orientation", "disability", "transgender", "sex_gender")
KINDS = ("slur", "hostile_words", "symbol", "reason_given", "identity", "date_or_place", "no_other_motive")
INDICATORS = frozenset(("slur", "hostile_words", "symbol", "reason_given"))  # the others say nothing about why by themselves
_STRAND_OF = {"so": "sexual_orientation", "trans": "transgender", "gender": "sex_gender"}
ANY = "any"


def strand_of(code: str) -> str:
    """The strand a code of the taxonomy belongs to: "religion" of "religion.muslim", "sexual_orientation" of "so.gay"."""
    start = code.partition(".")[0]
    return _STRAND_OF.get(start, start)


@dataclass(frozen=True)
class Hit:
    """``Hit("race.black", "slur", 14, 20, 3, "…")``: folded text 14:20 is a slur, severity 3 of 3, with its literal meaning.

    ``code``: a code of the taxonomy, a bare strand where the words say no more, or "any".
    """

    code: str
    kind: str
    start: int
    end: int
    severity: int = 0
    means: str = ""

    @property
    def strand(self) -> str:
        return strand_of(self.code)


@dataclass(frozen=True)
class _Entry:
    code: str
    kind: str
    severity: int
    means: str
    words: re.Pattern[str]


class Lexicon:
    """Lists as in ``data/en/lexicon.yml``, by language.

    ``identity``: words for who somebody is, by code. ``because``: phrases that name an identity as the reason. ``terms``: lines
    ``[kind, code, severity, words, literal meaning]``.
    """

    def __init__(self, languages: Mapping[str, Mapping[str, Any]]) -> None:
        self._entries = {language: _entries(lists) for language, lists in languages.items()}

    def hits(self, text: Folded, languages: Collection[str]) -> list[Hit]:
        """Everything found, in the order of the text. Slurs are found behind numbers, stars and foreign look-alikes too."""
        plain, spelt = unmasked(text.text), spelt_out(text.text)
        starred = {plain.replace("*", vowel) for vowel in "aeiou"} if "*" in plain else set()
        found = set()
        for entry in (entry for language in languages for entry in self._entries.get(language, ())):
            texts = {text.text, plain} | starred if entry.kind == "slur" else {text.text}
            for match in (match for written in texts for match in entry.words.finditer(written)):
                if match.end() > match.start():
                    end = next((end for start, end in spelt if start <= match.start() < end), match.end())
                    found.add(Hit(entry.code, entry.kind, match.start(), max(end, match.end()), entry.severity, entry.means))
        return sorted(found, key=lambda hit: (hit.start, hit.end, hit.code, hit.kind, hit.means))


def _entries(lists: Mapping[str, Any]) -> tuple[_Entry, ...]:
    identity = lists.get("identity", {})
    everyone = {"identity": [word for words in identity.values() for word in words]}
    everyone.update({f"identity_{strand}": _of_strand(identity, strand) for strand in STRANDS})
    entries = []
    for code, words in identity.items():
        entries.append(("identity", code, 0, list(words), "", everyone))
        entries.append(("reason_given", code, 2, list(lists.get("because", ())), "", {**everyone, "identity": list(words)}))
    entries += [(kind, code, severity, [words], means, everyone) for kind, code, severity, words, means in lists.get("terms", ())]
    return tuple(
        _Entry(code, kind, severity, means, found)
        for kind, code, severity, words, means, known in entries
        if (found := pattern(words, known)) is not None
    )


def _of_strand(identity: Mapping[str, Any], strand: str) -> list[str]:
    return [word for code, words in identity.items() if strand_of(code) == strand for word in words]
