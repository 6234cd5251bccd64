"""What a clock that was wrong for a while leaves behind: leases and waits that would last for days once it is right again."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from bot import clock, inbox, outbox
from bot.models import Message, Sender, VendorCopy, WorkingCopy
from bot.store import Store, Transaction

A_JUMP = timedelta(seconds=2)  # clocks that are put right little by little move less between two looks
LONGEST_WAIT = timedelta(seconds=inbox.LONGEST_WAIT)

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
