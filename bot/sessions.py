"""Where a reporter is: what their unfinished conversation holds, read, kept and erased."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import cases, clock, keys, tallies
from bot.models import FlowSession, Reporter, new_id
from bot.store import Transaction, lock_reporter
from flows.model import Position

UNFINISHED_LIVES = timedelta(days=30)
LONG_SILENCE = timedelta(days=2)  # after it we ask whether to go on
NOT_TOLD = frozenset({"channel", "first", "unclear_at", "unclear_count", "way", "return_to", "unread", "word"})  # facts of our own

_session: Any = FlowSession.__table__.c  # type: ignore[attr-defined]
_reporter: Any = Reporter.__table__.c  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Session:
    """Where a reporter is. ``before``: facts gathered while there is no position yet, such as their first words.

    ``waits_for``: nothing, the ``language`` menu, ``go_on`` (they asked for silence and wrote again), ``pause`` (may a person read
    it if they do not come back?), ``resume`` (they paused), ``resumed`` (go on, or start again?), the ``word`` they chose.
    ``held``: what they wrote on coming back, the answer to the open question once they go on. ``may_read``: they agreed that a
    person reads it.
    """

    flow: str = "report"
    position: Position | None = None
    before: Mapping[str, Any] = field(default_factory=dict)
    waits_for: str | None = None
    held: str = ""
    may_read: bool = False
    was_abused: bool = False
    was_offered: bool = False

    def as_dict(self) -> dict[str, Any]:
        position = self.position.as_dict() if self.position else None
        kept = {"flow": self.flow, "position": position, "before": dict(self.before), "waits_for": self.waits_for}
        return kept | {name: getattr(self, name) for name in _LATER}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Session:
        position = Position.from_dict(kept["position"]) if kept["position"] else None
        more = {name: kept[name] for name in _LATER if name in kept}
        return cls(kept["flow"], position, kept["before"], kept["waits_for"], **more)


_LATER = ("held", "may_read", "was_abused", "was_offered")  # a session written by an earlier release has none of these


@dataclass(frozen=True)
class Situation:
    """All that decides what a text means: the reporter, the case that owns the conversation, and where they are in a flow."""

    reporter: Any
    profile: Mapping[str, Any]
    owner: Any
    latest: Any
    session: Session | None
    session_id: UUID | None
    is_long_silent: bool = False
    is_invited: bool = False  # a text of ours waits for them to write (a channel's window was closed)

    @property
    def language(self) -> str | None:
        return self.profile.get("language")


def read(db: Transaction, reporter: UUID, *, reads_session: bool = True) -> Situation:
    """Everything that decides what this reporter's next text means; the session is left out where it may be what cannot be read.

    Raises KeyError for a reporter who is gone.
    """
    return read_all(db, [reporter], reads_session=reads_session)[reporter]


def read_all(db: Transaction, reporters: Collection[UUID], *, reads_session: bool = True) -> dict[UUID, Situation]:
    """The same of many reporters, without those who are gone."""
    # The reporters first: whatever is read after their revision and has moved since is found out by it.
    found = {row.id: row for row in db.execute(_WHERE_THEY_ARE, {"of": list(reporters)})}
    their_cases = cases.owner_and_latest_of(db, found)
    return {of: _situation(db, row, *their_cases[of], reads_session=reads_session) for of, row in found.items()}


def _situation(db: Transaction, reporter: Any, owner: Any, latest: Any, *, reads_session: bool) -> Situation:
    active = reporter.active_id if reads_session else None
    session = Session.from_dict(db.vault.reveal(reporter.active_body, "flow_session", "body", active)) if active else None
    profile = db.vault.reveal(reporter.profile, "reporter", "profile", reporter.id)
    is_long_silent = bool(active and reporter.active_until < clock.now() + UNFINISHED_LIVES - LONG_SILENCE)
    return Situation(reporter, profile, owner, latest, session, active, is_long_silent)


def save(db: Transaction, before: Situation, session: Session | None) -> None:
    """Keep where they are now, or that nothing is under way any more. Their row is held: nobody else changes it meanwhile."""
    if session == before.session:
        return
    if session is None:
        db.write(_CHANGE, {"active": before.session_id, "is_over": True, "body": None})
        return
    kept = before.session_id or new_id()
    body = db.vault.hide(session.as_dict(), "flow_session", "body", kept)
    row = {"flow": session.flow, "expires_at": clock.now() + UNFINISHED_LIVES, "body": body}
    if before.session_id:
        db.write(_CHANGE, {"active": kept, **row})
    else:
        db.write(_NEW, {"id": kept, "reporter_id": before.reporter.id, **row})


# Built once, as every text takes them (see store).
_REPORTER = sa.select(*_reporter).where(_reporter.id.in_(sa.bindparam("of", expanding=True)))
_WHERE_THEY_ARE = (
    _REPORTER.add_columns(
        _session.id.label("active_id"), _session.body.label("active_body"), _session.expires_at.label("active_until")
    )
    .select_from(Reporter.__table__)  # type: ignore[attr-defined]
    .outerjoin(FlowSession.__table__, sa.and_(_session.reporter_id == _reporter.id, ~_session.is_over))  # type: ignore[attr-defined]
)
_NEW = sa.insert(FlowSession.__table__)  # type: ignore[attr-defined]
_CHANGE = sa.update(FlowSession.__table__).where(_session.id == sa.bindparam("active"), ~_session.is_over)  # type: ignore[attr-defined]


def erase_expired(db: Transaction) -> int:
    """Erase the answers of conversations nobody finished. Returns how many.

    Who agreed that a person reads it if they do not come back: their words become a case marked unconfirmed. Else only that
    there was a story, in which language, is counted.
    """
    expired = sa.select(*_session).where(~_session.is_over, _session.expires_at <= clock.now())
    found = db.execute(expired).all()
    half_told: Counter[tuple[UUID, str]] = Counter()
    for row in found:
        reporter = lock_reporter(db, row.reporter_id)
        if db.execute(expired.where(_session.id == row.id)).one_or_none() is None:
            continue  # they wrote at this very moment
        half_told.update(_keep_if_agreed(db, row, reporter))
        db.execute(sa.update(FlowSession).where(_session.id == row.id).values(is_over=True, body=None))
    for (team, language), number in half_told.items():
        tallies.add(db, team, {f"half_told {language}": number})
    return len(found)


def _keep_if_agreed(db: Transaction, row: Any, reporter: Any) -> list[tuple[UUID, str]]:
    """Returns the team and language of a story that is erased."""
    try:
        session = Session.from_dict(db.vault.reveal(row.body, "flow_session", "body", row.id))
    except (keys.WrongKey, ValueError, KeyError, TypeError):  # what cannot be read any more is only erased
        return []
    if session.position is None:
        return []
    told = {k: v for k, v in session.position.facts.items() if k not in NOT_TOLD}
    told["language"] = db.vault.reveal(reporter.profile, "reporter", "profile", reporter.id).get("language")
    if not session.may_read:
        return [(reporter.team_id, told["language"] or "unknown")] if told.get("story") else []
    cases.open_case(db, reporter, told, kind="unconfirmed")
    return []
