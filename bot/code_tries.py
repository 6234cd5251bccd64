"""How many codes the whole house tries: one costs as much work as several texts, and who guesses has many numbers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from bot import clock
from bot.models import CodeTries
from bot.store import Transaction

# A try a second is a fortieth of one core, and would hit one of a hundred thousand receipts in some three hundred years.
EVERY = timedelta(seconds=1)
AT_ONCE = 60  # after a quiet minute

_tries: Any = CodeTries.__table__.c  # type: ignore[attr-defined]


def take(db: Transaction, *, is_first: bool) -> bool:
    """Whether a code may be tried now; if so, it counts.

    ``is_first``: this number has tried none in the last hour. Half of the room is kept for those, as who has a code mostly types
    it right, and who guesses needs a new number for each try then.
    """
    row, now = db.execute(sa.select(*_tries).with_for_update()).one(), clock.now()
    full = now + EVERY * AT_ONCE
    busy = min(max(row.busy_until, now), full)  # a clock that was put back must not close the house
    room = AT_ONCE if is_first else AT_ONCE // 2
    is_free: bool = busy <= now + EVERY * (room - 1)
    changes = {"busy_until": busy + EVERY} if is_free else {"busy_until": busy, "refused": row.refused + 1}
    db.execute(sa.update(CodeTries).values(**changes))
    return is_free


def give_back(db: Transaction) -> None:
    """The code was right: only wrong ones count."""
    row = db.execute(sa.select(*_tries).with_for_update()).one()
    db.execute(sa.update(CodeTries).values(busy_until=row.busy_until - EVERY))
