"""Fakes that ship with the product, for our tests and for those who build on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count

from bot.messages import OutgoingMessage, TransportError
from bot.understanding import SILENT, Understanding
from translations.machine import Translation


class FakeChannel:
    """A channel that keeps what it was given and fails when it is told to."""

    def __init__(self, name: str = "sms", has_buttons: bool = False, max_length: int = 1600) -> None:
        self.name = name
        self.has_buttons = has_buttons
        self.max_length = max_length
        self.sent: list[OutgoingMessage] = []
        self.failures: list[TransportError] = []
        self._ids = count(1)

    def send(self, message: OutgoingMessage) -> str:
        """Raises the next of ``failures``, if there is one."""
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append(message)
        return f"{self.name}-out-{next(self._ids)}"


class FakeNlu:
    """Understands exactly the texts it was told of; silent otherwise."""

    def __init__(self, known: Mapping[str, Understanding] | None = None) -> None:
        self.known = dict(known or {})
        self.asked: list[str] = []

    def understand(self, text: str, language: str | None = None) -> Understanding:
        self.asked.append(text)
        return self.known.get(text, SILENT)


class FakeTranslator:
    """Puts the language in front: ``"[en] Olá"``; ``without`` names languages it has no route from or to."""

    def __init__(self, without: Sequence[str] = ()) -> None:
        self._without = set(without)

    def translate(self, text: str, source: str, target: str) -> Translation:
        if {source, target} & self._without:
            return Translation(None, "none", (), ("interpreter_needed",), "")
        return Translation(f"[{target}] {text}", "fake", (source, target), (), "0")
