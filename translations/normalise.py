"""SMS spelling into the spelling a translation model has seen; only the working copy changes, never the reporter's own words.

A tiny model that reads "nao quero q minha familia saiba" loses the "nao". What a word alone cannot tell stands here; the words
themselves stand in spellings.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from translations.spellings import SPELLINGS

# Portuguese keeps its nasal endings apart: no word of four letters or more ends in a plain "ao".
_ENDINGS: Mapping[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    "pt": (
        (re.compile(r"(?<=[a-z]{2})(?<!ul)(?<!al)cao\b"), "ção"),
        (re.compile(r"(?<=[a-z]{2})coes\b"), "ções"),
        (re.compile(r"(?<=[a-z]{2})ancia\b"), "ância"),
        (re.compile(r"(?<=[a-z]{2})encia\b"), "ência"),
        (re.compile(r"(?<=[a-z]{2})ao\b"), "ão"),
        (re.compile(r"(?<=[a-z]{2})oes\b"), "ões"),
    )
}
_NOT_COUNTED = (
    "the my me him her them us u you your his our their this that it a an go be get do come see hear learn stop leave keep say "
    "tell kill make take give help call talk know work school report open speak build live hit hurt pay read write find being "
    "kissing"
)
# No noun is made with these, so nothing is counted: "2 kneel", but "2 watch dogs".
_VERBS = (
    "sit stand lie shut change share serve shoot touch push beat punch spit throw destroy steal rob bury marry enter escape hide "
    "die wear remove pay prove explain accuse arrest defend apologise apologize believe understand remember forget forgive ignore "
    "insult laugh scream shout cry pray kneel bring send join meet teach greet hug kiss follow let allow admit agree accept refuse "
    "start continue try think sue withdraw complain protect treat"
)
_UNCOUNTED = "|".join(_NOT_COUNTED.split())
_AFTER_TO = "|".join([*_NOT_COUNTED.split(), *_VERBS.split()])
# Words that mean something only beside others. A "2" becomes "to" only where it cannot be a number: a number is evidence.
_IN_PLACE: Mapping[str, tuple[tuple[re.Pattern[str], str], ...]] = {
    "en": (
        (re.compile(rf"(?<=[a-z]) 2 (?=(?:{_AFTER_TO})\b)", re.IGNORECASE), " to "),
        (re.compile(r"\b(scared|afraid|refused|tried|trying|going|allowed|able|supposed) 2 (?=[a-z])", re.IGNORECASE), r"\1 to "),
        # After these a number would be odd, unless what follows is counted: "not 2 buy", but "not 2 men".
        (
            re.compile(
                r"\b(not|him|wants?|needs?|wanted|needed|next|way|how|got|close|listen|talk|talking|went|happened) 2 "
                r"(?!(?:men|women|people|ppl|guys|boys|girls|kids|children|more|other|others|of|or|and|days?|weeks?|months?|years?|hours?|"
                r"times|witness(?:es)?|am|pm)\b)(?=[a-z]+(?<!s)\b)",
                re.IGNORECASE,
            ),
            r"\1 to ",
        ),
        (re.compile(r"\b(in|on)2\b", re.IGNORECASE), r"\1to"),
        (re.compile(rf"(?<=[a-z]) 4 (?=(?:{_UNCOUNTED}|no|two|three|four|five|six|\d+)\b)", re.IGNORECASE), " for "),
        (re.compile(r"\bw/o\b", re.IGNORECASE), "without"),
        (re.compile(r"(?<=\w) w/ ?(?=\w)", re.IGNORECASE), " with "),
    ),
    "pt": (
        (re.compile(r"\b(meu|teu|seu|nosso|no|do|ao|pro|esse|este|outro|cada) pais\b", re.IGNORECASE), r"\1 país"),
        # European word order: the models read "que me ia matar" as "that I was going to kill myself".
        (
            re.compile(
                r"\b(me|nos|te|lhe) (ia|iam|vai|vão|quer|querem|queria|queriam|quis|tentou|tentaram|vinha|foi|foram) (\w+r)\b",
                re.IGNORECASE,
            ),
            r"\2 \1 \3",
        ),
        # Papers become "roles", and shouting with somebody is shouting at them.
        (
            re.compile(r"\b(tenho|temos|tem|têm|tinha|ter|sem|meus|nossos) (?:os )?pap(?:el|éis|eis)\b", re.IGNORECASE),
            r"\1 documentos",
        ),
        (re.compile(r"\b(grit\w+) (?:com nós|co[n]?nosco|com a gente)\b", re.IGNORECASE), r"\1 para nós"),
        (re.compile(r"\b(grit\w+) comigo\b", re.IGNORECASE), r"\1 para mim"),
        # The models read "até em casa" as "even at home".
        (re.compile(r"\bat[eé] em casa\b", re.IGNORECASE), "até casa"),
    ),
    "fr": (
        (re.compile(r"\bchui\b", re.IGNORECASE), "je suis"),
        (re.compile(r"\bj (?=[aeiouyhéèê])", re.IGNORECASE), "j'"),
    ),
    "it": ((re.compile(r"\bnn (?=\w)", re.IGNORECASE), "non "),),
}
_WORD = re.compile(r"(?<![\w'’@#/.-])\w+(?![\w'’@])")
_LETTERS_REPEATED = re.compile(r"([^\W\d_])\1{3,}")
_MARKS_REPEATED = re.compile(r"([!?])\1+")
_ENDS = tuple(".!?…:;。！？؟۔।")


def normalise(sentence: str, language: str) -> str:
    """One sentence as the engine should read it: ``normalise("nao quero q saiba", "pt") == "Não quero que saiba."``

    Placeholders such as XX1 pass unchanged. Any language gets quiet capitals, no long repeats, a capital and a full stop.
    """
    text = unicodedata.normalize("NFC", sentence).strip()
    text = "".join(letter for letter in text if letter == "\u200c" or unicodedata.category(letter) not in {"Cc", "Cf", "Co", "Cs"})
    text = _LETTERS_REPEATED.sub(r"\1\1", text)
    text = _MARKS_REPEATED.sub(r"\1", text)
    text = _quiet(text)
    spellings = SPELLINGS.get(language, {})
    for words, proper in _IN_PLACE.get(language, ()):
        text = words.sub(proper, text)
    text = _WORD.sub(lambda word: _spelled(word[0], spellings), text)
    for ending, proper in _ENDINGS.get(language, ()):
        text = ending.sub(proper, text)
    if text and not text.startswith("XX"):
        text = text[0].upper() + text[1:]
    if text and not text.rstrip("\"»”')]").endswith(_ENDS):
        text += "."
    return text


def _quiet(text: str) -> str:
    words = [word for word in re.findall(r"[^\W\d_]+", text) if word != "XX"]
    letters = "".join(words)
    shouted = sum(letter.isupper() for letter in letters)
    if len(letters) <= 3 or shouted < 0.7 * len(letters):
        return text
    return re.sub(r"[^\W\d_]+(?!\d)", lambda word: word[0].lower(), text)


def _spelled(word: str, spellings: Mapping[str, str]) -> str:
    proper = spellings.get(word.lower())
    if proper is None:
        return word
    return proper[0].upper() + proper[1:] if word[0].isupper() and len(word) > 1 else proper
