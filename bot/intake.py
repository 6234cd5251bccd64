"""What `serve` takes in is bounded: how long a request may take, how many connections there are, and when there is no more room."""

from __future__ import annotations

import asyncio
import resource
import shutil
import threading
import time
from pathlib import Path

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from bot import inbox
from bot.messages import NoRoom
from bot.store import Store

CONNECTIONS = 10_000  # at the same time; beyond that everybody gets 503 until one is free
BACKLOG = 4096  # connections not looked at yet: as many as Linux keeps by default
REQUEST_SECONDS = 15.0  # from the first byte to the last: no vendor waits longer for the whole exchange
LEAST_FREE = 200 * 1024 * 1024  # bytes on the database's disk: what `work` needs to answer and erase what is there already
MOST_WAITING = 100_000  # texts; a day's worth of the busiest helpline we know of
COUNT_AGAIN = 5.0  # seconds


class Door:
    """Whether there is room for another text.

    ``folder`` is where the database lies if that is this machine's disk. While the disk is nearly full nothing is taken in. While
    more than ``most_waiting`` texts wait, nothing is taken from a reporter who has many waiting; everybody else is let in.
    """

    def __init__(self, store: Store, folder: Path | None, least_free: int = LEAST_FREE, most_waiting: int = MOST_WAITING) -> None:
        self._store = store
        self._folder = folder
        self._least_free = least_free
        self._most_waiting = most_waiting
        self._counting = threading.Lock()
        self._counted_at = float("-inf")
        self._is_full = False

    def require_room(self) -> None:
        """Raises NoRoom while the disk is nearly full: the vendor is to post the text again later."""
        if self._folder is not None and shutil.disk_usage(self._folder).free < self._least_free:
            raise NoRoom("the disk is nearly full")

    def is_full(self) -> bool:
        """Whether more texts wait than we hold; counted now and then, by one thread, while the others go by the last count."""
        if time.monotonic() - self._counted_at > COUNT_AGAIN and self._counting.acquire(blocking=False):
            try:
                with self._store.reading() as db:
                    self._is_full = inbox.waiting(db) > self._most_waiting
                self._counted_at = time.monotonic()
            finally:
                self._counting.release()
        return self._is_full


class InTime(H11Protocol):
    """A connection on which each request has ``seconds`` from its first byte to its last; who takes longer is cut off.

    The web server itself waits for ever for a header or a body that never ends.
    """

    seconds = REQUEST_SECONDS
    _cut: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watching()
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        if self.conn.their_state in (h11.IDLE, h11.SEND_BODY):
            self._watch()
        else:
            self._stop_watching()

    def _watch(self) -> None:
        if self._cut is None:
            self._cut = self.loop.call_later(self.seconds, self.transport.close)

    def _stop_watching(self) -> None:
        if self._cut is not None:
            self._cut.cancel()
            self._cut = None


def allow_connections(wanted: int = CONNECTIONS) -> None:
    """Let this process hold that many connections open, as far as the machine allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    enough = wanted + 200  # and the database, the templates, the logs
    if soft < enough:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(enough, hard) if hard != resource.RLIM_INFINITY else enough, hard))
