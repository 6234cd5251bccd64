"""More of everything: ten thousand people at once, several `work` processes, and a number that may send only so fast."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from time import perf_counter

import httpx
import sqlalchemy as sa

from bench import audit
from bench.installation import SERVE, TALK, WORK, Installation, installed, postgres, running, until
from bench.load import BY_NUMBER, Phones, closed, numbers, offered
from bench.machine import cpu_seconds, fdatasync_ms
from bench.results import Finding, at_least, at_most, heading, none_of, percentile, unmeasured
from bench.webhook import warmed
from bot.models import Message

PEOPLE, SECONDS = 10_000, 10
WORKERS = (1, 2, 4)
PHONES, CLIENTS = 512, 16  # so many that every process always finds lines that nobody holds
RATE = 20  # segments a second that the number is said to be allowed
REPLIES = 150

_message = Message.__table__.c  # type: ignore[attr-defined]


def surge() -> Iterator[Finding]:
    """Ten thousand first texts in ten seconds, as after a broadcast: how soon is each acknowledged, and is one lost?"""
    print(heading(f"{PEOPLE:,} first texts in {SECONDS} s (serve, work and the load on the same cores)"))
    with installed() as here, running(here, SERVE, WORK):
        phones = Phones(here.url)
        warmed(here, phones)
        lines = [phones.story(number) for number in numbers(PEOPLE)]
        answered = offered(here.settings.port, [line[0] for line in lines], PEOPLE / SECONDS)
        since = perf_counter()
        audit.drained(here, 900)
        behind = perf_counter() - since
        kept = sum(one.is_right for one in answered)
        with here.store.reading() as db:
            rows = db.execute(sa.select(sa.func.count()).where(_message.direction == "in")).scalar_one()
        phones.close()
    took = [one.took for one in answered]
    lost = [f"{PEOPLE - kept} were refused"] * (kept != PEOPLE) + [f"{rows} rows"] * (rows < kept)
    print(f"  p50 {statistics.median(took):.2f}, p95 {percentile(took, 0.95):.2f}, longest {max(took):.2f} s", end="")
    print(f"; the last reply was written {behind:.0f} s after the last post; fdatasync {fdatasync_ms():.2f} ms")
    yield at_most("G6", "10,000 first texts in 10 s: the slowest ack", max(took), 5, "s", 1)
    yield none_of("G5", "lost or refused of 10,000 first texts", lost)


def workers() -> Iterator[Finding]:
    """One, two and four `work` processes over one PostgreSQL: texts answered a second by the clock, of texts that wait already."""
    print(heading("Several `work` processes over one PostgreSQL (two cores carry everything)"))
    try:
        with postgres() as (make, _):
            speeds = {count: _drained_by(count, make(f"workers{count}")) for count in WORKERS}
    except ImportError:
        yield unmeasured("-", "two and four work processes", "", "no PostgreSQL here: run ./setup --dev")
        return
    for count, (a_second, each) in speeds.items():
        print(f"  {count} process{'es' if count > 1 else ''}: {a_second:.0f} texts a second, {each:.2f} ms of their CPU a text")
    yield at_least("-", "two work processes beside one, PostgreSQL", speeds[2][0] / speeds[1][0], 1.3, "times", 2)


def _drained_by(count: int, database: str) -> tuple[float, float]:
    """Texts a second, and milliseconds of CPU a text, of so many workers that find every line full."""
    with installed(database) as here:
        with running(here, SERVE):
            phones = Phones(here.url)
            lines = [[*phones.story(number), *phones.answers(number, BY_NUMBER[:-1])] for number in numbers(PHONES)]
            closed(here.settings.port, lines, CLIENTS)
            phones.close()
        texts = sum(map(len, lines))
        with running(here, *[TALK] * count) as processes:
            _begun(here, texts)
            left, before, since = _waiting(here), sum(cpu_seconds(p.pid) for p in processes), perf_counter()
            audit.drained(here)
            took = perf_counter() - since
            return left / took, (sum(cpu_seconds(p.pid) for p in processes) - before) * 1000 / left


def _begun(here: Installation, texts: int) -> None:
    """Starting a process is no part of its speed: wait until the first texts are answered."""
    until(lambda: _waiting(here) < texts, 60, f"nobody answers: {here.log()[-400:]}")


def _waiting(here: Installation) -> int:
    with here.store.reading() as db:
        count: int = db.execute(
            sa.select(sa.func.count()).where(_message.direction == "in", _message.state == "waiting")
        ).scalar_one()
    return count


def pacing() -> Iterator[Finding]:
    """A number that may send ``RATE`` segments a second has a line of replies: how much of its rate is used, is it ever passed?"""
    print(heading(f"Sending at a number's rate, {RATE} segments a second, {REPLIES} replies"))
    with installed(segments_per_second=RATE) as here, running(here, SERVE, WORK):
        phones = Phones(here.url)
        closed(here.settings.port, [phones.story(number) for number in numbers(REPLIES)], CLIENTS)
        audit.drained(here, 300, sent=True)
        phones.close()
        sent = _handed_over(here)
    steady = sent[len(sent) // 10 :]
    used = sum(weight for _, weight in steady[:-1]) / (steady[-1][0] - steady[0][0]) / RATE * 100
    most = max(sum(weight for at, weight in sent if start <= at < start + 10) for start, _ in sent) / 10 / RATE * 100
    print(f"  used {used:.1f} % of the rate over {steady[-1][0] - steady[0][0]:.0f} s; busiest ten seconds {most:.1f} %")
    yield at_least("G9", "of a number's rate used", used, 95, "%", 1)
    yield at_most("G9", "of its rate in the busiest ten seconds", most, 100, "%", 1)


def _handed_over(here: Installation) -> list[tuple[float, int]]:
    """When the stand-in took each text, in seconds, and its segments, in order."""
    took = httpx.get(here.environment["TELLONCE_TWILIO_API_URL"] + "/standin/pace", trust_env=False).json()
    return sorted((at, weight) for at, weight in took)
