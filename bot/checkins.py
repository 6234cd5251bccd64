"""Promises to ask a reporter whether they are safe: rows with a due time; the clock only asks what is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from bot import clock
from bot.models import CheckIn, Consent
from bot.store import Transaction

TOO_LATE = timedelta(hours=12)  # a check-in missed by more than this waits for the next allowed hour
DAY = range(8, 21)  # local hours at which a phone may buzz

_check_in: Any = CheckIn.__table__.c  # type: ignore[attr-defined]
_consent: Any = Consent.__table__.c  # type: ignore[attr-defined]


class NoConsent(Exception):
    """The reporter has not agreed to this."""


@dataclass(frozen=True)
class Due:
    """A check-in whose time has come."""

    id: UUID
    reporter_id: UUID
    case_id: UUID


def schedule(db: Transaction, reporter: UUID, case: UUID, due_at: datetime) -> UUID:
    """Promise a check-in at ``due_at``. Raises NoConsent unless the reporter agreed to check-ins."""
    if not has_consent(db, reporter, "check_in"):
        raise NoConsent("this reporter has not agreed to check-ins")
    row = CheckIn(reporter_id=reporter, case_id=case, due_at=due_at)
    db.insert(row)
    return row.id


def due_at(days: int, hour: int, zone: str, now: datetime) -> datetime:
    """``hour`` o'clock in ``zone``, ``days`` days from now: never on a night, the same hour on both sides of a clock change."""
    here = ZoneInfo(zone)
    day = (now.astimezone(here) + timedelta(days=days)).date()
    return datetime.combine(day, time(hour), here).astimezone(UTC)


def claim_due(db: Transaction, hour: int, zone: str) -> Due | None:
    """Take one check-in that is due. One that is late by hours, or would come at night, is moved to the next ``hour`` instead."""
    now = clock.now()
    is_day = now.astimezone(ZoneInfo(zone)).hour in DAY
    ready = (
        sa.select(*_check_in)
        .where(_check_in.state == "due", _check_in.due_at <= now)
        .order_by(_check_in.due_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    while row := db.one(ready):
        if is_day and row.due_at > now - TOO_LATE:
            taken = sa.update(CheckIn).where(_check_in.id == row.id, _check_in.state == "due")
            db.execute(taken.values(state="asked", asked_at=now))
            return Due(row.id, row.reporter_id, row.case_id)
        later = due_at(0, hour, zone, now)
        later = later if later > now else due_at(1, hour, zone, now)
        db.execute(sa.update(CheckIn).where(_check_in.id == row.id).values(due_at=later))
    return None


def settle(db: Transaction, reporter: UUID, state: str = "answered") -> None:
    """The question asked last has its answer."""
    db.execute(sa.update(CheckIn).where(_check_in.reporter_id == reporter, _check_in.state == "asked").values(state=state))


def put_off(db: Transaction, check_in: UUID) -> None:
    """The reporter is in the middle of something else: ask a day later."""
    later = clock.now() + timedelta(days=1)
    db.execute(sa.update(CheckIn).where(_check_in.id == check_in).values(state="due", due_at=later, asked_at=None))


def cancel(db: Transaction, reporter: UUID) -> int:
    """Take back every promise that is not kept yet. Returns how many."""
    waiting = sa.update(CheckIn).where(_check_in.reporter_id == reporter, _check_in.state == "due")
    return db.execute(waiting.values(state="cancelled")).rowcount


# -- consent -------------------------------------------------------------------------------------------------------------------


def give_consent(db: Transaction, reporter: UUID, purpose: str, words: str, is_given: bool = True) -> None:
    """Write down that a purpose was agreed to, or withdrawn, and in which words (a message id)."""
    db.insert(Consent(reporter_id=reporter, purpose=purpose, is_given=is_given, words=words))


def has_consent(db: Transaction, reporter: UUID, purpose: str) -> bool:
    """Whether the newest word on a purpose is yes."""
    newest = sa.select(_consent.is_given).where(_consent.reporter_id == reporter, _consent.purpose == purpose)
    return db.execute(newest.order_by(_consent.at.desc()).limit(1)).scalar() is True
