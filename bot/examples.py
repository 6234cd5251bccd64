"""Accounts the machine may learn from: with their reporter's consent, and only as a caseworker redacted and approved them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import audit, cases, checkins, staff
from bot.models import Case, Example
from bot.staff import SignedIn
from bot.store import Transaction
from translations import protect

PURPOSE = "training"
GAP = "[…]"

_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_example: Any = Example.__table__.c  # type: ignore[attr-defined]


class NotAllowed(Exception):
    """The reporter has not agreed, or the text would point to somebody; the text says which, fit to be shown."""


@dataclass(frozen=True)
class Approved:
    """What a caseworker approved: ``Approved("He shouted […] at me", "en", ("race",), ("religion",))``."""

    text: str
    language: str
    motivations: Sequence[str]  # as she decided
    suggested: Sequence[str]  # as the machine had suggested


def redacted(text: str) -> str:
    """A first proposal: numbers, addresses, links and names with an @ left out. Names of people and places only a person finds."""
    without, facts = protect.protect(text)
    for number in range(len(facts), 0, -1):
        without = without.replace(f"XX{number}", GAP)
    return without


def note_consent(db: Transaction, member: SignedIn, case: UUID, words: str, *, is_given: bool = True) -> None:
    """Write down what the reporter said about it in the chat; a no erases the example. Raises cases.NotYours."""
    row = cases.mine(db, member, case)
    if is_given:
        checkins.give_consent(db, row.reporter_id, PURPOSE, "training.in_chat")
    else:
        withdraw_consent(db, row.reporter_id, "training.in_chat")
    seal = staff.team_seal(db, row.team_id)
    cases.act(db, case, member.caseworker_id, "training_agreed" if is_given else "training_withdrawn", seal, {"text": words})


def withdraw_consent(db: Transaction, reporter: UUID, said: str) -> None:
    """Nothing of this reporter is learned from: their no, and what it answered, go into the ledger; examples are erased."""
    checkins.give_consent(db, reporter, PURPOSE, said, is_given=False)
    theirs = sa.select(_case.id).where(_case.reporter_id == reporter)
    db.execute(sa.delete(Example).where(_example.case_id.in_(theirs)))


def approve(db: Transaction, member: SignedIn, case: UUID, approved: Approved) -> None:
    """Keep a redacted account, sealed; another of the same case takes its place. Raises cases.NotYours, NotAllowed."""
    row = cases.mine(db, member, case)
    if not checkins.has_consent(db, row.reporter_id, PURPOSE):
        raise NotAllowed("The reporter has not agreed to this.")
    if not approved.text.strip():
        raise NotAllowed("There is no text left.")
    if redacted(approved.text) != approved.text:
        raise NotAllowed("There is still a number, an address or a link in it. Please take it out.")
    seal = staff.team_seal(db, row.team_id)
    kept = Example(case_id=case, caseworker_id=member.caseworker_id, team_key_id=seal.team_key, sealed=b"")
    told: dict[str, Any] = {"text": approved.text, "language": approved.language}
    told |= {"motivations": list(approved.motivations), "suggested": list(approved.suggested)}
    kept.sealed = seal.seal(told, "example", kept.id)
    db.execute(sa.delete(Example).where(_example.case_id == case))
    db.insert(kept)
    cases.act(db, case, member.caseworker_id, "example_approved")


def find(db: Transaction, member: SignedIn, case: UUID) -> Any:
    """What was approved of a case, opened, or None. Raises cases.NotYours."""
    cases.mine(db, member, case)
    row = db.one(sa.select(*_example).where(_example.case_id == case))
    return member.opener.open(row.sealed, row.team_key_id, "example", row.id) if row else None


def export(db: Transaction, member: SignedIn) -> str:
    """Her team's examples as JSON lines, for a lead; no id in them leads back. Raises staff.NotLead."""
    staff.require_lead(member)
    joined = sa.select(*_example, _case.reporter_id).join_from(Example.__table__, Case.__table__)  # type: ignore[attr-defined]
    lines = []
    for row in db.execute(joined.where(_case.team_id == member.team_id).order_by(_example.id)).all():
        if checkins.has_consent(db, row.reporter_id, PURPOSE):
            told = member.opener.open(row.sealed, row.team_key_id, "example", row.id)
            lines.append(json.dumps(told, ensure_ascii=False, sort_keys=True))
            audit.note(db, member.caseworker_id, "exported", row.case_id)
    return "".join(f"{line}\n" for line in lines)
