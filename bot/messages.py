"""What travels between a channel and the conversation: texts in, texts out, and how a sending can fail."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal, Protocol, runtime_checkable

import regex


@dataclass(frozen=True)
class Media:
    """A file at the vendor: ``Media("AgACAg…", "image/jpeg", 48211)``; bytes, or 0 where the vendor does not say."""

    reference: str
    type: str
    size: int = 0


@dataclass(frozen=True)
class IncomingMessage:
    """One text as it came in: ``IncomingMessage("sms", "+447700900123", "Oi", "SM9f…")``.

    ``address`` is opaque: a phone number, a chat id, or an id that only the vendor understands. ``text`` is byte for byte what
    was sent; a shared place (``is_place``) is its name and coordinates. ``attachments`` counts files that came with it, and
    ``media`` holds those that can be fetched. ``copy`` is what the vendor needs to delete its own copy: None where
    that is ``external_id``, empty where there is nothing to delete.
    """

    channel: str
    address: str
    text: str
    external_id: str
    attachments: int = 0
    copy: str | None = field(default=None, compare=False)
    media: Sequence[Media] = field(default=(), compare=False)
    is_place: bool = False


@dataclass(frozen=True)
class Choice:
    """An answer the reporter can pick: ``Choice("1", "Yes")``; a channel with buttons shows the label, any other the number."""

    number: str
    label: str


@dataclass(frozen=True)
class OutgoingMessage:
    """One text on its way out. ``choices`` are already numbered inside ``text`` unless the channel has buttons."""

    address: str
    text: str
    choices: Sequence[Choice] = field(default=())


@dataclass(frozen=True)
class Found:
    """A text the vendor has for an address: ``Found("SM9f…", is_this=True)``, as its words are those that were looked for."""

    external_id: str
    is_this: bool


DeliveryState = Literal["sent", "delivered", "read", "failed", "stopped", "closed"]


@dataclass(frozen=True)
class Delivery:
    """What a vendor says of a text we sent: ``Delivery("SM9f…", "delivered")``.

    ``stopped``: the carrier refuses for the person. ``closed``: it came too long after the person's own last text.
    """

    external_id: str
    state: DeliveryState


@dataclass(frozen=True)
class Standing:
    """Whether a person lets our texts in: ``Standing("telegram", "5550001", is_blocked=True)``."""

    channel: str
    address: str
    is_blocked: bool


Failure = Literal["stopped", "later", "refused", "closed"]


@dataclass(frozen=True)
class Rate:
    """How fast a sender of ours may send: ``Rate("sms +447700900001", 1.0, counts="segments")``.

    ``per_second`` and ``per_second_to_one`` (to one address) count messages or segments; 0 means as fast as it goes.
    """

    sender: str = ""
    per_second: float = 0.0
    per_second_to_one: float = 0.0
    counts: Literal["messages", "segments"] = "messages"


class TransportError(Exception):
    """A text could not be handed over.

    ``failure`` says what to do: ``stopped`` (the person opted out or blocked us: never again), ``later`` (try again after
    ``retry_after`` seconds), ``refused`` (this text will never go), ``closed`` (not before they write again). ``code`` is the
    vendor's own code, for the log; it never holds a word, a number or a name. ``is_too_fast``: the vendor took nothing because we
    send too much; all our texts must wait.
    """

    def __init__(self, failure: Failure, code: str = "", retry_after: float | None = None, *, is_too_fast: bool = False) -> None:
        super().__init__(f"{failure} {code}".strip())
        self.failure: Failure = failure
        self.code = code
        self.retry_after = retry_after
        self.is_too_fast = is_too_fast


class NoRoom(Exception):
    """A text that came in cannot be kept now; this says why, and nothing of what was written."""


class Channel(Protocol):
    """A way in and out. ``name`` is kept with every address and message: ``sms``, ``whatsapp``, ``telegram``, ``terminal``."""

    name: str
    has_buttons: bool
    needs_start_word: bool  # who stopped our texts must send START before any arrives: where a carrier keeps that list
    max_length: int  # characters of one text
    rate: Rate

    def send(self, message: OutgoingMessage) -> str:
        """Hand one text over and return the vendor's id for it.

        Raises TransportError.
        """
        ...

    def find_sent(self, message: OutgoingMessage, within: timedelta) -> Sequence[Found]:
        """Our texts to this one's address, newest first, of the time ``within`` until now by the vendor's own clock.

        None where a vendor cannot be asked. Raises TransportError.
        """
        ...

    def fetch(self, reference: str, limit: int) -> bytes:
        """A file that came with a text, as IncomingMessage.media names it, of at most ``limit`` bytes.

        Raises TransportError; ``refused`` with the code ``too large`` where it is larger.
        """
        ...

    def delete(self, external_id: str) -> None:
        """Delete the vendor's copy of a text, sent or received; one that is gone already is no failure.

        Raises TransportError; ``refused`` where the vendor will never delete it.
        """
        ...

    def close(self) -> None:
        """Give back connections; nothing is sent afterwards."""
        ...


@runtime_checkable
class Windowed(Channel, Protocol):
    """A channel that takes free text only within ``window`` of the person's own last text; outside it, one neutral note."""

    window: timedelta

    def invite(self, address: str, language: str | None) -> str:
        """Send a note that says nothing but that there is a message, and return the vendor's id for it.

        Raises TransportError; ``refused`` where no such note is set up or it may not go.
        """
        ...


def split_text(text: str, limit: int) -> list[str]:
    """Cut a text into pieces of at most ``limit`` characters, after a paragraph if it can, else after a word.

    The pieces joined are the text again. Characters are counted as UTF-16 units, the strictest way a vendor may count; a word
    longer than the limit is cut between two whole letters (grapheme clusters), so no accent or joined emoji comes apart.
    """
    pieces = []
    while units(text) > limit:
        window = _head(text, limit)
        ends = ([m.end() for m in re.finditer(gap, window)] for gap in (r"\n+", r"\s+"))
        cut = next((found[-1] for found in ends if found and found[-1] * 2 > len(window)), len(window))
        pieces.append(text[:cut])
        text = text[cut:]
    return [*pieces, text] if text or not pieces else pieces


def units(text: str) -> int:
    """The length of a text in UTF-16 units, as vendors count."""
    return len(text) + sum(character > "\uffff" for character in text)


def _head(text: str, limit: int) -> str:
    """As many whole graphemes of the text as fit the limit; at least one code point even where a single grapheme is longer."""
    used = end = 0
    for match in regex.finditer(r"\X", text):
        used += units(match[0])
        if used > limit:
            break
        end = match.end()
    return text[: end or max(1, limit // 2)]
