"""Ready replies as the console offers them: what each says in the caseworkers' language, and what the reporter will read."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.web.desk import Desk
from translations import replies

_TIME = re.compile(r"(?:[01]\d|2[0-3]):[0-5]\d")


class NotReady(Exception):
    """No reply was chosen, or its time is missing; the text is fit to be shown."""


@dataclass(frozen=True)
class Choice:
    """A reply in the list: ``Choice("reply.hurt", "Are you hurt? …", "When there was violence")``."""

    msgid: str
    means: str
    use: str


@dataclass(frozen=True)
class Written:
    """A reply as it goes out, what it means, and whether a person of its language has read it."""

    text: str
    means: str
    review: str


def choices(desk: Desk, language: str | None) -> list[Choice]:
    """The replies that are written in a reporter's language."""
    found = replies.ready(language) if language else ()
    return [Choice(r.msgid, _means(desk, r, "…"), r.use) for r in found]


def written(desk: Desk, msgid: str, language: str, time: str) -> Written:
    """One of them, with what it leaves open filled in. Raises NotReady."""
    chosen = replies.reply(msgid, language)
    if chosen is None:
        raise NotReady("Please choose one of the ready replies.")
    if "time" in chosen.values and not _TIME.fullmatch(time):
        raise NotReady("This reply names a time. Please say which.")
    return Written(chosen.filled(time=time, emergency=desk.emergency), _means(desk, chosen, time), chosen.review)


def _means(desk: Desk, chosen: replies.Reply, time: str) -> str:
    """In the caseworkers' own language where it is written in it, else in English."""
    own = replies.reply(chosen.msgid, desk.settings.working_language)
    values = {"time": time, "emergency": desk.emergency}
    return own.filled(**values) if own else chosen.filled_in_english(**values)
