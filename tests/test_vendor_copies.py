"""What is erased here goes at the vendors, too: tried again for two weeks, and said honestly where it cannot."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from bot import clock, doctor, keys, news, outbox, retention, vendor_copies
from bot.channels.telegram import TelegramChannel, TelegramSettings, parse_update
from bot.channels.twilio_sms import TwilioSettings, TwilioSms
from bot.messages import Delivery, OutgoingMessage, TransportError
from bot.models import Message, VendorCopy
from bot.retention import Limits
from bot.settings import Settings
from tests.exchange import STORY, VICTIM, WITNESS, Exchange, open_exchange
from tests.standins.telegram_api import SECRET, TOKEN, TWO_DAYS, TelegramApi
from tests.standins.twilio_api import ACCOUNT_SID, AUTH_TOKEN, NUMBER, TwilioApi

ROSA = "+447700900123"


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    with open_exchange(tmp_path) as opened:
        yield opened


def deletes(exchange: Exchange) -> int:
    return vendor_copies.delete_due(exchange.store, {"sms": exchange.channel})


def copies(exchange: Exchange) -> list[VendorCopy]:
    with exchange.store.reading() as db:
        return list(db.execute(sa.select(*VendorCopy.__table__.c)))  # type: ignore[attr-defined,arg-type]


def erases(exchange: Exchange) -> None:
    with exchange.store.transaction() as db:
        assert retention.erase_reporter(db, exchange.case().reporter_id) == 0


# When


def test_a_reporter_who_wants_everything_erased_is_erased_at_the_vendor_both_ways(exchange: Exchange) -> None:
    exchange.reports()
    erases(exchange)
    held = {f"sms-in-{n}" for n in range(1, len(VICTIM) + 1)} | {f"sms-out-{n}" for n in range(1, len(exchange.channel.sent) + 1)}
    assert deletes(exchange) == len(held)
    assert set(exchange.channel.deleted) == held
    assert copies(exchange) == []
    assert {m.vendor_box for m in exchange.rows(Message)} == {None}


def test_who_stays_anonymous_is_erased_at_the_vendor_when_the_address_goes(exchange: Exchange) -> None:
    exchange.reports(*WITNESS)
    assert copies(exchange) == []
    for n in range(1, len(exchange.channel.sent) + 1):
        with exchange.store.transaction() as db:
            news.record_delivery(db, "sms", Delivery(f"sms-out-{n}", "delivered"))
    with exchange.store.transaction() as db:
        assert outbox.forget_addresses(db) == 1
    assert deletes(exchange) == len(WITNESS) + len(exchange.channel.sent)


def test_a_closed_case_goes_from_the_vendor_with_its_time(exchange: Exchange) -> None:
    exchange.reports()
    exchange.closes(exchange.claims())
    limits = Limits(timedelta(days=90), timedelta(days=365))
    assert retention.purge(exchange.store, limits).cases == 0 and deletes(exchange) == 0
    with clock.frozen(clock.now() + timedelta(days=91)):
        assert retention.purge(exchange.store, limits).cases == 1
        assert deletes(exchange) > 2 * len(VICTIM) - 2


def test_while_another_case_of_theirs_is_open_nothing_goes(exchange: Exchange) -> None:
    caller = exchange.reports()
    case = exchange.claims()
    exchange.closes(case)
    for text in ("new", *VICTIM):
        caller.says(text)
    with exchange.store.transaction() as db:
        assert retention.erase_case(db, case)
    assert deletes(exchange) == 0


# How


def test_a_vendor_that_is_out_of_reach_is_asked_again_later_and_later(exchange: Exchange) -> None:
    exchange.reports(STORY)
    with exchange.store.transaction() as db:
        assert vendor_copies.want_deleted(db, Message.__table__.c.direction == "in") == 1  # type: ignore[attr-defined]
    exchange.channel.failures = [TransportError("later", "503") for _ in range(9)]
    waits = []
    with clock.frozen(clock.now()) as move:
        while exchange.channel.failures:
            assert deletes(exchange) == 0
            [copy] = copies(exchange)
            waits.append((copy.due_at - clock.now()).total_seconds())
            assert deletes(exchange) == 0 and len(exchange.channel.failures) == 9 - len(waits)
            move(copy.due_at)
        assert deletes(exchange) == 1
    assert waits == [10, 20, 40, 80, 160, 320, 640, 1280, 2560]
    assert exchange.channel.deleted == ["sms-in-1"]


def test_what_a_vendor_never_deletes_is_given_up_and_the_operator_reads_it(tmp_path: Path) -> None:
    with open_exchange(tmp_path) as exchange:
        exchange.reports(STORY)
        with exchange.store.transaction() as db:
            vendor_copies.want_deleted(db)
        exchange.channel.failures = [TransportError("refused", "400"), *(TransportError("later", "503") for _ in range(9))]
        assert deletes(exchange) == 0
        with clock.frozen(clock.now() + vendor_copies.GIVE_UP_AFTER):
            assert deletes(exchange) == 0
        assert [(c.state, c.box) for c in copies(exchange)] == [("given_up", None)] * 2
        with exchange.store.reading() as db:
            assert vendor_copies.given_up(db) == 2
        findings = list(doctor.database(Settings(data_dir=tmp_path)))
        [line] = [f for f in findings if f.name == "Copies at the vendors"]
        assert line.state == "warning" and line.costs.startswith("2 texts erased here")
        with clock.frozen(clock.now() + vendor_copies.SHOWN_FOR):
            deletes(exchange)
        assert copies(exchange) == []


def test_a_worker_that_died_while_deleting_leaves_it_to_the_next(exchange: Exchange) -> None:
    exchange.reports(STORY)
    with exchange.store.transaction() as db:
        vendor_copies.want_deleted(db, Message.__table__.c.direction == "out")  # type: ignore[attr-defined]
        assert vendor_copies._claim(db) is not None
    assert deletes(exchange) == 0
    with clock.frozen(clock.now() + vendor_copies.LEASE + timedelta(seconds=1)):
        assert deletes(exchange) == 1


def test_the_ids_are_kept_encrypted_and_only_in_their_row(exchange: Exchange) -> None:
    exchange.reports()
    erases(exchange)
    one, two, *_ = copies(exchange)
    assert b"sms-" not in bytes(one.box or b"")
    with pytest.raises(keys.WrongKey):
        exchange.store.vault.reveal(bytes(one.box or b""), "vendor_copy", "box", two.id)


def test_the_reporter_hears_what_is_deleted_where_and_what_is_not(exchange: Exchange) -> None:
    caller = exchange.reports()
    code = re.search(r"\d{4} \d{4} \d{4} \d{4}", caller.heard[-1])
    assert code is not None
    caller.says(code[0])
    caller.says("5")
    said = caller.says("2")
    assert "Twilio are deleted too. Your phone and phone company keep theirs." in said
    assert deletes(exchange) > 2 * len(VICTIM)


# At the vendors


def test_twilio_deletes_both_ways_only_what_is_final_and_minds_nothing_that_is_gone() -> None:
    with TwilioApi() as twilio:
        account = TwilioSettings(
            account_sid=ACCOUNT_SID, auth_token=SecretStr(AUTH_TOKEN), number=NUMBER, api_url=twilio.url, segments_per_second=0
        )
        channel = TwilioSms(account, "http://127.0.0.1:9", timeout=5)
        sent = channel.send(OutgoingMessage(ROSA, "Obrigado."))
        received = twilio.deliver(ROSA, "Oi", url="http://127.0.0.1:9/sms").sid
        twilio.settle()
        twilio.sent[0].status = "sending"
        with pytest.raises(TransportError, match="later 20009"):
            channel.delete(sent)
        twilio.sent[0].status = "delivered"
        for sid in (sent, received, sent):
            channel.delete(sid)
        assert (twilio.sent, twilio.received) == ([], {})
        channel.close()


def test_telegram_deletes_both_ways_for_both_within_48_hours() -> None:
    with TelegramApi() as telegram:
        setup = TelegramSettings(token=SecretStr(TOKEN), secret=SecretStr(SECRET), api_url=telegram.url)
        channel = TelegramChannel(setup, timeout=5)
        telegram.write(42, "Oi")
        sent = channel.send(OutgoingMessage("42", "Obrigado."))
        theirs = parse_update({"update_id": 1, "message": next(iter(telegram.messages.values()))})
        assert theirs is not None and theirs.copy == "42/1" and sent == "42/2"
        old = channel.send(OutgoingMessage("42", "More."))
        for handle in (theirs.copy, sent, sent):
            channel.delete(handle)
        assert [m["message_id"] for m in telegram.messages.values()] == [3]
        telegram.clock_ahead = TWO_DAYS
        with pytest.raises(TransportError, match="refused 400"):
            channel.delete(old)
        channel.close()
