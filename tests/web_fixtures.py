"""Fixtures of the console's tests: two teams, reporters with reports, a translator, and a client that acts as a browser does."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import anyio
import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from sqlmodel import SQLModel

from bot import cases, inbox, staff, work_copies
from bot.keys import ServiceKey
from bot.messages import IncomingMessage
from bot.models import CodeTries, Message
from bot.privacy import Vault
from bot.settings import Settings
from bot.staff import Added
from bot.store import Store, engine_for, lock_reporter
from bot.web import console
from tests.conftest import postgres_copy
from translations.machine import Translation

STORY = "Ontem um homem no ônibus gritou “volta para a tua terra” e me empurrou.\nNão caí, mas tive medo."
STORY_EN = "Yesterday a man on the bus shouted “go back to your country” and pushed me.\nI did not fall, but I was afraid."


@dataclass
class SayingTranslator:
    """Translates the texts it was told of; for any other text it has no route. Keeps what it was asked."""

    known: dict[tuple[str, str, str], Translation] = field(default_factory=dict)
    asked: list[tuple[str, str, str]] = field(default_factory=list)

    def knows(self, text: str, source: str, target: str, said: str, *flags: str) -> None:
        self.known[text, source, target] = Translation(said, "argos/test", (source, target), flags, "0")

    def translate(self, text: str, source: str, target: str) -> Translation:
        self.asked.append((text, source, target))
        return self.known.get((text, source, target), Translation(None, "none", (), ("interpreter_needed",), ""))


@dataclass
class Office:
    """A running console with what a test wants to look at."""

    store: Store
    settings: Settings
    translator: SayingTranslator
    app: FastAPI
    amira: Added
    lena: Added
    sam: Added
    cookie: str = ""  # of a session of Amira's that is already open
    numbers: int = 0

    def report(self, told: Mapping[str, Any] | None = None, **kwargs: Any) -> UUID:
        """A new reporter with a confirmed report. Returns the case."""
        self.numbers += 1
        number = f"+4477009{self.numbers:05}"
        told = {**REPORT, **told} if told is not None else REPORT
        with self.store.transaction() as db:
            message = inbox.accept(db, IncomingMessage("sms", number, "Oi", f"SM{self.numbers}"))
            reporter_id = db.execute(
                sa.select(Message.__table__.c.reporter_id).where(Message.__table__.c.id == message)
            ).scalar_one()
            return cases.open_case(db, lock_reporter(db, reporter_id), told, **kwargs).id

    def machine_is_done(
        self, story: str | None = None, suggestion: Mapping[str, Any] | None = None, flags: Sequence[str] = ()
    ) -> None:
        """Let the machine finish its work on the oldest copy: ``story`` is its translation, with ``flags``."""
        with self.store.transaction() as db:
            work = work_copies.claim(db)
            assert work is not None
            made = {
                name: {"text": f"[{text}]", "engine": "argos/test", "route": [], "flags": list(flags), "model": "0"}
                for name, text in work.texts.items()
            }
            if story:
                made["story"]["text"] = story
            work_copies.finish(db, work, made, suggestion if suggestion is not None else {})

    def browser(self) -> Browser:
        return Browser(self.app)

    def signed_in(self) -> Browser:
        """Amira's browser, in the session that is already open."""
        browser = self.browser()
        browser.cookies.set("__Host-tellonce", self.cookie, domain="console.test")
        return browser

    def signs_in(self, who: Added | None = None, name: str = "Amira") -> Browser:
        """A browser in which somebody signs in with name and password."""
        browser = self.browser()
        answer = browser.post("/sign-in", {"name": name, "password": (who or self.amira).password})
        assert answer.status_code == 303, answer.text
        return browser

    def rows(self, table: Any, **where: Any) -> list[Any]:
        columns = table.__table__.c
        with self.store.reading() as db:
            return list(db.execute(sa.select(*columns).where(*(columns[k] == v for k, v in where.items()))))


REPORT: Mapping[str, Any] = {
    "role": "victim",
    "story": STORY.split("\n"),
    "perception": "Porque eu falo português.",
    "when": "ontem",
    "where": "skipped",
    "safe_now": "no",
    "contact": "yes",
    "told": [],
    "remarks": [],
    "language": "pt",
}


class Browser:
    """Posts and gets as a browser does, keeping the cookie; redirects are not followed."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self.cookies = httpx.Cookies()

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, form: Mapping[str, Any] | None = None, **headers: str) -> httpx.Response:
        return self._ask("POST", path, dict(form or {}), {"sec-fetch-site": "same-origin", **headers})

    def send(self, page: str, path: str, form: Mapping[str, Any] | None = None, **headers: str) -> httpx.Response:
        """Post a form that stands on ``page``: with that page's token."""
        return self.post(path, {"token": self.token(page), **(form or {})}, **headers)

    def token(self, page: str = "/queue") -> str:
        found = re.search(r'name="token" value="([0-9a-f]{32})"', self.get(page).text)
        assert found, "no form with a token on the page"
        return found[1]

    def _ask(self, method: str, path: str, form: dict[str, Any] | None, headers: Mapping[str, str]) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="https://console.test", cookies=self.cookies) as client:
                answer = await client.request(method, path, data=form, headers=named)
                self.cookies = client.cookies
                return answer

        return anyio.run(ask)


@dataclass(frozen=True)
class Staff:
    """A database with two teams, made once: passwords are slow on purpose. ``cookie``: Amira is signed in."""

    database: bytes
    amira: Added
    lena: Added
    sam: Added
    cookie: str


@pytest.fixture(scope="session")
def caseworkers(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Staff:
    path = tmp_path_factory.mktemp("staff") / "tellonce.db"
    path.write_bytes(sqlite_template.read_bytes())
    store = Store(engine_for(f"sqlite:///{path}"), Vault(ServiceKey(bytes(range(32)))))
    amira, lena, sam = staff.add(store, "Amira"), staff.add(store, "Lena"), staff.add(store, "Sam", team="another team")
    cookie = staff.sign_in(store, "Amira", amira.password).cookie
    with store.transaction() as db:
        member = staff.signed_in(db, cookie, timedelta(minutes=30))
        assert member is not None
        staff.let_in(db, member, lena.caseworker_id)
    with store.engine.connect() as db:
        db.exec_driver_sql("COMMIT")
        db.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        db.exec_driver_sql("BEGIN")
    store.engine.dispose()
    return Staff(path.read_bytes(), amira, lena, sam, cookie)


@pytest.fixture(scope="session")
def caseworkers_on_postgres(caseworkers: Staff, postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same two teams, row for row, in a PostgreSQL database to be copied; its name."""
    path = tmp_path_factory.mktemp("staff") / "tellonce.db"
    path.write_bytes(caseworkers.database)
    source = engine_for(f"sqlite:///{path}")
    with postgres_copy(postgres) as url:
        target = engine_for(url)
        with source.connect() as here, target.begin() as there:
            there.execute(sa.delete(CodeTries))  # the one row that a new database has
            for table in SQLModel.metadata.sorted_tables:
                if rows := [dict(row) for row in here.execute(sa.select(table)).mappings()]:
                    there.execute(sa.insert(table), rows)
        source.dispose()
        target.dispose()
        yield str(sa.make_url(url).database)


@pytest.fixture
def office(caseworkers: Staff, vault: Vault, tmp_path: Path) -> Iterator[Office]:
    """Amira leads the team the reporters write to, Lena works there; Sam belongs to another team and must see nothing."""
    with _on_sqlite(caseworkers, vault, tmp_path) as opened:
        yield opened


@pytest.fixture(params=["sqlite", "postgres"])
def office_on_both(request: pytest.FixtureRequest, caseworkers: Staff, vault: Vault, tmp_path: Path) -> Iterator[Office]:
    """``office`` on both databases, one after the other: import it under that name."""
    if request.param == "sqlite":
        with _on_sqlite(caseworkers, vault, tmp_path) as opened:
            yield opened
        return
    template = request.getfixturevalue("caseworkers_on_postgres")
    with postgres_copy(request.getfixturevalue("postgres"), template) as url, _opened(caseworkers, url, vault) as opened:
        yield opened


def _on_sqlite(caseworkers: Staff, vault: Vault, folder: Path) -> AbstractContextManager[Office]:
    path = folder / "tellonce.db"
    path.write_bytes(caseworkers.database)
    return _opened(caseworkers, f"sqlite:///{path}", vault)


@contextmanager
def _opened(caseworkers: Staff, url: str, vault: Vault) -> Iterator[Office]:
    store = Store(engine_for(url), vault)
    settings, translator = Settings(public_url="https://console.test"), SayingTranslator()
    app = console(store, settings, translator)
    yield Office(store, settings, translator, app, caseworkers.amira, caseworkers.lena, caseworkers.sam, caseworkers.cookie)
    store.engine.dispose()
