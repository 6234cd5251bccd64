"""One case with everything in it opened for a caseworker."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import attachments
from bot.attachments import Attached
from bot.cases import act, language_mark, mine, why_not
from bot.models import (
    Case,
    CaseAction,
    CaseMessage,
    Caseworker,
    Decision,
    Message,
    Perception,
    Report,
    Reporter,
    SealedTranslation,
    Suggestion,
    WorkingCopy,
)
from bot.privacy import TeamOpener, pseudonym
from bot.staff import SignedIn
from bot.store import Transaction

_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_report: Any = Report.__table__.c  # type: ignore[attr-defined]
_action: Any = CaseAction.__table__.c  # type: ignore[attr-defined]
_chat: Any = CaseMessage.__table__.c  # type: ignore[attr-defined]
_caseworker: Any = Caseworker.__table__.c  # type: ignore[attr-defined]
_reporter: Any = Reporter.__table__.c  # type: ignore[attr-defined]
_message: Any = Message.__table__.c  # type: ignore[attr-defined]
_copy: Any = WorkingCopy.__table__.c  # type: ignore[attr-defined]


@dataclass(frozen=True)
class ChatLine:
    """One text of a case's chat, opened."""

    id: UUID
    author: str
    at: datetime
    text: str
    language: str | None
    other: Mapping[str, Any] | None  # the translation {"text", "engine", "flags"}, or for a reply what was sent
    attachments: int
    delivery: str | None
    answers: str = ""


@dataclass(frozen=True)
class CaseFile:
    """A case with everything in it opened for one caseworker."""

    row: Any
    owner: str | None  # who holds it
    reporter: str
    reporter_state: str
    contact: str
    can_reply: str  # empty: yes; else why not
    report: Mapping[str, Any]
    report_translation: Mapping[str, Any]
    language: str | None
    perceptions: Sequence[Mapping[str, Any]]
    suggestion: Mapping[str, Any] | None
    decisions: Sequence[Mapping[str, Any]]
    chat: Sequence[ChatLine]
    actions: Sequence[Mapping[str, Any]]
    is_mine: bool
    is_being_translated: bool = field(default=False)
    files: Sequence[Attached] = ()


def open_file(db: Transaction, member: SignedIn, case: UUID) -> CaseFile:
    """Open a case for a member of its team; the reading is written down. Raises NotYours."""
    row = mine(db, member, case)
    if row.claimed_by in (None, member.caseworker_id):
        db.execute(sa.update(Case).where(_case.id == row.id).values(is_unread=False))
    act(db, row.id, member.caseworker_id, "read")
    opener = member.opener
    report = db.one(sa.select(*_report).where(_report.id == row.report_id)) if row.report_id else None
    told = opener.open(report.sealed, report.team_key_id, "report", report.id) if report else {}
    translations = _opened_translations(db, opener, row.id)
    reporter = db.execute(sa.select(*_reporter).where(_reporter.id == row.reporter_id)).one()
    chat = _opened_chat(db, opener, row.id, translations)
    language = told.get("language") or next((c.language for c in reversed(chat) if c.author == "reporter"), None)
    if row.language is None and language:  # a case from before languages could be looked for
        db.execute(sa.update(Case).where(_case.id == row.id).values(language=language_mark(db.vault, language)))
    return CaseFile(
        row=row,
        owner=db.execute(sa.select(_caseworker.name).where(_caseworker.id == row.claimed_by)).scalar(),
        reporter=pseudonym(row.reporter_id),
        reporter_state=reporter.state,
        contact=reporter.contact,
        can_reply=why_not(db, reporter, row.id),
        report=told,
        report_translation=translations.get(row.report_id, {}),
        language=language,
        perceptions=_opened(db, opener, Perception, row.id),
        suggestion=next(iter(reversed(_opened(db, opener, Suggestion, row.id))), None),
        decisions=_opened(db, opener, Decision, row.id),
        chat=chat,
        actions=_opened_actions(db, opener, row.id),
        is_mine=row.state == "claimed" and row.claimed_by == member.caseworker_id,
        files=attachments.of_case(db, opener, row.id),
        is_being_translated=db.execute(sa.select(_copy.id).where(_copy.case_id == row.id).limit(1)).scalar() is not None,
    )


def news_mark(db: Transaction, member: SignedIn, case: UUID) -> str:
    """A mark that changes whenever there is something new to see in a case; nothing sealed is opened. Raises NotYours."""
    row = mine(db, member, case)
    reporter = db.execute(sa.select(_reporter.state, _reporter.contact).where(_reporter.id == row.reporter_id)).one()
    changing: Sequence[Any] = (CaseMessage, SealedTranslation, Suggestion, Decision, WorkingCopy)
    counted = [db.execute(sa.select(sa.func.count()).where(table.__table__.c.case_id == case)).scalar_one() for table in changing]
    done = sa.select(sa.func.count()).where(_action.case_id == case, _action.verb != "read")
    deliveries = sa.select(_message.state, sa.func.count()).join_from(CaseMessage.__table__, Message.__table__)  # type: ignore[attr-defined]
    states = db.execute(deliveries.where(_chat.case_id == case).group_by(_message.state).order_by(_message.state))
    seen = (row.state, row.claimed_by, row.risk, *reporter, *counted, db.execute(done).scalar_one(), *map(tuple, states))
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def _opened(db: Transaction, opener: TeamOpener, table: Any, case: UUID) -> list[Mapping[str, Any]]:
    columns = table.__table__.c
    rows = db.execute(sa.select(*columns).where(columns.case_id == case).order_by(columns.at))
    return [{**opener.open(r.sealed, r.team_key_id, table.__tablename__, r.id), "at": r.at} for r in rows]


def _opened_translations(db: Transaction, opener: TeamOpener, case: UUID) -> dict[UUID, Mapping[str, Any]]:
    columns = SealedTranslation.__table__.c  # type: ignore[attr-defined]
    rows = db.execute(sa.select(*columns).where(columns.case_id == case).order_by(columns.at))
    return {r.of: opener.open(r.sealed, r.team_key_id, "sealed_translation", r.id) for r in rows}


def _opened_chat(db: Transaction, opener: TeamOpener, case: UUID, translations: Mapping[UUID, Mapping[str, Any]]) -> list[ChatLine]:
    rows = db.execute(
        sa.select(*_chat, _message.state.label("delivery"), _message.attempts)
        .outerjoin_from(CaseMessage.__table__, Message.__table__, _chat.message_id == _message.id)  # type: ignore[attr-defined]
        .where(_chat.case_id == case)
        .order_by(_chat.at)
    )
    lines = []
    for r in rows:
        said = opener.open(r.sealed, r.team_key_id, "case_message", r.id)
        other = said.get("sent") if r.author == "caseworker" else translations.get(r.id, {}).get("text")
        is_retried = r.delivery == "queued" and r.attempts
        delivery = None if r.author == "reporter" else "retried" if is_retried else r.delivery
        lines.append(
            ChatLine(
                r.id,
                r.author,
                r.at,
                said["text"],
                said.get("language"),
                other,
                said.get("attachments", 0),
                delivery,
                said.get("answers", ""),
            )
        )
    return lines


def _opened_actions(db: Transaction, opener: TeamOpener, case: UUID) -> list[Mapping[str, Any]]:
    rows = db.execute(
        sa.select(*_action, _caseworker.name.label("by"))
        .outerjoin_from(CaseAction.__table__, Caseworker.__table__, _action.caseworker_id == _caseworker.id)  # type: ignore[attr-defined]
        .where(_action.case_id == case)
        .order_by(_action.at)
    )
    return [
        {
            "verb": r.verb,
            "by": r.by,
            "at": r.at,
            "text": opener.open(r.sealed, r.team_key_id, "case_action", r.id)["text"] if r.sealed else None,
        }
        for r in rows
    ]
