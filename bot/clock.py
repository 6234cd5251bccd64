"""What time it is; tests hold it still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime


def _system() -> datetime:
    return datetime.now(UTC)


_source: Callable[[], datetime] = _system


def now() -> datetime:
    """The present moment, aware and in UTC."""
    return _source()


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
