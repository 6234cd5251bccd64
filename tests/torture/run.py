"""One run: processes over one database, reporters who write, trouble in between, and the count at the end."""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from bot import app, cases, clock
from bot.models import Address, Case, Message, Reporter
from bot.settings import Settings
from bot.store import Store
from tests.conftest import Member, join
from tests.fault_proxy import FaultProxy, fault_proxy
from tests.torture import disk, networks
from tests.torture.family import Family, Machine
from tests.torture.town import NAME, Arrived, Phone, Town, town

MARK = "Zitronenfalter"
RECEIPT = re.compile(r"\d{4} \d{4} \d{4} \d{4}")
IN_FLIGHT = timedelta(seconds=30)  # a text that was being handed over when it was taken back may still arrive
PATIENCE = 180.0  # seconds for one answer: the machine may be busy, and a vendor that fails is tried again later and later
PAUSE = 12.0  # seconds a worker stands still: more than its lease lasts (children.SHORT_LEASE)
_message: Any = Message.__table__.c  # type: ignore[attr-defined]
_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_case: Any = Case.__table__.c  # type: ignore[attr-defined]
_reporter: Any = Reporter.__table__.c  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Plan:
    """What a run is to do: ``Plan(7, 20)``. It is bounded by work alone: a slow machine does the same and takes longer.

    ``postgres``: a URL with ``host=`` a socket's folder; empty: SQLite. ``texts_between``: texts written between two troubles,
    on average; each trouble kills one process.
    """

    seed: int
    conversations: int
    postgres: str = ""
    at_once: int = 8
    texts_between: int = 10
    has_small_disk: bool = False  # SQLite: on a disk that fills up now and then
    fill: Callable[[], None] | None = None  # PostgreSQL: fills its disk for a while
    has_networks: bool = False  # PostgreSQL: three machines, each cut off from it now and then
    minutes: float = 0.0  # after which no new conversation begins; 0: no limit

    @property
    def works(self) -> int:
        return 3 if self.postgres else 1


@dataclass
class Story:
    """One reporter: what was sent, in the order it was acknowledged, and from which place in the line the bot had to be silent."""

    phone: Phone
    sent: list[str] = field(default_factory=list)  # the vendor's ids
    is_confirmed: bool = False
    is_claimed: bool = False
    is_silent: bool = False
    quiet_after: int | None = None  # the last sequence number before the claim or the silence took effect
    quiet_from: datetime | None = None
    is_whole: bool = False
    broke: str = ""


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
    twice: int = 0  # answers that arrived a second time, where docs/operations.md says so
    handed_over: int = 0
    kills: int = 0
    pauses: int = 0
    cuts: int = 0
    refusals: int = 0
    cut_off: int = 0  # times a machine lost its way to PostgreSQL
    full: int = 0  # times the disk was full
    jumps: int = 0
    seconds: int = 0
    wrong: list[str] = field(default_factory=list)


def run(plan: Plan, folder: Path) -> Outcome:
    """Play it. The same seed gives the same stories and the same troubles; the machine's timing is its own."""
    outcome, began = Outcome(plan.seed), time.monotonic()
    with ExitStack() as stack:
        people = stack.enter_context(town())
        # Where a machine's own clock counts, one that jumps by a day closes WhatsApp's window, and answers wait behind it.
        people.has_whatsapp = bool(plan.postgres)
        if plan.has_small_disk:
            stack.enter_context(disk.small_disk(folder / "var"))
        store = app.set_up_store(Settings(data_dir=folder / "var", database_url=plan.postgres))
        stack.callback(store.engine.dispose)
        member = join(store, "caseworkers")
        place = stack.enter_context(_place(plan, folder, people, outcome))
        family = stack.enter_context(Family(place.machines, folder).started())
        people.urls = family.urls
        trouble = stack.enter_context(Trouble(plan, family, people, place, outcome))
        stories = play(plan, people, store, member, trouble)
        trouble.calm()
        settle(store, outcome)
        count(store, stories, outcome)
    look_for_marks(folder, outcome)
    outcome.seconds = round(time.monotonic() - began)
    return outcome


@dataclass(frozen=True)
class Place:
    """Where a run happens: its machines, the proxy before the database, and what else can go wrong there, each for a while."""

    machines: Sequence[Machine]
    proxy: FaultProxy | None = None
    accidents: Sequence[Callable[[], None]] = ()


@contextmanager
def _place(plan: Plan, folder: Path, people: Town, outcome: Outcome) -> Iterator[Place]:
    names = ["serve0", "serve1", *(f"work{n}" for n in range(plan.works))]

    def fill() -> None:
        outcome.full += 1
        plan.fill() if plan.fill else disk.fill(folder / "var")

    def counted(cut: Callable[[], None]) -> Callable[[], None]:
        def cut_off() -> None:
            outcome.cut_off += 1
            cut()

        return cut_off

    if plan.has_networks:
        with networks.machines(plan.postgres, people) as (machines, cuts):
            yield Place(machines, accidents=[counted(cut) for cut in cuts])
    elif plan.postgres:  # which lets each process have a wrong clock of its own
        address = sa.make_url(plan.postgres)
        with fault_proxy(f"{address.query['host']}/.s.PGSQL.5432") as proxy:
            through = f"postgresql://{address.username}@127.0.0.1:{proxy.port}/{address.database}"
            environment = {**people.environment(), "TELLONCE_DATABASE_URL": through}
            yield Place([Machine("here", names, environment, clock="each")], proxy, [fill] if plan.fill else ())
    else:
        yield Place([Machine("here", names, people.environment())], accidents=[fill] if plan.has_small_disk else ())


# -- trouble -------------------------------------------------------------------------------------------------------------------


class Trouble:
    """After every few texts something breaks. Leaving it waits until what was begun is over."""

    def __init__(self, plan: Plan, family: Family, people: Town, place: Place, outcome: Outcome) -> None:
        self._plan, self._family, self._town, self._outcome = plan, family, people, outcome
        self._proxy, self._accidents = place.proxy, place.accidents
        self._chance = random.Random(plan.seed)
        self._spells = random.Random(-plan.seed)  # of its own, as it is asked by the reporters' threads
        self._written, self._next_at = 0, self._spell()
        self._lock, self._due = threading.Lock(), threading.Semaphore(0)
        self._is_over = False
        self._thread = threading.Thread(target=self._run)
        self._beside: list[threading.Thread] = []
        self._accident: threading.Thread | None = None

    def __enter__(self) -> Trouble:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.calm()

    def written(self) -> None:
        """A reporter wrote a text."""
        with self._lock:
            self._written += 1
            if self._written >= self._next_at:
                self._next_at += self._spell()
                self._due.release()

    def calm(self) -> None:
        """From now on nothing breaks any more."""
        self._is_over = True
        self._due.release()
        self._thread.join()
        for thread in self._beside:
            thread.join()
        if self._proxy:
            self._proxy.delay, self._proxy.refuses = 0.0, False
        self._town.carrier.callbacks = "in_order"

    def _spell(self) -> int:
        return self._spells.randrange(1, 2 * self._plan.texts_between)

    def _run(self) -> None:
        number = 0
        while True:
            self._due.acquire()
            if self._is_over:
                return
            self._one(number)
            number += 1

    def _one(self, number: int) -> None:
        chance, family, outcome = self._chance, self._family, self._outcome
        family.kill(chance.choice(family.names))
        outcome.kills += 1
        self._town.fail(chance)
        family.set_clock(chance.choice(family.names), chance.choice([0, 0, 3600, -3600, 86400]))
        outcome.jumps += 1
        if self._accidents and number % 2 == 1 and not (self._accident and self._accident.is_alive()):
            self._accident = self._aside(self._accidents[number // 2 % len(self._accidents)])
        works = [name for name in family.names if name.startswith("work")]
        if number % 16 == 2 and len(works) > 1:
            self._aside(family.pause, chance.choice(works), PAUSE)
            outcome.pauses += 1
        if self._proxy:
            self._proxy.delay = chance.choice([0.0, 0.0, 0.005])
            if chance.random() < 0.5:
                outcome.cuts += self._proxy.cut()
            if number % 16 == 5:
                self._aside(self._refuse, self._proxy)
                outcome.refusals += 1

    def _refuse(self, proxy: FaultProxy) -> None:
        """The database is away for some seconds."""
        proxy.refuses = True
        proxy.cut()
        time.sleep(3)
        proxy.refuses = False

    def _aside(self, what: Any, *arguments: Any) -> threading.Thread:
        thread = threading.Thread(target=what, args=arguments)
        thread.start()
        self._beside.append(thread)
        return thread


# -- reporters -----------------------------------------------------------------------------------------------------------------


def play(plan: Plan, people: Town, store: Store, member: Member, trouble: Trouble) -> list[Story]:
    end = time.monotonic() + plan.minutes * 60 if plan.minutes else float("inf")

    def one(number: int) -> Story | None:
        if time.monotonic() > end:
            return None
        chance = random.Random(plan.seed * 100_003 + number)
        teller = _Reporter(chance, people.phone(number, chance), store, member, trouble)
        try:
            teller.tell()
        except Exception as error:  # the others go on, and the run says what broke
            teller.story.broke = f"{type(error).__name__}: {error}"
        return teller.story

    with ThreadPoolExecutor(plan.at_once) as pool:
        return [story for story in pool.map(one, range(plan.conversations)) if story]


class _Reporter:
    """Answers whatever is asked until the report is sent; then may write more, ask for silence, or be claimed."""

    def __init__(self, chance: random.Random, phone: Phone, store: Store, member: Member, trouble: Trouble) -> None:
        self.story = Story(phone)
        self._chance, self._phone, self._store, self._member, self._trouble = chance, phone, store, member, trouble

    def tell(self) -> None:
        heard = 0
        self._write(f"A man on the bus shouted at me to go back to my country and pushed me, {MARK} {self._phone.address[-4:]}")
        for turn in range(30):
            answer = self._next(heard)
            if answer is None:
                self.story.broke = f"text {len(self.story.sent)} was not answered: {self._waiting()}"
                return
            heard = len(self._phone.arrived())
            if RECEIPT.search(answer):
                self.story.is_confirmed = True
                break
            if turn == 4 and self._chance.random() < 0.15:
                break
            self._write("1" if re.search(r"(^|\D)1(\D|$)", answer) else f"It was {MARK} {turn}")
        self._end_it()
        self.story.is_whole = True

    def _end_it(self) -> None:
        fate = self._chance.random()
        if fate < 0.3:
            self._fall_silent()
        elif fate < 0.6 and self.story.is_confirmed:
            self._be_claimed()
            for _ in range(2):
                self._write(f"and another thing, {MARK}")
        elif fate < 0.8:
            for _ in range(3):  # a burst nobody waits for
                self._write(f"he was there again, {MARK}")

    def _fall_silent(self) -> None:
        self._write("silence")
        found_by = self._store.vault.index(f"{self._phone.channel}\0{self.story.sent[-1]}", "vendor id")
        handled = sa.select(_message.state).where(_message.external_id == found_by, _message.state != "waiting")
        end = time.monotonic() + PATIENCE
        while not self._once_it_is_there(lambda: self._is_quiet_since(handled)):
            if time.monotonic() > end:
                raise TimeoutError("silence was not heard")
            time.sleep(0.2)

    def _is_quiet_since(self, handled: Any) -> bool:
        with self._store.reading() as db:
            if db.execute(handled).scalar() is None:
                return False
            self._be_quiet(db)
        return True

    def _be_claimed(self) -> None:
        self._once_it_is_there(self._claim)
        self.story.is_claimed = True

    def _claim(self) -> None:
        with self._store.transaction() as db:
            case = db.execute(sa.select(_case.id).where(_case.reporter_id == _id_of(db, self._phone))).scalars().all()
            cases.claim(db, self._member.signed_in, case[0])
            self._be_quiet(db)

    def _once_it_is_there(self, act: Callable[[], Any]) -> Any:
        """The database may be away for a while, or have no room."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return act()
            except sa.exc.OperationalError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)

    def _be_quiet(self, db: Any) -> None:
        last = sa.select(_reporter.last_sequence).where(_reporter.id == _id_of(db, self._phone))
        self.story.quiet_after = db.execute(last).scalar_one()
        self.story.quiet_from = datetime.now(UTC)
        self.story.is_silent = True

    def _write(self, text: str) -> None:
        self.story.sent.append(self._phone.write(text, time.monotonic() + PATIENCE))
        self._trouble.written()

    def _waiting(self) -> str:
        """What hangs: the last texts of this reporter, and by when they are held and due."""
        now = clock.now()
        with self._store.reading() as db:
            mine = sa.select(*_message).where(_message.reporter_id == _id_of(db, self._phone)).order_by(_message.sequence.desc())
            rows = db.execute(mine.limit(3)).all()
        held = [(row.leased_until - now).total_seconds() if row.leased_until else None for row in rows]
        due = [(row.due_at - now).total_seconds() for row in rows]
        shown = zip(rows, held, due, strict=True)
        return f"{now:%H:%M:%S} " + "; ".join(f"{r.direction} {r.state} try {r.attempts} held {h} due {d:.0f}" for r, h, d in shown)

    def _next(self, heard: int) -> str | None:
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if len(self._phone.arrived()) > heard:
                time.sleep(0.2)  # an answer may be two texts
                return self._phone.arrived()[-1].text
            time.sleep(0.2)
        return None


def _id_of(db: Any, phone: Phone) -> Any:
    found_by = db.vault.index(f"{phone.channel}\0{phone.address}", "address")
    return db.execute(sa.select(_address.reporter_id).where(_address.found_by == found_by)).scalar()


# -- counting ------------------------------------------------------------------------------------------------------------------


def settle(store: Store, outcome: Outcome) -> None:
    """Wait until every text was handled and every answer has gone."""
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


def count(store: Store, stories: Sequence[Story], outcome: Outcome) -> None:
    outcome.conversations = len(stories)
    with store.reading() as db:
        for story in stories:
            outcome.confirmed += story.is_confirmed
            outcome.claimed += story.is_claimed
            outcome.silenced += story.is_silent and not story.is_claimed
            outcome.wrong += [f"{story.phone.address}: {fault}" for fault in _faults(db, story, outcome)]


def _faults(db: Any, story: Story, outcome: Outcome) -> Iterator[str]:
    phone = story.phone

    def index(vendor_id: str) -> bytes:
        return bytes(db.vault.index(f"{phone.channel}\0{vendor_id}", "vendor id"))

    reporter = _id_of(db, phone)
    rows = db.execute(sa.select(*_message).where(_message.reporter_id == reporter).order_by(_message.sequence)).all()
    came, went = [r for r in rows if r.direction == "in"], [r for r in rows if r.direction == "out"]
    arrived = phone.arrived()
    outcome.texts += len(came)
    outcome.answers += len(went)
    outcome.handed_over += sum(r.state == "handed_over" for r in came)

    if story.broke:
        yield story.broke
    elif not story.is_whole:
        yield "the conversation stopped in the middle"
    if [r.external_id for r in came] != [index(sent) for sent in story.sent]:
        yield f"sent {len(story.sent)} texts, stored {len(came)}, or in another order"
    if failed := sum(r.state == "failed" for r in went):
        yield f"{failed} answers failed"
    opened = db.execute(sa.select(_case.id).where(_case.reporter_id == reporter, _case.kind == "report")).all()
    if story.is_confirmed and len(opened) != 1:
        yield f"a confirmed report opened {len(opened)} cases"
    known = {r.external_id: r for r in went if r.external_id}
    noted = [known.get(index(one.vendor_id)) for one in arrived]
    yield from _wrong_copies(phone, arrived, noted, went, outcome, is_one_clock=not db.skips_locked)
    yield from _wrong_words(story, arrived, noted, went)


def _wrong_copies(
    phone: Phone, arrived: Sequence[Arrived], noted: Sequence[Any], went: Sequence[Any], outcome: Outcome, *, is_one_clock: bool
) -> Iterator[str]:
    """Every answer once and in order. A copy nobody noted is one taken back on its way, or a second one where that may be."""
    places = [row.sequence for row in noted if row]
    if places != sorted(places) or len(places) != sum(r.external_id is not None for r in went):
        yield "answers are lost or out of order"
    unknown = [one for one, row in zip(arrived, noted, strict=True) if row is None]
    texts = {one.text for one, row in zip(arrived, noted, strict=True) if row}
    copies = [one for one in unknown if one.text in texts]
    if len(unknown) - len(copies) > sum(r.state == "cancelled" for r in went):
        yield f"{len(unknown) - len(copies)} texts arrived that nobody wrote"
    # Telegram cannot be asked what it has after a lost answer; a worker that stands still in the middle of a send goes on; and a
    # machine whose clock was wrong asks Twilio for the wrong hour.
    if copies and phone.channel != "telegram" and not (outcome.pauses or is_one_clock):
        yield f"{len(copies)} answers went out twice"
    outcome.twice += len(copies)


def _wrong_words(story: Story, arrived: Sequence[Arrived], noted: Sequence[Any], went: Sequence[Any]) -> Iterator[str]:
    """Not a word of the bot after a claim or a silent stop."""
    if story.quiet_after is None or story.quiet_from is None:
        return
    if any(row.author != "caseworker" and row.sequence > story.quiet_after for row in went):
        yield "the bot wrote after a claim or after silence"
    for one, row in zip(arrived, noted, strict=True):
        if (row is None or row.author != "caseworker") and one.at > story.quiet_from + IN_FLIGHT:
            yield "the bot spoke after a claim or after silence"


def look_for_marks(folder: Path, outcome: Outcome) -> None:
    """No file of the installation holds a word or a number of a reporter: not the database, its WAL, nor a log."""
    marks = rb"%s|%s|447700\d{6}|7990000\d{3}|\d{4} \d{4} \d{4} \d{4}" % (MARK.encode(), NAME.encode())
    for path in folder.rglob("*"):
        if path.is_file() and (found := re.search(marks, path.read_bytes())):
            outcome.wrong.append(f"{path.name} shows {found[0]!r}")
