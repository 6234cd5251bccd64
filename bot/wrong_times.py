"""What a wrong clock must not do: leave leases and waits that last for days, or erase what it only seems to be time for."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from bot import clock, inbox, outbox
from bot.models import Installation, Message, Sender, VendorCopy, WorkingCopy
from bot.store import Store, Transaction

log = logging.getLogger(__name__)

A_JUMP = timedelta(seconds=2)  # clocks that are put right little by little move less between two looks
LONGEST_WAIT = timedelta(seconds=inbox.LONGEST_WAIT)
LONG_AWAY = timedelta(days=1)
DOUBTED_FOR = timedelta(hours=12)
NOTED_EVERY = timedelta(hours=1)

_installation: Any = Installation.__table__.c  # type: ignore[attr-defined]
_message: Any = Message.__table__.c  # type: ignore[attr-defined]
_sender: Any = Sender.__table__.c  # type: ignore[attr-defined]
_copy: Any = VendorCopy.__table__.c  # type: ignore[attr-defined]
_work: Any = WorkingCopy.__table__.c  # type: ignore[attr-defined]


class Watch:
    """Mends when the clock was put back since the last look, and at the first look of all; what fails is tried at the next one."""

    def __init__(self) -> None:
        self._ahead = _ahead()
        self._is_to_mend = True

    def look(self, store: Store) -> int:
        """Returns how many rows were mended."""
        before, self._ahead = self._ahead, _ahead()
        self._is_to_mend = self._is_to_mend or self._ahead < before - A_JUMP
        if not self._is_to_mend:
            return 0
        with store.transaction() as db:
            mended = mend(db)
        self._is_to_mend = False
        return mended


class Doubt:
    """Whether the clock may erase: what a wrong one erases cannot be had back.

    Where more than a day went by since the time that the database has seen last, `work` was off for long or the clock was put
    ahead. Such a clock is believed once this process has run for ``doubted_for``: until then somebody can put it right.
    """

    def __init__(self, doubted_for: timedelta = DOUBTED_FOR) -> None:
        self._doubted_for = doubted_for
        self._since: float | None = None
        self._lock = threading.Lock()

    def may_erase(self, store: Store) -> bool:
        """Notes the time in the database, now and then, unless it is in doubt."""
        with self._lock:
            return self._may_erase(store)

    def _may_erase(self, store: Store) -> bool:
        now = clock.now()
        with store.reading() as db:
            seen = db.execute(sa.select(_installation.seen_at)).scalar()
        if seen is not None and now > seen + LONG_AWAY and self._is_in_doubt(now - seen):
            return False
        if seen is None or abs(now - seen) > NOTED_EVERY:
            with store.transaction() as db:
                db.execute(sa.update(Installation).values(seen_at=now))
        self._since = None  # not before the time is noted: what fails must not begin the doubt anew
        return True

    def _is_in_doubt(self, away: timedelta) -> bool:
        if self._since is None:
            self._since = time.monotonic()
            log.error(
                "by the clock Tellonce has not run for %d days: nothing is erased for %d hours; put the clock right if it is wrong",
                away.days,
                self._doubted_for.total_seconds() // 3600,
            )
        return time.monotonic() - self._since < self._doubted_for.total_seconds()


def _ahead() -> timedelta:
    """By how much the clock is ahead of the one of this machine that never jumps."""
    return timedelta(seconds=clock.now().timestamp() - time.monotonic())


def mend(db: Transaction) -> int:
    """Let nothing be held or wait longer than it would have with a right clock. Returns how many rows were mended.

    A vendor who asked for a longer wait is tried once before that is over.
    """
    now = clock.now()
    lease = now + max(inbox.LEASE, outbox.LEASE)
    tried = sa.and_(_message.state.in_(("waiting", "queued", "sending")), _message.attempts > 0)
    changes = (
        sa.update(Message).where(_message.leased_until > lease).values(leased_until=lease),
        sa.update(Message).where(tried, _message.due_at > now + LONGEST_WAIT).values(due_at=now),
        sa.update(Sender).where(_sender.free_at > now + LONGEST_WAIT).values(free_at=now),
        sa.update(VendorCopy).where(_copy.leased_until > lease).values(leased_until=lease),
        sa.update(WorkingCopy).where(_work.leased_until > now + LONGEST_WAIT).values(leased_until=now),
    )
    return sum(db.execute(change).rowcount for change in changes)
