"""The inbox: every text stored once, handed out in order, and never lost, whoever dies."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from bot import case_files, clock, inbox, keys
from bot.inbox import Claimed, NobodyToReadIt
from bot.messages import IncomingMessage
from bot.models import Address, Case, Message, Reporter
from bot.privacy import Vault
from bot.store import Store
from bot.testing import FakeTelephone
from tests.exchange import employ, rows

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
NUMBER = "+447700900123"
_message = Message.__table__.c  # type: ignore[attr-defined]


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


def accept(store: Store, text: str, external_id: str | None = None, address: str = NUMBER, channel: str = "sms") -> object:
    with store.transaction() as db:
        return inbox.accept(db, IncomingMessage(channel, address, text, external_id or f"id of {text} {address}"))


def claim(store: Store) -> Claimed | None:
    with store.transaction() as db:
        return inbox.claim_next(db)


def finish(store: Store, message: Claimed) -> None:
    with store.transaction() as db:
        inbox.finish(db, message.id)


def at_once(count: int, act: Callable[[int], object]) -> list[object]:
    """Do the same thing in many threads at the same moment; what each gave, or the error."""
    results: list[object] = []
    start = threading.Barrier(count)

    def run(n: int) -> None:
        start.wait()
        try:
            results.append(act(n))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


# -- taking in -----------------------------------------------------------------------------------------------------------------


def test_a_repeated_webhook_is_stored_once(both: Store) -> None:
    assert accept(both, "Oi", "SM1") is not None
    assert accept(both, "Oi", "SM1") is None
    assert accept(both, "Oi", "SM2") is not None
    assert len(rows(both, Message)) == 2


def test_the_same_id_on_another_channel_is_another_text(staffed: Store) -> None:
    accept(staffed, "Oi", "1", channel="sms")
    accept(staffed, "Oi", "1", channel="telegram")
    assert len(rows(staffed, Message)) == 2 and len(rows(staffed, Reporter)) == 2


def test_a_webhook_repeated_by_eight_threads_at_once_is_stored_once(both: Store) -> None:
    results = at_once(8, lambda _n: accept(both, "Oi", "SM1"))
    assert sum(r is not None for r in results) == 1 and not any(isinstance(r, Exception) for r in results)
    assert len(rows(both, Message)) == len(rows(both, Reporter)) == len(rows(both, Address)) == 1


def test_eight_first_texts_of_one_stranger_at_once_make_one_reporter(both: Store) -> None:
    results = at_once(8, lambda n: accept(both, f"text {n}"))
    assert not any(isinstance(r, Exception) or r is None for r in results)
    assert len(rows(both, Reporter)) == len(rows(both, Address)) == 1
    assert [m.sequence for m in rows(both, Message)] == list(range(1, 9))


def test_without_a_team_nothing_is_accepted(store: Store) -> None:
    with pytest.raises(NobodyToReadIt, match="tellonce staff add"):
        accept(store, "Oi")
    assert rows(store, Message) == [] and rows(store, Reporter) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "a\0b\x07\x1b[31m",
        "\u202eevil\u202c",
        "👩‍👩‍👧‍👧 \U0001f1e7\U0001f1f7",
        "x" * 10_000,
        "half \ud83d",
        "e\u0301 é",
        "a\r\nb\n",
    ],
    ids=["empty", "blank", "control", "override", "emoji", "long", "half", "accents", "newlines"],
)
def test_a_text_is_kept_byte_for_byte(staffed: Store, text: str) -> None:
    accept(staffed, text, "SM1")
    message = claim(staffed)
    assert message is not None and message.text == text


def test_neither_words_nor_number_stand_in_a_row(staffed: Store) -> None:
    accept(staffed, "Zitronenfalter", "SMcanary")
    with staffed.reading() as db:
        for table in (Message, Reporter, Address):
            for row in db.execute(sa.select(table.__table__)):  # type: ignore[attr-defined]
                assert not any(word in repr(tuple(row)) for word in ("Zitronenfalter", "447700900123", "SMcanary"))


# -- handing out ---------------------------------------------------------------------------------------------------------------


def test_one_reporters_texts_come_in_order_and_one_at_a_time(both: Store) -> None:
    for text in ("one", "two", "three"):
        accept(both, text)
    first = claim(both)
    assert first is not None and first.text == "one"
    assert claim(both) is None
    finish(both, first)
    second = claim(both)
    assert second is not None and second.text == "two"


def test_different_reporters_are_served_at_the_same_time(both: Store) -> None:
    for address in ("+1", "+2", "+3"):
        accept(both, f"from {address}", address=address)
        accept(both, f"more from {address}", address=address)
    claimed = [claim(both) for _ in range(4)]
    assert [m and m.text for m in claimed] == ["from +1", "from +2", "from +3", None]


def test_a_text_put_back_keeps_its_place_in_line(staffed: Store) -> None:
    with clock.frozen(NOW) as move:
        accept(staffed, "one")
        accept(staffed, "two")
        first = claim(staffed)
        assert first is not None
        with staffed.transaction() as db:
            inbox.put_back(db, first)
        assert claim(staffed) is None
        move(NOW + timedelta(seconds=3))
        again = claim(staffed)
    assert again is not None and (again.text, again.attempts) == ("one", 2)


def test_many_claimers_never_take_the_same_text(both: Store) -> None:
    for n in range(12):
        accept(both, "first", address=f"+{n}")
        accept(both, "second", address=f"+{n}")
    taken: list[Claimed] = []

    def work(_n: int) -> None:
        while message := claim(both):
            taken.append(message)
            finish(both, message)

    assert at_once(6, work) == [None] * 6
    while message := claim(both):  # a claimer may have left while the others held the rest
        taken.append(message)
        finish(both, message)
    assert len({m.id for m in taken}) == len(taken) == 24
    for reporter in {m.reporter_id for m in taken}:
        assert [m.text for m in taken if m.reporter_id == reporter] == ["first", "second"]


def test_a_text_whose_worker_died_is_handed_out_again_when_its_lease_is_over(both: Store) -> None:
    with clock.frozen(NOW) as move:
        accept(both, "one")
        assert claim(both) is not None
        move(NOW + inbox.LEASE - timedelta(seconds=1))
        assert claim(both) is None
        move(NOW + inbox.LEASE + timedelta(seconds=1))
        again = claim(both)
    assert again is not None and (again.text, again.attempts) == ("one", 2)


def test_a_restart_gives_back_what_a_dead_worker_held(staffed: Store) -> None:
    accept(staffed, "one")
    claim(staffed)
    with staffed.transaction() as db:
        inbox.forget_leases(db)
    assert claim(staffed) is not None


def test_a_text_is_finished_once(both: Store) -> None:
    accept(both, "one")
    message = claim(both)
    assert message is not None
    finish(both, message)
    with pytest.raises(sa.exc.NoResultFound):
        finish(both, message)
    (row,) = rows(both, Message)
    assert (row.state, row.body, row.leased_until) == ("done", None, None)


def test_a_text_that_does_not_open_waits_and_holds_up_nobody(both: Store, caplog: pytest.LogCaptureFixture) -> None:
    stranger = Store(both.engine, Vault(keys.ServiceKey(bytes(32))))
    accept(stranger, "Zitronenfalter", address="+1")
    accept(both, "readable", address="+2")
    with caplog.at_level(logging.DEBUG):
        message = claim(both)
    assert message is not None and message.text == "readable"
    waiting = next(m for m in rows(both, Message) if m.id != message.id)
    assert waiting.state == "waiting" and waiting.body and str(waiting.id) in caplog.text
    with clock.frozen(clock.now() + 2 * inbox.LEASE):
        opened = claim(stranger)
    assert opened is not None and opened.text == "Zitronenfalter"


def test_what_is_due_is_seen_without_the_write_lock(sqlite_store: Store) -> None:
    employ(sqlite_store)
    with sqlite_store.reading() as db:
        assert not inbox.is_any_due(db) and inbox.waiting(db) == 0
    accept(sqlite_store, "one")
    with sqlite_store.reading() as db:
        assert inbox.is_any_due(db) and inbox.waiting(db) == 1
    claim(sqlite_store)
    with sqlite_store.reading() as db:
        assert not inbox.is_any_due(db) and inbox.waiting(db) == 1


# -- what cannot be handled ----------------------------------------------------------------------------------------------------


def test_a_text_that_fails_three_times_becomes_a_sealed_case_and_the_reporter_hears_of_it(both: Store) -> None:
    desk = employ(both)
    telephone = FakeTelephone(both)
    caller = telephone.caller()
    caller.writes("Zitronenfalter on the bus")
    with clock.frozen(clock.now()) as move:
        for _ in range(inbox.TRIES):
            message = claim(both)
            assert message is not None and message.attempts <= inbox.TRIES
            with both.transaction() as db:
                inbox.put_back(db, message)
            move(clock.now() + timedelta(minutes=1))
        message = claim(both)
        assert message is not None and message.attempts > inbox.TRIES
        telephone.conversation.hand_over(message)
        telephone.send()
    (case,) = rows(both, Case)
    assert case.kind == "fault"
    with both.transaction() as db:
        file = case_files.open_file(db, desk, case.id)
    assert file.report["story"] == ["Zitronenfalter on the bus"]
    assert caller.heard == ["We had a fault. Your words are kept. A person will read them."]
    assert [m.state for m in rows(both, Message)] == ["handed_over", "sent"]
    assert all(m.body is None for m in rows(both, Message))


def test_silence_asked_for_in_a_text_that_fails_is_kept_all_the_same(staffed: Store) -> None:
    telephone = FakeTelephone(staffed)
    caller = telephone.caller()
    caller.writes("silence")
    message = claim(staffed)
    assert message is not None
    telephone.conversation.hand_over(message)
    assert telephone.send() == 0 and caller.heard == []
    assert rows(staffed, Reporter)[0].state == "silent"
