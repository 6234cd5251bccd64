"""The read log: written with every deed, and any change to it is found and named; unmasking takes two."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from bot import audit, case_files, cases, clock, keys, transfer, unmasking
from bot.models import AuditEntry, Caseworker, Report, Reporter
from bot.staff import SignedIn
from bot.store import Store
from tests.conftest import join
from tests.exchange import STORY, Exchange, employ, open_exchange

_entry = AuditEntry.__table__.c  # type: ignore[attr-defined]


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with open_exchange(tmp_path) as opened:
        yield opened


def verbs(exchange: Exchange) -> list[str]:
    with exchange.store.reading() as db:
        return list(db.execute(sa.select(_entry.verb).order_by(_entry.sequence)).scalars())


# -- the chain -----------------------------------------------------------------------------------------------------------------


def test_every_deed_of_a_caseworker_is_in_the_log_without_a_word_of_content(exchange: Exchange) -> None:
    exchange.reports()
    case = exchange.claims()
    exchange.file(case)
    exchange.replies(case, "Thank you for telling us")
    exchange.closes(case)
    assert verbs(exchange) == ["claimed", "read", "replied", "closed"]
    with exchange.store.reading() as db:
        assert audit.verify(db) == 4
        text = repr(audit.entries(db, clock.now() - timedelta(days=1)))
    assert STORY not in text and "Thank you" not in text
    assert {r.caseworker_id for r in exchange.rows(AuditEntry)} == {exchange.desk.caseworker_id}


def test_a_deed_that_is_taken_back_is_not_in_the_log(exchange: Exchange) -> None:
    exchange.reports()
    with pytest.raises(RuntimeError), exchange.store.transaction() as db:
        cases.claim(db, exchange.desk, exchange.case().id)
        raise RuntimeError
    assert verbs(exchange) == []


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("UPDATE audit_entry SET verb = 'nothing' WHERE sequence = 3", "entry 3 of .* was changed"),
        ("UPDATE audit_entry SET case_id = NULL WHERE sequence = 1", "entry 1 of .* was changed"),
        ("DELETE FROM audit_entry WHERE sequence = 4", "entry 4 is missing: after 3 comes 5"),
        (
            "UPDATE audit_entry SET sequence = CASE sequence WHEN 2 THEN -3 ELSE -2 END WHERE sequence IN (2, 3)",
            "entry 1 is missing",
        ),
        ("DELETE FROM audit_entry WHERE sequence > 4", "entries 5 to 6 are missing"),
    ],
)
def test_a_changed_removed_or_reordered_entry_is_named(store: Store, tmp_path: Path, harm: str, said: str) -> None:
    member = employ(store)
    for verb in ("read", "claimed", "replied", "noted", "decided", "closed"):
        with store.transaction() as db:
            audit.note(db, member.caseworker_id, verb, member.team_id)
    heads = tmp_path / "heads"
    with store.reading() as db:
        assert audit.verify(db) == 6
        assert audit.send_head(db, heads) is not None
        assert audit.send_head(db, heads) is None
        assert audit.verify(db, heads) == 6
    with store.transaction() as db:
        db.execute(sa.text(harm))
    with store.reading() as db, pytest.raises(audit.DamagedLog, match=said):
        audit.verify(db, heads)


def test_a_log_that_was_written_anew_does_not_fit_the_head_that_was_sent(store: Store, tmp_path: Path) -> None:
    heads = tmp_path / "heads"
    with store.transaction() as db:
        audit.note(db, None, "read", None)
        audit.send_head(db, heads)
        db.execute(sa.delete(AuditEntry))
        audit.note(db, None, "noted", None)
    with store.reading() as db:
        assert audit.verify(db) == 1
        with pytest.raises(audit.DamagedLog, match="written anew"):
            audit.verify(db, heads)


# -- unmasking -----------------------------------------------------------------------------------------------------------------


def test_an_address_is_shown_once_to_who_asked_after_a_second_person_granted_it(exchange: Exchange) -> None:
    exchange.reports(address="+447700900123")
    case, me = exchange.case().id, exchange.desk
    second = employ(exchange.store, "another team")
    with exchange.store.transaction() as db, pytest.raises(cases.NotYours):
        unmasking.ask(db, second, case, "curious")
    colleague = _colleague(exchange)
    with exchange.store.transaction() as db:
        with pytest.raises(unmasking.CannotUnmask, match="say why"):
            unmasking.ask(db, me, case, "  ")
        unmasking.ask(db, me, case, "An ambulance has to find them")
        with pytest.raises(unmasking.CannotUnmask, match="second person"):
            unmasking.grant(db, me, case)
        with pytest.raises(unmasking.CannotUnmask, match="not granted"):
            unmasking.show(db, me, case)
        question = unmasking.open_question(db, colleague, case)
        assert question and question.reason == "An ambulance has to find them" and not question.is_granted
        unmasking.grant(db, colleague, case)
        with pytest.raises(unmasking.CannotUnmask):
            unmasking.show(db, colleague, case)
        assert unmasking.show(db, me, case) == ["+447700900123"]
        with pytest.raises(unmasking.CannotUnmask, match="shown already"):
            unmasking.show(db, me, case)
    assert verbs(exchange) == ["unmask_asked", "unmask_granted", "unmasked"]


def test_a_grant_is_over_after_a_day(exchange: Exchange) -> None:
    exchange.reports()
    case, colleague = exchange.case().id, _colleague(exchange)
    with clock.frozen(clock.now()) as move, exchange.store.transaction() as db:
        unmasking.ask(db, exchange.desk, case, "reason")
        unmasking.grant(db, colleague, case)
        move(clock.now() + unmasking.LIVES + timedelta(seconds=1))
        with pytest.raises(unmasking.CannotUnmask):
            unmasking.show(db, exchange.desk, case)


def _colleague(exchange: Exchange) -> SignedIn:
    """Somebody else of the same team, at work."""
    pair = keys.KeyPair.generate()
    row = Caseworker(
        team_id=exchange.desk.team_id, name="Noor", public=pair.public, private_salt=b"", private_box=b"", state="active"
    )
    with exchange.store.transaction() as db:
        db.insert(row)
    return SignedIn(row.id, row.team_id, row.name, exchange.desk.opener, keys.SessionSecret.new())


# -- transfer ------------------------------------------------------------------------------------------------------------------


def test_a_transferred_case_opens_for_the_new_team_alone(exchange: Exchange) -> None:
    exchange.reports()
    case = exchange.claims()
    exchange.replies(case, "Thank you for telling us")
    with exchange.store.transaction() as db:
        cases.add_note(db, exchange.desk, case, "seen by two")
    other = join(exchange.store, "the other city").signed_in
    with exchange.store.transaction() as db:
        with pytest.raises(transfer.NoSuchTeam):
            transfer.hand_over(db, exchange.desk, case, "caseworkers")
        with pytest.raises(cases.NotYours):
            transfer.hand_over(db, other, case, "the other city")
        assert transfer.others(db, exchange.desk) == ["the other city"]
        transfer.hand_over(db, exchange.desk, case, "the other city")
    with exchange.store.transaction() as db:
        file = case_files.open_file(db, other, case)
        assert file.report["story"] == [STORY] and file.chat and file.perceptions
        assert file.row.state == "open" and file.row.claimed_by is None
        assert [a["text"] for a in file.actions if a["verb"] == "noted"] == ["seen by two"]
        with pytest.raises(cases.NotYours):
            case_files.open_file(db, exchange.desk, case)
    (report,) = exchange.rows(Report)
    with pytest.raises(keys.WrongKey):
        exchange.desk.opener.open(report.sealed, report.team_key_id, "report", report.id)
    assert {r.team_id for r in exchange.rows(Reporter)} == {other.team_id}
