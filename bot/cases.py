"""The caseworkers' handling of reports: opening, queueing, claiming, answering, closing. Every verb writes its CaseAction."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from bot import attachments, audit, clock, outbox, staff, work_copies
from bot.models import (
    Address,
    Case,
    CaseAction,
    CaseMessage,
    Caseworker,
    Decision,
    FlowSession,
    Message,
    Perception,
    Receipt,
    Report,
    Reporter,
    WorkingCopy,
)
from bot.privacy import TeamSeal, Vault
from bot.staff import SignedIn
from bot.store import Transaction, lock_reporter
from flows.model import SKIPPED
from translations import catalog

NOT_SURE, NOT_SAFE, EMERGENCY = 1, 2, 3  # risk; 0 is "nothing said"
FEEDBACK_LIVES = timedelta(days=7)
_PLAIN = "ABCDEFGHJKMNPQRSTUVWXYZ23456789"

_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_report: Any = Report.__table__.c  # type: ignore[attr-defined]
_action: Any = CaseAction.__table__.c  # type: ignore[attr-defined]
_chat: Any = CaseMessage.__table__.c  # type: ignore[attr-defined]
_caseworker: Any = Caseworker.__table__.c  # type: ignore[attr-defined]
_reporter: Any = Reporter.__table__.c  # type: ignore[attr-defined]
_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_message: Any = Message.__table__.c  # type: ignore[attr-defined]
_session: Any = FlowSession.__table__.c  # type: ignore[attr-defined]
_copy: Any = WorkingCopy.__table__.c  # type: ignore[attr-defined]


class NotYours(Exception):
    """There is no such case in this caseworker's team."""


class AlreadyClaimed(Exception):
    """Somebody else was quicker, or the case is closed."""


class CannotReply(Exception):
    """The reporter must or can not be written to; the text says why, fit to be shown."""


# -- opening -------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Opened:
    """A case that now exists: ``Opened(…, "K7MQ-24")``."""

    id: UUID
    reference: str


def open_case(
    db: Transaction,
    reporter: Any,
    report: Mapping[str, Any] | None,
    *,
    kind: str = "report",
    risk: int = 0,
    receipt: bytes | None = None,
) -> Opened:
    """Seal what a reporter told to their team and put it into the queue, in the caller's commit.

    ``reporter``: the locked Reporter row. ``report``: {"role", "story": […], "perception", "when", …, "language"}; its perception
    is kept apart. ``kind`` report means confirmed by them; any other says why a person must look: ``emergency``, for one, holds
    the words of danger of a report that is not sent yet, and becomes its case when it comes. ``receipt``: the verifier of the
    code they get.
    """
    seal = staff.team_seal(db, reporter.team_id)
    told = dict(report or {})
    perceived = told.pop("perception", None)
    report_id = _seal_report(db, reporter.team_id, seal, told, is_confirmed=kind == "report") if told else None
    if told and (alarm := db.execute(_ALARM, {"reporter": reporter.id}).one_or_none()):
        opened = Opened(alarm.id, alarm.reference)
        changes = {"report_id": report_id, "kind": kind, "risk": max(risk, alarm.risk), "is_unread": True}
        changes["language"] = language_mark(db.vault, told.get("language")) or alarm.language
        db.execute(sa.update(Case).where(_case.id == alarm.id).values(**changes))
        act(db, alarm.id, None, "report_came")
    else:
        row = Case(
            team_id=reporter.team_id,
            reporter_id=reporter.id,
            report_id=report_id,
            reference=_new_reference(),
            kind=kind,
            risk=risk,
            language=language_mark(db.vault, told.get("language")),
        )
        db.insert(row)
        opened = Opened(row.id, row.reference)
        act(db, row.id, None, "opened")
    if perceived:
        mine = Perception(case_id=opened.id, team_key_id=seal.team_key, sealed=b"")
        mine.sealed = seal.seal({"who": told.get("role", "victim"), "text": perceived}, "perception", mine.id)
        db.insert(mine)
    if report_id:
        texts = {
            "story": "\n".join(told.get("story", ())),
            "perception": perceived,
            "when": told.get("when"),
            "where": told.get("where"),
        }
        texts["remarks"] = "\n".join(told.get("remarks", ()))
        work_copies.put(db, opened.id, report_id, told.get("language"), texts, classify=True)
    attachments.give(db, reporter.id, opened.id)
    if receipt:
        db.insert(Receipt(case_id=opened.id, verifier=receipt))
    return opened


def _seal_report(db: Transaction, team: UUID, seal: TeamSeal, told: Mapping[str, Any], is_confirmed: bool) -> UUID:
    confirmed_at = clock.now() if is_confirmed else None
    row = Report(team_id=team, team_key_id=seal.team_key, sealed=b"", confirmed_at=confirmed_at)
    row.sealed = seal.seal(told, "report", row.id)
    db.insert(row)
    return row.id


def language_mark(vault: Vault, language: str | None) -> bytes | None:
    """How a language stands in a case's row: it can be looked for, and a stolen database does not say which one it is."""
    return vault.index(language, "language of a case") if language else None


def _new_reference() -> str:
    """A reference people can say on the phone: eight of 31 signs, so that two cases never meet in practice."""
    text = "".join(secrets.choice(_PLAIN) for _ in range(8))
    return f"{text[:4]}-{text[4:]}"


def add_reporter_message(
    db: Transaction,
    case: Any,
    text: str,
    *,
    language: str | None,
    message: UUID | None,
    attachments: int = 0,
    answers: str = "",
) -> None:
    """Seal what the reporter wrote into their case; the caseworker sees that it is new. ``answers``: the flow it answered."""
    seal = staff.team_seal(db, case.team_id)
    row = CaseMessage(case_id=case.id, message_id=message, author="reporter", team_key_id=seal.team_key, sealed=b"")
    row.sealed = seal.seal(
        {"text": text, "language": language, "attachments": attachments, "answers": answers}, "case_message", row.id
    )
    db.insert(row)
    known = sa.func.coalesce(_case.language, language_mark(db.vault, language))
    db.execute(sa.update(Case).where(_case.id == case.id).values(is_unread=True, language=known))
    if any(c.isalpha() for c in text):
        work_copies.put(db, case.id, row.id, language, {"text": text}, classify=False)


def note_event(db: Transaction, case: UUID, verb: str, *, at_least_risk: int = 0) -> None:
    """Something happened that a caseworker should see: the risk may rise, and a closed case comes back to the queue."""
    act(db, case, None, verb)
    raised = sa.case((_case.risk < at_least_risk, at_least_risk), else_=_case.risk)
    changes: dict[str, Any] = {"risk": raised, "is_unread": True}
    if at_least_risk:
        changes |= {
            "state": sa.case((_case.state == "closed", "open"), else_=_case.state),
            "claimed_by": sa.case((_case.state == "closed", None), else_=_case.claimed_by),
            "closed_at": sa.case((_case.state == "closed", None), else_=_case.closed_at),
        }
    db.execute(sa.update(Case).where(_case.id == case).values(**changes))


# Asked for every text that comes in, so built once: building costs more than running.
_OF = sa.select(*_case).where(_case.reporter_id.in_(sa.bindparam("reporters", expanding=True))).order_by(_case.opened_at.desc())
_ALARM = (
    sa.select(*_case)
    .where(_case.reporter_id == sa.bindparam("reporter"), _case.kind == "emergency", _case.state == "open")
    .where(_case.report_id.is_(None))
    .limit(1)
)


def owner_and_latest_of(db: Transaction, reporters: Collection[UUID]) -> dict[UUID, tuple[Any, Any]]:
    """For each reporter the claimed case that owns their conversation, and the case they came with last, or None.

    While a case owns it the bot is silent.
    """
    theirs: dict[UUID, list[Any]] = {reporter: [] for reporter in reporters}
    for case in db.execute(_OF, {"reporters": list(reporters)}):
        theirs[case.reporter_id].append(case)
    return {
        of: (next((c for c in cases if c.state == "claimed"), None), cases[0] if cases else None) for of, cases in theirs.items()
    }


def find(db: Transaction, case: UUID) -> Any:
    """A case's row, or None."""
    return db.one(sa.select(*_case).where(_case.id == case))


def find_by_receipt(db: Transaction, verifier: bytes) -> Any:
    """The case a receipt belongs to, by what is stored of the receipt, or None."""
    receipt: Any = Receipt.__table__.c  # type: ignore[attr-defined]
    return db.one(sa.select(*_case).join_from(Receipt.__table__, Case.__table__).where(receipt.verifier == verifier))  # type: ignore[attr-defined]


def mine(db: Transaction, member: SignedIn, case: UUID) -> Any:
    """The row of a case of her team. Raises NotYours."""
    row = db.one(sa.select(*_case).where(_case.id == case, _case.team_id == member.team_id))
    if row is None:
        raise NotYours("there is no such case in your team")
    return row


# -- what a caseworker does ----------------------------------------------------------------------------------------------------


def claim(db: Transaction, member: SignedIn, case: UUID) -> None:
    """Take a case: from this commit on she owns the conversation, and no text of the bot goes out any more.

    Raises NotYours, AlreadyClaimed.
    """
    row = mine(db, member, case)
    reporter = lock_reporter(db, row.reporter_id)
    taken = sa.update(Case).where(_case.id == case, _case.state == "open")
    if db.execute(taken.values(state="claimed", claimed_by=member.caseworker_id, is_unread=False)).rowcount != 1:
        raise AlreadyClaimed("this case was claimed or closed by somebody else")
    outbox.cancel_queued(db, row.reporter_id, ("bot", "check_in"))
    _take_over_unfinished(db, row, reporter)
    act(db, case, member.caseworker_id, "claimed")


def _take_over_unfinished(db: Transaction, case: Any, reporter: Any) -> None:
    """The bot's questions end here; what a report that was under way already told goes into the case, sealed."""
    unfinished = sa.select(_session.id, _session.flow, _session.body).where(_session.reporter_id == reporter.id, ~_session.is_over)
    session = db.one(unfinished)
    if session is None:
        return
    if session.flow == "report":
        kept = db.vault.reveal(session.body, "flow_session", "body", session.id)
        language = db.vault.reveal(reporter.profile, "reporter", "profile", reporter.id).get("language")
        facts = kept["position"]["facts"] if kept["position"] else kept["before"]
        for text in [*_texts_of(facts), *filter(None, [kept.get("held")])]:
            add_reporter_message(db, case, text, language=language, message=None)
    db.execute(sa.update(FlowSession).where(_session.id == session.id).values(is_over=True, body=None))


def _texts_of(facts: Mapping[str, Any]) -> list[str]:
    """The reporter's own words among the facts of an unfinished report, in the order they are asked for."""
    found: list[str] = []
    for fact in ("first", "story", "perception", "when", "earlier", "where", "remarks"):
        told = facts.get(fact) or ()
        found += [told] if isinstance(told, str) else told
    return [text for text in found if text != SKIPPED]


def add_note(db: Transaction, member: SignedIn, case: UUID, text: str) -> None:
    """Write a note that only the team reads. Raises NotYours."""
    row = mine(db, member, case)
    act(db, row.id, member.caseworker_id, "noted", staff.team_seal(db, row.team_id), {"text": text})


@dataclass(frozen=True)
class Reply:
    """What a caseworker says: her words, and what goes to the reporter (the same, or its translation with who made it).

    The same ``id`` sent twice (a second click) is sent once.
    """

    text: str
    language: str
    sent: str
    sent_language: str
    engine: str = ""
    flags: Sequence[str] = ()
    id: UUID = field(default_factory=uuid4)


def reply(db: Transaction, member: SignedIn, case: UUID, said: Reply) -> None:
    """Answer the reporter in the chat. Raises NotYours, CannotReply."""
    row = mine(db, member, case)
    reporter = lock_reporter(db, row.reporter_id)
    if row.state != "claimed" or row.claimed_by != member.caseworker_id:
        raise CannotReply("Claim the case first: then the conversation is yours and the bot is silent.")
    if db.execute(sa.select(_chat.id).where(_chat.id == said.id, _chat.case_id == case)).scalar():
        return
    if reason := why_not(db, reporter, case):
        raise CannotReply(reason)
    message = outbox.put(db, row.reporter_id, said.sent, author="caseworker")
    seal = staff.team_seal(db, row.team_id)
    line = CaseMessage(
        id=said.id,
        case_id=case,
        message_id=message,
        author="caseworker",
        caseworker_id=member.caseworker_id,
        team_key_id=seal.team_key,
        sealed=b"",
    )
    sent = {"text": said.sent, "language": said.sent_language, "engine": said.engine, "flags": list(said.flags)}
    line.sealed = seal.seal({"text": said.text, "language": said.language, "sent": sent}, "case_message", line.id)
    db.insert(line)
    act(db, case, member.caseworker_id, "replied")


def was_answered(db: Transaction, case: UUID) -> bool:
    """Whether a caseworker has written in this case's chat."""
    hers = sa.select(_chat.id).where(_chat.case_id == case, _chat.author == "caseworker").limit(1)
    return db.execute(hers).scalar() is not None


def why_not(db: Transaction, reporter: Any, case: UUID | None = None) -> str:
    """Why a reporter must or can not be written to, in this case's chat or (None) at all; empty when they may be."""
    if reporter.state == "silent":
        return "The reporter asked for silence. You can write again when they write to us."
    if reporter.state == "opted_out":
        return "The reporter's carrier stopped our texts (they sent STOP). Only they can start them again."
    if not db.execute(sa.select(_address.id).where(_address.reporter_id == reporter.id).limit(1)).scalar():
        return "The reporter stays anonymous: we keep no address. They can come back with their receipt."
    if reporter.contact == "reporter_first" and not _has_written(db, case):
        return "The reporter wants to write first. You can answer once they have written again."
    return ""


def _has_written(db: Transaction, case: UUID | None) -> bool:
    theirs = sa.select(_chat.id).where(_chat.case_id == case, _chat.author == "reporter").limit(1)
    return case is not None and db.execute(theirs).scalar() is not None


def decide(db: Transaction, member: SignedIn, case: UUID, motivations: Sequence[str], reason: str) -> None:
    """Write down what the caseworker thinks the motivation was; perception and suggestion stay as they are. Raises NotYours."""
    row = mine(db, member, case)
    seal = staff.team_seal(db, row.team_id)
    decision = Decision(case_id=case, caseworker_id=member.caseworker_id, team_key_id=seal.team_key, sealed=b"")
    decision.sealed = seal.seal({"motivations": list(motivations), "reason": reason, "by": member.name}, "decision", decision.id)
    db.insert(decision)
    act(db, case, member.caseworker_id, "decided")


def close(db: Transaction, member: SignedIn, case: UUID) -> None:
    """Close a case she holds; the conversation is the bot's again. Raises NotYours, AlreadyClaimed."""
    row = mine(db, member, case)
    reporter = lock_reporter(db, row.reporter_id)
    held = sa.update(Case).where(_case.id == case, _case.state == "claimed", _case.claimed_by == member.caseworker_id)
    if db.execute(held.values(state="closed", closed_at=clock.now())).rowcount != 1:
        raise AlreadyClaimed("only the caseworker who holds a case can close it")
    _tell_outcome(db, reporter)
    act(db, case, member.caseworker_id, "closed")


def _tell_outcome(db: Transaction, reporter: Any) -> None:
    """Nobody reports into a void: who may be written to hears that our part is done, and is asked how it was."""
    under_way = sa.select(_session.id).where(_session.reporter_id == reporter.id, ~_session.is_over).limit(1)
    if reporter.contact != "yes" or db.execute(under_way).scalar() or why_not(db, reporter):
        return
    language = db.vault.reveal(reporter.profile, "reporter", "profile", reporter.id).get("language") or "en"
    answers = [catalog.render(f"option.feedback.{was}", language) for was in ("good", "mixed", "bad")]
    lines = [catalog.render("outcome.closed", language), *(f"{n} {answer}" for n, answer in enumerate(answers, start=1))]
    outbox.put(db, reporter.id, "\n".join(lines), author="bot")
    row = FlowSession(reporter_id=reporter.id, flow="feedback", expires_at=clock.now() + FEEDBACK_LIVES)
    position = {"flow": "feedback", "node": "how", "facts": {}}
    kept = {"flow": "feedback", "position": position, "before": {}, "waits_for": None}
    row.body = db.vault.hide(kept, "flow_session", "body", row.id)
    db.insert(row)


def hand_back(db: Transaction, caseworker: UUID) -> int:
    """Put the cases of somebody who has left back into the queue, as unread: a reporter must not wait for her. Returns how many."""
    held = list(db.execute(sa.select(_case.id).where(_case.state == "claimed", _case.claimed_by == caseworker)).scalars())
    for case in held:
        back = sa.update(Case).where(_case.id == case, _case.claimed_by == caseworker)
        db.execute(back.values(state="open", claimed_by=None, is_unread=True))
        act(db, case, None, "handed_back")
    return len(held)


def act(db: Transaction, case: UUID, by: UUID | None, verb: str, seal: TeamSeal | None = None, words: Any = None) -> None:
    """Write down what was done to a case: in its history, and, where a caseworker did it, in the read log; last in its commit."""
    row = CaseAction(id=uuid4(), case_id=case, caseworker_id=by, verb=verb)
    if seal and words:
        row.team_key_id, row.sealed = seal.team_key, seal.seal(words, "case_action", row.id)
    db.insert(row)
    if by is not None:
        audit.note(db, by, verb, case)
