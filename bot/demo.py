"""``make demo``: one report through everything that is real, with a stand-in only for the vendor; then the console to look at."""

from __future__ import annotations

import shutil
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from html.parser import HTMLParser
from typing import Any, TypeVar

import httpx
import sqlalchemy as sa
from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table

from bot import app, case_files, case_queue, cases, clock, processes, staff
from bot.models import CheckIn, Message
from bot.settings import Settings
from bot.staff import SignedIn
from bot.store import Store

PHONE = "+447700900123"  # a number reserved for films and demonstrations
STORY = (
    "Ontem à noite no ônibus 42 um homem gritou que eu sou uma macaca, cuspiu em mim e disse para eu voltar para a minha terra. "
    "Ninguém me ajudou. Tenho medo de sair de casa."
)
ANSWERS = (
    "1",
    "1",
    "Por causa da minha cor. Ele gritou preta suja.",
    "ontem, umas 10 da noite",
    "no ônibus 42, perto da escola",
    "3",
    "1",
    "1",
    "1",
)
REPLY = "Thank you for telling us. I am sorry this happened to you. Do you want me to call you tomorrow?"
FIRST_REPLY_WITHIN = 60.0
NLU_WITHIN = 180.0
T = TypeVar("T")
_check_in: Any = CheckIn.__table__.c  # type: ignore[attr-defined]
_message: Any = Message.__table__.c  # type: ignore[attr-defined]


def play(settings: Settings, ends: bool) -> int:
    """Play the whole story; returns the exit status. ``ends``: stop everything at the end, else the console is left running."""
    sys.path.insert(0, str(processes.HOME))  # the stand-ins live beside the tests
    from tests.standins.twilio_api import TwilioApi as Vendor  # only where the whole repository is

    screen = Screen()
    own = _own_settings(settings)
    shutil.rmtree(own.data_dir / "demo", ignore_errors=True)
    own = own.model_copy(update={"data_dir": own.data_dir / "demo"})
    screen.step("A new database, a service key and a team")
    store = app.set_up_store(own)
    added = staff.add(store, "demo")
    (own.data_dir / "argos").symlink_to((settings.data_dir / "argos").resolve())
    with Vendor() as vendor:
        environment = _environment(own, vendor)
        with processes.Machine(own, environment, is_quiet=True) as machine:
            try:
                story = Story(screen, store, own, vendor, added.password)
                story.wait_until_served()
                case = story.report()
                story.handle(case)
                story.check_in(case)
            except StoryStopped as stopped:
                screen.failed(str(stopped))
                return 1
            screen.step("Done: everything above went through the real webhook, database, flow, translation and console")
            if ends:
                return 0
            screen.invite(own.public_url, "demo", added.password)
            processes.on_stop(machine.stop)
            machine.watch()
    return 0


def _own_settings(settings: Settings) -> Settings:
    """The demo never touches the operator's own data or ports."""
    port = settings.port if _is_free(settings.port) else _free_port()
    return settings.model_copy(
        update={
            "database_url": "",
            "service_key_file": None,
            "day_keys_dir": None,
            "run_dir": None,
            "port": port,
            "public_url": f"http://127.0.0.1:{port}",
            "nlu_url": f"http://127.0.0.1:{_free_port()}",
            "organisation": "Hope House",
            "secure_cookies": False,
            "time_zone": _where_it_is_noon(),
        }
    )


def _environment(own: Settings, vendor: Any) -> dict[str, str]:
    """The same settings for the processes, and a channel that leads to the stand-in."""
    names = ("data_dir", "port", "public_url", "nlu_url", "organisation", "secure_cookies", "time_zone")
    said = {f"TELLONCE_{name.upper()}": str(getattr(own, name)) for name in names}
    empty = {f"TELLONCE_{name.upper()}": "" for name in ("database_url", "service_key_file", "day_keys_dir", "run_dir")}
    return {**said, **empty, **vendor.environment()}


def _where_it_is_noon() -> str:
    """No check-in is asked at night, and a demo may be played at any hour."""
    ahead = 12 - clock.now().hour
    return f"Etc/GMT{-ahead:+d}"  # the sign of these zones is the other way round


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# -- the story -----------------------------------------------------------------------------------------------------------------


class StoryStopped(Exception):
    """Something that should have happened did not; the text says what."""


class Story:
    """The reporter, the caseworker and the days between, against the running processes."""

    def __init__(self, screen: Screen, store: Store, settings: Settings, vendor: Any, password: str) -> None:
        self._screen = screen
        self._password = password
        self._store = store
        self._settings = settings
        self._vendor = vendor
        self._console = httpx.Client(base_url=settings.public_url, timeout=30, trust_env=False)
        self._heard = 0
        self._member: SignedIn | None = None

    def wait_until_served(self) -> None:
        self._screen.step("Starting serve, work and Rasa (until Rasa is warm the bot goes by numbers and keywords)")
        until(self._is_served, FIRST_REPLY_WITHIN, "the web server did not start")

    def _is_served(self) -> bool:
        try:
            return self._console.get("/sign-in").status_code == 200
        except httpx.HTTPError:
            return False

    def report(self) -> case_queue.QueueRow:
        """A woman texts in Portuguese; returns the case it became."""
        self._screen.step("A phone texts in Portuguese (signed webhook → /sms)")
        for text in (STORY, *ANSWERS):
            self.texts(text)
        return until(lambda: next(iter(self._queue()), None), 10, "the report did not become a case")

    def texts(self, text: str) -> None:
        """Send a text as the vendor would, and show it and the answer as the phone does."""
        self._screen.phone(text, mine=True)
        posted = self._vendor.deliver(PHONE, text, url=f"{self._settings.public_url}/sms")
        if posted.status != 200:
            raise StoryStopped(f"the webhook answered {posted.status}")
        self.hears()

    def hears(self) -> None:
        """Wait for the next text on the phone and show it."""
        until(lambda: len(self._vendor.to(PHONE)) > self._heard, FIRST_REPLY_WITHIN, "no answer reached the phone")
        time.sleep(0.1)
        for text in self._vendor.to(PHONE)[self._heard :]:
            self._screen.phone(text, mine=False)
            self._heard += 1

    def handle(self, case: case_queue.QueueRow) -> None:
        """A caseworker signs in, reads, claims, answers in English and closes."""
        self._screen.step("The machine translates and suggests (a working copy that is erased afterwards)")
        has_rasa = bool(processes.rasa_command(self._settings, processes.HOME))
        wanted = NLU_WITHIN if has_rasa else 30.0
        until(lambda: self._is_worked_out(case, has_rasa), wanted, "the translation or the suggestion did not arrive")
        self._screen.step("A caseworker signs in on the console and opens the case")
        self._screen.case(self._file(case))
        self._signs_in(self._password)
        self._screen.step("She claims it (the bot is silent from now on) and answers in English")
        here = f"/cases/{case.id}"
        self._fills_in(here, f"{here}/claim")
        checked = self._fills_in(here, f"{here}/reply/preview", text=REPLY)
        self._sends(checked, f"{here}/reply/send")
        self._screen.phone(REPLY, mine=True, who="caseworker")
        self.hears()
        self.texts_silently("Sim, por favor. Depois das 18 horas.")
        until(lambda: len(self._file(case).chat) == 2 and self._file(case).chat[-1].other, 30, "her answer was not translated")
        answer = self._file(case).chat[-1]
        self._screen.phone(str((answer.other or {}).get("text")), mine=False, who="caseworker")
        self._screen.step("She closes the case; the phone hears the outcome and is asked how it was")
        self._fills_in(here, f"{here}/close")
        self.hears()
        self.texts("1")

    def texts_silently(self, text: str) -> None:
        """She texts while a person owns the conversation: the bot must not say a word."""
        self._screen.phone(text, mine=True)
        self._vendor.deliver(PHONE, text, url=f"{self._settings.public_url}/sms")
        until(lambda: not self._waiting(), 10, "the text was not taken in")
        if len(self._vendor.to(PHONE)) != self._heard:
            raise StoryStopped("the bot spoke while a person owned the conversation")

    def check_in(self, case: case_queue.QueueRow) -> None:
        """Three days go by: the bot asks, in words that give nothing away; she is not safe."""
        self._screen.step("Three days later the promised check-in (here its due time is moved to now)")
        with self._store.transaction() as db:
            db.execute(sa.update(CheckIn).where(_check_in.case_id == case.id).values(due_at=clock.now()))
        self.hears()
        self.texts("2")
        back = until(lambda: next((c for c in self._queue() if c.id == case.id and c.risk >= cases.NOT_SAFE), None), 10, "no alarm")
        self._screen.step(f"Case {back.reference} is back at the top of the queue: not safe")

    # -- what the caseworker sees and does -----------------------------------------------------------------------------------

    def _queue(self) -> list[case_queue.QueueRow]:
        with self._store.reading() as db:
            return case_queue.page(db, self._signed_in())

    def _file(self, case: case_queue.QueueRow) -> case_files.CaseFile:
        with self._store.transaction() as db:
            return case_files.open_file(db, self._signed_in(), case.id)

    def _signed_in(self) -> SignedIn:
        """A session beside the console's, for what this screen prints of the case."""
        if self._member is None:
            session = staff.sign_in(self._store, "demo", self._password)
            with self._store.transaction() as db:
                self._member = staff.signed_in(db, session.cookie, timedelta(hours=8))
        if self._member is None:
            raise StoryStopped("the caseworker could not sign in")
        return self._member

    def _is_worked_out(self, case: case_queue.QueueRow, has_rasa: bool) -> bool:
        file = self._file(case)
        return bool(file.report_translation) and (file.suggestion is not None or not has_rasa)

    def _waiting(self) -> bool:
        with self._store.reading() as db:
            waiting = sa.select(_message.id).where(_message.direction == "in", _message.state == "waiting")
            return db.execute(waiting.limit(1)).scalar() is not None

    def _signs_in(self, password: str) -> None:
        self._page = self._fills_in("/sign-in", "/sign-in", name="demo", password=password)
        if "/sign-in" in self._page.path:
            raise StoryStopped("the console did not let the caseworker in")

    def _fills_in(self, path: str, action: str, **values: str) -> Page:
        """Open ``path``, fill in the form that posts to ``action`` as a browser would, and return the page that follows."""
        return self._sends(self._page_of(self._console.get(path)), action, **values)

    def _sends(self, page: Page, action: str, **values: str) -> Page:
        fields = page.fields_of(action)
        answer = self._console.post(
            action, data={**fields, **values}, headers={"Origin": self._settings.public_url}, follow_redirects=True
        )
        return self._page_of(answer)

    def _page_of(self, answer: httpx.Response) -> Page:
        if answer.status_code != 200:
            raise StoryStopped(f"{answer.request.url.path} answered {answer.status_code}")
        return Page(answer.request.url.path, answer.text)


@dataclass(frozen=True)
class Page:
    """A page of the console, as far as filling in its forms goes."""

    path: str
    html: str

    def fields_of(self, action: str) -> dict[str, str]:
        """What a browser sends of the form that posts to ``action``, untouched."""
        forms = Forms()
        forms.feed(self.html)
        if action not in forms.found:
            raise StoryStopped(f"the page {self.path} has no form for {action}")
        return forms.found[action]


class Forms(HTMLParser):
    """Collects the fields of every form: ``found["/sign-in"] == {"name": ""}``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[str, dict[str, str]] = {}
        self._fields: dict[str, str] = {}
        self._textarea = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._fields = self.found.setdefault(given.get("action", ""), {})
        elif tag == "input" and given.get("name") and given.get("type") not in ("submit", "checkbox", "radio"):
            self._fields[given["name"]] = given.get("value", "")
        elif tag == "textarea":
            self._textarea = given.get("name", "")
            self._fields[self._textarea] = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self._fields[self._textarea] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = ""


def until(look: Callable[[], T | None], seconds: float, otherwise: str) -> T:
    """Look until something is there. Raises StoryStopped with ``otherwise`` when the time is over."""
    end = time.monotonic() + seconds
    while True:
        if found := look():
            return found
        if time.monotonic() > end:
            raise StoryStopped(otherwise)
        time.sleep(0.1)


# -- the screen ----------------------------------------------------------------------------------------------------------------


class Screen:
    """Prints both phones and the case."""

    def __init__(self) -> None:
        self._out = Console(width=min(Console().width, 100), highlight=False)
        self._started = time.monotonic()

    def step(self, what: str) -> None:
        self._out.print(f"\n[bold]{time.monotonic() - self._started:5.1f} s[/bold]  {what}")

    def failed(self, what: str) -> None:
        self._out.print(f"\n[bold red]The demo stopped:[/bold red] {escape(what)}. `tellonce doctor` may say more.")

    def phone(self, text: str, *, mine: bool, who: str = "reporter") -> None:
        """A bubble on her side (left) or ours (right), as a phone shows it."""
        title = {"reporter": "her phone", "caseworker": "caseworker"}[who] if mine else "Tellonce"
        colour = "cyan" if who == "reporter" else "magenta"
        bubble = Panel(escape(text), title=title, title_align="left", border_style=colour if mine else "green", width=62)
        self._out.print(Padding(bubble, (0, 0, 0, 0 if mine and who == "reporter" else 24)))

    def case(self, file: case_files.CaseFile) -> None:
        """The case as its caseworker reads it."""
        told, translated = file.report, file.report_translation
        table = Table(title=f"Case {file.row.reference} · {file.reporter}", show_lines=True, width=self._out.width)
        for column in ("", "in her own words", "automatic translation"):
            table.add_column(column, overflow="fold")
        rows: dict[str, Any] = {"story": "\n".join(told.get("story", ())), "when": told.get("when"), "where": told.get("where")}
        rows["perception"] = str(file.perceptions[0]["text"]) if file.perceptions else ""
        for name, text in rows.items():
            made = translated.get(name) or {}
            flags = f"\n[yellow]check: {', '.join(made['flags'])}[/yellow]" if made.get("flags") else ""
            table.add_row(name, escape(str(text or "–")), escape(str(made.get("text") or "–")) + flags)
        self._out.print(table)
        self._out.print(f"  Suggestion (by machine, not a finding): {self._suggestion(file, rows['story'])}")

    def _suggestion(self, file: case_files.CaseFile, story: str) -> str:
        motivations = (file.suggestion or {}).get("motivations", [])
        if not motivations:
            return str((file.suggestion or {}).get("state", "none: Rasa is not installed"))
        found = (
            f"{m['code']} because of " + ", ".join(f"“{story[e['start'] : e['end']]}”" for e in m["evidence"]) for m in motivations
        )
        return escape("; ".join(found))

    def invite(self, address: str, name: str, password: str) -> None:
        self._out.print(
            Panel(
                f"{address}\nname      {name}\npassword  {password}",
                title="The console is yours; Ctrl+C stops everything",
                width=62,
            )
        )
