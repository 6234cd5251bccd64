"""Codes guessed at speed: what the house spends on it, and who gets through meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import sqlalchemy as sa

from bot import clock, code_tries, keys, sessions
from bot.models import CodeTries
from bot.store import Store
from tests.exchange import STORY, open_exchange
from tests.test_conversation import PORTUGUESE, rendered
from tests.test_metrics import app_of, ask, values


def take(store: Store, *, is_first: bool = True) -> bool:
    with store.transaction() as db:
        return code_tries.take(db, is_first=is_first)


def test_while_many_numbers_guess_who_reported_before_gets_through_and_a_stranger_soon_after(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange, clock.frozen(clock.now()) as move:
        known = exchange.reports()
        code = known.heard[-1].partition("code: ")[2][:19]
        new_phone = exchange.caller("+447700900999")
        new_phone.says(PORTUGUESE)  # so that we know her language; she went no further
        move(clock.now() + sessions.UNFINISHED_LIVES + timedelta(days=1))
        with exchange.store.transaction() as db:
            sessions.erase_expired(db)
        heard = [exchange.caller(f"+4477009{n:05}").says(keys.new_receipt()) for n in range(code_tries.AT_ONCE + 5)]
        assert heard == [rendered("return.wrong")] * code_tries.AT_ONCE + [rendered("return.later")] * 5
        assert rendered("return.ask") in known.says(code)
        assert new_phone.says(code) == rendered("return.later", "pt")
        assert values(ask(app_of(exchange.store), "/metrics"))["codes_turned_away"] == 6
        move(clock.now() + timedelta(seconds=1))
        assert rendered("return.ask", "pt") in new_phone.says(code)


def test_a_right_code_from_a_strange_number_does_not_count(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange, clock.frozen(clock.now()):
        code = exchange.reports().heard[-1].partition("code: ")[2][:19]
        before = exchange.rows(CodeTries)[0].busy_until
        assert rendered("return.ask") in exchange.caller("+447700900999").says(code)
        assert exchange.rows(CodeTries)[0].busy_until <= max(before, clock.now())
        assert exchange.caller("+447700900998").says(STORY)


def test_a_number_with_a_wrong_digit_costs_nothing_and_does_not_count(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange, clock.frozen(clock.now()):
        code = keys.new_receipt()
        assert exchange.caller().says(code[:-1] + str((int(code[-1]) + 1) % 10)) == rendered("return.wrong")
        assert exchange.rows(CodeTries)[0].busy_until < clock.now()


def test_numbers_that_guess_again_leave_room_for_a_first_try(store: Store) -> None:
    with clock.frozen(clock.now()) as move:
        assert [take(store, is_first=False) for _ in range(40)] == [True] * 30 + [False] * 10
        assert [take(store) for _ in range(40)] == [True] * 30 + [False] * 10
        move(clock.now() + timedelta(seconds=1))
        assert (take(store, is_first=False), take(store), take(store)) == (False, True, False)
        move(clock.now() + timedelta(hours=1))
        assert sum(take(store) for _ in range(100)) == code_tries.AT_ONCE


def test_a_clock_that_was_put_back_keeps_nobody_out_for_long(store: Store) -> None:
    with store.transaction() as db:
        db.execute(sa.update(CodeTries).values(busy_until=clock.now() + timedelta(days=400)))
    with clock.frozen(clock.now()) as move:
        assert not take(store)
        move(clock.now() + timedelta(seconds=1))
        assert take(store)


def test_many_processes_take_no_more_tries_than_there_are(store: Store) -> None:
    with clock.frozen(clock.now()), ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: take(store), range(code_tries.AT_ONCE + 20)))
    assert sum(taken) == code_tries.AT_ONCE
    with store.reading() as db:
        assert db.execute(sa.select(CodeTries.__table__.c.refused)).scalar_one() == 20  # type: ignore[attr-defined]
