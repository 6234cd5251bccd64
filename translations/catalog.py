"""The bot's own words in every language, and the words it listens for.

A message has a dotted id and named values: ``welcome.emergency`` is ``"In danger now? Call {emergency}."`` in
``en/messages.po``, where English is the ``msgstr`` too. A message that a language lacks is said in English.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from babel.messages import pofile
from pydantic import BaseModel, ConfigDict, model_validator

from translations.scripts import script_of

SOURCE = "en"
HERE = Path(__file__).parent

Kind = Literal[
    "yes", "no", "skip", "dont_know", "silent_stop", "person", "new", "greeting", "emergency",
    "told_already", "back", "correction", "later", "abuse", "my_data", "help", "reads_wrong", "wipe",
    "self_harm", "child_risk", "adult_risk",
    "carrier_stop", "carrier_start", "carrier_help",
]  # fmt: skip
ANYWHERE = frozenset({"emergency", "self_harm", "child_risk", "adult_risk"})
# Scripts that put no space between words: a phrase is looked for anywhere in the text.
_UNSPACED = frozenset({"Hani", "Kana", "Hang"})
# One letter typed on different keyboards.
_SAME_LETTER = str.maketrans("أإآٱىيکةهۀھہۂıłđøœæ", "ااااییكههههههildooa")


class CatalogError(Exception):
    """A language file or a message cannot be used; the message names the file and the id."""


class Language(BaseModel):
    """One of our languages: ``Language(name="Português", english_name="Portuguese", direction="ltr", scripts=("Latn",), …)``.

    ``scripts`` are ISO 15924 codes; ``words`` are already normalised as ``normalised`` does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    english_name: str
    direction: Literal["ltr", "rtl"]
    scripts: tuple[str, ...]
    catalog: Literal["source", "reviewed", "unreviewed", "none"]
    words: Mapping[str, frozenset[str]]

    @model_validator(mode="after")
    def _has_only_kinds_we_listen_for(self) -> Self:
        unknown = set(self.words) - set(get_args(Kind))
        if unknown:
            raise ValueError(f"no such kind of words: {', '.join(sorted(unknown))}")
        return self


@dataclass(frozen=True)
class _Message:
    text: str
    values: frozenset[str]


def languages() -> Mapping[str, Language]:
    """Our languages by BCP 47 code, in the order of the file. Raises CatalogError when languages.yaml is wrong."""
    return _language_file().languages


def scripts(language: str) -> frozenset[str]:
    """The ISO 15924 codes a language is written in; empty for a language that is not ours."""
    known = languages().get(language)
    return frozenset(known.scripts) if known else frozenset()


def words(language: str, kind: Kind) -> frozenset[str]:
    """What we listen for, normalised. The carriers' words are the same in every language."""
    if kind.startswith("carrier_"):
        return _language_file().carrier[kind.removeprefix("carrier_")]
    known = languages().get(language)
    return known.words.get(kind, frozenset()) if known else frozenset()


def matches_word(text: str, kind: Kind, language: str | None = None) -> bool:
    """True when the whole text is one of the words, whatever its case, accents and punctuation; without a language, in any.

    Words of danger (``ANYWHERE``) are looked for inside the text, as whole words.
    """
    said = normalised(text)
    if not said:
        return False
    if kind in ANYWHERE:
        return _phrases(kind, language).are_in(said)
    return said in _listened_for(kind, language)


def normalised(text: str) -> str:
    """A text as we compare it: ``normalised(" Não,  SEI! ") == "nao sei"``."""
    return " ".join((text.casefold().translate(_ASCII) if text.isascii() else _plain(text)).split())


def _plain(text: str) -> str:
    """Letters without case and accents, and digits; what parts words is a space."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_SAME_LETTER))
    kept: list[str] = []
    letter_before = ""
    for character in decomposed:
        category = unicodedata.category(character)
        if category == "Mn":
            # Accents of the Latin alphabet and Arabic vowel signs go; the vowel signs of Indian alphabets are letters.
            if script_of(letter_before or "a") not in {"Latn", "Arab", "Cyrl", "Grek"}:
                kept.append(character)
            elif character == "\u0306" and letter_before == "и":
                kept.append(character)  # й is a letter of its own
        elif category[0] in "LN" or category == "Mc":
            kept.append(character)
            letter_before = character
        elif category not in {"Cf", "Lm"} and character not in "'’ʼ`´":
            kept.append(" ")
    return unicodedata.normalize("NFC", "".join(kept)).translate(_SAME_LETTER)


_ASCII = {number: _plain(chr(number)) for number in range(128)}  # answered at once: most answers are a digit or a plain word


def has(language: str) -> bool:
    """Is there a catalogue for this language?"""
    return language in _catalogs()


def texts() -> Mapping[str, Mapping[str, str]]:
    """Every language's messages as they are written, by msgid."""
    return {language: {msgid: message.text for msgid, message in found.items()} for language, found in _catalogs().items()}


def render(msgid: str, language: str, **values: object) -> str:
    """The message in that language, or in English where the language lacks it.

    Raises KeyError naming the id when there is no such message or a value is missing. A value the message does not use is ignored.
    """
    catalogs = _catalogs()
    message = catalogs.get(language, {}).get(msgid) or catalogs[SOURCE].get(msgid)
    if message is None:
        raise KeyError(f"message '{msgid}' is in no catalogue: add it to translations/{SOURCE}/messages.po")
    try:
        return message.text.format_map(values)
    except KeyError as missing:
        raise KeyError(f"message '{msgid}' ({language}) needs a value for {{{missing.args[0]}}}") from None


def named_day(day: date, language: str) -> str:
    """A day as it is said: ``"Monday, 30 November 2026"``, ``"segunda-feira, 30 de novembro de 2026"``."""
    from babel import Locale, UnknownLocaleError, dates  # a weight that only those need who set their hours

    try:
        locale = Locale.parse("en_GB" if language == SOURCE or not has(language) else language, sep="-")
    except (ValueError, UnknownLocaleError):
        locale = Locale.parse("en_GB")
    return dates.format_date(day, "full", locale=locale)


def read_catalogs(folder: Path) -> Mapping[str, Mapping[str, _Message]]:
    """Every ``<language>/messages.po`` of a folder. Raises CatalogError naming the file, the id and the mend."""
    source = _read(folder / SOURCE / "messages.po") if (folder / SOURCE / "messages.po").exists() else {}
    catalogs = {SOURCE: source}
    for file in sorted(folder.glob("*/messages.po")):
        language = file.parent.name
        if language == SOURCE:
            continue
        catalogs[language] = _read(file)
        for msgid, message in catalogs[language].items():
            if msgid in source and not message.values <= source[msgid].values:
                unknown = ", ".join(sorted(message.values - source[msgid].values))
                raise CatalogError(f"{language}/messages.po: '{msgid}' uses {{{unknown}}}, which its English does not have")
    return catalogs


def read_languages(file: Path) -> Mapping[str, Language]:
    """The languages of a file. Raises CatalogError when it is malformed or when silence is asked for with a carrier's word."""
    return _read_language_file(file).languages


@dataclass(frozen=True)
class _LanguageFile:
    carrier: Mapping[str, frozenset[str]]
    languages: Mapping[str, Language]


@cache
def _language_file() -> _LanguageFile:
    return _read_language_file(HERE / "languages.yaml")


@cache
def _catalogs() -> Mapping[str, Mapping[str, _Message]]:
    return read_catalogs(HERE)


@cache
def _listened_for(kind: Kind, language: str | None) -> frozenset[str]:
    asked = languages() if language is None else [language]
    return frozenset[str]().union(*(words(code, kind) for code in asked))


@dataclass(frozen=True)
class _Phrases:
    """Phrases to look for inside a text: whole words, or anywhere in scripts without spaces."""

    spaced: frozenset[str]
    longest: int  # words of the longest of them
    unspaced: tuple[str, ...]

    def are_in(self, said: str) -> bool:
        parts = said.split()
        for start in range(len(parts)):
            for end in range(start + 1, min(start + self.longest, len(parts)) + 1):
                if " ".join(parts[start:end]) in self.spaced:
                    return True
        together = "".join(parts)
        return not together.isascii() and any(phrase in together for phrase in self.unspaced)


@cache
def _phrases(kind: Kind, language: str | None) -> _Phrases:
    listed = _listened_for(kind, language)
    unspaced = tuple(phrase.replace(" ", "") for phrase in listed if script_of(phrase[0]) in _UNSPACED)
    spaced = frozenset(phrase for phrase in listed if script_of(phrase[0]) not in _UNSPACED)
    return _Phrases(spaced, max((len(phrase.split()) for phrase in spaced), default=0), unspaced)


class _TextLoader(yaml.BaseLoader):
    """Keeps every scalar as text (`no` is an answer, not False) and refuses a key written twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise yaml.constructor.ConstructorError(None, None, f"'{twice.pop()}' is written twice", node.start_mark)
        return super().construct_mapping(node, deep)


def _read_language_file(file: Path) -> _LanguageFile:
    try:
        # BaseLoader makes texts, lists and mappings only.
        raw = yaml.load(file.read_text("utf-8"), Loader=_TextLoader)  # noqa: S506
        carrier = {kind: _normalised_all(listed) for kind, listed in raw["carrier"].items()}
        read = {}
        for code, language in raw["languages"].items():
            heard = {kind: _normalised_all(listed) for kind, listed in language["words"].items()}
            read[code] = Language.model_validate({**language, "words": heard})
    except (OSError, yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise CatalogError(f"{file.name} cannot be read: {error}") from error
    eaten = frozenset({"yes"}).union(*carrier.values())
    for code, language in read.items():
        taken = language.words.get("silent_stop", frozenset()) & eaten
        if taken:
            raise CatalogError(f"{file.name}: silent_stop of '{code}' holds '{min(taken)}', a carrier's word: choose another")
    return _LanguageFile(carrier, read)


def _normalised_all(listed: Iterable[str]) -> frozenset[str]:
    return frozenset(normalised(word) for word in listed)


def _read(file: Path) -> Mapping[str, _Message]:
    place = f"{file.parent.name}/{file.name}"
    with file.open("rb") as opened:
        try:
            entries = pofile.read_po(opened, abort_invalid=True)
        except (pofile.PoFileError, UnicodeDecodeError) as error:
            raise CatalogError(f"{place} is not a gettext file: {error}") from error
    # A fuzzy message is a translator's guess that nobody has confirmed, and an empty one has not been written yet.
    return {
        str(entry.id): _message(place, str(entry.id), str(entry.string))
        for entry in entries
        if entry.id and entry.string and not entry.fuzzy
    }


def _message(place: str, msgid: str, text: str) -> _Message:
    values = set()
    try:
        for _, name, form, conversion in string.Formatter().parse(text):
            if name is None:
                continue
            # Only plain names: {value.attribute} would let a translation reach into our objects.
            if not name.isidentifier() or form or conversion:
                raise ValueError(f"{{{name}}} is not a plain name")
            values.add(name)
    except ValueError as error:
        raise CatalogError(f"{place}: '{msgid}' has a broken placeholder ({error})") from error
    return _Message(text, frozenset(values))
