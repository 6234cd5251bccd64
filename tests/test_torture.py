"""The short form of the torture test; `make torture` is the long one."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from bot.privacy import what_failed
from bot.store import engine_for
from tests.torture import disk, networks
from tests.torture.run import Outcome, Plan, run

SEED = secrets.randbelow(1_000_000)  # printed with a failure; `make torture ARGS="--seed …"` plays it again


@pytest.fixture
def empty_database(postgres: str) -> Iterator[str]:
    """A database of PostgreSQL that nobody has set up yet."""
    name = f"torture_{uuid4().hex}"
    admin = engine_for(postgres).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as db:
        db.execute(sa.text(f"CREATE DATABASE {name}"))
    yield postgres.replace("/postgres?", f"/{name}?")
    with admin.connect() as db:
        db.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


def _is_as_promised(outcome: Outcome, least_kills: int) -> None:
    print(outcome)
    assert outcome.wrong == [], outcome
    assert outcome.kills >= least_kills, outcome
    assert outcome.texts > 20, outcome


def test_on_sqlite_nothing_is_lost_doubled_or_said_after_silence_whatever_is_killed(tmp_path: Path) -> None:
    _is_as_promised(run(Plan(SEED, 6, at_once=6, texts_between=12), tmp_path), 3)


def test_on_postgresql_nothing_is_lost_doubled_or_said_after_silence_whatever_is_killed_or_cut(
    empty_database: str, tmp_path: Path
) -> None:
    outcome = run(Plan(SEED, 6, empty_database, at_once=6, texts_between=12), tmp_path)
    _is_as_promised(outcome, 3)
    assert outcome.pauses > 0, outcome


@pytest.mark.skipif(bool(disk.missing()), reason=disk.missing())
def test_on_a_disk_that_fills_up_nothing_is_lost(tmp_path: Path) -> None:
    outcome = run(Plan(SEED, 4, at_once=4, texts_between=8, has_small_disk=True), tmp_path)
    _is_as_promised(outcome, 2)
    assert outcome.full > 0, outcome


@pytest.mark.skipif(bool(disk.missing()), reason=disk.missing())
def test_on_postgresql_whose_disk_fills_up_nothing_is_lost(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="tellonce-") as short, disk.small_postgres(Path(short)) as server:
        outcome = run(Plan(SEED, 3, server.url, at_once=3, texts_between=8, fill=server.fill), tmp_path)
        _is_as_promised(outcome, 2)
        assert outcome.full > 0 and "No space left on device" in server.log.read_text(), outcome


@pytest.mark.skipif(bool(disk.missing()), reason=disk.missing())
def test_a_full_disk_of_postgresql_is_said_in_clear_words(tmp_path: Path) -> None:
    said: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tellonce-") as short, disk.small_postgres(Path(short)) as server:
        engine = engine_for(server.url)
        with engine.connect() as db:
            db.execute(sa.text("CREATE UNLOGGED TABLE ballast (n integer)"))
            db.commit()

            def write() -> None:
                with pytest.raises(sa.exc.OperationalError) as caught:
                    db.execute(sa.text("INSERT INTO ballast SELECT generate_series(1, 10000)"))
                said.append(what_failed(caught.value))

            disk.fill(server.folder, write)
        engine.dispose()
    assert "the disk of the database is full: make room" in said[0]


@pytest.mark.skipif(bool(networks.missing()), reason=networks.missing())
def test_three_machines_that_are_cut_off_from_postgresql_lose_and_double_nothing(empty_database: str, tmp_path: Path) -> None:
    outcome = run(Plan(SEED, 6, empty_database, at_once=6, texts_between=8, has_networks=True), tmp_path)
    _is_as_promised(outcome, 2)
    assert outcome.cut_off > 0, outcome
