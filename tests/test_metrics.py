"""Health and metrics: counts and ages for a monitoring system of ours, and nothing for anybody else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from fastapi import FastAPI

from bot import clock, metrics
from bot.engines import Engines
from bot.store import Store, engine_for
from bot.web import console
from tests.exchange import STORY, Exchange, open_exchange
from tests.web_fixtures import Office, caseworkers, office

__all__ = ["caseworkers", "office"]

TOKEN = "a token of ours"
HERE, ELSEWHERE = ("127.0.0.1", 5000), ("192.0.2.7", 5000)


def engines(understanding: bool | None = True, translation: bool = True) -> Engines:
    return Engines(None if understanding is None else lambda: bool(understanding), lambda: translation)


def app_of(store: Store, beside: Engines | None = None, folder: Path | None = None) -> FastAPI:
    app = FastAPI()
    app.include_router(metrics.routes(store, beside or engines(), TOKEN, folder))
    return app


def ask(app: FastAPI, path: str, client: tuple[str, int] = HERE, base: str = "http://127.0.0.1", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app, client=client), base_url=base) as asking:
            return await asking.get(path, headers=named)

    return anyio.run(get)


def values(answer: httpx.Response) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in answer.text.splitlines() if not line.startswith("#")]
    return {name.removeprefix("tellonce_"): float(value) for name, value in lines}


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with open_exchange(tmp_path) as opened:
        yield opened


def test_it_counts_what_waits_and_says_how_long(exchange: Exchange) -> None:
    start = clock.now()
    with clock.frozen(start) as move:
        exchange.caller("+447700900001").writes(STORY)
        move(start + timedelta(seconds=90))
        exchange.reports(address="+447700900002")
        exchange.telephone.accept("+447700900003", STORY)
        move(start + timedelta(seconds=100))
        told = values(ask(app_of(exchange.store, folder=exchange.path.parent), "/metrics"))
    assert told["texts_waiting"] == 1 and told["texts_waiting_oldest_seconds"] == 10
    assert told['cases{state="open"}'] == 1 and told["cases_open_oldest_seconds"] == 10
    assert told["cases_at_risk_oldest_seconds"] == 0 and told["working_copies"] == 1
    assert told['engine_up{engine="translation"}'] == 1 and told["disk_free_bytes"] > 0


def test_a_monitoring_system_can_read_every_line(exchange: Exchange) -> None:
    answer = ask(app_of(exchange.store), "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = answer.text.splitlines()
    named = {line.split()[2] for line in lines if line.startswith("# TYPE")}
    samples = [line for line in lines if not line.startswith("#")]
    assert samples and {line.partition("{")[0].split()[0] for line in samples} <= named
    assert all(line.split()[-1].replace(".", "").replace("e+", "").isdigit() for line in samples)


def test_no_word_number_or_name_is_in_it(exchange: Exchange) -> None:
    exchange.reports("Zitronenfalter spat at me on the bus and shouted at me", "1")
    exchange.telephone.accept("+447700900777", "Zitronenfalter again")
    text = ask(app_of(exchange.store, folder=exchange.path.parent), "/metrics").text
    for secret in ("Zitronenfalter", "447700900", exchange.desk.name, str(exchange.path.parent), "caseworkers"):
        assert secret not in text


def test_a_process_that_is_silent_is_seen_and_one_switched_off_is_not_missed(exchange: Exchange) -> None:
    told = values(ask(app_of(exchange.store, engines(understanding=None, translation=False)), "/metrics"))
    assert told['engine_up{engine="translation"}'] == 0 and 'engine_up{engine="understanding"}' not in told


def test_health_is_200_with_a_team_and_a_database(exchange: Exchange) -> None:
    answer = ask(app_of(exchange.store, engines(False, False)), "/health")
    assert (answer.status_code, answer.text) == (200, "ok\n")


def test_without_a_team_it_is_not_healthy(sqlite_store: Store) -> None:
    answer = ask(app_of(sqlite_store), "/health")
    assert (answer.status_code, answer.text) == (503, "there is no team\n")


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_without_its_database_it_says_so_and_shows_no_address_of_it(path: str, sqlite_store: Store) -> None:
    gone = Store(engine_for("postgresql://somebody:secret@127.0.0.1:9/nothing"), sqlite_store.vault)
    answer = ask(app_of(gone), path)
    assert (answer.status_code, answer.text) == (503, "the database does not answer\n")


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_for_a_stranger_there_is_nothing(path: str, exchange: Exchange) -> None:
    app = app_of(exchange.store)
    assert ask(app, path).status_code == 200
    assert ask(app, path, ELSEWHERE).status_code == 404
    assert ask(app, path, x_forwarded_for="192.0.2.7").status_code == 404  # a reverse proxy on this machine
    assert ask(app, path, base="https://tellonce.example").status_code == 404  # one that does not even say so
    assert ask(app, path, ELSEWHERE, authorization="Bearer wrong").status_code == 404
    assert ask(app, path, ELSEWHERE, authorization=f"Bearer {TOKEN}").status_code == 200


def test_an_empty_token_lets_nobody_in(sqlite_store: Store) -> None:
    app = FastAPI()
    app.include_router(metrics.routes(sqlite_store, engines(), ""))
    assert ask(app, "/health", ELSEWHERE, authorization="Bearer ").status_code == 404


def test_the_queue_says_calmly_what_does_not_answer(office: Office) -> None:
    office.app = console(office.store, office.settings, office.translator, engines(understanding=False, translation=False))
    page = office.signed_in().get("/queue").text
    assert "Translation is not running: texts arrive in the original language." in page
    assert "Understanding is not running" in page
    office.app = console(office.store, office.settings, office.translator, engines())
    assert "is not running" not in office.signed_in().get("/queue").text


def test_whoever_hangs_is_asked_by_one_at_a_time_and_seldom() -> None:
    asked: list[int] = []
    beside = Engines(None, lambda: not asked.append(1))  # type: ignore[func-returns-value]
    assert [beside.answering().translation for _ in range(20)] == [True] * 20 and len(asked) == 1
