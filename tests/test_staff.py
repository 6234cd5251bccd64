"""Caseworkers: joining a team, signing in, being locked out, and what each of them can open."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import case_files, clock, keys, staff
from bot.models import Caseworker, ConsoleSession, Report, TeamKeyCopy
from bot.staff import SignedIn, SignInRefused
from tests.conftest import join
from tests.exchange import STORY, Exchange, open_exchange

IDLE = timedelta(minutes=30)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with open_exchange(tmp_path) as opened:
        yield opened


def who(exchange: Exchange, cookie: str, *, is_use: bool = True) -> SignedIn | None:
    with exchange.store.transaction() as db:
        return staff.signed_in(db, cookie, IDLE, is_use=is_use)


# -- joining -------------------------------------------------------------------------------------------------------------------


def test_the_first_member_makes_the_team_and_gets_its_recovery_key(exchange: Exchange) -> None:
    assert exchange.member.recovery_key
    recovery = keys.read_recovery_key(exchange.member.recovery_key)
    copy = next(c for c in exchange.rows(TeamKeyCopy) if c.caseworker_id is None)
    private = keys.unseal(copy.sealed, recovery, f"team_key_copy.{copy.id.hex}")
    exchange.reports()
    (report,) = exchange.rows(Report)
    assert STORY.encode() in keys.unseal(report.sealed, private, f"report.sealed.{report.id.hex}")


def test_a_newcomer_waits_until_a_member_lets_her_in_and_then_opens_old_cases(exchange: Exchange) -> None:
    exchange.reports()
    added = staff.add(exchange.store, "Noor")
    assert added.is_waiting and added.recovery_key is None
    with pytest.raises(SignInRefused, match="let you in first"):
        staff.sign_in(exchange.store, "Noor", added.password)
    with exchange.store.transaction() as db:
        assert staff.waiting_to_be_let_in(db, exchange.desk) == [(added.caseworker_id, "Noor")]
        staff.let_in(db, exchange.desk, added.caseworker_id)
        staff.let_in(db, exchange.desk, added.caseworker_id)
        assert staff.waiting_to_be_let_in(db, exchange.desk) == []
    session = staff.sign_in(exchange.store, "Noor", added.password)
    noor = who(exchange, session.cookie)
    assert noor is not None and noor.name == "Noor"
    with exchange.store.transaction() as db:
        assert case_files.open_file(db, noor, exchange.case().id).report["story"] == [STORY]


def test_a_member_of_another_team_lets_nobody_in_and_opens_nothing(exchange: Exchange) -> None:
    exchange.reports()
    stranger = join(exchange.store, "another team").signed_in
    added = staff.add(exchange.store, "Noor")
    with exchange.store.transaction() as db:
        assert staff.waiting_to_be_let_in(db, stranger) == []
        staff.let_in(db, stranger, added.caseworker_id)
    assert next(c for c in exchange.rows(Caseworker) if c.name == "Noor").state == "waiting"
    (report,) = exchange.rows(Report)
    with pytest.raises(keys.WrongKey):
        stranger.opener.open(report.sealed, report.team_key_id, "report", report.id)


def test_a_name_is_given_once(exchange: Exchange) -> None:
    with pytest.raises(staff.NameTaken):
        staff.add(exchange.store, exchange.member.name)


# -- signing in ----------------------------------------------------------------------------------------------------------------


def test_five_wrong_passwords_lock_the_name_for_a_quarter_of_an_hour(exchange: Exchange) -> None:
    with clock.frozen(clock.now()) as move:
        for _ in range(staff.TRIES):
            with pytest.raises(SignInRefused, match="do not fit"):
                staff.sign_in(exchange.store, exchange.member.name, "wrong")
        with pytest.raises(SignInRefused, match="quarter of an hour"):
            staff.sign_in(exchange.store, exchange.member.name, exchange.member.password)
        move(clock.now() + staff.LOCK + timedelta(seconds=1))
        assert staff.sign_in(exchange.store, exchange.member.name, exchange.member.password)
        assert next(iter(exchange.rows(Caseworker))).failed_sign_ins == 0


def test_an_unknown_name_is_refused_in_the_same_words(exchange: Exchange) -> None:
    with pytest.raises(SignInRefused, match=r"^That name and password do not fit\.$"):
        staff.sign_in(exchange.store, "Nobody", exchange.member.password)


def test_a_disabled_caseworker_is_out_at_once(exchange: Exchange) -> None:
    cookie = exchange.desk.session.cookie
    assert who(exchange, cookie) is not None
    with exchange.store.transaction() as db:
        db.execute(sa.update(Caseworker).values(state="disabled"))
    assert who(exchange, cookie) is None
    with pytest.raises(SignInRefused, match="do not fit"):
        staff.sign_in(exchange.store, exchange.member.name, exchange.member.password)


# -- a session -----------------------------------------------------------------------------------------------------------------


def test_a_session_ends_when_nobody_uses_it(exchange: Exchange) -> None:
    cookie = exchange.desk.session.cookie
    with clock.frozen(clock.now()) as move:
        assert who(exchange, cookie)
        move(clock.now() + timedelta(minutes=20))
        assert who(exchange, cookie)
        move(clock.now() + timedelta(minutes=20))
        assert who(exchange, cookie, is_use=False)  # a page that only looks does not keep it alive
        move(clock.now() + timedelta(minutes=11))
        with exchange.store.reading() as db:
            assert staff.signed_in(db, cookie, IDLE, is_use=False) is None
        assert len(exchange.rows(ConsoleSession)) == 1  # it only looked
        assert who(exchange, cookie) is None
    assert exchange.rows(ConsoleSession) == []


def test_idle_sessions_are_erased_by_the_clock(exchange: Exchange) -> None:
    with clock.frozen(clock.now() + IDLE + timedelta(hours=1)), exchange.store.transaction() as db:
        staff.end_idle_sessions(db, IDLE)
    assert exchange.rows(ConsoleSession) == []


def test_signing_out_erases_the_wrapped_key(exchange: Exchange) -> None:
    cookie = exchange.desk.session.cookie
    with exchange.store.transaction() as db:
        staff.sign_out(db, cookie)
    assert who(exchange, cookie) is None and exchange.rows(ConsoleSession) == []


@pytest.mark.parametrize("cookie", ["", "nonsense", "é" * 40])
def test_a_made_up_cookie_is_nobody(exchange: Exchange, cookie: str) -> None:
    assert who(exchange, cookie) is None


def test_one_cookie_does_not_open_what_another_wrapped(exchange: Exchange) -> None:
    (row,) = exchange.rows(ConsoleSession)
    other = keys.SessionSecret.new()
    with pytest.raises(keys.WrongKey):
        keys.unwrap_with_key(row.private_box, other.key)
    assert exchange.desk.session.cookie.encode() not in bytes(row.id) + bytes(row.private_box)
