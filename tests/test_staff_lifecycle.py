"""Caseworkers who leave, forget their password, or are let in again with the recovery key."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import cases, keys, staff
from bot.models import Case, Caseworker, ConsoleSession, Report, TeamKey, TeamKeyCopy
from bot.staff import SignedIn, SignInRefused
from bot.store import Store
from tests.conftest import Member, join
from tests.exchange import Exchange, open_exchange
from tests.test_commands import tellonce

IDLE = timedelta(minutes=30)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with open_exchange(tmp_path) as opened:
        yield opened


def who(store: Store, cookie: str) -> SignedIn | None:
    with store.transaction() as db:
        return staff.signed_in(db, cookie, IDLE)


def hires(store: Store, member: SignedIn, name: str = "Noor") -> tuple[str, SignedIn]:
    """A colleague who was let in and is signed in, with her password."""
    added = staff.add(store, name, "caseworkers")
    with store.transaction() as db:
        staff.let_in(db, member, added.caseworker_id)
    signed_in = who(store, staff.sign_in(store, name, added.password).cookie)
    assert signed_in
    return added.password, signed_in


def disables(store: Store, name: str) -> tuple[int, int]:
    with store.transaction() as db:
        caseworker, left = staff.disable(db, name)
        return cases.hand_back(db, caseworker), left


# -- leaving -------------------------------------------------------------------------------------------------------------------


def test_who_is_disabled_is_out_holds_no_key_and_cannot_sign_in(store: Store) -> None:
    member: Member = join(store, "caseworkers")
    password, noor = hires(store, member.signed_in)
    assert disables(store, "Noor") == (0, 1)
    assert who(store, noor.session.cookie) is None
    with pytest.raises(SignInRefused, match="do not fit"):
        staff.sign_in(store, "Noor", password)
    with store.reading() as db:
        copies = sa.select(TeamKeyCopy.__table__.c.id).where(TeamKeyCopy.__table__.c.caseworker_id == noor.caseworker_id)  # type: ignore[attr-defined]
        assert db.execute(copies).all() == []
        assert db.execute(sa.select(Caseworker.private_box).where(Caseworker.name == "Noor")).scalar_one() == b""  # type: ignore[call-overload]
    with pytest.raises(staff.NoSuchCaseworker, match="still sign in"):
        disables(store, "Noor")


def test_what_comes_afterwards_is_sealed_to_a_key_she_never_held_and_the_others_read_old_and_new(exchange: Exchange) -> None:
    exchange.reports(address="+447700900001")
    _, noor = hires(exchange.store, exchange.desk)
    disables(exchange.store, "Noor")
    exchange.reports(address="+447700900002")
    old, new = exchange.rows(Report)
    assert noor.opener.open(old.sealed, old.team_key_id, "report", old.id)  # what she had opened before is in her head anyway
    with pytest.raises(keys.WrongKey):
        noor.opener.open(new.sealed, new.team_key_id, "report", new.id)
    me = who(exchange.store, exchange.desk.session.cookie)
    assert me is not None and len(me.opener.private) == 2
    for report in (old, new):
        assert me.opener.open(report.sealed, report.team_key_id, "report", report.id)["story"]
    assert [k.version for k in exchange.rows(TeamKey)] == [1, 2]


def test_her_cases_come_back_to_the_queue(exchange: Exchange) -> None:
    exchange.reports()
    _, noor = hires(exchange.store, exchange.desk)
    case = exchange.case().id
    with exchange.store.transaction() as db:
        cases.claim(db, noor, case)
    assert disables(exchange.store, "Noor") == (1, 1)
    row = exchange.rows(Case)[-1]
    assert (row.state, row.claimed_by, row.is_unread) == ("open", None, True)
    assert exchange.file(case).actions[-2]["verb"] == "handed_back"


def test_a_member_of_another_team_disables_nobody(store: Store) -> None:
    member, stranger = join(store, "caseworkers"), join(store, "another team")
    with store.transaction() as db, pytest.raises(staff.NoSuchCaseworker):
        staff.disable(db, member.name, stranger.signed_in.team_id)
    assert who(store, member.signed_in.session.cookie) is not None


# -- coming back ---------------------------------------------------------------------------------------------------------------


def test_a_reset_opens_nothing_until_a_member_lets_her_in(exchange: Exchange) -> None:
    exchange.reports()
    old_password, noor = hires(exchange.store, exchange.desk)
    password = staff.reset(exchange.store, "Noor")
    assert who(exchange.store, noor.session.cookie) is None
    with pytest.raises(SignInRefused, match="do not fit"):
        staff.sign_in(exchange.store, "Noor", old_password)
    with pytest.raises(SignInRefused, match="let you in first"):
        staff.sign_in(exchange.store, "Noor", password)
    with exchange.store.transaction() as db:
        staff.let_in(db, exchange.desk, noor.caseworker_id)
    again = who(exchange.store, staff.sign_in(exchange.store, "Noor", password).cookie)
    assert again is not None
    (report,) = exchange.rows(Report)
    assert again.opener.open(report.sealed, report.team_key_id, "report", report.id)["story"]


def test_the_recovery_key_lets_the_last_one_in_again_and_a_wrong_one_does_not(exchange: Exchange) -> None:
    exchange.reports()
    name, recovery = exchange.member.name, exchange.member.recovery_key
    assert recovery
    with pytest.raises(staff.NoSuchCaseworker, match="staff reset"):
        staff.recover(exchange.store, name, recovery)
    password = staff.reset(exchange.store, name)
    with pytest.raises(keys.WrongKey, match="character is wrong"):
        staff.recover(exchange.store, name, recovery[:-1] + ("A" if recovery[-1] != "A" else "B"))
    with pytest.raises(keys.WrongKey, match="another team"):
        staff.recover(exchange.store, name, keys.print_recovery_key(keys.KeyPair.generate().private))
    staff.recover(exchange.store, name, recovery.lower().replace("-", " ") + "\n")
    again = who(exchange.store, staff.sign_in(exchange.store, name, password).cookie)
    assert again is not None
    (report,) = exchange.rows(Report)
    assert again.opener.open(report.sealed, report.team_key_id, "report", report.id)["story"]


# -- cookies -------------------------------------------------------------------------------------------------------------------


def test_a_session_row_given_to_another_caseworker_opens_nothing_and_is_erased(exchange: Exchange) -> None:
    _, noor = hires(exchange.store, exchange.desk)
    with exchange.store.transaction() as db:
        swapped = sa.update(ConsoleSession).where(ConsoleSession.caseworker_id == noor.caseworker_id)  # type: ignore[arg-type]
        db.execute(swapped.values(caseworker_id=exchange.desk.caseworker_id))
    assert who(exchange.store, noor.session.cookie) is None
    assert len(exchange.rows(ConsoleSession)) == 1


def test_the_commands_disable_reset_and_recover(tmp_path: Path) -> None:
    recovery = tellonce("staff", "add", "Ana", folder=tmp_path).stdout.splitlines()[-1].strip()
    reset = tellonce("staff", "reset", "Ana", folder=tmp_path)
    assert reset.returncode == 0 and "Password: " in reset.stdout
    wrong = tellonce("staff", "recover", "Ana", given="AAAA-BBBB\n", folder=tmp_path)
    assert wrong.returncode == 1 and "not a recovery key" in wrong.stderr
    right = tellonce("staff", "recover", "Ana", given=recovery + "\n", folder=tmp_path)
    assert right.returncode == 0 and recovery not in right.stdout + right.stderr
    gone = tellonce("staff", "disable", "Ana", folder=tmp_path)
    assert gone.returncode == 0 and "Nobody is left" in gone.stdout
    assert "no caseworker named Bea" in tellonce("staff", "disable", "Bea", folder=tmp_path).stderr
