"""The webhook, from a signed POST to the row in the outbox: latency, what is lost, and CPU beside the bare limit."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

from bench import audit
from bench.installation import SERVE, TALK, WORK, Installation, answers, free_port, installed, postgres, running, started, until
from bench.load import BY_NUMBER, CONFIRM, Answered, Phones, Text, closed, numbers, offered
from bench.machine import cpu_seconds, family_cpu_seconds, fdatasync_ms
from bench.results import Finding, at_least, at_most, heading, none_of, percentile, spread, unmeasured

ROUNDS = 3
PHONES = 128
CLIENTS = 16
PARTS = 3  # texts of one story


# -- latency at an offered rate ------------------------------------------------------------------------------------------------


def latency() -> Iterator[Finding]:
    """Everything runs, sending included: acknowledged how soon, at 50 and at 100 messages a second?"""
    print(heading("Webhook at an offered rate (serve, work and the vendor's stand-in on the same cores)"))
    found: dict[int, list[float]] = {}
    wrong: list[str] = []
    for rate, seconds in ((50, 10), (100, 8)):
        with installed() as here, running(here, SERVE, WORK):
            phones = Phones(here.url)
            warm = warmed(here, phones)
            lines = [phones.story(number, 5) for number in numbers(rate * seconds // 5)]
            answered = offered(here.settings.port, staggered(lines, rate), rate)
            since = perf_counter()
            audit.drained(here)
            behind = perf_counter() - since
            wrong += audit.faults(here, [*warm, *lines], answered, 5)
            phones.close()
        took = found[rate] = [one.took * 1000 for one in answered]
        print(
            f"  {rate:4}/s for {seconds} s: p50 {statistics.median(took):.1f}, p95 {percentile(took, 0.95):.1f}, "
            f"p99 {percentile(took, 0.99):.1f}, longest {max(took):.1f} ms; last reply written {behind:.1f} s later; "
            f"fdatasync {fdatasync_ms():.2f} ms"
        )
    yield at_most("#2", "webhook acknowledged, p95 at 50/s offered", percentile(found[50], 0.95), 50, "ms", 1)
    yield at_most("G6", "webhook acknowledged, p95 at 100/s offered", percentile(found[100], 0.95), 25, "ms", 1)
    yield at_most("G6", "webhook acknowledged, p99 at 100/s offered", percentile(found[100], 0.99), 100, "ms", 1)
    yield none_of("G5", "lost, doubled, reordered at 50/s and 100/s", wrong)


def staggered(lines: Sequence[Sequence[Text]], rate: int) -> list[Text]:
    """Phones start one after the other, and each writes its next text about a second later."""
    slots = [(phone + place * rate, phone, place) for phone, line in enumerate(lines) for place in range(len(line))]
    return [lines[phone][place] for _, phone, place in sorted(slots)]


def warmed(here: Installation, phones: Phones) -> list[list[Text]]:
    """Post and answer a few texts first: imports, caches and connections are no part of a message's cost."""
    lines = [phones.story(number, 5) for number in numbers(4, series=99)]
    closed(here.settings.port, lines, 2)
    audit.drained(here)
    return lines


# -- nothing lost --------------------------------------------------------------------------------------------------------------


def loss() -> Iterator[Finding]:
    """Many clients at once, every tenth webhook posted twice, one moment after the other: one row, in order, one reply each."""
    print(heading("Nothing lost, doubled or out of order (each story is read back from the database)"))
    wrong: list[str] = []
    for clients in (1, 16, 64):
        with installed() as here, running(here, SERVE, TALK):
            phones = Phones(here.url)
            lines = [phones.story(number, PARTS) for number in numbers(max(clients, 16))]
            since = perf_counter()
            answered = closed(here.settings.port, [_with_repeats(line) for line in lines], clients)
            a_second = len(answered) / (perf_counter() - since)
            audit.drained(here)
            faults = audit.faults(here, lines, answered, PARTS)
            phones.close()
        wrong += faults
        rows = sum(map(len, lines))
        print(f"  {clients:2} clients: {len(answered)} posts of {rows} texts, {a_second:.0f}/s taken in; {len(faults)} faults")
    yield none_of("G5", "lost, doubled, reordered at 1, 16, 64 clients", wrong)


def _with_repeats(line: Sequence[Text]) -> list[Text]:
    return [text for place, text in enumerate(line) for _ in range(2 if place % 10 == 1 else 1)]


# -- CPU a message, beside the bare limit --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """CPU milliseconds of one message: of the server, of the worker, of the database; and messages a second by the clock."""

    serve: float
    work: float
    database: float
    a_second: float

    @property
    def all(self) -> float:
        return self.serve + self.work + self.database


def sqlite() -> Iterator[Finding]:
    """G1: SQLite with synchronous=FULL, three rounds, ours and the bare limit in turn."""
    print(heading(f"CPU a message answered by number, SQLite FULL, {CLIENTS} clients, {ROUNDS} rounds in turn"))
    ours, bare, reports = [], [], []
    for _ in range(ROUNDS):
        with installed() as here:
            bare.append(_bare(here, str(here.folder / "bare.db")))
            cost, report = _ours(here)
        ours.append(cost)
        reports.append(report)
    _print_costs(ours, bare)
    print(f"  a first text {spread([r.first for r in reports])} ms; the last answer, with its sealed case and receipt ", end="")
    print(f"{spread([r.last for r in reports])} ms of CPU")
    print(
        f"  a whole report of 12 texts {spread([r.first + 10 * c.all + r.last for c, r in zip(ours, reports, strict=True)], 0)} ms"
    )
    share = statistics.median(b.all / o.all for b, o in zip(bare, ours, strict=True)) * 100
    yield at_least("G1", "of the bare limit per core, SQLite FULL", share, 50, "%")
    yield at_most("G1", "CPU a message, POST to outbox row", statistics.median(o.all for o in ours), 0.7, "ms", 2)


def postgresql() -> Iterator[Finding]:
    """G2: PostgreSQL, beside one psycopg statement a message (asyncpg, the note's peer, is not among our packages)."""
    print(heading(f"CPU a message answered by number, PostgreSQL, {CLIENTS} clients, {ROUNDS} rounds in turn"))
    try:
        ours, bare = [], []
        with postgres() as (make, server):
            for number in range(ROUNDS):
                with installed(make(f"ours{number}")) as here:
                    bare.append(_bare(here, make(f"bare{number}"), server))
                    ours.append(_ours(here, server)[0])
    except ImportError:
        yield unmeasured("G2", "of the bare limit, PostgreSQL", ">= 60 %", "no PostgreSQL here: run ./setup --dev")
        return
    _print_costs(ours, bare)
    share = statistics.median(b.all / o.all for b, o in zip(bare, ours, strict=True)) * 100
    yield at_least("G2", "of bare psycopg per core, PostgreSQL", share, 60, "%")


@dataclass(frozen=True)
class Ends:
    """CPU milliseconds of the two texts of a report that are dearer than the others."""

    first: float
    last: float


def _ours(here: Installation, database: int | None = None) -> tuple[Cost, Ends]:
    with running(here, SERVE, TALK) as (serve, talk):
        phones = Phones(here.url)
        warmed(here, phones)
        own = numbers(PHONES)

        def measured(lines: Sequence[Sequence[Text]]) -> Cost:
            def play() -> None:
                _checked(closed(here.settings.port, lines, CLIENTS))
                audit.drained(here)

            return _cost(play, sum(map(len, lines)), serve.pid, talk.pid, database)

        first = measured([phones.story(number) for number in own])
        cost = measured([phones.answers(number, BY_NUMBER[:-1]) for number in own])
        measured([phones.answers(number, BY_NUMBER[-1:]) for number in own])
        last = measured([phones.answers(number, (CONFIRM,)) for number in own])
        phones.close()
    return cost, Ends(first.all, last.all)


def _bare(here: Installation, database: str, server: int | None = None) -> Cost:
    port = free_port()
    with started(here, "-m", "bench.bare", str(port), database) as process:
        until(lambda: answers(port), 20, f"the bare app did not start: {here.log()[-400:]}")
        phones = Phones(f"http://127.0.0.1:{port}")
        own = numbers(PHONES)
        closed(port, [phones.story(number) for number in own], CLIENTS)
        lines = [phones.answers(number, BY_NUMBER * 2) for number in own]
        cost = _cost(lambda: _checked(closed(port, lines, CLIENTS)), sum(map(len, lines)), process.pid, None, server)
        phones.close()
    return cost


def _cost(play: Callable[[], None], messages: int, serve: int, work: int | None, database: int | None) -> Cost:
    def spent() -> list[float]:
        return [cpu_seconds(serve), cpu_seconds(work) if work else 0.0, family_cpu_seconds(database) if database else 0.0]

    before, since = spent(), perf_counter()
    play()
    took = perf_counter() - since
    each = [(after - earlier) * 1000 / messages for earlier, after in zip(before, spent(), strict=True)]
    return Cost(*each, a_second=messages / took)


def _checked(answered: Sequence[Answered]) -> None:
    wrong = sum(not one.is_right for one in answered)
    if wrong:
        raise RuntimeError(f"{wrong} of {len(answered)} webhooks were not answered as they should be")


def _print_costs(ours: Sequence[Cost], bare: Sequence[Cost]) -> None:
    print(f"  bare   {spread([c.serve for c in bare])} ms", end="")
    print(f" + database {spread([c.database for c in bare])}" if bare[0].database else "", end="")
    print(f"; {spread([c.a_second for c in bare], 0)} messages a second by the clock")
    print(f"  ours   {spread([c.all for c in ours])} ms = serve {spread([c.serve for c in ours])}", end="")
    print(f" + work {spread([c.work for c in ours])}", end="")
    print(f" + database {spread([c.database for c in ours])}" if ours[0].database else "", end="")
    print(f"; {spread([c.a_second for c in ours], 0)} a second by the clock, both cores")
    print(f"  fdatasync {fdatasync_ms():.2f} ms")
