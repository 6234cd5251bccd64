"""Fakes that ship with the product, for our tests and for those who build on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from itertools import count

from bot import inbox, outbox
from bot.conversation import Conversation
from bot.effects import Voice
from bot.messages import Found, IncomingMessage, Media, OutgoingMessage, Rate, TransportError
from bot.store import Store
from bot.understanding import SILENT, Nlu, Understanding
from flows import engine
from flows.model import Flow
from translations.machine import Translation


class FakeChannel:
    """A channel that keeps what it was given and fails when it is told to."""

    def __init__(self, name: str = "sms", has_buttons: bool = False, max_length: int = 1600) -> None:
        self.name = name
        self.has_buttons = has_buttons
        self.needs_start_word = name == "sms"
        self.max_length = max_length
        self.rate = Rate()
        self.sent: list[OutgoingMessage] = []
        self.deleted: list[str] = []
        self.files: dict[str, bytes] = {}
        self.failures: list[TransportError] = []
        self._ids = count(1)

    def send(self, message: OutgoingMessage) -> str:
        """Raises the next of ``failures``, if there is one."""
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(message)
        return f"{self.name}-out-{next(self._ids)}"

    def find_sent(self, message: OutgoingMessage, within: timedelta) -> Sequence[Found]:
        """Every text to this address, newest first, whenever it was sent."""
        theirs = [(n, sent) for n, sent in enumerate(self.sent, start=1) if sent.address == message.address]
        return [Found(f"{self.name}-out-{n}", is_this=sent == message) for n, sent in reversed(theirs)]

    def fetch(self, reference: str, limit: int) -> bytes:
        """One of ``files``. Raises the next of ``failures``, if there is one."""
        if self.failures:
            raise self.failures.pop(0)
        if len(self.files[reference]) > limit:
            raise TransportError("refused", "too large")
        return self.files[reference]

    def delete(self, external_id: str) -> None:
        """Raises the next of ``failures``, if there is one."""
        if self.failures:
            raise self.failures.pop(0)
        self.deleted.append(external_id)

    def close(self) -> None:
        """Nothing to give back."""


class FakeNlu:
    """Understands exactly the texts it was told of; silent otherwise."""

    def __init__(self, known: Mapping[str, Understanding] | None = None) -> None:
        self.known = dict(known or {})
        self.asked: list[str] = []

    def understand(self, text: str, language: str | None = None) -> Understanding:
        self.asked.append(text)
        return self.known.get(text, SILENT)

    def would_ask(self, text: str, language: str | None = None) -> bool:
        return True


class FakeTranslator:
    """Puts the language in front: ``"[en] Olá"``; ``without`` names languages it has no route from or to."""

    def __init__(self, without: Sequence[str] = ()) -> None:
        self._without = set(without)

    def translate(self, text: str, source: str, target: str) -> Translation:
        if {source, target} & self._without:
            return Translation(None, "none", (), ("interpreter_needed",), "")
        return Translation(f"[{target}] {text}", "fake", (source, target), (), "0")


@cache
def _flows() -> Mapping[str, Flow]:
    return engine.load()


class FakeTelephone:
    """Everything between a phone and its caseworkers in one thread: texts come in, are answered and go out when told to."""

    def __init__(self, store: Store, channel: FakeChannel | None = None, nlu: Nlu | None = None) -> None:
        self.store = store
        self.channel = channel or FakeChannel()
        self.nlu = nlu or FakeNlu()
        self.conversation = Conversation(
            store, _flows(), self.nlu, {self.channel.name: self.channel}, Voice("Hope House", "999", 11, "Europe/London")
        )
        self._ids = count(1)

    def caller(self, address: str = "+447700900123") -> Caller:
        return Caller(self, address)

    def accept(self, address: str, text: str, attachments: int = 0, *, media: Sequence[Media] = (), is_place: bool = False) -> None:
        """A text comes in and waits."""
        external_id = f"{self.channel.name}-in-{next(self._ids)}"
        files = attachments or len(media)
        incoming = IncomingMessage(self.channel.name, address, text, external_id, files, media=media, is_place=is_place)
        with self.store.transaction() as db:
            inbox.accept(db, incoming)

    def answer(self) -> int:
        """Handle every text that waits, as a worker would. Returns how many."""
        answered = 0
        while True:
            with self.store.transaction() as db:
                claimed = inbox.claim(db, 20)
            if not claimed:
                return answered
            for message in self.conversation.handle_together(claimed):
                self.conversation.handle(message)
            answered += len(claimed)

    def send(self) -> int:
        """Hand over every text that is due. Returns how many."""
        return outbox.send_due(self.store, {self.channel.name: self.channel})


class Caller:
    """Somebody with a phone: ``caller.says("Hello")`` is what the phone shows in answer."""

    def __init__(self, telephone: FakeTelephone, address: str) -> None:
        self._telephone = telephone
        self.address = address

    @property
    def heard(self) -> list[str]:
        """Every text this phone got so far, oldest first."""
        return [m.text for m in self._telephone.channel.sent if m.address == self.address]

    def writes(self, text: str, attachments: int = 0, *, media: Sequence[Media] = (), is_place: bool = False) -> None:
        """Send a text that is not answered yet."""
        self._telephone.accept(self.address, text, attachments, media=media, is_place=is_place)

    def says(self, text: str, attachments: int = 0, *, media: Sequence[Media] = (), is_place: bool = False) -> str:
        """Send a text; what comes back, texts joined by a newline."""
        before = len(self.heard)
        self.writes(text, attachments, media=media, is_place=is_place)
        self._telephone.answer()
        self._telephone.send()
        return "\n".join(self.heard[before:])
