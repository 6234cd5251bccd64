"""Floods, slow clients, full disks and giant media: whoever is honest still gets through, and nothing that was taken is lost."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI, Request

from bot import clock, inbox
from bot.channels import hand_over, read_body
from bot.intake import Door, InTime, allow_connections
from bot.messages import IncomingMessage, NoRoom
from bot.models import Message
from bot.store import Store
from tests.exchange import employ, open_exchange, rows
from tests.running import running, until
from tests.standins import served

FLOODER, HONEST = "+447700900666", "+447700900123"


def accept(store: Store, address: str, *texts: str, is_full: bool = False) -> None:
    with store.transaction() as db:
        for text in texts:
            inbox.accept(db, IncomingMessage("sms", address, text, f"{address} {text}"), is_full=is_full)


def taken(store: Store) -> inbox.Claimed | None:
    """Take the next text and finish it, as a worker does."""
    with store.transaction() as db:
        message = inbox.claim_next(db)
        if message is not None:
            inbox.finish(db, message.id)
        return message


def texts_taken(store: Store, count: int) -> list[str]:
    return [message.text for message in (taken(store) for _ in range(count)) if message]


@pytest.fixture
def staffed(store: Store) -> Store:
    employ(store)
    return store


# -- floods --------------------------------------------------------------------------------------------------------------------


def test_an_honest_text_comes_second_after_a_thousand_of_one_address(staffed: Store) -> None:
    accept(staffed, FLOODER, *(f"flood {n}" for n in range(1000)))
    accept(staffed, HONEST, "Someone spat at me")
    assert "Someone spat at me" in texts_taken(staffed, 2)


def test_whoever_floods_is_still_heard_word_for_word_and_in_order(staffed: Store) -> None:
    flood = [f"flood {n}" for n in range(60)]
    accept(staffed, FLOODER, *flood)
    assert texts_taken(staffed, 61) == flood  # and nobody had to wait: nothing else was there to do


def test_honest_reporters_get_through_a_flood_from_many_addresses(staffed: Store) -> None:
    with clock.frozen(clock.now()) as move:
        for n in range(40):
            accept(staffed, f"+4477009{n:05}", *(f"flood {n} {m}" for m in range(25)))
        move(clock.now() + timedelta(seconds=5))
        accept(staffed, HONEST, "Someone spat at me")
        # One turn of everybody who was there before her, instead of all their thousand texts.
        assert "Someone spat at me" in texts_taken(staffed, 41)


def test_a_few_texts_in_a_row_keep_their_order_and_are_not_held_back(staffed: Store) -> None:
    accept(staffed, HONEST, "He came closer", "and shouted", "then he hit me")
    assert texts_taken(staffed, 4) == ["He came closer", "and shouted", "then he hit me"]


def test_after_a_failed_try_a_text_still_waits_its_time(staffed: Store) -> None:
    accept(staffed, HONEST, "first", "second")
    with staffed.transaction() as db:
        message = inbox.claim_next(db)
        assert message is not None
        inbox.put_back(db, message)
    assert texts_taken(staffed, 1) == []


def test_an_honest_reporter_is_answered_while_another_floods_a_thousand_texts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, monkeypatch) as exchange:
        accept(exchange.store, FLOODER, *(f"flood {n}" for n in range(1000)))
        assert exchange.twilio.deliver(HONEST, "Someone spat at me on the bus", url=f"{exchange.url}/sms").status == 200
        until(lambda: exchange.twilio.to(HONEST), "the honest reporter was not answered")
        with exchange.store.reading() as db:
            assert inbox.waiting(db) > 500, "the flood was over before: this shows nothing"
        assert len(rows(exchange.store, Message, sa.text("direction = 'in'"))) == 1001


def test_answers_to_a_flood_go_out_after_everybody_elses(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange:
        for n in range(40):
            exchange.caller(FLOODER).writes(f"flood {n}")
        exchange.telephone.answer()  # nobody else was there, so all are answered before she comes
        exchange.caller(HONEST).writes("Someone spat at me")
        exchange.telephone.answer()
        exchange.telephone.send()
        sent = [text.address for text in exchange.channel.sent]
        assert HONEST in sent[:2] and len(sent) == 41


# -- no room -------------------------------------------------------------------------------------------------------------------


def test_in_a_full_house_only_those_with_many_texts_waiting_are_asked_to_come_again(staffed: Store) -> None:
    door = Door(staffed, None, most_waiting=39)
    accept(staffed, FLOODER, *(f"flood {n}" for n in range(40)))
    assert door.is_full()
    with pytest.raises(NoRoom):
        accept(staffed, FLOODER, "one more", is_full=door.is_full())
    accept(staffed, HONEST, "Someone spat at me", "and called me names", is_full=door.is_full())
    assert len(rows(staffed, Message)) == 42


def test_a_house_with_room_is_not_full(staffed: Store) -> None:
    accept(staffed, FLOODER, "flood")
    assert not Door(staffed, None, most_waiting=1).is_full()


def test_on_a_nearly_full_disk_nothing_is_taken_in_and_with_room_again_everything(sqlite_store: Store, tmp_path: Path) -> None:
    with pytest.raises(NoRoom, match="disk"):
        Door(sqlite_store, tmp_path, least_free=1 << 62).require_room()
    Door(sqlite_store, tmp_path, least_free=0).require_room()
    Door(sqlite_store, None, least_free=1 << 62).require_room()  # PostgreSQL's disk is not ours to see


def test_without_room_the_vendor_is_told_when_to_post_again_and_the_log_holds_no_word(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()

    @app.post("/texts")
    async def receive(request: Request) -> dict[str, str]:
        async def refuse(_text: str) -> None:
            raise NoRoom("the disk is nearly full")

        await hand_over(refuse((await read_body(request)).decode()), about="text 1")
        return {}

    with caplog.at_level(logging.DEBUG), served(app) as url:
        answer = httpx.post(f"{url}/texts", content=f"Zitronenfalter {HONEST}", trust_env=False)
    assert answer.status_code == 503 and answer.headers["retry-after"] == "60"
    assert "text 1 was not stored" in caplog.text and "Zitronenfalter" not in caplog.text and HONEST not in caplog.text


# -- slow clients, and too many of them ----------------------------------------------------------------------------------------


class Impatient(InTime):
    seconds = 0.4


@contextmanager
def serving(**limits: Any) -> Iterator[tuple[int, list[bytes]]]:
    """A server that keeps every body it got whole: its port and those bodies."""
    app, bodies = FastAPI(), list[bytes]()

    @app.post("/texts")
    async def receive(request: Request) -> dict[str, int]:
        bodies.append(await read_body(request))
        return {"stored": len(bodies)}

    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=Impatient, log_config=None, lifespan="off", **limits))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield listening.getsockname()[1], bodies
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def text_to(port: int, text: str = "Someone spat at me") -> int:
    return httpx.post(f"http://127.0.0.1:{port}/texts", content=text, trust_env=False).status_code


def is_cut_off(client: socket.socket) -> bool:
    """Whether the server hung up; what it answered before does not matter."""
    client.settimeout(10)
    try:
        while client.recv(4096):
            pass
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False
    return True


HEAD = b"POST /texts HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n"


@pytest.mark.parametrize("said", [b"", b"POST /te", HEAD, HEAD + b"\r\n", HEAD + b"\r\nSomeone spat"])
def test_a_request_that_does_not_end_is_cut_off_and_nothing_of_it_is_kept(said: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as (port, bodies), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(said)
        assert text_to(port) == 200  # the others do not wait for it
        assert is_cut_off(client)
        assert bodies == [b"Someone spat at me"]
    assert "Traceback" not in caplog.text


def test_a_client_that_sends_a_byte_now_and_then_gets_no_more_time() -> None:
    with serving() as (port, bodies), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(HEAD + b"\r\n")
        began = time.monotonic()
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            while time.monotonic() < began + 10:
                client.sendall(b"x")
                time.sleep(0.05)
        assert time.monotonic() < began + 5 and bodies == []


def test_each_request_of_a_lasting_connection_has_its_own_time() -> None:
    with serving() as (port, bodies), httpx.Client(trust_env=False) as client:
        for n in range(4):
            assert client.post(f"http://127.0.0.1:{port}/texts", content=str(n)).status_code == 200
            time.sleep(0.15)
        assert len(bodies) == 4


def test_too_many_connections_are_refused_until_the_slow_ones_are_cut_off() -> None:
    with serving(limit_concurrency=5) as (port, _bodies):
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        assert text_to(port) == 503
        until(lambda: text_to(port) == 200, "nobody got in any more")
        for client in slow:
            client.close()


def test_a_process_may_hold_as_many_connections_as_it_takes() -> None:
    import resource

    allow_connections(100)
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] >= 300


# -- giant media ---------------------------------------------------------------------------------------------------------------


def test_media_are_counted_and_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = list[str]()
    app = FastAPI()

    @app.get("/{path:path}")
    def media(path: str) -> str:
        fetched.append(path)
        return path

    with served(app) as media_url, running(tmp_path, monkeypatch) as exchange:
        files = {f"MediaUrl{n}": f"{media_url}/giant/{n}" for n in range(10)} | {
            f"MediaContentType{n}": "video/mp4" for n in range(10)
        }
        posted = exchange.twilio.deliver(HONEST, "look", url=f"{exchange.url}/sms", NumMedia="10", **files)
        assert posted.status == 200
        until(lambda: exchange.twilio.to(HONEST), "no answer")
        exchange.settle()
    assert fetched == []
