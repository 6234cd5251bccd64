"""The queue's page with many cases: the CPU time of the question to the database, on SQLite.

``python -m bench.queue [CASES]`` prints milliseconds of CPU; the cases hold nothing, as nothing sealed is opened for the queue.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import case_files, clock, keys, staff
from bot.keys import ServiceKey
from bot.models import Case, Reporter
from bot.privacy import TeamOpener, Vault
from bot.staff import SignedIn
from bot.store import Store, engine_for, migrate

ROUNDS = 7


def fill(store: Store, team: UUID, number: int) -> None:
    """``number`` cases of as many reporters, nine of ten of them closed or claimed, over a year."""
    chance, now = random.Random(7), clock.now()
    reporters, cases = [], []
    for n in range(number):
        reporter = Reporter(team_id=team, profile=b"")
        opened = now - timedelta(seconds=chance.randrange(365 * 86_400))
        state = chance.choices(("open", "claimed", "closed"), (60, 10, 30))[0]
        case = Case(team_id=team, reporter_id=reporter.id, reference=f"{n:08}", state=state, risk=chance.choice((0, 0, 0, 1, 2, 3)))
        case.opened_at = opened
        reporters.append(reporter.model_dump())
        cases.append(case.model_dump())
    with store.transaction() as db:
        for start in range(0, number, 10_000):
            db.execute(sa.insert(Reporter), reporters[start : start + 10_000])
            db.execute(sa.insert(Case), cases[start : start + 10_000])


def milliseconds(act: Callable[[], Any]) -> float:
    """The middle one of several rounds."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        act()
        times.append((time.process_time() - start) * 1000)
    return sorted(times)[ROUNDS // 2]


def main(number: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = engine_for(f"sqlite:///{Path(folder) / 'bench.db'}")
        migrate(engine)
        store = Store(engine, Vault(ServiceKey(bytes(32))))
        added = staff.add(store, "Amira")
        with store.reading() as db:
            team = staff.find(db, "Amira").team_id
        fill(store, team, number)
        member = SignedIn(added.caseworker_id, team, "Amira", TeamOpener({}), keys.SessionSecret.new())

        def ask(**wanted: Any) -> Callable[[], None]:
            def act() -> None:
                with store.reading() as db:
                    case_files.queue(db, member, **wanted)

            return act

        print(f"{number:,} cases on SQLite")
        print(f"open queue, first 100:   {milliseconds(ask()):7.1f} ms")
        print(f"closed, first 100:       {milliseconds(ask(states=('closed',))):7.1f} ms")
        for name, wanted in (
            ("page 100 of open", {"start": 10_000}),
            ("hers", {"is_mine": True}),
            ("risk 2 and more", {"least_risk": 2}),
        ):
            print(f"{name + ':':24} {milliseconds(ask(**wanted)):7.1f} ms")
        engine.dispose()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
