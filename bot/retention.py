"""What is over its time or unwanted is erased: cases, reporters and their addresses; and nothing of it stays in the files."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import audit, cases, clock, outbox, staff, vendor_copies
from bot.models import (
    Address,
    Attachment,
    Case,
    CaseAction,
    CaseMessage,
    CheckIn,
    Consent,
    Decision,
    Example,
    FlowSession,
    Message,
    Perception,
    Receipt,
    Report,
    Reporter,
    SealedTranslation,
    Suggestion,
    Unmasking,
    WorkingCopy,
)
from bot.staff import SignedIn
from bot.store import Store, Transaction, lock_reporter

LAST_WORDS = timedelta(hours=24)  # an address stays this long at most, for the text that says that everything is erased
AT_ONCE = 100  # rows of a kind in one transaction
OF_A_CASE: tuple[Any, ...] = (
    Attachment,
    Perception,
    Suggestion,
    Decision,
    SealedTranslation,
    WorkingCopy,
    Receipt,
    CheckIn,
    CaseMessage,
    CaseAction,
    Unmasking,
    Example,
)

OF_A_REPORTER: tuple[Any, ...] = (Attachment, Consent, FlowSession, CheckIn, Message, Address)

_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_reporter: Any = Reporter.__table__.c  # type: ignore[attr-defined]
_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_message: Any = Message.__table__.c  # type: ignore[attr-defined]
_session: Any = FlowSession.__table__.c  # type: ignore[attr-defined]
_line: Any = CaseMessage.__table__.c  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Limits:
    """How long each kind is kept: a closed case, and a reporter of whom no case is left and nothing was heard."""

    case: timedelta
    reporter: timedelta


@dataclass(frozen=True)
class Erased:
    """How many were erased: ``Erased(cases=2, reporters=1)``."""

    cases: int = 0
    reporters: int = 0


# -- one case, one reporter ----------------------------------------------------------------------------------------------------


def erase_case(db: Transaction, case: UUID, by: UUID | None = None) -> bool:
    """Erase a case with everything told in it, sealed or not. False: it is under legal hold, and stays."""
    row = db.one(sa.select(*_case).where(_case.id == case).with_for_update())
    if row is None:
        return True
    if row.held_at is not None:
        return False
    for table in OF_A_CASE:
        db.execute(sa.delete(table).where(table.__table__.c.case_id == case))
    db.execute(sa.delete(Case).where(_case.id == case))
    _erase_at_vendors(db, row)
    if row.report_id:
        db.execute(sa.delete(Report).where(Report.__table__.c.id == row.report_id))  # type: ignore[attr-defined]
    audit.note(db, by, "erased", case)
    return True


def _erase_at_vendors(db: Transaction, case: Any) -> None:
    """With a reporter's last case go the vendors' copies of what was written about it."""
    if db.execute(sa.select(_case.id).where(_case.reporter_id == case.reporter_id).limit(1)).scalar() is None:
        until = case.closed_at or clock.now()
        vendor_copies.want_deleted(db, _message.reporter_id == case.reporter_id, _message.made_at <= until)


def erase_reporter(db: Transaction, reporter: UUID) -> int:
    """Erase what a reporter told us, in every case of theirs, at their own wish. Returns how many cases a legal hold keeps.

    Their address goes once the last text is delivered, a day later at most unless the clock is in doubt, and then they
    themselves: see purge().
    """
    lock_reporter(db, reporter)
    outbox.cancel_queued(db, reporter)
    db.execute(sa.delete(Consent).where(Consent.__table__.c.reporter_id == reporter))  # type: ignore[attr-defined]
    theirs = list(db.execute(sa.select(_case.id).where(_case.reporter_id == reporter)).scalars())
    held = sum(not erase_case(db, case) for case in theirs)
    if not held:
        vendor_copies.want_deleted(db, _message.reporter_id == reporter)
        db.execute(sa.delete(Attachment).where(Attachment.__table__.c.reporter_id == reporter))  # type: ignore[attr-defined]
        db.execute(sa.update(FlowSession).where(_session.reporter_id == reporter).values(is_over=True, body=None))
        db.execute(sa.update(Address).where(_address.reporter_id == reporter).values(forget_at=clock.now() + LAST_WORDS))
    return held


def hold(db: Transaction, member: SignedIn, case: UUID, reason: str, *, is_held: bool = True) -> None:
    """Keep a case from being erased, or, as a lead, let it go again; who and why stand in its history.

    Raises cases.NotYours, staff.NotLead.
    """
    row = cases.mine(db, member, case)
    if not is_held:
        staff.require_lead(member)
    db.execute(sa.update(Case).where(_case.id == case).values(held_at=clock.now() if is_held else None))
    seal = staff.team_seal(db, row.team_id)
    cases.act(db, case, member.caseworker_id, "held" if is_held else "let_go", seal, {"text": reason})


def erase_at_desk(db: Transaction, member: SignedIn, case: UUID) -> bool:
    """A lead erases a case, as the reporter asked for by voice or letter. Raises staff.NotLead, cases.NotYours."""
    staff.require_lead(member)
    row = cases.mine(db, member, case)
    lock_reporter(db, row.reporter_id)
    return erase_case(db, case, member.caseworker_id)


# -- what is over its time -----------------------------------------------------------------------------------------------------


def purge(store: Store, limits: Limits) -> Erased:
    """Erase whatever is over its time, in small transactions, and then every trace of it in the files."""
    closed = reporters = 0
    while found := _erase_closed(store, limits.case):
        closed += found
    while found := _erase_reporters(store, limits.reporter):
        reporters += found
    if closed or reporters:
        leave_no_trace(store)
    return Erased(closed, reporters)


def _erase_closed(store: Store, age: timedelta) -> int:
    over = sa.select(_case.id).where(_case.state == "closed", _case.closed_at <= clock.now() - age, _case.held_at.is_(None))
    with store.transaction() as db:
        found = list(db.execute(over.limit(AT_ONCE)).scalars())
        return sum(erase_case(db, case) for case in found)


def _erase_reporters(store: Store, age: timedelta) -> int:
    """Reporters without a case: at once when no address is left, else when nothing was heard for a while."""
    has_case = sa.exists().where(_case.reporter_id == _reporter.id)
    has_address = sa.exists().where(_address.reporter_id == _reporter.id)
    mine = _message.reporter_id == _reporter.id
    recent = _message.made_at > clock.now() - age
    is_busy = sa.exists().where(
        mine, sa.or_(_message.state == "waiting", sa.and_(_message.state.in_(("queued", "sending")), recent))
    )
    was_heard = sa.exists().where(mine, recent)
    is_talking = sa.exists().where(_session.reporter_id == _reporter.id, ~_session.is_over, _session.expires_at > clock.now())
    silent = sa.and_(~was_heard, _reporter.made_at <= clock.now() - age)
    gone = sa.select(_reporter.id).where(~has_case, ~is_busy, ~is_talking, sa.or_(~has_address, silent)).limit(AT_ONCE)
    with store.transaction() as db:
        found = list(db.execute(gone.with_for_update(skip_locked=True)).scalars())
        theirs = sa.select(_message.id).where(_message.reporter_id.in_(found))  # they may have added to a case with its receipt
        db.execute(sa.update(CaseMessage).where(_line.message_id.in_(theirs)).values(message_id=None))
        vendor_copies.want_deleted(db, _message.reporter_id.in_(found))
        for table in OF_A_REPORTER:
            db.execute(sa.delete(table).where(table.__table__.c.reporter_id.in_(found)))
        db.execute(sa.delete(Reporter).where(_reporter.id.in_(found)))
        return len(found)


def leave_no_trace(store: Store, *, is_thorough: bool = False) -> None:
    """Take what was deleted out of the files as well.

    SQLite overwrites deleted rows (secure_delete); what still stands in the write-ahead log goes with a checkpoint. PostgreSQL
    frees the rows with VACUUM; ``is_thorough`` writes its tables anew (VACUUM FULL), which stops them for a moment.
    """
    if store.engine.dialect.name == "sqlite":
        with store.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")  # no checkpoint inside a transaction
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("BEGIN")
        return
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        for table in (*OF_A_CASE, *OF_A_REPORTER, Case, Report, Reporter):
            name = connection.dialect.identifier_preparer.quote(table.__tablename__)
            connection.exec_driver_sql(f"VACUUM {'(FULL) ' if is_thorough else ''}{name}")
