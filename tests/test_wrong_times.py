"""A clock that was wrong and is put right: nobody waits for the day that never was."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from bot import clock, inbox, wrong_times
from bot import store as stores
from bot.messages import TransportError
from tests.exchange import open_exchange

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
WRONG = NOW + timedelta(days=1)


def test_a_text_whose_sending_failed_while_the_clock_was_ahead_goes_out_soon(tmp_path: Path) -> None:
    with clock.frozen(WRONG) as move, open_exchange(tmp_path) as exchange:
        caller = exchange.caller()
        exchange.channel.failures = [TransportError("later", "503")]
        caller.writes("hello")
        exchange.telephone.answer()
        exchange.telephone.send()
        move(NOW)
        exchange.telephone.send()
        assert caller.heard == []
        with exchange.store.transaction() as db:
            assert wrong_times.mend(db) == 1
        exchange.telephone.send()
        assert len(caller.heard) == 1


def test_what_a_dead_worker_held_is_free_after_one_lease(tmp_path: Path) -> None:
    with clock.frozen(WRONG) as move, open_exchange(tmp_path) as exchange:
        exchange.caller().writes("hello")
        with exchange.store.transaction() as db:
            assert inbox.claim_next(db)
        move(NOW)
        with exchange.store.transaction() as db:
            assert wrong_times.mend(db) > 0
            assert inbox.claim_next(db) is None
        move(NOW + inbox.LEASE + timedelta(seconds=1))
        with exchange.store.transaction() as db:
            assert inbox.claim_next(db) is not None


def test_with_a_right_clock_nothing_is_shortened(tmp_path: Path) -> None:
    with clock.frozen(NOW), open_exchange(tmp_path) as exchange:
        exchange.channel.failures = [TransportError("later", "503")]
        exchange.reports()
        with exchange.store.transaction() as db:
            assert wrong_times.mend(db) == 0


def test_only_a_clock_that_was_put_back_is_mended_and_a_full_disk_only_puts_it_off(tmp_path: Path) -> None:
    with clock.frozen(NOW) as move, open_exchange(tmp_path) as exchange:
        watch = wrong_times.Watch()
        assert watch.look(exchange.store) == 0
        move(WRONG)
        exchange.caller().writes("hello")
        with exchange.store.transaction() as db:
            assert inbox.claim_next(db)
        assert watch.look(exchange.store) == 0
        move(NOW)
        with pytest.raises(OperationalError):
            watch.look(replace(exchange.store, engine=full_disk(tmp_path)))
        assert watch.look(exchange.store) == 2  # the lease, and the place in the line
        assert watch.look(exchange.store) == 0


def full_disk(folder: Path) -> sa.Engine:
    """A database that nothing can be written to."""
    (folder / "full").mkdir()
    return stores.engine_for(f"sqlite:///{folder}/full")
