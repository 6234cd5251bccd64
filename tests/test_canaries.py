"""Every input carries a marker; nothing that a thief, an operator or a neighbour on the machine can look at shows one."""

from __future__ import annotations

import base64
import json
import os
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from bot import app, attachments, cases, examples, keys, processes, staff, unmasking
from bot.messages import Media
from bot.models import Attachment, Case
from bot.privacy import TeamOpener
from bot.settings import Settings
from bot.store import Store
from bot.testing import FakeNlu, FakeTranslator
from bot.understanding import Understanding
from bot.worker import Worker
from tests.canaries import Canaries, with_descendants
from tests.exchange import STORY, VICTIM, open_exchange, rows
from tests.standins import post
from tests.standins.telegram_api import SECRET, TOKEN, TelegramApi
from tests.standins.twilio_api import TwilioApi
from tests.torture.family import free_port

PHONE, WHATSAPP, HALF_TOLD, TELEGRAM = "+447700900123", "+447700900987", "+447700900124", 7_990_123_456
PATIENCE = 180.0
WORDS = {
    "story": "Zitronenfalter",
    "perception": "Schwalbenschwanz",
    "when": "Admiralstag",
    "where": "Pfauenaugenweg",
    "later": "Kaisermantel",
    "whatsapp story": "Distelfalter",
    "whatsapp name": "Landkärtchen",
    "telegram story": "Waldbrettspiel",
    "telegram first name": "Ochsenauge",
    "telegram last name": "Wiesenvögelchen",
    "telegram username": "kleinerfuchs77",
    "half a story": "Segelfalter",
    "picture": "Nachtpfauenauge",
    "paper": "Taubenschwänzchen",
    "telegram picture": "Totenkopfschwärmer",
    "caption": "Schachbrettfalter",
    "note": "Trauermantel",
    "reply": "Bläuling",
    "number": PHONE[1:],
    "whatsapp number": WHATSAPP[1:],
    "number of half a story": HALF_TOLD[1:],
    "telegram user": str(TELEGRAM),
}
RECEIPT = re.compile(r"\d{4} \d{4} \d{4} \d{4}")
LEVELS = "import logging; from bot import privacy; privacy.quiet_logs(logging.DEBUG); from bot import processes, settings; "


@dataclass
class House:
    """`serve` and `work` as processes at DEBUG level, the vendors' stand-ins, and everything they leave behind."""

    folder: Path
    url: str
    twilio: TwilioApi
    telegram: TelegramApi
    environment: dict[str, str]
    words: dict[str, str]
    password: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-c", f"{LEVELS}processes.{name}(settings.load())"],
                env=self.environment,
                cwd=self.folder / "here",
                stdout=log,
                stderr=log,
                preexec_fn=_as_a_careless_machine,
            )

    def is_up(self) -> bool:
        try:
            return httpx.get(f"{self.url}/sign-in", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False

    def says(self, number: str, text: str) -> str:
        """Write by SMS or WhatsApp and return the answer."""
        heard = len(self.twilio.to(number))
        path = "whatsapp" if number.startswith("whatsapp:") else "sms"
        extra = {"ProfileName": WORDS["whatsapp name"]} if path == "whatsapp" else {}
        assert self.twilio.deliver(number, text, url=f"{self.url}/{path}", **extra).status == 200
        _until(lambda: len(self.twilio.to(number)) > heard, f"{path} was not answered")
        return self.twilio.to(number)[-1]

    def says_on_telegram(self, text: str, number: int) -> None:
        named = {"first_name": WORDS["telegram first name"], "last_name": WORDS["telegram last name"]}
        named["username"] = WORDS["telegram username"]
        person: dict[str, Any] = {"id": TELEGRAM, **named}
        message = {"message_id": 10_000 + number, "date": int(time.time()), "text": text}
        message |= {"from": {**person, "is_bot": False, "language_code": "en"}, "chat": {**person, "type": "private"}}
        heard = len(self.telegram.to(TELEGRAM))
        body = json.dumps({"update_id": 900_000_000 + number, "message": message}).encode()
        headers = {"Content-Type": "application/json", "X-Telegram-Bot-Api-Secret-Token": SECRET}
        assert post(f"{self.url}/telegram", body, headers)[0] == 200
        _until(lambda: len(self.telegram.to(TELEGRAM)) > heard, "Telegram was not answered")

    def sends_files(self) -> None:
        """A picture and a paper by SMS, a picture on Telegram; until all are fetched."""
        picture, paper, other = (b"\xff\xd8\xff " + WORDS[one].encode() * 50 for one in ("picture", "paper", "telegram picture"))
        files = (("image/jpeg", picture), ("application/pdf", paper))
        assert self.twilio.deliver_media(PHONE, WORDS["caption"], *files, url=f"{self.url}/sms").status == 200
        assert self.telegram.photo(TELEGRAM, WORDS["caption"], other) == 200
        store = app.set_up_store(Settings(data_dir=self.folder / "var", database_url=self.environment["TELLONCE_DATABASE_URL"]))
        _until(lambda: [one.state for one in rows(store, Attachment)] == ["kept"] * 3, "the files were not fetched")
        store.engine.dispose()

    def reports(self) -> str:
        """A whole report by SMS; its receipt."""
        texts = list(VICTIM)
        texts[0] += " " + WORDS["story"]
        texts[3:6] = [WORDS["perception"], WORDS["when"], WORDS["where"]]
        answers = [self.says(PHONE, text) for text in texts]
        found = RECEIPT.search("\n".join(answers))
        for _ in range(4):  # where a question more is asked than the story of the tests knows
            if found:
                break
            found = RECEIPT.search(self.says(PHONE, "1"))
        assert found
        return found[0]


def _as_a_careless_machine() -> None:
    """Core dumps as large as they like: whether there are any is for us to decide."""
    most = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))


def _until(look: Any, otherwise: str, patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while not look():
        assert time.monotonic() < end, otherwise
        time.sleep(0.05)


@contextmanager
def _house(folder: Path, database: str) -> Iterator[House]:
    for name in ("here", "tmp"):
        (folder / name).mkdir()
    with ExitStack() as stack:
        twilio, telegram = stack.enter_context(TwilioApi()), stack.enter_context(TelegramApi())
        telegram.meet(TELEGRAM).wrote_first = True
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        settings = Settings(data_dir=folder / "var", database_url=database)
        store = app.set_up_store(settings)
        password = staff.add(store, "Ana").password
        store.engine.dispose()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TELLONCE_")},
            **twilio.environment(),
            "TELLONCE_TELEGRAM_TOKEN": TOKEN,
            "TELLONCE_TELEGRAM_SECRET": SECRET,
            "TELLONCE_TELEGRAM_API_URL": telegram.url,
            "TELLONCE_TELEGRAM_CHAT_MESSAGES_PER_SECOND": "0",
            "TELLONCE_DATA_DIR": str(settings.data_dir),
            "TELLONCE_DATABASE_URL": database,
            "TELLONCE_PORT": str(port),
            "TELLONCE_PUBLIC_URL": url,
            "TELLONCE_SECURE_COOKIES": "false",
            "TELLONCE_NLU_URL": "off",
            "TMPDIR": str(folder / "tmp"),
        }
        house = House(folder, url, twilio, telegram, environment, {**WORDS, "password": password}, password)
        try:
            for name in ("serve", "work"):
                house.start(name)
            _until(house.is_up, "serve did not come up")
            yield house
        finally:
            for process in house.processes.values():
                process.kill()
                process.wait()


class Console:
    """A caseworker's browser."""

    def __init__(self, house: House) -> None:
        self._client = httpx.Client(base_url=house.url, trust_env=False, headers={"sec-fetch-site": "same-origin"}, timeout=60)
        answer = self._client.post("/sign-in", data={"name": "Ana", "password": house.password})
        assert answer.status_code == 303, answer.status_code
        queue = self._client.get("/queue").text
        self.case = re.findall(r"/cases/([0-9a-f-]{36})", queue)[0]

    def send(self, what: str, **form: str) -> None:
        page = self._client.get(f"/cases/{self.case}").text
        token = re.search(r'name="token" value="([0-9a-f]{32})"', page)
        assert token
        answer = self._client.post(f"/cases/{self.case}/{what}", data={"token": token[1], **form})
        assert answer.status_code in (200, 303), (what, answer.status_code)

    def page(self) -> str:
        return self._client.get(f"/cases/{self.case}").text

    def files(self) -> bytes:
        found = re.findall(r'"(/cases/[0-9a-f-]{36}/files/[0-9a-f-]{36})"', self.page())
        return b"".join(self._client.get(one).content for one in dict.fromkeys(found))

    def close(self) -> None:
        self._client.close()


def _live(house: House) -> None:
    """All that people do: three channels, files, a receipt used from another phone, a caseworker at work, and crashes."""
    receipt = house.reports()
    house.words |= {"receipt": receipt, "receipt digits": receipt.replace(" ", "")}
    house.says(PHONE, f"{WORDS['later']}, one more thing")
    house.says(f"whatsapp:{WHATSAPP}", f"{STORY} {WORDS['whatsapp story']}")
    house.says(f"whatsapp:{WHATSAPP}", receipt)
    house.says_on_telegram(f"{STORY} {WORDS['telegram story']}", 1)
    house.sends_files()
    console = Console(house)
    try:
        assert WORDS["story"] in console.page()  # she, and nobody else, reads it
        console.send("claim")
        assert WORDS["picture"].encode() in console.files() and WORDS["paper"].encode() in console.files()
        console.send("note", text=WORDS["note"])
        heard = len(house.twilio.to(PHONE))
        console.send("reply/send", id=str(uuid4()), to="en", text=WORDS["reply"])
        _until(lambda: len(house.twilio.to(PHONE)) > heard, "her reply did not go out")
    finally:
        console.close()
    house.twilio.fail_next("drop_after_storing")
    assert house.twilio.deliver(HALF_TOLD, f"{STORY} {WORDS['half a story']}", url=f"{house.url}/sms").status == 200
    for name, crash in (("work", signal.SIGSEGV), ("serve", signal.SIGABRT)):
        house.processes[name].send_signal(crash)
        house.processes[name].wait()
        house.start(name)
    _until(house.is_up, "serve did not come back")
    _until(lambda: house.twilio.to(HALF_TOLD), "a text was not answered after the crashes")


def _assert_nothing_is_shown(house: House, *elsewhere: Path) -> None:
    canaries = Canaries(house.words)
    metrics = httpx.get(f"{house.url}/metrics", trust_env=False).content + httpx.get(f"{house.url}/health", trust_env=False).content
    assert b"tellonce" in metrics
    assert canaries.shown_in(metrics) == []
    running = [process.pid for process in house.processes.values()]
    assert canaries.in_processes(running) == {}
    log = b"".join((house.folder / f"{name}.log").read_bytes() for name in house.processes)
    assert b"DEBUG" in log and b"Segmentation fault" in log  # there was something to see
    assert canaries.in_files(house.folder, *elsewhere) == {}


def test_on_sqlite_no_file_log_process_or_figure_shows_a_marker(tmp_path: Path) -> None:
    with _house(tmp_path, "") as house:
        _live(house)
        assert list(house.folder.rglob("*.db-wal"))
        _assert_nothing_is_shown(house)


def test_on_postgresql_its_own_files_and_logs_show_none_either(postgres: str, tmp_path: Path) -> None:
    own = Path(str(sa.make_url(postgres).query["host"]))
    with _talkative(postgres, tmp_path) as (url, log), _house(tmp_path / "house", url) as house:
        _live(house)
        with _admin(postgres) as db:
            db.execute(sa.text("CHECKPOINT"))  # what it holds in memory goes to its files
        assert b"INSERT INTO message" in log.read_bytes()  # its log says every statement, with the values
        _assert_nothing_is_shown(house, own)


@contextmanager
def _admin(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(
        sa.make_url(url).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with engine.connect() as db:
        yield db


@contextmanager
def _talkative(url: str, folder: Path) -> Iterator[tuple[str, Path]]:
    """A database of its own on the server, which for as long logs all it is told; and that log."""
    (folder / "house").mkdir()
    with _admin(url) as db:
        db.execute(sa.text("CREATE DATABASE canaries"))
        for setting in ("log_statement = 'all'", "log_min_messages = 'debug2'", "log_error_verbosity = 'verbose'"):
            db.execute(sa.text(f"ALTER DATABASE canaries SET {setting}"))
        log = Path(str(sa.make_url(url).query["host"])) / "log"
        yield url.replace("/postgres?", "/canaries?"), log
        db.execute(sa.text("DROP DATABASE canaries WITH (FORCE)"))


# -- Rasa ----------------------------------------------------------------------------------------------------------------------

RASA = processes.HOME / "nlu/.venv/bin/python"
MODEL = processes.HOME / "nlu/models/nlu.tar.gz"


@pytest.mark.skipif(not (RASA.exists() and MODEL.exists()), reason="Rasa is not installed: run ./setup")
def test_rasa_logs_and_leaves_no_word_even_where_debug_is_wished_for(tmp_path: Path) -> None:
    port, token = free_port(), "canary-token"
    settings = Settings(data_dir=tmp_path, nlu_url=f"http://127.0.0.1:{port}")
    (tmp_path / "tmp").mkdir()
    environment = {**os.environ, **processes.rasa_environment(token), "LOG_LEVEL": "DEBUG", "TMPDIR": str(tmp_path / "tmp")}
    with (tmp_path / "rasa.log").open("wb") as log:
        rasa = subprocess.Popen(processes.rasa_command(settings, processes.HOME), env=environment, stdout=log, stderr=log)
    canaries = Canaries({"story": WORDS["story"], "token": token})
    asked = httpx.Client(base_url=settings.nlu_url, params={"token": token}, timeout=120, trust_env=False)
    try:
        _until(lambda: _answers(asked), "Rasa did not come up", 3 * PATIENCE)
        assert asked.post("/model/parse", json={"text": f"{STORY} {WORDS['story']}"}).json()["intent"]
        assert Canaries({"story": WORDS["story"]}).in_processes([rasa.pid]) == {}
        assert Canaries({"token": token}).shown_in(Path(f"/proc/{rasa.pid}/cmdline").read_bytes()) == []
    finally:
        asked.close()
        rasa.kill()
        rasa.wait()
    assert (tmp_path / "rasa.log").read_bytes()
    assert canaries.in_files(tmp_path) == {}


def _answers(asked: httpx.Client) -> bool:
    try:
        return asked.get("/version").status_code == 200
    except httpx.HTTPError:
        return False


# -- sealed texts --------------------------------------------------------------------------------------------------------------


def test_a_sealed_text_opens_in_no_other_row_case_or_table(tmp_path: Path) -> None:
    nlu = FakeNlu({STORY: Understanding("report", 0.9)})
    with open_exchange(tmp_path, nlu) as exchange:
        for number in (1, 2):
            caller = exchange.reports(address=f"+44770090000{number}")
            caller.says("and one more thing")
            exchange.channel.files["picture"] = b"a picture"
            caller.says("", media=[Media("picture", "image/jpeg")])
            attachments.fetch_due(exchange.store, {"sms": exchange.channel})
            case = exchange.claims()
            exchange.replies(case, "We are here")
            _at_the_desk(exchange.store, exchange.desk, case)
            settings = Settings()
            Worker(
                exchange.store,
                exchange.telephone.conversation,
                {},
                nlu,
                FakeTranslator(),
                settings.model_copy(update={"working_language": "pt"}),
            ).process_copies()
        boxes = list(_sealed(exchange.store))
        assert {table for table, _, _, _ in boxes} == {*_tables_with_sealed_texts(), "attachment_content"}
        opener: TeamOpener = exchange.desk.opener
        for table, row, team_key, sealed in boxes:
            opener.open(sealed, team_key, table, row)  # at its own place it does
            for other_table, other_row, _, _ in boxes:
                if (other_table, other_row) != (table, row):
                    with pytest.raises(keys.WrongKey):
                        opener.open(sealed, team_key, other_table, other_row)


def _at_the_desk(store: Store, desk: Any, case: Any) -> None:
    with store.transaction() as db:
        cases.add_note(db, desk, case, "a note")
        cases.decide(db, desk, case, ["religion"], "a reason")
        unmasking.ask(db, desk, case, "a reason")
        examples.note_consent(db, desk, case, "yes, you may")
        examples.approve(db, desk, case, examples.Approved("He shouted at me", "en", ("religion",), ()))


def _sealed(store: Store) -> Iterator[tuple[str, Any, Any, bytes]]:
    with store.reading() as db:
        for table in Case.metadata.sorted_tables:
            if table.name in _tables_with_sealed_texts():
                for row in db.execute(sa.select(table).where(table.c.sealed.is_not(None))):
                    yield table.name, row.id, row.team_key_id, row.sealed
                    if table.name == "attachment":
                        yield "attachment_content", row.id, row.team_key_id, row.content


def _tables_with_sealed_texts() -> set[str]:
    return {t.name for t in Case.metadata.sorted_tables if "sealed" in t.c and "team_key_id" in t.c and t.name != "team_key_copy"}


# -- the search itself ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["utf-8", "utf-16-le", "hex", "base64 in the middle", "json"])
def test_a_planted_marker_is_found_however_it_is_written(how: str, tmp_path: Path) -> None:
    word = WORDS["telegram last name"]
    written = {
        "utf-8": f"x{word.upper()}y".encode(),
        "utf-16-le": word.encode("utf-16-le"),
        "hex": word.encode().hex().encode(),
        "base64 in the middle": base64.b64encode(f"some words before {word} and after".encode()),
        "json": json.dumps({"name": word}).encode(),
    }[how]
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"\0" * 5000 + written)
    assert Canaries(WORDS).in_files(tmp_path) != {}


def test_a_planted_marker_is_found_in_a_free_page_and_in_a_process(tmp_path: Path) -> None:
    database = sqlite3.connect(tmp_path / "one.db")
    database.execute("PRAGMA secure_delete=OFF")  # ours is on
    database.execute("CREATE TABLE t (a)")
    database.execute("INSERT INTO t VALUES (?)", (WORDS["story"] * 2000,))
    database.commit()
    database.execute("DELETE FROM t")
    database.commit()
    database.close()
    assert list(Canaries(WORDS).in_files(tmp_path)) == [str(tmp_path / "one.db")]
    parent = subprocess.Popen(["sh", "-c", f"WORD={WORDS['story']} sleep 60 & wait"], stdout=subprocess.DEVNULL)
    try:
        _until(
            lambda: any("environ" in name for name in Canaries(WORDS).in_processes([parent.pid])), "not found in the environment"
        )
        assert any("cmdline" in name for name in Canaries(WORDS).in_processes([parent.pid]))
    finally:
        subprocess.run(["kill", *map(str, with_descendants([parent.pid]))], check=False)
        parent.wait()
