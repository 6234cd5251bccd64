"""What webhooks bring at the same moment: one commit for all, and nobody's text harmed or reordered by another's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from bot import inbox
from bot.intake import Door
from bot.messages import Delivery, IncomingMessage, NoRoom
from bot.models import Address, EarlyNews, Message, Reporter
from bot.privacy import Vault
from bot.reception import Reception
from bot.store import Store, engine_for, hold_reporters
from tests.exchange import employ, rows
from tests.running import until

ROSA, CLEO, FLOODER = "+447700900123", "+447700900124", "+447700900666"
UNWRITABLE = "\ud83d"  # half a character: no index can be made of such an address

Ask = Callable[[Reception], Awaitable[Any]]


@pytest.fixture
def staffed(store: Store) -> Store:
    employ(store)
    return store


@pytest.fixture
def postgres_store(postgres_url: str, vault: Vault) -> Iterator[Store]:
    opened = Store(engine_for(postgres_url), vault)
    yield opened
    opened.engine.dispose()


def text(address: str, body: str, external_id: str | None = None) -> IncomingMessage:
    return IncomingMessage("sms", address, body, external_id or f"id of {body} {address}")


def at_once(store: Store, *asked: Ask, door: Door | None = None) -> list[Any]:
    """What each that came at the same moment was told: None, or the error."""

    async def come() -> list[Any]:
        reception = Reception(store, door or Door(store, None))
        try:
            return await asyncio.gather(*(ask(reception) for ask in asked), return_exceptions=True)
        finally:
            reception.close()

    return asyncio.run(come())


def texts_at_once(store: Store, texts: Sequence[IncomingMessage], door: Door | None = None) -> list[Any]:
    return at_once(store, *(lambda reception, one=one: reception.accept(one) for one in texts), door=door)


def kept(store: Store, address: str) -> list[str]:
    """The words of one address, in the order of their numbers."""
    with store.reading() as db:
        of = db.vault.index(f"sms\0{address}", "address")
        found = sa.select(Message.id, Message.body).join_from(Message, Address, Message.address_id == Address.id)  # type: ignore[call-overload,arg-type]
        texts = db.execute(found.where(Address.found_by == of).order_by(Message.sequence)).all()  # type: ignore[arg-type]
        return [db.vault.reveal(row.body, "message", "body", row.id)["text"] for row in texts]


def test_what_comes_while_one_commit_is_under_way_shares_the_next(staffed: Store) -> None:
    commits: list[int] = []
    sa.event.listen(staffed.engine, "commit", lambda _connection: commits.append(1))
    before = len(commits)
    told = texts_at_once(staffed, [text(f"+4477009{n:05}", "Oi") for n in range(60)])
    assert told == [None] * 60 and len(rows(staffed, Message)) == len(rows(staffed, Reporter)) == 60
    assert len(commits) - before < 6


def test_many_texts_of_one_stranger_at_once_make_one_reporter_and_keep_their_order(staffed: Store) -> None:
    bodies = [f"part {n}" for n in range(30)]
    texts_at_once(staffed, [text(ROSA, body) for body in bodies])
    texts_at_once(staffed, [text(ROSA, "and more"), text(ROSA, "the end")])
    assert len(rows(staffed, Reporter)) == 1
    assert kept(staffed, ROSA) == [*bodies, "and more", "the end"]
    assert [row.sequence for row in rows(staffed, Message)] == list(range(1, 33))


def test_the_same_text_posted_twice_at_once_is_stored_once_and_acknowledged_twice(staffed: Store) -> None:
    told = texts_at_once(staffed, [text(ROSA, "Oi", "SM1"), text(ROSA, "Oi", "SM1"), text(CLEO, "Oi", "SM2")])
    assert told == [None, None, None]
    assert kept(staffed, ROSA) == kept(staffed, CLEO) == ["Oi"]


def test_one_that_cannot_be_written_leaves_the_others_of_its_commit_alone(staffed: Store) -> None:
    texts = [text(ROSA, "first"), text(UNWRITABLE, "?"), text(CLEO, "Oi"), text(ROSA, "second")]
    told = texts_at_once(staffed, texts)
    assert [type(one) for one in told] == [type(None), UnicodeEncodeError, type(None), type(None)]
    assert kept(staffed, ROSA) == ["first", "second"] and kept(staffed, CLEO) == ["Oi"]


def test_in_a_full_house_a_flooder_is_refused_and_who_comes_with_them_is_not(staffed: Store) -> None:
    texts_at_once(staffed, [text(FLOODER, f"flood {n}") for n in range(40)])
    full = Door(staffed, None, most_waiting=39)
    told = texts_at_once(staffed, [text(FLOODER, "one more"), text(ROSA, "Someone spat at me")], full)
    assert isinstance(told[0], NoRoom) and told[1] is None
    assert kept(staffed, ROSA) == ["Someone spat at me"] and len(kept(staffed, FLOODER)) == 40


def test_texts_that_come_together_take_places_ten_seconds_apart_like_those_that_come_alone(staffed: Store) -> None:
    texts_at_once(staffed, [text(FLOODER, "first")])
    texts_at_once(staffed, [text(FLOODER, "second"), text(FLOODER, "third"), text(ROSA, "Oi")])
    places = [row.due_at for row in rows(staffed, Message, Message.sequence < 4)]
    first, second, third = sorted(places)[0], *sorted(places)[-2:]
    assert (second - first, third - second) == (inbox.SPACING, inbox.SPACING)


def test_without_a_disk_all_of_a_commit_are_refused_and_nothing_is_tried_again(staffed: Store) -> None:
    commits: list[int] = []
    sa.event.listen(staffed.engine, "begin", lambda _connection: commits.append(1))

    def fail(*_: object) -> None:
        raise sa.exc.OperationalError("INSERT", {}, Exception("database or disk is full"))

    sa.event.listen(staffed.engine, "before_cursor_execute", fail)
    told = texts_at_once(staffed, [text(f"+4477009{n:05}", "Oi") for n in range(20)])
    sa.event.remove(staffed.engine, "before_cursor_execute", fail)
    assert {type(one) for one in told} == {sa.exc.OperationalError} and len(commits) <= 2


def test_news_of_a_text_comes_in_the_same_commit_as_what_others_wrote(staffed: Store) -> None:
    news = Delivery("SMunknown", "delivered")
    told = at_once(staffed, lambda r: r.record_delivery("sms", news), lambda r: r.accept(text(ROSA, "Oi")))
    assert told == [None, None]
    assert len(rows(staffed, EarlyNews)) == 1 and kept(staffed, ROSA) == ["Oi"]


def test_a_reporter_somebody_else_holds_keeps_nobody_waiting_but_themselves(postgres_store: Store) -> None:
    employ(postgres_store)
    texts_at_once(postgres_store, [text(ROSA, "Oi"), text(CLEO, "Oi")])
    held, released = threading.Event(), threading.Event()

    def hold() -> None:
        with postgres_store.transaction() as db:
            [rosa] = {row.reporter_id for row in db.execute(sa.select(Address.__table__)) if row.found_by == _index(db, ROSA)}  # type: ignore[attr-defined]
            hold_reporters(db, [rosa])
            held.set()
            released.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    coming = threading.Thread(
        target=texts_at_once, args=(postgres_store, [text(ROSA, "first"), text(CLEO, "Help me"), text(ROSA, "second")])
    )
    coming.start()
    try:
        until(lambda: kept(postgres_store, CLEO) == ["Oi", "Help me"], "Cleo had to wait for Rosa")
        assert kept(postgres_store, ROSA) == ["Oi"]
    finally:
        released.set()
        holder.join()
        coming.join()
    assert kept(postgres_store, ROSA) == ["Oi", "first", "second"]


def _index(db: Any, address: str) -> bytes:
    found: bytes = db.vault.index(f"sms\0{address}", "address")
    return found


def test_two_processes_that_take_in_the_same_strangers_at_once_make_each_one_reporter(postgres_store: Store) -> None:
    employ(postgres_store)
    url = postgres_store.engine.url.render_as_string(hide_password=False)
    stores = [Store(engine_for(url), postgres_store.vault) for _ in range(2)]
    numbers = [f"+4477009{n:05}" for n in range(40)]
    told: list[Any] = []

    def process(which: int) -> None:
        ordered = numbers if which else numbers[::-1]
        for n in range(5):
            # Each text is posted to both, as a vendor does that heard no answer, beside one that this process alone gets.
            both = [text(number, f"text {n}", f"SM {n} {number}") for number in ordered]
            own = [text(number, f"text {n} to {which}") for number in ordered]
            told.extend(texts_at_once(stores[which], [*both, *own]))

    threads = [threading.Thread(target=process, args=(which,)) for which in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        store.engine.dispose()
    assert told == [None] * (2 * 5 * 80)
    assert len(rows(postgres_store, Reporter)) == len(rows(postgres_store, Address)) == 40
    assert len(rows(postgres_store, Message)) == 40 * 5 * 3
    for number in numbers:
        own = [body for body in kept(postgres_store, number) if body.endswith("to 1")]
        assert own == [f"text {n} to 1" for n in range(5)]
