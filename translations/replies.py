"""Ready replies: what a caseworker says most, written in the reporter's language beforehand, so that no machine is needed."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

FILE = Path(__file__).parent / "replies.yaml"
SOURCE = "en"

Review = Literal["source", "reviewed", "unreviewed"]
Value = Literal["time", "emergency"]  # all that a reply may leave open: "18:00", "112"


class RepliesError(Exception):
    """The file of ready replies cannot be used; the message names the reply and the language."""


@dataclass(frozen=True)
class Reply:
    """``Reply("reply.tomorrow", "pt", "Volto a escrever-lhe amanhã até às {time}.", "unreviewed", ("time",), …)``.

    To show a list: ``ready(case_language)`` in its order; ``in_english`` says what each means and ``use`` when to choose it; show
    ``review`` beside it, since an unreviewed one was not read by a person of that language. To send one: ask for the
    ``values`` and take ``filled(time="18:00")`` as the words that go out, in ``language``. No machine made them, so they are
    not translated, not translated back and not labelled as automatic.
    """

    msgid: str
    language: str
    text: str
    review: Review
    values: tuple[Value, ...]
    in_english: str
    use: str

    def filled(self, **values: str) -> str:
        """The text as it is sent. Raises KeyError naming the reply when a value is missing; one it does not use is ignored."""
        return _filled(self.msgid, self.text, values)

    def filled_in_english(self, **values: str) -> str:
        """What that means, for the caseworker's own record."""
        return _filled(self.msgid, self.in_english, values)


def ready(language: str) -> tuple[Reply, ...]:
    """Every ready reply of a language, in the order in which they are shown; none for a language that has none."""
    return tuple(found[language] for found in _replies().values() if language in found)


def reply(msgid: str, language: str) -> Reply | None:
    """One of them, as a form names it; None when there is no such reply in that language."""
    return _replies().get(msgid, {}).get(language)


def read(file: Path) -> Mapping[str, Mapping[str, Reply]]:
    """The replies of a file by msgid and language. Raises RepliesError naming what is wrong."""
    try:
        written = _File.model_validate(yaml.safe_load(file.read_text("utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise RepliesError(f"{file.name} cannot be read: {error}") from error
    return {msgid: _in_every_language(msgid, texts, written.review) for msgid, texts in written.replies.items()}


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    review: Mapping[str, Review]
    replies: Mapping[str, Mapping[str, Annotated[str, Field(min_length=1)]]]


@cache
def _replies() -> Mapping[str, Mapping[str, Reply]]:
    return read(FILE)


def _in_every_language(msgid: str, texts: Mapping[str, str], review: Mapping[str, Review]) -> Mapping[str, Reply]:
    if not {"use", SOURCE} <= set(texts):
        raise RepliesError(f"'{msgid}' lacks its use or its English")
    found = {}
    for language, text in texts.items():
        if language == "use":
            continue
        if language not in review:
            raise RepliesError(f"'{msgid}' is written in '{language}', whose review is not given")
        values = _values(msgid, language, text)
        if set(values) != set(_values(msgid, SOURCE, texts[SOURCE])):
            raise RepliesError(f"'{msgid}' ({language}) must leave open what its English leaves open")
        found[language] = Reply(msgid, language, text, review[language], values, texts[SOURCE], texts["use"])
    return found


def _values(msgid: str, language: str, text: str) -> tuple[Value, ...]:
    found: list[Value] = []
    try:
        for _, name, form, conversion in string.Formatter().parse(text):
            if name is None:
                continue
            known = next((value for value in get_args(Value) if value == name), None)
            if known is None or form or conversion:
                raise ValueError(f"{{{name}}}")
            found.append(known)
    except ValueError as error:
        raise RepliesError(f"'{msgid}' ({language}) has a placeholder that is none of ours: {error}") from error
    return tuple(found)


def _filled(msgid: str, text: str, values: Mapping[str, str]) -> str:
    try:
        return text.format_map(values)
    except KeyError as missing:
        raise KeyError(f"reply '{msgid}' needs a value for {{{missing.args[0]}}}") from None
