"""The queue with many cases: what a page of each list costs, beside the bare SELECT of the same rows, on both databases.

``python -m bench.queue [CASES]`` takes another number; the cases hold nothing, as nothing sealed is opened for the queue.
"""

from __future__ import annotations

import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bench.installation import postgres
from bench.machine import family_cpu_seconds
from bench.results import Finding, at_most, heading, spread, unmeasured
from bot import case_queue, cases, clock, keys, staff
from bot.case_queue import Place, QueueRow, Wanted
from bot.keys import ServiceKey
from bot.models import Case, Reporter
from bot.privacy import TeamOpener, Vault
from bot.schema import migrate
from bot.staff import SignedIn
from bot.store import Store, engine_for

CASES, FEW = 100_000, 1_000
ROUNDS, PAGES = 5, 20  # PAGES are asked for in a round, so that a tick of a server's clock is little beside them
LISTS = {
    "waiting": Wanted(),
    "hers": Wanted(is_mine=True),
    "unclaimed": Wanted(is_free=True),
    "in danger": Wanted(least_risk=2),
    "one language": Wanted(language="pl"),
    "hers, one language": Wanted(is_mine=True, language="pl"),
    "closed": Wanted(is_closed=True),
    "closed, hers": Wanted(is_closed=True, is_mine=True),
    "closed, one language": Wanted(is_closed=True, language="pl"),
}
# What nobody can do without: the same rows by their ids, from the same three tables.
BARE = (
    'SELECT c.*, w.name, r.state FROM "case" c JOIN reporter r ON r.id = c.reporter_id '
    "LEFT JOIN caseworker w ON w.id = c.claimed_by WHERE c.id IN ({})"
)


@dataclass(frozen=True)
class Desk:
    """A filled database and who looks at it. ``cpu``: seconds of CPU used so far for asking and answering."""

    store: Store
    member: SignedIn
    cpu: Callable[[], float]

    def page(self, wanted: Wanted, after: Place | None = None) -> list[QueueRow]:
        with self.store.reading() as db:
            return case_queue.page(db, self.member, wanted, after)

    def bare(self, rows: list[QueueRow]) -> None:
        """The bare SELECT, by the driver alone."""
        with self.store.reading() as db:
            on_sqlite = self.store.engine.dialect.name == "sqlite"
            cursor = db.connection.connection.cursor()
            cursor.execute(
                BARE.format(", ".join(["?" if on_sqlite else "%s"] * len(rows))), [r.id.hex if on_sqlite else r.id for r in rows]
            )
            assert len(cursor.fetchall()) == len(rows)

    def milliseconds(self, act: Callable[[], Any]) -> float:
        """Of CPU, each time."""
        before = self.cpu()
        for _ in range(PAGES):
            act()
        return (self.cpu() - before) * 1000 / PAGES


def pages(number: int = CASES) -> Iterator[Finding]:
    """Each list's first page and one far down, on SQLite and PostgreSQL, and the same with few cases."""
    print(heading(f"The queue at {number:,} cases (CPU of a page of 100, PostgreSQL's own included)"))
    yield from _on("SQLite", number)
    yield from _on("PostgreSQL", number)


def _on(name: str, number: int) -> Iterator[Finding]:
    with ExitStack() as stack:
        try:
            many, few = (_desk(stack, name, count) for count in (number, FEW))
        except ImportError:
            yield unmeasured("-", f"the queue, {name}", "", "no PostgreSQL here: run ./setup --dev")
            return
        beside_few, beside_bare = [], []
        for title, wanted in LISTS.items():
            first = many.page(wanted)
            later = _far_down(many, wanted)
            ours: dict[str, list[float]] = {"first": [], "later": [], "few": [], "bare": []}
            for _ in range(ROUNDS):
                ours["first"].append(many.milliseconds(lambda w=wanted: many.page(w)))  # type: ignore[misc]
                ours["later"].append(many.milliseconds(lambda w=wanted, a=later: many.page(w, a)))  # type: ignore[misc]
                ours["few"].append(few.milliseconds(lambda w=wanted: few.page(w)))  # type: ignore[misc]
                ours["bare"].append(many.milliseconds(lambda r=first: many.bare(r)))  # type: ignore[misc]
            bare = statistics.median(ours["bare"])
            beside_bare.append(max(statistics.median(ours[one]) for one in ("first", "later")) / bare)
            print(
                f"  {name:10} {title:22} {len(first):3} rows: {spread(ours['first'])} ms, far down {spread(ours['later'])} ms; "
                f"bare {spread(ours['bare'])} ms; at {FEW:,} cases {spread(ours['few'])} ms"
            )
            if len(first) == len(few.page(wanted)):
                beside_few.append(statistics.median(ours["first"]) / statistics.median(ours["few"]))
        yield at_most("-", f"queue page beside its bare SELECT, {name}", max(beside_bare), 6, "times", 1)
        yield at_most("-", f"queue page at {number:,} beside {FEW:,}, {name}", max(beside_few), 1.5, "times", 2)


def _far_down(desk: Desk, wanted: Wanted) -> Place | None:
    """Where the twentieth page starts, or the last there is."""
    place: Place | None = None
    for _ in range(19):
        rows = desk.page(wanted, place)
        if len(rows) < case_queue.AT_MOST:
            break
        place = Place.of(rows[-1])
    return place


def _desk(stack: ExitStack, name: str, number: int) -> Desk:
    if name == "SQLite":
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        url, cpu = f"sqlite:///{Path(folder) / 'bench.db'}", time.process_time
    else:
        make, server = stack.enter_context(postgres())
        url, cpu = make(f"queue{number}"), lambda: time.process_time() + family_cpu_seconds(server)
    engine = engine_for(url)
    stack.callback(engine.dispose)
    migrate(engine)
    store = Store(engine, Vault(ServiceKey(bytes(32))))
    added = staff.add(store, "Amira")
    with store.reading() as db:
        team = staff.find(db, "Amira").team_id
    others = [staff.add(store, f"Caseworker {n}").caseworker_id for n in range(4)]
    _fill(store, team, [added.caseworker_id, *others], number)
    if name == "PostgreSQL":
        with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as db:
            db.execute(sa.text("VACUUM ANALYZE"))  # as its own autovacuum does in time
    return Desk(store, SignedIn(added.caseworker_id, team, "Amira", TeamOpener({}), keys.SessionSecret.new()), cpu)


def _fill(store: Store, team: UUID, staff_of: list[UUID], number: int) -> None:
    """``number`` cases of as many reporters over a year: three of ten closed, one claimed, one of twenty in Polish."""
    chance, now = random.Random(7), clock.now()
    for start in range(0, number, 10_000):
        reporters, rows = [], []
        for n in range(start, min(start + 10_000, number)):
            reporter = Reporter(team_id=team, profile=b"")
            state = chance.choices(("open", "claimed", "closed"), (60, 10, 30))[0]
            case = Case(
                team_id=team, reporter_id=reporter.id, reference=f"{n:08}", state=state, risk=chance.choice((0, 0, 0, 1, 2, 3))
            )
            case.opened_at = now - timedelta(seconds=chance.randrange(365 * 86_400))
            case.closed_at = case.opened_at + timedelta(days=chance.randrange(30)) if state == "closed" else None
            case.claimed_by = None if state == "open" else chance.choice(staff_of)
            case.language = cases.language_mark(store.vault, chance.choices(("en", "ar", "pl", None), (50, 40, 5, 5))[0])
            reporters.append(reporter.model_dump())
            rows.append(case.model_dump())
        with store.transaction() as db:
            db.execute(sa.insert(Reporter), reporters)
            db.execute(sa.insert(Case), rows)


if __name__ == "__main__":
    list(pages(int(sys.argv[1]) if len(sys.argv) > 1 else CASES))
