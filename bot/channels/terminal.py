"""The channel ``terminal``: a conversation typed at a screen, for trying out flows and recording transcripts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from itertools import count

from bot.messages import Found, OutgoingMessage, Rate, TransportError


class Terminal:
    """Keeps what was said in ``heard`` until somebody prints it."""

    name = "terminal"
    has_buttons = False
    needs_start_word = False
    max_length = 1600
    rate = Rate()

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._ids = count(1)

    def send(self, message: OutgoingMessage) -> str:
        """Hand one text over. Never fails."""
        self.heard.append(message.text)
        return f"terminal-out-{next(self._ids)}"

    def find_sent(self, message: OutgoingMessage, within: timedelta) -> Sequence[Found]:
        """Nothing said here is ever in doubt."""
        return ()

    def fetch(self, reference: str, limit: int) -> bytes:
        """Nobody can send a file here."""
        raise TransportError("refused", "no files")

    def delete(self, external_id: str) -> None:
        """No vendor holds a copy."""

    def close(self) -> None:
        """Nothing to give back."""
