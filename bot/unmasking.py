"""Showing a reporter's address: asked for by one caseworker with a reason, granted by another, shown once, all written down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import cases, clock, staff
from bot.models import Address, Caseworker, Unmasking
from bot.staff import SignedIn
from bot.store import Transaction

LIVES = timedelta(hours=24)  # a question nobody answered, or an answer nobody used

_table: Any = Unmasking.__table__  # type: ignore[attr-defined]
_unmasking: Any = _table.c
_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_caseworker: Any = Caseworker.__table__.c  # type: ignore[attr-defined]


class CannotUnmask(Exception):
    """The address may not be shown; the text says why, fit to be shown."""


@dataclass(frozen=True)
class Asked:
    """A question that is open: who asks, why, and whether somebody granted it."""

    id: UUID
    asked_by: UUID
    name: str
    reason: str
    is_granted: bool


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
    found = sa.select(*_unmasking, _caseworker.name).select_from(joined)
    row = db.one(found.where(_unmasking.case_id == case, _unmasking.asked_at > clock.now() - LIVES))
    if row is None:
        return None
    reason = member.opener.open(row.sealed, row.team_key_id, "unmasking", row.id)["reason"]
    return Asked(row.id, row.asked_by, row.name, reason, row.granted_by is not None)


def grant(db: Transaction, member: SignedIn, case: UUID) -> None:
    """Let a colleague see the address. Raises cases.NotYours, CannotUnmask."""
    cases.mine(db, member, case)
    granted = sa.update(Unmasking).where(
        _unmasking.case_id == case,
        _unmasking.asked_by != member.caseworker_id,
        _unmasking.granted_by.is_(None),
        _unmasking.asked_at > clock.now() - LIVES,
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
