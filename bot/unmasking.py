"""Showing a reporter's address: asked for by one caseworker with a reason, granted by another, shown once, all written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import cases, clock, staff
from bot.models import Address, Case, Caseworker, Unmasking
from bot.staff import SignedIn
from bot.store import Transaction

LIVES = timedelta(hours=24)  # a question nobody answered, or an answer nobody used

_table: Any = Unmasking.__table__  # type: ignore[attr-defined]
_unmasking: Any = _table.c
_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_caseworker: Any = Caseworker.__table__.c  # type: ignore[attr-defined]
_granting: Any = sa.alias(Caseworker.__table__)  # type: ignore[attr-defined]


class CannotUnmask(Exception):
    """The address may not be shown; the text says why, fit to be shown."""


@dataclass(frozen=True)
class Asked:
    """A question that is open: who asks, why, until when it counts, and who granted it."""

    id: UUID
    asked_by: UUID
    name: str
    reason: str
    until: datetime
    granted_by: str | None

    @property
    def is_granted(self) -> bool:
        return self.granted_by is not None


def ask(db: Transaction, member: SignedIn, case: UUID, reason: str) -> None:
    """Ask to see the address behind a case. Raises cases.NotYours, CannotUnmask."""
    row = cases.mine(db, member, case)
    if not reason.strip():
        raise CannotUnmask("Please say why the address is needed.")
    seal = staff.team_seal(db, row.team_id)
    asked = Unmasking(case_id=case, asked_by=member.caseworker_id, team_key_id=seal.team_key, sealed=b"")
    asked.sealed = seal.seal({"reason": reason}, "unmasking", asked.id)
    db.execute(sa.delete(Unmasking).where(_unmasking.case_id == case))  # one question at a time
    db.insert(asked)
    cases.act(db, case, member.caseworker_id, "unmask_asked", seal, {"text": reason})


def open_question(db: Transaction, member: SignedIn, case: UUID) -> Asked | None:
    """The question about a case that waits for an answer, or for being used."""
    joined = sa.join(_table, Caseworker.__table__, _unmasking.asked_by == _caseworker.id)  # type: ignore[attr-defined]
    joined = joined.outerjoin(_granting, _unmasking.granted_by == _granting.c.id)
    found = sa.select(*_unmasking, _caseworker.name, _granting.c.name.label("granted")).select_from(joined)
    row = db.one(found.where(_unmasking.case_id == case, _unmasking.asked_at > clock.now() - LIVES))
    if row is None:
        return None
    reason = member.opener.open(row.sealed, row.team_key_id, "unmasking", row.id)["reason"]
    return Asked(row.id, row.asked_by, row.name, reason, row.asked_at + LIVES, row.granted)


@dataclass(frozen=True)
class Waiting:
    """A question of the team's that somebody is waiting on: ``Waiting(case, "K7MQ-24XP", "Amira", False)``."""

    case: UUID
    reference: str
    name: str
    is_hers: bool  # asked by the one who looks, and granted: she can see the address now


def waiting(db: Transaction, member: SignedIn) -> list[Waiting]:
    """What a member can do about unmasking: colleagues' questions nobody answered, and hers that were granted."""
    joined = sa.join(_table, Case.__table__, _unmasking.case_id == _case.id)  # type: ignore[attr-defined]
    joined = joined.join(Caseworker.__table__, _unmasking.asked_by == _caseworker.id)  # type: ignore[attr-defined]
    columns = (_case.id, _case.reference, _caseworker.name, _unmasking.asked_by)
    is_hers, is_granted = _unmasking.asked_by == member.caseworker_id, _unmasking.granted_by.is_not(None)
    found = sa.select(*columns).select_from(joined).where(_case.team_id == member.team_id, is_hers == is_granted)
    rows = db.execute(found.where(_unmasking.asked_at > clock.now() - LIVES).order_by(_unmasking.asked_at))
    return [Waiting(r.id, r.reference, r.name, r.asked_by == member.caseworker_id) for r in rows]


def refuse(db: Transaction, member: SignedIn, case: UUID) -> None:
    """Say no to a colleague's question, or take one's own back. Raises cases.NotYours, CannotUnmask."""
    cases.mine(db, member, case)
    asked_by = db.execute(sa.delete(Unmasking).where(_unmasking.case_id == case).returning(_unmasking.asked_by)).scalar()
    if asked_by is None:
        raise CannotUnmask("There is no question to answer any more.")
    cases.act(db, case, member.caseworker_id, "unmask_taken_back" if asked_by == member.caseworker_id else "unmask_refused")


def grant(db: Transaction, member: SignedIn, case: UUID, question: UUID | None = None) -> None:
    """Let a colleague see the address. ``question``: the one that was read. Raises cases.NotYours, CannotUnmask."""
    cases.mine(db, member, case)
    granted = sa.update(Unmasking).where(
        _unmasking.case_id == case,
        _unmasking.asked_by != member.caseworker_id,
        _unmasking.granted_by.is_(None),
        _unmasking.asked_at > clock.now() - LIVES,
        _unmasking.id == question if question else sa.true(),
    )
    if db.execute(granted.values(granted_by=member.caseworker_id)).rowcount != 1:
        raise CannotUnmask("A second person has to grant it, within a day.")
    cases.act(db, case, member.caseworker_id, "unmask_granted")


def show(db: Transaction, member: SignedIn, case: UUID) -> list[str]:
    """The addresses behind a case, once, for who asked and was granted it. Raises cases.NotYours, CannotUnmask, keys.WrongKey."""
    row = cases.mine(db, member, case)
    used = sa.delete(Unmasking).where(
        _unmasking.case_id == case,
        _unmasking.asked_by == member.caseworker_id,
        _unmasking.granted_by.is_not(None),
        _unmasking.asked_at > clock.now() - LIVES,
    )
    if db.execute(used).rowcount != 1:
        raise CannotUnmask("This was not granted, or it was shown already. Please ask again.")
    boxes = db.execute(sa.select(_address.id, _address.box).where(_address.reporter_id == row.reporter_id)).all()
    cases.act(db, case, member.caseworker_id, "unmasked")
    return [db.vault.reveal(a.box, "address", "box", a.id)["address"] for a in boxes]
