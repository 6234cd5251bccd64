"""Wrong keys, foreign databases, damaged texts, foreign cookies and wrong receipts: a clear word, and nothing is lost."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import app, keys, rotation, staff
from bot.key_files import KeyFile, KeyProblem
from bot.models import Message
from bot.schema import WrongSchema
from bot.settings import Settings
from bot.store import engine_for
from tests.exchange import VICTIM, open_exchange
from translations import catalog

NUMBER = re.compile(r"\d{4} \d{4} \d{4} \d{4}")


def _loses_its_key(settings: Settings) -> None:
    settings.key_file.unlink()


def _gets_another_key(settings: Settings) -> None:
    settings.key_file.write_text(keys.ServiceKey.generate().hex())


def _gets_an_old_key(settings: Settings) -> None:
    old = settings.key_file.read_text()
    store = app.open_store(settings)
    rotation.rotate(store, KeyFile(settings.key_file), wait=0, batch=25)
    store.engine.dispose()
    settings.key_file.write_text(old)


def _gets_half_a_key(settings: Settings) -> None:
    settings.key_file.write_text(settings.key_file.read_text()[:40])


def _comes_from_a_later_release(settings: Settings) -> None:
    engine = engine_for(settings.database)
    with engine.begin() as db:
        db.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()


@pytest.mark.parametrize(
    ("happens", "word"),
    [
        (_loses_its_key, "is missing: put it back"),
        (_gets_another_key, "belongs to another installation"),
        (_gets_an_old_key, "old copy"),
        (_gets_half_a_key, "put the right file there"),
        (_comes_from_a_later_release, "install the newer release"),
    ],
)
def test_what_does_not_fit_stops_the_start_with_what_to_do_and_changes_nothing(
    happens: Callable[[Settings], None], word: str, tmp_path: Path
) -> None:
    settings = Settings(data_dir=tmp_path / "var")
    store = app.set_up_store(settings)
    staff.add(store, "Ana")
    store.engine.dispose()
    happens(settings)
    before = _database(settings)
    with pytest.raises((KeyProblem, WrongSchema), match=word):  # the command prints it as a sentence (test_commands)
        app.parts(settings)
    assert _database(settings) == before


def _database(settings: Settings) -> list[str]:
    engine = engine_for(settings.database)
    with engine.connect() as db:
        kept = list(db.connection.driver_connection.iterdump())  # type: ignore[union-attr]
    engine.dispose()
    return kept


def test_a_truncated_text_waits_for_a_person_and_holds_up_nobody(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange:
        exchange.caller("+447700900001").writes("hello")
        with exchange.store.transaction() as db:
            cut = exchange.rows(Message)[0].body[:20]
            db.execute(sa.update(Message).values(body=cut))
        other = exchange.caller("+447700900002")
        other.says("hello")
        assert other.heard
        assert [row.state for row in exchange.rows(Message) if row.body == cut] == ["waiting"]  # nothing is thrown away


def test_a_receipt_with_one_wrong_digit_opens_nothing_and_says_so(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange:
        caller = exchange.reports(*VICTIM)
        receipt = NUMBER.search("\n".join(caller.heard))
        assert receipt
        wrong = receipt[0][:-1] + str((int(receipt[0][-1]) + 1) % 10)
        stranger = exchange.caller("+447700900555")
        stranger.says(wrong)
        assert stranger.heard[-1] == catalog.render("return.wrong", "en")
        stranger.says(receipt[0])
        assert stranger.heard[-1] != catalog.render("return.wrong", "en")
