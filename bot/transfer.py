"""Handing a case to another team: a member of the old team opens everything in it and seals it to the new team's key."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import cases, staff
from bot.models import (
    Attachment,
    Case,
    CaseAction,
    CaseMessage,
    Decision,
    Example,
    Perception,
    Report,
    Reporter,
    SealedTranslation,
    Suggestion,
    Team,
    Unmasking,
)
from bot.staff import SignedIn
from bot.store import Transaction, lock_reporter

SEALED: tuple[Any, ...] = (Perception, Suggestion, Decision, SealedTranslation, CaseMessage, CaseAction, Example)

_file: Any = Attachment.__table__.c  # type: ignore[attr-defined]
_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_team: Any = Team.__table__.c  # type: ignore[attr-defined]
_report: Any = Report.__table__.c  # type: ignore[attr-defined]


class NoSuchTeam(Exception):
    """There is no other team of that name; the text is fit to be shown."""


def others(db: Transaction, member: SignedIn) -> list[str]:
    """The names of the teams a case can go to."""
    return list(db.execute(sa.select(_team.name).where(_team.id != member.team_id).order_by(_team.name)).scalars())


def hand_over(db: Transaction, member: SignedIn, case: UUID, team: str) -> None:
    """Re-seal a case to another team, in one commit: afterwards hers opens none of it, and the reporter writes to the other.

    Whoever holds the case does it, or a lead. Raises cases.NotYours, NoSuchTeam, staff.NotLead, keys.WrongKey.
    """
    row = cases.mine(db, member, case)
    if row.claimed_by != member.caseworker_id:
        staff.require_lead(member)
    new = db.execute(sa.select(_team.id).where(_team.name == team, _team.id != member.team_id)).scalar()
    if new is None:
        raise NoSuchTeam(f"There is no other team named {team}.")
    lock_reporter(db, row.reporter_id)
    seal = staff.team_seal(db, new)

    def moved(table: Any, where: Any) -> None:
        columns = table.__table__.c
        boxes = sa.select(columns.id, columns.sealed, columns.team_key_id).where(where, columns.sealed.is_not(None))
        for one in db.execute(boxes).all():
            told = member.opener.open(one.sealed, one.team_key_id, table.__tablename__, one.id)
            again = seal.seal(told, table.__tablename__, one.id)
            db.execute(sa.update(table).where(columns.id == one.id).values(sealed=again, team_key_id=seal.team_key))

    for table in SEALED:
        moved(table, table.__table__.c.case_id == case)
    kept = sa.select(_file.id, _file.team_key_id, _file.content).where(_file.case_id == case, _file.content.is_not(None))
    for one in db.execute(kept).all():
        told = member.opener.open(one.content, one.team_key_id, "attachment_content", one.id)
        again = seal.seal(told, "attachment_content", one.id)
        db.execute(sa.update(Attachment).where(_file.id == one.id).values(content=again))
    moved(Attachment, _file.case_id == case)
    if row.report_id:
        moved(Report, _report.id == row.report_id)
        db.execute(sa.update(Report).where(_report.id == row.report_id).values(team_id=new))
    db.execute(sa.delete(Unmasking).where(Unmasking.__table__.c.case_id == case))  # type: ignore[attr-defined]
    changed = {"team_id": new, "state": sa.case((_case.state == "claimed", "open"), else_=_case.state), "claimed_by": None}
    db.execute(sa.update(Case).where(_case.id == case).values(**changed, is_unread=True))
    _move_reporter(db, row.reporter_id, member.team_id, new)
    cases.act(db, case, member.caseworker_id, "transferred")


def _move_reporter(db: Transaction, reporter: UUID, old: UUID, new: UUID) -> None:
    """What they write from now on goes to the new team, unless the old one still has a case of theirs."""
    left = sa.select(_case.id).where(_case.reporter_id == reporter, _case.team_id == old, _case.state != "closed").limit(1)
    if db.execute(left).scalar() is None:
        db.execute(sa.update(Reporter).where(Reporter.__table__.c.id == reporter).values(team_id=new))  # type: ignore[attr-defined]
