"""What time it is; tests hold it still."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta


def _machine() -> datetime:
    return datetime.now(UTC)


def _agreed() -> datetime:
    if _followed is None:
        return _machine_clock()
    theirs, heard_at = _followed
    return theirs + timedelta(seconds=time.monotonic() - heard_at)  # whatever this machine's clock does meanwhile


_machine_clock: Callable[[], datetime] = _machine
_followed: tuple[datetime, float] | None = None  # what the database's clock said, and when on ours that never jumps
_source: Callable[[], datetime] = _agreed


def now() -> datetime:
    """The present moment, aware and in UTC."""
    return _source()


def follow(theirs: datetime) -> None:
    """Go by another clock from now on: ``theirs`` is what the database, which many machines share, says the time is."""
    global _followed
    _followed = theirs, time.monotonic()


@contextmanager
def wrong_by(ahead: Callable[[], timedelta]) -> Iterator[None]:
    """Let this machine's own clock be wrong by ``ahead``, which may change. For tests of clocks that jump and differ."""
    global _machine_clock
    before, _machine_clock = _machine_clock, lambda: _machine() + ahead()
    try:
        yield
    finally:
        _machine_clock = before


@contextmanager
def frozen(at: datetime) -> Iterator[Callable[[datetime], None]]:
    """Hold the clock at ``at``; the yielded function moves it. For tests and the demo."""
    global _source
    moment = at

    def move(to: datetime) -> None:
        nonlocal moment
        moment = to

    before, _source = _source, lambda: moment
    try:
        yield move
    finally:
        _source = before
