"""The queue: a team's cases a page at a time, each list read from where the page starts, and nothing sealed opened for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot.cases import EMERGENCY, language_mark
from bot.models import IS_CLOSED, IS_WAITING, Case, Caseworker, Reporter
from bot.privacy import Vault, pseudonym
from bot.staff import SignedIn
from bot.store import Transaction
from translations import catalog

AT_MOST = 100
UNKNOWN, OTHER = "unknown", "other"  # not told yet; not one of ours

_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_caseworker: Any = Caseworker.__table__.c  # type: ignore[attr-defined]
_reporter: Any = Reporter.__table__.c  # type: ignore[attr-defined]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class QueueRow:
    """One line of the queue. ``language``: its code, OTHER, or UNKNOWN."""

    id: UUID
    reference: str
    kind: str
    state: str
    risk: int
    is_unread: bool
    opened_at: datetime
    closed_at: datetime | None
    language: str
    reporter: str
    claimed_by: str | None
    is_mine: bool
    reporter_state: str


@dataclass(frozen=True)
class Wanted:
    """Which cases: ``Wanted(least_risk=2, language="pl")``. ``is_mine``: that she holds, or, of the closed ones, held last.

    ``is_free`` and ``least_risk`` are asked of waiting cases only; ``language`` may be UNKNOWN.
    """

    is_closed: bool = False
    is_mine: bool = False
    is_free: bool = False
    least_risk: int = 0
    language: str = ""


@dataclass(frozen=True)
class Place:
    """A case's place in a list, which is where the next page goes on: it stays one when cases come and go before it."""

    risk: int
    at: datetime
    id: UUID

    @classmethod
    def of(cls, row: QueueRow) -> Place:
        return cls(row.risk, row.closed_at or row.opened_at, row.id)

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """A place as ``str`` wrote it; None for anything else."""
        try:
            risk, at, case = text.split(".")
            return cls(int(risk), _EPOCH + timedelta(microseconds=int(at)), UUID(case))
        except (ValueError, OverflowError):
            return None

    def __str__(self) -> str:
        return f"{self.risk}.{(self.at - _EPOCH) // timedelta(microseconds=1)}.{self.id.hex}"


def page(
    db: Transaction, member: SignedIn, wanted: Wanted = Wanted(), after: Place | None = None, limit: int = AT_MOST
) -> list[QueueRow]:
    """Her team's cases that wait, the highest risk first, then the oldest; or the closed ones, the one closed last first.

    ``after``: where the page before ended.
    """
    found = _closed(db, member, wanted, after, limit) if wanted.is_closed else _waiting(db, member, wanted, after, limit)
    known = languages_by_mark(db.vault)
    return [
        QueueRow(
            r.id,
            r.reference,
            r.kind,
            r.state,
            r.risk,
            r.is_unread,
            r.opened_at,
            r.closed_at,
            known.get(r.language, OTHER) if r.language else UNKNOWN,
            pseudonym(r.reporter_id),
            r.owner,
            r.claimed_by == member.caseworker_id,
            r.reporter_state,
        )
        for r in found
    ]


def _waiting(db: Transaction, member: SignedIn, wanted: Wanted, after: Place | None, limit: int) -> Sequence[Any]:
    """One risk after the other: within one, the index has the cases in the order they are shown in."""
    found: list[Any] = []
    for risk in range(after.risk if after else EMERGENCY, wanted.least_risk - 1, -1):
        line = _chosen(db, member, wanted).where(sa.text(f'"case".{IS_WAITING}'), _case.risk == risk)
        if wanted.is_free:
            line = line.where(_case.state == "open")
        if after and risk == after.risk:
            line = line.where(
                sa.tuple_(_case.opened_at, _case.id) > sa.tuple_(sa.literal(after.at, _case.opened_at.type), after.id)
            )
        found += db.execute(line.order_by(_case.opened_at, _case.id).limit(limit - len(found)))
        if len(found) == limit:
            break
    return found


def _closed(db: Transaction, member: SignedIn, wanted: Wanted, after: Place | None, limit: int) -> Sequence[Any]:
    line = _chosen(db, member, wanted).where(sa.text(f'"case".{IS_CLOSED}'))
    if after:
        line = line.where(sa.tuple_(_case.closed_at, _case.id) < sa.tuple_(sa.literal(after.at, _case.closed_at.type), after.id))
    return db.execute(line.order_by(_case.closed_at.desc(), _case.id.desc()).limit(limit)).all()


_ROWS = (
    sa.select(
        *(_case[name] for name in ("id", "reference", "kind", "state", "risk", "is_unread", "opened_at", "closed_at", "language"))
    )
    .add_columns(_case.reporter_id, _case.claimed_by, _caseworker.name.label("owner"), _reporter.state.label("reporter_state"))
    .join_from(Case.__table__, Reporter.__table__, _case.reporter_id == _reporter.id)  # type: ignore[attr-defined]
    .outerjoin(Caseworker.__table__, _case.claimed_by == _caseworker.id)  # type: ignore[attr-defined]
)


def _chosen(db: Transaction, member: SignedIn, wanted: Wanted) -> Any:
    rows = _ROWS.where(_case.team_id == member.team_id)
    if wanted.is_mine:
        rows = rows.where(_case.claimed_by == member.caseworker_id)
    if wanted.language:
        mark = None if wanted.language == UNKNOWN else language_mark(db.vault, wanted.language)
        rows = rows.where(_case.language == mark if mark else _case.language.is_(None))
    return rows


def find(db: Transaction, member: SignedIn, reference: str) -> UUID | None:
    """A case of her team by its reference, as somebody says it: ``"k7mq24xp"``, ``"K7MQ 24XP"``."""
    signs = "".join(c for c in reference.upper() if c.isalnum())
    found: UUID | None = db.execute(
        sa.select(_case.id).where(_case.reference == f"{signs[:4]}-{signs[4:]}", _case.team_id == member.team_id)
    ).scalar()
    return found


def languages_by_mark(vault: Vault) -> Mapping[bytes, str]:
    """The codes of our languages, by the marks that stand in the rows of cases."""
    return {mark: code for code in catalog.languages() if (mark := language_mark(vault, code))}
