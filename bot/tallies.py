"""Counts that outlive what they count: one box a team and year, with labels and numbers, never a text or a case."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import clock
from bot.models import Tally, Team
from bot.store import Transaction

FEWEST = 5  # a smaller number could point to a person and is not shown

_tally: Any = Tally.__table__.c  # type: ignore[attr-defined]
_team: Any = Team.__table__.c  # type: ignore[attr-defined]


def add(db: Transaction, team: UUID, changes: Mapping[str, int], year: int | None = None) -> None:
    """Change a team's counts of a year (this one): ``add(db, team, {"half_told pt": 1})``."""
    if not changes:
        return
    year = year or clock.now().year
    db.execute(sa.select(_team.id).where(_team.id == team).with_for_update()).one()  # one change at a time
    row = db.one(sa.select(*_tally).where(_tally.team_id == team, _tally.year == year))
    if row is None:
        row = Tally(team_id=team, year=year, box=b"")
        row.box = db.vault.hide(_sum({}, changes), "tally", "box", row.id)
        db.insert(row)
        return
    counts = _sum(db.vault.reveal(row.box, "tally", "box", row.id), changes)
    db.execute(sa.update(Tally).where(_tally.id == row.id).values(box=db.vault.hide(counts, "tally", "box", row.id)))


def _sum(counts: Mapping[str, int], changes: Mapping[str, int]) -> dict[str, int]:
    total = Counter(counts)
    total.update(changes)
    return {label: number for label, number in total.items() if number > 0}


def read(db: Transaction, team: UUID) -> dict[int, Mapping[str, int]]:
    """A team's counts, the newest year first."""
    rows = db.execute(sa.select(*_tally).where(_tally.team_id == team).order_by(_tally.year.desc()))
    return {r.year: db.vault.reveal(r.box, "tally", "box", r.id) for r in rows}


def shown(number: int) -> str:
    """A count as it may be seen: ``"7"``, ``"0"``, ``"under 5"``."""
    return "under 5" if 0 < number < FEWEST else str(number)
