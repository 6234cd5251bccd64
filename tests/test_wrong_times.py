"""A clock that was wrong and is put right: nobody waits for the day that never was."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from bot import clock, inbox, retention, rotation, wrong_times
from bot import store as stores
from bot.app import set_up_store
from bot.messages import TransportError
from bot.models import Address, FlowSession
from bot.settings import Settings
from bot.store import Store
from bot.testing import FakeTelephone, FakeTranslator
from bot.worker import Worker
from tests.exchange import STORY, employ, open_exchange, rows

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


# -- a clock that is far ahead -------------------------------------------------------------------------------------------------


@pytest.fixture
def house(store: Store) -> Store:
    """A database that knows its key, and was seen at NOW."""
    rotation.remember_key(store)
    with clock.frozen(NOW):
        assert wrong_times.Doubt().may_erase(store)
    return store


def test_a_clock_that_jumps_ahead_by_years_erases_nothing_while_it_is_in_doubt(
    house: Store, caplog: pytest.LogCaptureFixture
) -> None:
    doubt = wrong_times.Doubt()
    with clock.frozen(NOW + timedelta(days=3650)) as move:
        assert not doubt.may_erase(house) and not doubt.may_erase(house)
        assert not wrong_times.Doubt().may_erase(house)  # a process that is started again does not believe it either
        assert "by the clock Tellonce has not run for 3650 days: nothing is erased for 12 hours" in caplog.text
        move(NOW + timedelta(minutes=5))
        assert doubt.may_erase(house)


def test_after_a_long_time_off_the_clock_is_believed_once_it_has_lasted(house: Store) -> None:
    with clock.frozen(NOW + timedelta(days=7)):
        assert wrong_times.Doubt(timedelta(0)).may_erase(house)
        assert wrong_times.Doubt().may_erase(house)


def test_a_clock_that_only_goes_on_is_never_in_doubt(house: Store) -> None:
    with clock.frozen(NOW) as move:
        for hours in range(0, 72, 23):
            move(NOW + timedelta(hours=hours))
            assert wrong_times.Doubt().may_erase(house)


def test_a_worker_whose_clock_is_years_ahead_keeps_day_keys_conversations_and_cases(tmp_path: Path) -> None:
    with clock.frozen(NOW) as move:
        settings = Settings(data_dir=tmp_path)
        store = set_up_store(settings)
        employ(store)
        telephone = FakeTelephone(store)
        telephone.caller().says(STORY)
        worker = Worker(store, telephone.conversation, {}, telephone.nlu, FakeTranslator(), settings)
        assert worker.erase_expired() == 0
        kept = sorted(settings.day_keys.iterdir())
        move(NOW + timedelta(days=3650))
        assert worker.erase_expired() == 0 and worker.purge() == retention.Erased()
        with store.transaction() as db:
            db.execute(sa.update(Address).values(forget_at=NOW + timedelta(hours=24)))
        assert worker.forget_addresses() == 0
        assert kept and sorted(settings.day_keys.iterdir()) == kept
        assert [(one.is_over, one.body is None) for one in rows(store, FlowSession)] == [(False, False)]
        store.engine.dispose()


def full_disk(folder: Path) -> sa.Engine:
    """A database that nothing can be written to."""
    (folder / "full").mkdir()
    return stores.engine_for(f"sqlite:///{folder}/full")
