"""SMS: what Twilio posts, what we send, and what never reaches a log."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr, ValidationError

from bot import clock, inbox, outbox
from bot.channels import MAX_BODY
from bot.channels.twilio_sms import (
    IncompleteForm,
    TwilioSettings,
    TwilioSms,
    parse_sms,
    parse_status,
    routes,
)
from bot.messages import Delivery, Found, IncomingMessage, OutgoingMessage, Rate, TransportError, split_text
from bot.store import Store
from tests.exchange import employ
from tests.standins import post, served
from tests.standins.twilio_api import ACCOUNT_SID, AUTH_TOKEN, NUMBER, Trouble, TwilioApi

ROSA = "+447700900123"
STORY = "Bateram-me no autocarro 73"
SIGNED = "X-Twilio-Signature"
A_MINUTE = timedelta(minutes=1)


@dataclass
class Desk:
    """What our side stored; ``broken`` makes storing fail with an error that quotes the text, as a database's does."""

    texts: list[IncomingMessage] = field(default_factory=list)
    deliveries: list[tuple[str, Delivery]] = field(default_factory=list)
    broken: bool = False

    async def accept(self, incoming: IncomingMessage) -> None:
        if self.broken:
            raise RuntimeError(f"database is locked: INSERT {incoming.text} {incoming.address}")
        self.texts.append(incoming)

    async def record(self, channel: str, delivery: Delivery) -> None:
        self.deliveries.append((channel, delivery))


@dataclass
class Line:
    """Our app, the stand-in, and the channel between them."""

    twilio: TwilioApi
    channel: TwilioSms
    desk: Desk
    url: str

    def post(self, fields: list[tuple[str, str]], path: str = "/sms", signature: str | None = None) -> int:
        signed = self.twilio.sign(self.url + path, fields) if signature is None else signature
        return post(self.url + path, urlencode(fields).encode(), {SIGNED: signed} if signed else {})[0]


def settings(api_url: str = "") -> TwilioSettings:
    return TwilioSettings(account_sid=ACCOUNT_SID, auth_token=SecretStr(AUTH_TOKEN), number=NUMBER, api_url=api_url)


@pytest.fixture
def line() -> Iterator[Line]:
    app, desk = FastAPI(), Desk()
    with TwilioApi() as twilio, served(app) as url:
        channel = TwilioSms(settings(twilio.url), url, timeout=0.5)
        app.routes.extend(routes(channel, url, desk.accept, desk.record))
        yield Line(twilio, channel, desk, url)
        channel.close()


def fields_of(line: Line, body: str = STORY) -> list[tuple[str, str]]:
    return list(line.twilio.inbound_fields(ROSA, body).items())


# In


def test_a_signed_text_is_accepted_and_answered_with_empty_twiml(line: Line) -> None:
    posted = line.twilio.deliver(ROSA, STORY, url=line.url + "/sms")
    assert (posted.status, posted.body) == (200, b"<Response/>")
    assert line.desk.texts == [IncomingMessage("sms", ROSA, STORY, posted.sid)]


@pytest.mark.parametrize(
    "text", ["", " Oi ", "\u202eabc", "a\x00b\r\n\tc", "👩‍👩‍👧 ok +&=%", "من را زدند", "打" * 10_000, "🙂" * 10_000]
)
def test_every_text_arrives_as_it_was_written(line: Line, text: str) -> None:
    assert line.twilio.deliver(ROSA, text, url=line.url + "/sms").status == 200
    assert [incoming.text for incoming in line.desk.texts] == [text]


def test_a_signature_covers_the_query_too(line: Line) -> None:
    fields = fields_of(line)
    assert line.post(fields, "/sms?team=2") == 200
    assert line.post(fields, "/sms?team=3", signature=line.twilio.sign(line.url + "/sms?team=2", fields)) == 403


def test_repeated_and_blank_fields_are_part_of_the_signature(line: Line) -> None:
    assert line.post([*fields_of(line), ("Tag", "a"), ("Tag", "b"), ("Empty", "")]) == 200


Altered = Callable[[list[tuple[str, str]]], list[tuple[str, str]]]


@pytest.mark.parametrize(
    "alter",
    [
        lambda fields: [(name, "other" if name == "Body" else value) for name, value in fields],
        lambda fields: [*fields, ("Added", "1")],
        lambda fields: [pair for pair in fields if pair[0] != "ApiVersion"],
        lambda fields: [],
    ],
    ids=["altered", "field added", "field left out", "nothing posted"],
)
def test_a_form_that_is_not_what_was_signed_is_refused(line: Line, alter: Altered, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bot")
    fields = fields_of(line)
    assert line.post(alter(fields), signature=line.twilio.sign(line.url + "/sms", fields)) == 403
    assert line.desk.texts == []
    assert caplog.messages == []


@pytest.mark.parametrize("path", ["/sms", "/sms/status"])
@pytest.mark.parametrize("signature", ["", "AAAA", "ÄÖ"])
def test_a_stranger_gets_403_and_nothing_is_stored(line: Line, path: str, signature: str) -> None:
    status, _ = post(line.url + path, urlencode(fields_of(line)).encode(), {SIGNED: signature} if signature else {})
    assert status == 403
    assert (line.desk.texts, line.desk.deliveries) == ([], [])


@pytest.mark.parametrize("body", [b"Body=%ff%fe", b"\xff\x00", b"--x\r\n\r\n--x--", b"&" * 2000 + b"a=1&" * 2000])
def test_bytes_that_are_no_form_are_refused(line: Line, body: bytes) -> None:
    assert post(line.url + "/sms", body, {SIGNED: "AAAA"})[0] == 403


def test_a_body_without_end_is_not_read_on(line: Line) -> None:
    assert post(line.url + "/sms", b"a" * (MAX_BODY + 1), {SIGNED: "AAAA"})[0] in {413, 0}  # 0: cut off while still sending
    assert line.desk.texts == []


@pytest.mark.parametrize("missing", ["MessageSid", "From", "Body"])
def test_an_incomplete_signed_form_is_refused_with_its_id_alone_in_the_log(
    line: Line, missing: str, caplog: pytest.LogCaptureFixture
) -> None:
    fields = [pair for pair in fields_of(line) if pair[0] != missing]
    assert line.post(fields) == 400
    assert line.desk.texts == []
    sid = dict(fields).get("MessageSid", "without id")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("bot")] == [
        f"sms {sid}: the signed form is incomplete, refused"
    ]


def test_what_cannot_be_stored_is_answered_500_and_the_log_holds_no_word_of_it(
    line: Line, caplog: pytest.LogCaptureFixture
) -> None:
    line.desk.broken = True
    posted = line.twilio.deliver(ROSA, STORY, url=line.url + "/sms")
    assert posted.status == 500
    assert posted.sid in caplog.text
    assert "RuntimeError" in caplog.text
    assert STORY not in caplog.text
    assert ROSA not in caplog.text


FORM = {"MessageSid": "SM1", "From": ROSA, "Body": "Oi", "NumMedia": "0"}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (FORM, IncomingMessage("sms", ROSA, "Oi", "SM1")),
        (FORM | {"NumMedia": "2", "Body": ""}, IncomingMessage("sms", ROSA, "", "SM1", 2)),
        (FORM | {"NumMedia": "many"}, IncomingMessage("sms", ROSA, "Oi", "SM1")),
        (FORM | {"From": "whatsapp:+351900000000"}, IncomingMessage("whatsapp", "whatsapp:+351900000000", "Oi", "SM1")),
        (FORM | {"From": "whatsapp:CC.1234abcd"}, IncomingMessage("whatsapp", "whatsapp:CC.1234abcd", "Oi", "SM1")),
        (FORM | {"From": "CC.1234abcd", "To": "whatsapp:+4"}, IncomingMessage("whatsapp", "whatsapp:CC.1234abcd", "Oi", "SM1")),
        (
            {"MessageSid": "SM1", "From": ROSA, "Latitude": "51.5", "Longitude": "0"},
            IncomingMessage("sms", ROSA, "51.50000, 0.00000", "SM1", is_place=True),
        ),
        ({"MessageSid": "SM1", "From": ROSA, "NumMedia": "1"}, IncomingMessage("sms", ROSA, "", "SM1", 1)),
    ],
    ids=["text", "picture", "odd count", "whatsapp", "whatsapp without number", "bare id", "place", "picture without body"],
)
def test_a_form_becomes_a_text(form: dict[str, str], expected: IncomingMessage) -> None:
    assert parse_sms(form) == expected


@pytest.mark.parametrize("form", [{}, {"MessageSid": "", "From": ROSA, "Body": STORY}, {"MessageSid": "SM1", "Body": STORY}])
def test_an_incomplete_form_is_named_without_its_content(form: dict[str, str]) -> None:
    with pytest.raises(IncompleteForm) as caught:
        parse_sms(form)
    assert STORY not in str(caught.value)
    assert ROSA not in str(caught.value)


@pytest.mark.parametrize(
    ("word", "code", "expected"),
    [
        ("accepted", "", None),
        ("queued", "", None),
        ("sending", "", None),
        ("a word of next year", "", None),
        ("sent", "", "sent"),
        ("delivered", "", "delivered"),
        ("read", "", "read"),
        ("undelivered", "30003", "failed"),
        ("failed", "63016", "closed"),
        ("failed", "63014", "stopped"),
        ("undelivered", "21610", "stopped"),
    ],
)
def test_a_status_becomes_a_delivery(word: str, code: str, expected: str | None) -> None:
    delivery = parse_status({"MessageSid": "SM1", "MessageStatus": word, "ErrorCode": code})
    assert (delivery and delivery.state) == expected


# Out


def test_a_text_goes_out_and_its_deliveries_come_back_signed(line: Line) -> None:
    sid = line.channel.send(OutgoingMessage(ROSA, "Obrigado."))
    line.twilio.settle()
    assert line.twilio.to(ROSA) == ["Obrigado."]
    assert line.desk.deliveries == [("sms", Delivery(sid, "sent")), ("sms", Delivery(sid, "delivered"))]
    assert [posted.status for posted in line.twilio.posted] == [204, 204, 204]


def test_the_carrier_obeys_stop_and_start(line: Line) -> None:
    line.twilio.deliver(ROSA, " stop ", url=line.url + "/sms")
    with pytest.raises(TransportError) as caught:
        line.channel.send(OutgoingMessage(ROSA, "Obrigado."))
    assert (caught.value.failure, caught.value.code) == ("stopped", "21610")
    line.twilio.deliver(ROSA, "START", url=line.url + "/sms")
    line.channel.send(OutgoingMessage(ROSA, "Obrigado."))
    assert [incoming.text for incoming in line.desk.texts] == [" stop ", "START"]


@pytest.mark.parametrize(
    ("address", "text", "failure", "code"),
    [
        (ROSA, "", "refused", "21602"),
        (ROSA, "x" * 1601, "refused", "21617"),
        ("Mum", "Obrigado.", "refused", "21211"),
        ("", "Obrigado.", "refused", "21604"),
    ],
)
def test_what_twilio_refuses_is_refused(line: Line, address: str, text: str, failure: str, code: str) -> None:
    with pytest.raises(TransportError) as caught:
        line.channel.send(OutgoingMessage(address, text))
    assert (caught.value.failure, caught.value.code) == (failure, code)
    assert line.twilio.sent == []


@pytest.mark.parametrize(
    ("trouble", "code", "retry_after", "stored"),
    [
        ("busy", "20429", 7.0, 0),
        ("unavailable", "503", None, 0),
        ("hang", "ReadTimeout", None, 0),
        ("drop", "ConnectionError", None, 0),
        ("hang_after_storing", "ReadTimeout", None, 1),
        ("drop_after_storing", "ConnectionError", None, 1),
        ("not_json", "JSONDecodeError", None, 1),
    ],
)
def test_a_passing_trouble_means_later(line: Line, trouble: Trouble, code: str, retry_after: float | None, stored: int) -> None:
    line.twilio.fail_next(trouble, retry_after=7)
    with pytest.raises(TransportError) as caught:
        line.channel.send(OutgoingMessage(ROSA, "Obrigado."))
    assert (caught.value.failure, caught.value.code, caught.value.retry_after) == ("later", code, retry_after)
    assert len(line.twilio.sent) == stored


def test_a_text_that_went_out_without_an_answer_is_found_again(line: Line) -> None:
    message = OutgoingMessage(ROSA, "Obrigado.")
    assert line.channel.find_sent(message, A_MINUTE) == []
    line.twilio.fail_next("drop_after_storing")
    with pytest.raises(TransportError):
        line.channel.send(message)
    line.channel.send(OutgoingMessage("+447700900999", "Obrigado."))
    other = line.channel.send(OutgoingMessage(ROSA, "Outra coisa."))
    assert line.channel.find_sent(message, A_MINUTE) == [Found(other, False), Found(line.twilio.sent[0].sid, True)]
    line.twilio.sent[0].sent_at -= timedelta(hours=1)
    assert line.channel.find_sent(message, A_MINUTE) == [Found(other, False)]


def test_how_long_ago_a_text_was_taken_is_told_by_twilios_clock_however_wrong_ours_is(line: Line) -> None:
    taken = line.channel.send(OutgoingMessage(ROSA, "Obrigado."))
    for wrong in (timedelta(hours=-1), timedelta(days=1)):
        with clock.frozen(datetime.now(UTC) + wrong):
            assert line.channel.find_sent(OutgoingMessage(ROSA, "Obrigado."), A_MINUTE) == [Found(taken, True)]
            line.twilio.sent[0].sent_at -= timedelta(minutes=5)
            assert line.channel.find_sent(OutgoingMessage(ROSA, "Obrigado."), A_MINUTE) == []
            line.twilio.sent[0].sent_at += timedelta(minutes=5)


WHERE = "Where did it happen?"


class Machine:
    """A machine with a clock that may be wrong, which writes to one reporter."""

    def __init__(self, store: Store, line: Line, move: Callable[[datetime], None]) -> None:
        self._store, self._line, self._move, self._later = store, line, move, timedelta(0)
        employ(store)
        with store.transaction() as db:
            inbox.accept(db, IncomingMessage("sms", ROSA, STORY, "SM1"))
            message = inbox.claim_next(db)
            assert message is not None
            inbox.finish(db, message.id)
            self._reporter = message.reporter_id

    def is_wrong_by(self, hours: int) -> None:
        """Some seconds pass as well, so that what failed is tried again."""
        self._later += timedelta(seconds=3)
        self._move(datetime.now(UTC) + timedelta(hours=hours) + self._later)

    def puts(self, text: str) -> None:
        with self._store.transaction() as db:
            outbox.put(db, self._reporter, text, author="bot")

    def sends(self) -> int:
        return outbox.send_due(self._store, {"sms": self._line.channel})

    def takes_back(self) -> None:
        with self._store.transaction() as db:
            outbox.cancel_queued(db, self._reporter)


@pytest.fixture
def machine(line: Line, sqlite_store: Store) -> Iterator[Machine]:
    line.channel.rate = Rate()
    with clock.frozen(datetime.now(UTC)) as move:
        yield Machine(sqlite_store, line, move)


def test_a_second_copy_of_an_earlier_text_is_not_taken_for_a_lost_one_however_wrong_the_clock_is(
    line: Line, machine: Machine
) -> None:
    line.twilio.fail_next("drop_after_storing")
    machine.puts(WHERE)
    assert machine.sends() == 0
    line.twilio.sent[0].sent_at -= timedelta(minutes=10)  # it is not found by a clock that was put back, and goes out once more
    machine.is_wrong_by(0)
    assert machine.sends() == 1
    machine.puts("Who was it?")
    assert machine.sends() == 1
    line.twilio.fail_next("unavailable")
    machine.puts(WHERE)
    assert machine.sends() == 0
    machine.is_wrong_by(1)
    assert machine.sends() == 1
    assert line.twilio.to(ROSA) == [WHERE, WHERE, "Who was it?", WHERE]


def test_a_text_taken_back_on_its_way_is_not_taken_for_a_later_one_by_a_clock_that_is_behind(line: Line, machine: Machine) -> None:
    line.twilio.fail_next("drop_after_storing")
    machine.puts(WHERE)
    assert machine.sends() == 0
    machine.takes_back()
    line.twilio.sent[0].sent_at -= timedelta(minutes=10)
    machine.is_wrong_by(-1)
    machine.puts(WHERE)
    line.twilio.fail_next("unavailable")
    assert machine.sends() == 0
    machine.is_wrong_by(-1)
    assert machine.sends() == 1
    assert line.twilio.to(ROSA) == [WHERE, WHERE]


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"auth_token": SecretStr("wrong")}, "20003"),
        ({"number": "+447700900999"}, "21606"),
        ({"account_sid": "AC" + "0" * 32}, "20003"),
    ],
    ids=["token", "number", "account"],
)
def test_a_wrong_setting_loses_no_text(line: Line, wrong: dict[str, object], code: str) -> None:
    channel = TwilioSms(settings(line.twilio.url).model_copy(update=wrong), line.url)
    with pytest.raises(TransportError) as caught:
        channel.send(OutgoingMessage(ROSA, "Obrigado."))
    channel.close()
    assert (caught.value.failure, caught.value.code) == ("later", code)
    assert caught.value.retry_after is not None


def test_nobody_listening_means_later() -> None:
    channel = TwilioSms(settings("http://127.0.0.1:9"), "http://127.0.0.1:1")
    with pytest.raises(TransportError, match="later ConnectionError"):
        channel.send(OutgoingMessage(ROSA, "Obrigado."))
    channel.close()


def test_no_number_no_word_and_no_token_reach_a_log_or_an_exception(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    line.twilio.deliver(ROSA, STORY, url=line.url + "/sms")
    line.channel.send(OutgoingMessage(ROSA, STORY))
    line.channel.find_sent(OutgoingMessage(ROSA, STORY), A_MINUTE)
    line.twilio.opted_out.add(ROSA)
    with pytest.raises(TransportError) as caught:
        line.channel.send(OutgoingMessage(ROSA, STORY))
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    for secret in (ROSA, ROSA[1:], STORY, AUTH_TOKEN):
        assert secret not in caplog.text
        assert secret not in str(caught.value)


@pytest.mark.parametrize(
    ("callbacks", "expected"),
    [("out_of_order", ["delivered", "sent"]), ("twice", ["sent", "sent", "delivered", "delivered"]), ("none", [])],
)
def test_callbacks_come_as_they_like(line: Line, callbacks: str, expected: list[str]) -> None:
    line.twilio.callbacks = callbacks  # type: ignore[assignment]
    line.channel.send(OutgoingMessage(ROSA, "Obrigado."))
    line.twilio.settle()
    assert [delivery.state for _, delivery in line.desk.deliveries] == expected


# Cutting long texts


@given(st.text(max_size=400), st.integers(1, 60))
def test_the_pieces_of_a_text_are_the_text_again(text: str, limit: int) -> None:
    pieces = split_text(text, limit)
    assert "".join(pieces) == text
    assert all(pieces[1:])
    if limit > 1:
        assert all(len(piece.encode("utf-16-le", "surrogatepass")) // 2 <= limit for piece in pieces)


@pytest.mark.parametrize(
    ("text", "limit", "pieces"),
    [
        ("short", 10, ["short"]),
        ("", 10, [""]),
        ("one two three", 8, ["one two ", "three"]),
        ("first line\nsecond line", 14, ["first line\n", "second line"]),
        ("打打打打打", 2, ["打打", "打打", "打"]),
        ("👩‍👩‍👧👩‍👩‍👧", 10, ["👩‍👩‍👧", "👩‍👩‍👧"]),
        ("e\u0301e\u0301e\u0301", 3, ["e\u0301", "e\u0301", "e\u0301"]),
    ],
)
def test_a_long_text_is_cut_between_words_or_whole_letters(text: str, limit: int, pieces: list[str]) -> None:
    assert split_text(text, limit) == pieces


# Settings


@pytest.mark.parametrize(
    "given",
    [
        {"account_sid": ACCOUNT_SID},
        {"account_sid": ACCOUNT_SID, "number": NUMBER},
        {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "number": "07700 900001"},
        {"account_sid": "hello", "auth_token": AUTH_TOKEN, "number": NUMBER},
        {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "number": NUMBER, "api_url": "http://example.org"},
    ],
)
def test_a_wrong_setting_stops_the_start_without_showing_the_token(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        TwilioSettings.model_validate(given)
    assert AUTH_TOKEN not in str(caught.value)


def test_without_an_account_there_is_no_channel() -> None:
    assert not TwilioSettings().is_set
    with pytest.raises(ValueError, match="TELLONCE_TWILIO_ACCOUNT_SID"):
        TwilioSms(TwilioSettings(), "http://127.0.0.1")
