"""The database: its schema, its times, its locks, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlmodel import SQLModel

from bot import schema
from bot import store as stores
from bot.models import Attachment, Case, Example, Reporter, Team, new_id
from bot.schema import WrongSchema, migrate, require_schema, revisions, schema_state
from bot.store import Store, Transaction, engine_for, next_sequence

_team = Team.__table__.c  # type: ignore[attr-defined]
_reporters = Reporter.__table__.c  # type: ignore[attr-defined]


def _reporter(db: Transaction) -> Reporter:
    team = Team(name="caseworkers", recovery_public=b"p")
    db.insert(team)
    row = Reporter(team_id=team.id, profile=b"box")
    db.insert(row)
    return row


# -- the schema ----------------------------------------------------------------------------------------------------------------


def test_the_files_of_the_migrations_are_named_as_they_follow_each_other() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    assert revisions() == [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def test_an_empty_sqlite_database_is_brought_to_the_present_schema(tmp_path: Path) -> None:
    engine = engine_for(f"sqlite:///{tmp_path / 'folder' / 'new.db'}")
    assert schema_state(engine) == "empty"
    with pytest.raises(WrongSchema, match="tellonce migrate"):
        require_schema(engine)
    migrate(engine)
    assert schema_state(engine) == "current"
    require_schema(engine)
    migrate(engine)
    engine.dispose()


def test_the_models_are_what_the_migrations_make(store: Store) -> None:
    with store.engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), SQLModel.metadata)
    assert differences == []


def test_a_newer_database_is_refused_and_left_alone(store: Store) -> None:
    with store.transaction() as db:
        db.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    assert schema_state(store.engine) == "newer"
    for act in (migrate, require_schema):
        with pytest.raises(WrongSchema, match="newer than this Tellonce"):
            act(store.engine)
    with store.reading() as db:
        assert db.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one() == "9999"


def test_an_older_database_is_told_to_migrate(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    later = tmp_path / "migrations"
    (later / "versions").mkdir(parents=True)
    for file in [*schema._MIGRATIONS.glob("*.*"), *schema._MIGRATIONS.glob("versions/*.py")]:
        (later / file.relative_to(schema._MIGRATIONS)).write_bytes(file.read_bytes())
    with store.reading() as db:
        here = db.execute(sa.text("SELECT version_num FROM alembic_version")).scalar_one()
    (later / "versions" / "9999_next.py").write_text(
        f"revision, down_revision = '9999', {here!r}\ndef upgrade(): pass\ndef downgrade(): pass\n"
    )
    monkeypatch.setattr(schema, "_MIGRATIONS", later)
    assert schema_state(store.engine) == "older"
    with pytest.raises(WrongSchema, match="run `tellonce migrate`"):
        require_schema(store.engine)
    migrate(store.engine)
    assert schema_state(store.engine) == "current"


# -- rows ----------------------------------------------------------------------------------------------------------------------


def test_a_time_comes_back_aware_and_the_same(store: Store) -> None:
    at = datetime(2026, 3, 29, 3, 30, 0, 123456, tzinfo=timezone(timedelta(hours=2)))
    with store.transaction() as db:
        db.insert(Team(name="t", recovery_public=b"", made_at=at))
        read = db.execute(sa.select(_team.made_at)).scalar_one()
    assert read == at and read.tzinfo is not None and read.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_not_written(store: Store) -> None:
    naive = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)
    with pytest.raises(sa.exc.StatementError, match="without a zone"), store.transaction() as db:
        db.insert(Team(name="t", recovery_public=b"", made_at=naive))


def test_a_failed_transaction_leaves_nothing(store: Store) -> None:
    with pytest.raises(LookupError), store.transaction() as db:
        _reporter(db)
        raise LookupError
    with store.reading() as db:
        assert db.one(sa.select(_team.id)) is None


def test_places_in_line_are_given_once_however_many_ask(store: Store) -> None:
    with store.transaction() as db:
        reporter = _reporter(db).id
    given: list[int] = []

    def ask() -> None:
        for _ in range(5):
            with store.transaction() as db:
                given.append(next_sequence(db, reporter))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, 31))


def test_a_reporter_who_is_gone_cannot_be_locked(store: Store) -> None:
    with pytest.raises(sa.exc.NoResultFound), store.transaction() as db:
        stores.lock_reporter(db, uuid4())


def test_what_is_only_written_goes_out_before_the_next_question_and_at_the_end(store: Store) -> None:
    with store.transaction() as db:
        team = _reporter(db).team_id
    renamed = sa.update(Team.__table__).where(_team.id == sa.bindparam("which"))  # type: ignore[attr-defined]
    with store.transaction() as db:
        db.write(renamed, {"which": team, "name": "first"})
        assert db.execute(sa.select(_team.name)).scalar_one() == "first"
        db.write(renamed, {"which": team, "name": "last"})
    with store.reading() as db:
        assert db.execute(sa.select(_team.name)).scalar_one() == "last"


def test_all_that_changes_about_a_reporter_whom_one_holds_is_kept_at_the_end(store: Store) -> None:
    with store.transaction() as db:
        reporter = _reporter(db).id
    with store.transaction() as db:
        stores.hold_reporters(db, [reporter])
        stores.move_on(db, reporter, contact="yes")
        assert db.one(sa.select(_reporters.contact).where(_reporters.id == reporter)).contact == "yes"
        assert [next_sequence(db, reporter) for _ in range(2)] == [1, 2]
        with pytest.raises(LookupError), db.savepoint():
            stores.move_on(db, reporter, state="opted_out")
            assert next_sequence(db, reporter) == 3
            raise LookupError
        stores.move_on(db, reporter, state="silent")
    with store.transaction() as db:
        row = stores.lock_reporter(db, reporter)
        assert (row.contact, row.state, row.last_sequence, row.revision) == ("yes", "silent", 2, 3)
        assert next_sequence(db, reporter) == 3


def test_ids_are_new_and_lie_in_the_order_they_were_made() -> None:
    made = []
    for _ in range(3):
        made.append([new_id() for _ in range(500)])
        time.sleep(0.005)
    assert len({one for group in made for one in group}) == 1500 and {one.version for group in made for one in group} == {7}
    assert max(made[0]) < min(made[1]) and max(made[1]) < min(made[2])


@pytest.mark.parametrize("table", [Case, Reporter, Example, Attachment])
def test_an_id_that_is_shown_or_outlives_its_row_does_not_tell_when_it_was_made(table: type[SQLModel]) -> None:
    make: Any = table.model_fields["id"].default_factory
    assert make().version == 4


def test_what_was_written_before_a_savepoint_outlives_what_fails_in_it(store: Store) -> None:
    with store.transaction() as db:
        team = _reporter(db).team_id
    renamed = sa.update(Team.__table__).where(_team.id == sa.bindparam("which"))  # type: ignore[attr-defined]
    with store.transaction() as db:
        db.write(renamed, {"which": team, "name": "before"})
        with pytest.raises(LookupError), db.savepoint():
            db.write(renamed, {"which": team, "name": "inside"})
            raise LookupError
    with store.reading() as db:
        assert db.execute(sa.select(_team.name)).scalar_one() == "before"


# -- waiting -------------------------------------------------------------------------------------------------------------------


def test_a_locked_sqlite_database_is_waited_for(sqlite_store: Store) -> None:
    locked, released = threading.Event(), threading.Event()

    def hold() -> None:
        with sqlite_store.transaction() as db:
            _reporter(db)
            locked.set()
            released.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    assert locked.wait(10)
    threading.Timer(0.3, released.set).start()
    began = time.monotonic()
    with sqlite_store.transaction() as db:
        assert db.execute(sa.select(_team.name)).scalar_one() == "caseworkers"
    assert time.monotonic() - began > 0.2
    holder.join()


def test_reading_waits_for_nobody(sqlite_store: Store) -> None:
    with sqlite_store.transaction() as writing:
        _reporter(writing)
        with sqlite_store.reading() as db:
            assert db.one(sa.select(_team.id)) is None


def test_sqlite_writes_through_to_the_disk_and_erases_what_is_deleted(sqlite_store: Store) -> None:
    with sqlite_store.reading() as db:
        found = {name: db.connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")}
        found |= {name: db.connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("foreign_keys", "secure_delete")}
    assert found == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "secure_delete": 1}


def test_an_error_of_the_database_shows_no_values(store: Store) -> None:
    with pytest.raises(sa.exc.IntegrityError) as failed, store.transaction() as db:
        db.insert(Reporter(team_id=uuid4(), profile=b"Zitronenfalter"))
    assert "Zitronenfalter" not in str(failed.value)
