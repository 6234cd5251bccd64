"""One run: processes over one database, reporters who write, chaos in between, and the count at the end."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bot import app, cases, clock
from bot.models import Address, Case, Message
from bot.settings import Settings
from bot.store import Store
from tests.conftest import Member, join
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.standins.twilio_api import TwilioApi, new_sid

MARK = "Zitronenfalter"
RECEIPT = re.compile(r"\d{4} \d{4} \d{4} \d{4}")
IN_FLIGHT = timedelta(seconds=6)  # a text that was being handed over when it was taken back may still arrive
PATIENCE = 120.0
_message: Any = Message.__table__.c  # type: ignore[attr-defined]
_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_case: Any = Case.__table__.c  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Plan:
    """What a run is to do: ``Plan(7, 20, 45.0)``. ``postgres``: a URL with ``host=`` a socket's folder; empty: SQLite."""

    seed: int
    conversations: int
    seconds: float  # after which nothing new begins
    postgres: str = ""
    at_once: int = 8
    kill_every: float = 1.5

    @property
    def works(self) -> int:
        return 3 if self.postgres else 1


@dataclass
class Story:
    """One reporter: what was sent, in the order it was acknowledged, and when the bot had to fall silent."""

    number: str
    sent: list[str] = field(default_factory=list)  # the vendor's ids
    words: list[str] = field(default_factory=list)
    is_confirmed: bool = False
    silent_from: datetime | None = None
    claimed_at: datetime | None = None
    is_whole: bool = False


@dataclass
class Outcome:
    """What happened, in numbers, and what is wrong."""

    seed: int
    conversations: int = 0
    confirmed: int = 0
    claimed: int = 0
    silenced: int = 0
    texts: int = 0
    answers: int = 0
    kills: int = 0
    cuts: int = 0
    troubles: int = 0
    handed_over: int = 0
    wrong: list[str] = field(default_factory=list)


def run(plan: Plan, folder: Path) -> Outcome:
    """Play it. The same seed gives the same stories and the same disturbances; the machine's timing is its own."""
    outcome = Outcome(plan.seed)
    with ExitStack() as stack:
        twilio = stack.enter_context(TwilioApi())
        proxy = stack.enter_context(_proxied(plan.postgres)) if plan.postgres else None
        direct = Settings(data_dir=folder / "var", database_url=plan.postgres)
        store = app.set_up_store(direct)
        stack.callback(store.engine.dispose)
        member = join(store, "caseworkers")
        family = stack.enter_context(Family(plan, folder, twilio, proxy).started())
        over = threading.Event()
        chaos = threading.Thread(target=_disturb, args=(plan, family, twilio, proxy, over, outcome))
        chaos.start()
        try:
            stories = _play(plan, family, twilio, store, member)
        finally:
            over.set()
            chaos.join()
        family.calm()
        _settle(store, outcome)
        _count(store, member, twilio, stories, outcome)
    _look_for_marks(folder, outcome)
    return outcome


@contextmanager
def _proxied(url: str) -> Iterator[FaultProxy]:
    folder = sa.make_url(url).query["host"]
    with fault_proxy(f"{folder}/.s.PGSQL.5432") as proxy:
        yield proxy


# -- processes -----------------------------------------------------------------------------------------------------------------


class Family:
    """Two `serve` and as many `work` as the database allows, each started again when it was killed."""

    def __init__(self, plan: Plan, folder: Path, twilio: TwilioApi, proxy: FaultProxy | None) -> None:
        self.folder, self.twilio, self.proxy, self.plan = folder, twilio, proxy, plan
        self.names = ["serve0", "serve1", *(f"work{n}" for n in range(plan.works))]
        self.ports = {name: _free_port() for name in self.names}
        self.pids: dict[str, int] = {}
        self.is_over = False
        self._lock = threading.Lock()
        self._nursery = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.children"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    @contextmanager
    def started(self) -> Iterator[Family]:
        watch = threading.Thread(target=self._keep)
        try:
            for name in self.names:
                (self.folder / f"{name}.clock").write_text("0")
                self._start(name)
            watch.start()
            yield self
        finally:
            self.is_over = True
            if watch.is_alive():
                watch.join()
            for name in self.names:
                _end(self.pids.get(name, 0))
            self._nursery.communicate()

    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{self.ports[name]}" for name in ("serve0", "serve1")]

    def kill(self, name: str) -> None:
        with self._lock:
            _end(self.pids.get(name, 0))

    def calm(self) -> None:
        if self.proxy:
            self.proxy.delay, self.proxy.refuses = 0.0, False
        self.twilio.callbacks = "in_order"

    def _keep(self) -> None:
        while not self.is_over:
            for name in self.names:
                with self._lock:
                    if not _lives(self.pids[name]):
                        self._start(name)
            time.sleep(0.1)

    def _start(self, name: str) -> None:
        what = name.rstrip("0123456789")
        database = self.plan.postgres
        if self.proxy:
            address = sa.make_url(database)
            database = f"postgresql://{address.username}@127.0.0.1:{self.proxy.port}/{address.database}"
        environment = {
            **self.twilio.environment(),
            "TELLONCE_DATABASE_URL": database,
            "TELLONCE_DATA_DIR": str(self.folder / "var"),
            "TELLONCE_PORT": str(self.ports[name]),
            "TELLONCE_PUBLIC_URL": f"http://127.0.0.1:{self.ports[name if what == 'serve' else 'serve0']}",
            "TELLONCE_NLU_URL": "off",
            "TORTURE_CLOCK": str(self.folder / f"{name}.clock"),
        }
        wish = {"what": what, "log": str(self.folder / f"{name}.log"), "environment": environment}
        assert self._nursery.stdin and self._nursery.stdout
        self._nursery.stdin.write(json.dumps(wish) + "\n")
        self._nursery.stdin.flush()
        self.pids[name] = int(self._nursery.stdout.readline())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _end(pid: int) -> None:
    if pid and _lives(pid):
        os.kill(pid, signal.SIGKILL)
        while _lives(pid):
            time.sleep(0.01)


# -- chaos ---------------------------------------------------------------------------------------------------------------------


def _disturb(
    plan: Plan, family: Family, twilio: TwilioApi, proxy: FaultProxy | None, over: threading.Event, outcome: Outcome
) -> None:
    chance = random.Random(plan.seed)
    while not over.wait(chance.uniform(0.2, 2 * plan.kill_every - 0.2)):
        family.kill(chance.choice(family.names))
        outcome.kills += 1
        outcome.troubles += 1
        twilio.fail_next(
            chance.choice(["busy", "unavailable", "drop", "drop_after_storing", "not_json"]),
            chance.randrange(1, 4),
            retry_after=0.3,
        )
        twilio.callbacks = chance.choice(["in_order", "out_of_order", "twice", "none"])
        if proxy:
            (family.folder / f"{chance.choice(family.names)}.clock").write_text(str(chance.choice([0, 3600, -3600, 86400])))
            proxy.delay = chance.choice([0.0, 0.0, 0.005])
            if chance.random() < 0.5:
                outcome.cuts += proxy.cut()


# -- reporters -----------------------------------------------------------------------------------------------------------------


def _play(plan: Plan, family: Family, twilio: TwilioApi, store: Store, member: Member) -> list[Story]:
    end = time.monotonic() + plan.seconds

    def one(number: int) -> Story | None:
        return _Reporter(plan, number, family, twilio, store, member).tell() if time.monotonic() < end else None

    with ThreadPoolExecutor(plan.at_once) as people:
        return [story for story in people.map(one, range(plan.conversations)) if story]


class _Reporter:
    """Answers whatever is asked until the report is sent; then may write more, ask for silence, or be claimed."""

    def __init__(self, plan: Plan, number: int, family: Family, twilio: TwilioApi, store: Store, member: Member) -> None:
        self.chance = random.Random(plan.seed * 100_003 + number)
        self.story = Story(f"+4477{number:08d}")
        self.family, self.twilio, self.store, self.member = family, twilio, store, member
        self.end = time.monotonic() + PATIENCE

    def tell(self) -> Story:
        story = self.story
        heard = 0
        self._write(f"A man on the bus shouted at me to go back to my country and pushed me, {MARK} {story.number[-4:]}")
        for turn in range(30):
            answer = self._next(heard)
            if answer is None:
                return story
            heard = len(self.twilio.to(story.number))
            if RECEIPT.search(answer):
                story.is_confirmed = True
                break
            if turn == 4 and self.chance.random() < 0.15:
                break
            self._write("1" if re.search(r"(^|\D)1(\D|$)", answer) else f"It was {MARK} {turn}")
        self._end_it()
        story.is_whole = True
        return story

    def _end_it(self) -> None:
        fate = self.chance.random()
        if fate < 0.3:
            self._write("silence")
            self.story.silent_from = datetime.max.replace(tzinfo=clock.now().tzinfo)
        elif fate < 0.6 and self.story.is_confirmed and self._claim():
            for _ in range(2):
                self._write(f"and another thing, {MARK}")
        elif fate < 0.8:
            for _ in range(3):  # a burst nobody waits for
                self._write(f"he was there again, {MARK}")

    def _claim(self) -> bool:
        with self.store.transaction() as db:
            case = db.execute(sa.select(_case.id).where(_case.reporter_id == _reporter_of(db, self.story.number))).scalars().all()
            cases.claim(db, self.member.signed_in, case[0])
        self.story.claimed_at = clock.now()
        return True

    def _write(self, text: str) -> None:
        """As the vendor does: post until it is taken, sometimes once more, sometimes to another machine at the same time."""
        sid = new_sid()
        while True:
            url = self.chance.choice(self.family.urls())
            if self.chance.random() < 0.1:
                threading.Thread(target=self.twilio.deliver, args=(self.story.number, text, sid, f"{url}/sms")).start()
            if self.twilio.deliver(self.story.number, text, sid, f"{url}/sms").status == 200:
                break
            if time.monotonic() > self.end + PATIENCE:
                raise TimeoutError("nobody takes texts any more")
            time.sleep(0.2)
        self.story.sent.append(sid)
        self.story.words.append(text)
        if self.chance.random() < 0.1:
            self.twilio.deliver(self.story.number, text, sid, f"{self.chance.choice(self.family.urls())}/sms")

    def _next(self, heard: int) -> str | None:
        while time.monotonic() < self.end:
            if len(texts := self.twilio.to(self.story.number)) > heard:
                return texts[-1]
            time.sleep(0.05)
        return None


def _reporter_of(db: Any, number: str) -> Any:
    found_by = db.vault.index(f"sms\0{number}", "address")
    return db.execute(sa.select(_address.reporter_id).where(_address.found_by == found_by)).scalar()


# -- counting ------------------------------------------------------------------------------------------------------------------


def _settle(store: Store, outcome: Outcome) -> None:
    busy = sa.select(sa.func.count()).where(_message.state.in_(("waiting", "queued", "sending")))
    end = time.monotonic() + PATIENCE
    while True:
        with store.reading() as db:
            left = db.execute(busy).scalar_one()
        if not left:
            return
        if time.monotonic() > end:
            outcome.wrong.append(f"{left} texts are left waiting")
            return
        time.sleep(0.2)


def _count(store: Store, member: Member, twilio: TwilioApi, stories: list[Story], outcome: Outcome) -> None:
    outcome.conversations = len(stories)
    with store.reading() as db:
        for story in stories:
            _check(db, member, twilio, story, outcome)


def _check(db: Any, member: Member, twilio: TwilioApi, story: Story, outcome: Outcome) -> None:
    def wrong(what: str) -> None:
        outcome.wrong.append(f"{story.number}: {what}")

    def index(sid: str) -> bytes:
        return bytes(db.vault.index(f"sms\0{sid}", "vendor id"))

    reporter = _reporter_of(db, story.number)
    rows = db.execute(sa.select(*_message).where(_message.reporter_id == reporter).order_by(_message.sequence)).all()
    came, went = [r for r in rows if r.direction == "in"], [r for r in rows if r.direction == "out"]
    outcome.texts += len(came)
    outcome.answers += len(went)
    outcome.confirmed += story.is_confirmed
    outcome.claimed += story.claimed_at is not None
    outcome.silenced += story.silent_from is not None
    if not story.is_whole:
        wrong("the conversation stopped in the middle")
    if [r.external_id for r in came] != [index(sid) for sid in story.sent]:
        wrong(f"sent {len(story.sent)} texts, stored {len(came)}, or in another order")
    faults = [r for r in came if r.state == "handed_over"]
    outcome.handed_over += len(faults)

    known = {r.external_id: r for r in went if r.external_id}
    arrived = [m for m in list(twilio.sent) if m.to == story.number]
    cancelled = sum(r.state == "cancelled" for r in went)
    unknown = [m for m in arrived if index(m.sid) not in known]
    if len(unknown) > cancelled:
        wrong(f"{len(unknown)} answers went out twice")
    places = [known[index(m.sid)].sequence for m in arrived if index(m.sid) in known]
    if places != sorted(places) or len(known) != len(places):
        wrong("answers are lost or out of order")
    if failed := sum(r.state == "failed" for r in went):
        wrong(f"{failed} answers failed")

    opened = db.execute(sa.select(_case.id).where(_case.reporter_id == reporter, _case.kind == "report")).scalars().all()
    if story.is_confirmed and len(opened) != 1:
        wrong(f"a confirmed report opened {len(opened)} cases")
    quiet_from = story.claimed_at
    if story.silent_from and came and came[-1].done_at:
        quiet_from = came[-1].done_at
    for message in arrived:
        row = known.get(index(message.sid))
        is_bot = row is None or row.author == "bot"
        if quiet_from and is_bot and message.sent_at > quiet_from + IN_FLIGHT:
            wrong("the bot spoke after a claim or after silence")


def _look_for_marks(folder: Path, outcome: Outcome) -> None:
    """No file of the installation holds a word or a number of a reporter: not the database, its WAL, nor a log."""
    for path in folder.rglob("*"):
        if path.is_file() and (found := re.search(rb"Zitronenfalter|4477000000\d\d|\d{4} \d{4} \d{4} \d{4}", path.read_bytes())):
            outcome.wrong.append(f"{path.name} shows {found[0]!r}")
