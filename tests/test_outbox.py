"""The outbox: what we send goes once, in order, with patience, and its words are gone afterwards."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from bot import checkins, clock, inbox, news, outbox
from bot.messages import Delivery, IncomingMessage, OutgoingMessage, TransportError
from bot.models import Address, Case, CheckIn, EarlyNews, Message, Reporter
from bot.store import Store
from bot.testing import FakeChannel
from tests.exchange import WITNESS, employ, open_exchange, rows

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
NUMBER = "+447700900123"


@pytest.fixture
def staffed(sqlite_store: Store) -> Store:
    """A store with a team."""
    employ(sqlite_store)
    return sqlite_store


@pytest.fixture
def both(store: Store) -> Store:
    """The same on both databases, for what depends on the database."""
    employ(store)
    return store


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


def reporter(store: Store, address: str = NUMBER, channel: str = "sms") -> UUID:
    """A reporter who has written once and was answered nothing yet."""
    with store.transaction() as db:
        inbox.accept(db, IncomingMessage(channel, address, "hi", f"in {address}"))
        message = inbox.claim_next(db)
        assert message is not None
        inbox.finish(db, message.id)
    return message.reporter_id


def put(store: Store, to: UUID, text: str, author: str = "bot") -> UUID:
    with store.transaction() as db:
        message = outbox.put(db, to, text, author=author)
    assert message is not None
    return message


def send(store: Store, channel: FakeChannel) -> int:
    return outbox.send_due(store, {channel.name: channel})


def texts(channel: FakeChannel) -> list[str]:
    return [m.text for m in channel.sent]


def states(store: Store) -> list[str]:
    return [m.state for m in rows(store, Message) if m.direction == "out"]


def told_of(store: Store, external_id: str, state: str) -> None:
    with store.transaction() as db:
        news.record_delivery(db, "sms", Delivery(external_id, state))  # type: ignore[arg-type]


# -- sending -------------------------------------------------------------------------------------------------------------------


def test_texts_go_out_in_order_to_the_right_phone(both: Store, channel: FakeChannel) -> None:
    one, two = reporter(both, "+1"), reporter(both, "+2")
    for to, text in ((one, "a"), (two, "b"), (one, "c"), (two, "d")):
        put(both, to, text)
    assert send(both, channel) == 4
    assert [m.text for m in channel.sent if m.address == "+1"] == ["a", "c"]
    assert [m.text for m in channel.sent if m.address == "+2"] == ["b", "d"]
    assert send(both, channel) == 0


def test_the_words_are_erased_once_they_are_sent(staffed: Store, channel: FakeChannel) -> None:
    put(staffed, reporter(staffed), "Zitronenfalter")
    assert [m.body is None for m in rows(staffed, Message) if m.direction == "out"] == [False]
    send(staffed, channel)
    assert [m.body for m in rows(staffed, Message)] == [None, None]


def test_a_text_to_nobody_is_not_queued(staffed: Store) -> None:
    to = reporter(staffed)
    with staffed.transaction() as db:
        db.execute(sa.update(Address).values(forget_at=clock.now()))
        outbox.forget_addresses(db)
        assert outbox.put(db, to, "hello", author="bot") is None


def test_a_busy_vendor_is_tried_again_when_it_says(staffed: Store, channel: FakeChannel) -> None:
    put(staffed, reporter(staffed), "hello")
    channel.failures = [TransportError("later", "429", retry_after=120)]
    with clock.frozen(clock.now()) as move:
        assert send(staffed, channel) == 0 and states(staffed) == ["queued"]
        move(clock.now() + timedelta(seconds=119))
        assert send(staffed, channel) == 0
        move(clock.now() + timedelta(seconds=2))
        assert send(staffed, channel) == 1
    assert texts(channel) == ["hello"]


def test_the_waits_between_tries_grow_and_end(staffed: Store, channel: FakeChannel) -> None:
    put(staffed, reporter(staffed), "hello")
    channel.failures = [TransportError("later", "500") for _ in range(200)]
    waits = []
    began = clock.now()
    with clock.frozen(clock.now()) as move:
        while states(staffed) == ["queued"]:
            send(staffed, channel)
            due = rows(staffed, Message)[-1].due_at
            waits.append((due - clock.now()).total_seconds())
            move(due)
        assert timedelta(0) <= clock.now() - began - outbox.BOTS_PATIENCE < timedelta(seconds=outbox.LONGEST_WAIT)
    assert waits[:8] == [2, 4, 8, 16, 32, 64, 128, 256] and set(waits[8:-1]) == {300} and states(staffed) == ["failed"]
    assert rows(staffed, Message)[-1].body is None


def test_a_later_text_waits_behind_one_that_is_tried_again(staffed: Store, channel: FakeChannel) -> None:
    to = reporter(staffed)
    put(staffed, to, "one")
    put(staffed, to, "two")
    channel.failures = [TransportError("later", "500")]
    assert send(staffed, channel) == 0
    with clock.frozen(clock.now() + timedelta(seconds=10)):
        send(staffed, channel)
    assert texts(channel) == ["one", "two"]


def test_a_refused_text_is_failed_and_the_next_one_goes(staffed: Store, channel: FakeChannel) -> None:
    to = reporter(staffed)
    put(staffed, to, "one")
    put(staffed, to, "two")
    channel.failures = [TransportError("refused", "21617")]
    assert send(staffed, channel) == 1
    assert states(staffed) == ["failed", "sent"] and texts(channel) == ["two"]


def test_a_text_whose_sender_died_is_sent_when_its_lease_is_over(both: Store, channel: FakeChannel) -> None:
    put(both, reporter(both), "hello")
    assert outbox.claim_next(both, {}) is not None
    assert send(both, channel) == 0
    with clock.frozen(clock.now() + outbox.LEASE + timedelta(seconds=1)):
        assert send(both, channel) == 1


def test_a_text_whose_sender_died_does_not_wait_until_the_line_is_empty(both: Store, channel: FakeChannel) -> None:
    put(both, reporter(both, "+1"), "left behind")
    assert outbox.claim_next(both, {}) is not None
    with clock.frozen(clock.now() + outbox.LEASE + timedelta(seconds=1)):
        for number in (2, 3):
            put(both, reporter(both, f"+{number}"), "just written")
        send(both, channel)
    assert texts(channel) == ["left behind", "just written", "just written"]


def test_a_channel_that_breaks_holds_up_nobody_and_shows_no_words(
    staffed: Store, channel: FakeChannel, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken(FakeChannel):
        def send(self, message: OutgoingMessage) -> str:
            if message.address == "+1":
                raise ValueError(message.text)
            return super().send(message)

    broken = Broken()
    put(staffed, reporter(staffed, "+1"), "Zitronenfalter")
    put(staffed, reporter(staffed, "+2"), "hello")
    with caplog.at_level(logging.DEBUG):
        assert send(staffed, broken) == 1
    assert texts(broken) == ["hello"] and "queued" in states(staffed)
    assert "ValueError" in caplog.text and "Zitronenfalter" not in caplog.text


def test_a_channel_that_is_not_set_up_any_more_holds_up_nobody(staffed: Store, channel: FakeChannel) -> None:
    put(staffed, reporter(staffed, "+1", "telegram"), "one")
    put(staffed, reporter(staffed, "+2"), "two")
    assert send(staffed, channel) == 1 and texts(channel) == ["two"]


def test_a_text_that_kills_its_sender_every_time_ends_as_failed(staffed: Store, channel: FakeChannel) -> None:
    put(staffed, reporter(staffed), "hello")
    with clock.frozen(clock.now()) as move:
        for _ in range(outbox.TRIES):
            assert outbox.claim_next(staffed, {}) is not None
            move(clock.now() + outbox.LEASE + timedelta(seconds=1))
        move(clock.now() + outbox.BOTS_PATIENCE)
        assert send(staffed, channel) == 0
    assert states(staffed) == ["failed"]


def test_a_text_whose_address_was_forgotten_meanwhile_holds_up_nobody(both: Store, channel: FakeChannel) -> None:
    put(both, reporter(both, "+1"), "one")
    put(both, reporter(both, "+2"), "two")
    with both.transaction() as db:
        first = db.execute(sa.select(Address.__table__.c.id).limit(1)).scalar_one()  # type: ignore[attr-defined]
        db.execute(sa.delete(Address).where(Address.__table__.c.id == first))  # type: ignore[attr-defined]
    assert send(both, channel) == 1
    assert sorted(states(both)) == ["failed", "sent"]


# -- taking back ---------------------------------------------------------------------------------------------------------------


def test_what_is_taken_back_while_it_is_tried_again_is_not_sent(staffed: Store, channel: FakeChannel) -> None:
    to = reporter(staffed)
    put(staffed, to, "hello")
    channel.failures = [TransportError("later", "500")]
    send(staffed, channel)
    with staffed.transaction() as db:
        assert outbox.cancel_queued(db, to) == 1
    with clock.frozen(clock.now() + timedelta(hours=1)):
        assert send(staffed, channel) == 0
    assert states(staffed) == ["cancelled"]


class TakenBackMeanwhile(FakeChannel):
    """A vendor so slow that the text is taken back while it is being handed over."""

    def __init__(self, store: Store, to: UUID) -> None:
        super().__init__()
        self._store, self._to = store, to

    def send(self, message: OutgoingMessage) -> str:
        with self._store.transaction() as db:
            outbox.cancel_queued(db, self._to)
        return super().send(message)


def test_a_text_taken_back_on_its_way_is_not_tried_again_when_it_fails(both: Store) -> None:
    to = reporter(both)
    put(both, to, "hello")
    slow = TakenBackMeanwhile(both, to)
    slow.failures = [TransportError("later", "500")]
    send(both, slow)
    with clock.frozen(clock.now() + timedelta(hours=1)):
        assert send(both, slow) == 0
    assert states(both) == ["cancelled"] and slow.sent == []


def test_a_text_taken_back_on_its_way_that_arrives_is_shown_as_sent(staffed: Store) -> None:
    to = reporter(staffed)
    put(staffed, to, "hello")
    slow = TakenBackMeanwhile(staffed, to)
    send(staffed, slow)
    assert states(staffed) == ["sent"]


def test_only_the_authors_named_are_taken_back(staffed: Store, channel: FakeChannel) -> None:
    to = reporter(staffed)
    for author in ("bot", "check_in", "caseworker"):
        put(staffed, to, author, author)
    with staffed.transaction() as db:
        assert outbox.cancel_queued(db, to, ("bot", "check_in")) == 2
    send(staffed, channel)
    assert texts(channel) == ["caseworker"]


# -- the carrier says stop -----------------------------------------------------------------------------------------------------


def _check_in(store: Store, to: UUID) -> None:
    with store.transaction() as db:
        team = db.execute(sa.select(Reporter.__table__.c.team_id)).scalar()  # type: ignore[attr-defined]
        case = Case(team_id=team, reporter_id=to, reference=f"R-{to.hex[:6]}")
        db.insert(case)
        checkins.give_consent(db, to, "check_in", "check_in.ask")
        checkins.schedule(db, to, case.id, clock.now() + timedelta(days=3))


def test_a_carriers_stop_opts_out_and_cancels_everything(both: Store, channel: FakeChannel) -> None:
    to, other = reporter(both, "+1"), reporter(both, "+2")
    _check_in(both, to)
    for author in ("bot", "caseworker", "check_in"):
        put(both, to, author, author)
    put(both, other, "still goes")
    channel.failures = [TransportError("stopped", "21610")]
    send(both, channel)
    assert sorted(states(both)) == ["cancelled", "cancelled", "sent", "stopped"]
    assert {r.id: r.state for r in rows(both, Reporter)} == {to: "opted_out", other: "open"}
    assert [c.state for c in rows(both, CheckIn)] == ["cancelled"]
    assert all(m.body is None for m in rows(both, Message))


def test_a_stop_that_comes_with_the_delivery_news_counts_too(staffed: Store, channel: FakeChannel) -> None:
    to = reporter(staffed)
    _check_in(staffed, to)
    put(staffed, to, "one")
    send(staffed, channel)
    put(staffed, to, "two")
    told_of(staffed, "sms-out-1", "stopped")
    assert states(staffed) == ["stopped", "cancelled"]
    assert rows(staffed, Reporter)[0].state == "opted_out" and rows(staffed, CheckIn)[0].state == "cancelled"


# -- delivery news -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "known"),
    [
        (["sent", "delivered", "read"], "read"),
        (["read", "delivered", "sent"], "read"),
        (["delivered", "sent"], "delivered"),
        (["delivered", "delivered"], "delivered"),
        (["failed", "sent"], "failed"),
        (["delivered", "failed"], "delivered"),
    ],
)
def test_late_and_repeated_delivery_news_never_step_back(sqlite_store: Store, told: list[str], known: str) -> None:
    employ(sqlite_store)
    channel = FakeChannel()
    put(sqlite_store, reporter(sqlite_store), "hello")
    send(sqlite_store, channel)
    for state in told:
        told_of(sqlite_store, "sms-out-1", state)
    assert states(sqlite_store) == [known]


def test_news_of_a_text_we_never_sent_are_ignored(staffed: Store) -> None:
    told_of(staffed, "SMnobody", "delivered")


def test_news_that_come_before_the_sending_is_noted_are_kept_and_heard(both: Store, channel: FakeChannel) -> None:
    put(both, reporter(both), "hello")
    for state in ("sent", "delivered"):
        early = Delivery("sms-out-1", state)  # type: ignore[arg-type]
        with both.transaction() as db:
            assert not news.record_delivery(db, "sms", early)
            news.keep_news(db, "sms", early)
            news.keep_news(db, "sms", Delivery("SMnobody", "delivered"))
            assert news.hear_news(db) == 0
    send(both, channel)
    with both.transaction() as db:
        assert news.hear_news(db) == 2
        assert news.hear_news(db) == 0
    assert states(both) == ["delivered"] and len(rows(both, EarlyNews)) == 2
    with clock.frozen(clock.now() + news.EARLY_FOR), both.transaction() as db:
        news.hear_news(db)
    assert rows(both, EarlyNews) == []


def test_a_reply_is_tried_for_a_day_and_then_shown_as_unread(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange:
        exchange.reports()
        case = exchange.claims()
        exchange.replies(case, "We found you a lawyer.")
        exchange.channel.failures = [TransportError("later", "500") for _ in range(1000)]
        with clock.frozen(clock.now()) as move:
            move(clock.now() + timedelta(hours=23))
            exchange.telephone.send()
            assert exchange.file().chat[-1].delivery == "retried" and not exchange.case().is_unread
            until = clock.now() + timedelta(hours=2)
            while clock.now() < until:
                move(clock.now() + timedelta(seconds=outbox.LONGEST_WAIT))
                exchange.telephone.send()
            assert exchange.case().is_unread and exchange.file().chat[-1].delivery == "failed"


# -- forgetting ----------------------------------------------------------------------------------------------------------------


def test_an_anonymous_address_goes_once_the_last_text_is_delivered(both: Store, channel: FakeChannel) -> None:
    put(both, reporter(both), "your receipt")
    kept = reporter(both, "+2")
    with clock.frozen(clock.now()) as move:
        with both.transaction() as db:
            first = db.execute(sa.select(Address.__table__.c.id).where(Address.__table__.c.reporter_id != kept)).scalar_one()  # type: ignore[attr-defined]
            until = clock.now() + timedelta(hours=24)
            db.execute(sa.update(Address).where(Address.__table__.c.id == first).values(forget_at=until))  # type: ignore[attr-defined]
            assert outbox.forget_addresses(db) == 0
        send(both, channel)
        with both.transaction() as db:
            assert outbox.forget_addresses(db) == 0
        told_of(both, "sms-out-1", "delivered")
        move(clock.now() + timedelta(seconds=5))
        with both.transaction() as db:
            assert outbox.forget_addresses(db) == 1
    assert [a.reporter_id for a in rows(both, Address)] == [kept]
    theirs = [m for m in rows(both, Message) if m.reporter_id != kept]
    assert [(m.address_id, m.external_id) for m in theirs] == [(None, None)] * 2


def test_an_anonymous_address_goes_after_a_day_delivered_or_not(staffed: Store, channel: FakeChannel) -> None:
    put(staffed, reporter(staffed), "your receipt")
    with staffed.transaction() as db:
        db.execute(sa.update(Address).values(forget_at=clock.now() + timedelta(hours=24)))
    with clock.frozen(clock.now() + timedelta(hours=24, seconds=1)), staffed.transaction() as db:
        assert outbox.forget_addresses(db) == 1
    assert states(staffed) == ["failed"] and rows(staffed, Message)[-1].body is None
    assert send(staffed, channel) == 0


def test_nothing_of_an_anonymous_witness_is_left_in_the_database_file(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange:
        number = "+447700900777"
        caller = exchange.reports(*WITNESS, address=number)
        assert "Keep this code" in caller.heard[-1]
        last = f"sms-out-{len(exchange.channel.sent)}"
        found_by = exchange.rows(Address)[0].found_by
        with exchange.store.transaction() as db:
            news.record_delivery(db, "sms", Delivery(last, "delivered"))
        for n in range(1, len(exchange.channel.sent)):
            with exchange.store.transaction() as db:
                news.record_delivery(db, "sms", Delivery(f"sms-out-{n}", "delivered"))
        with exchange.store.transaction() as db:
            assert outbox.forget_addresses(db) == 1
        assert exchange.rows(Address) == []
        assert {(m.address_id, m.external_id, m.body) for m in exchange.rows(Message)} == {(None, None, None)}
        with exchange.store.engine.connect() as connection:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.exec_driver_sql("BEGIN")
        on_disk = b"".join(f.read_bytes() for f in tmp_path.iterdir() if f.name.startswith("tellonce.db"))
        words = [number, number[1:], number[3:], "mosque", "religion", "spit", "Friday", *(f"sms-in-{n}" for n in range(1, 9))]
        for word in words:
            assert word.encode() not in on_disk and word.encode("utf-16-le") not in on_disk
        assert found_by not in on_disk
