"""WhatsApp: people without a number, the day within which we may write freely, and the neutral note outside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError

from bot import case_files, cases, checkins, clock, news, outbox, windows
from bot.channels.twilio_sms import TwilioSettings, parse_sms, routes
from bot.channels.twilio_whatsapp import TwilioWhatsapp
from bot.intake import Door
from bot.messages import Delivery, IncomingMessage, OutgoingMessage, TransportError
from bot.models import CheckIn, Message
from bot.reception import Reception
from bot.store import lock_reporter
from tests.exchange import STORY, VICTIM, Exchange, open_exchange
from tests.standins import served
from tests.standins.twilio_api import ACCOUNT_SID, AUTH_TOKEN, NUMBER, WHATSAPP_NUMBER, TwilioApi

ROSA = "whatsapp:+351900000000"
NAMELESS = "whatsapp:CC.1234abcd"
NOTE = "You have a message. Write to us here to read it."
NOTA = "Tem uma mensagem. Escreva-nos aqui para a ler."
DAY = timedelta(days=1)
MORNING = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


def settings(api_url: str, **more: Any) -> TwilioSettings:
    return TwilioSettings(
        account_sid=ACCOUNT_SID,
        auth_token=SecretStr(AUTH_TOKEN),
        number=NUMBER,
        whatsapp_number=WHATSAPP_NUMBER,
        whatsapp_messages_per_second=0,
        api_url=api_url,
        **more,
    )


@dataclass
class Line:
    """An exchange whose telephone is WhatsApp at the stand-in; time passes for both."""

    exchange: Exchange
    twilio: TwilioApi
    channel: TwilioWhatsapp
    move: Callable[[datetime], None]

    def says(self, text: str, who: str = ROSA) -> list[str]:
        """Somebody writes; what their phone then gets."""
        before = len(self.twilio.to(who))
        self.twilio.deliver(who, text)
        self.works()
        return self.twilio.to(who)[before:]

    def works(self) -> None:
        """Answer and send what is due, and hear what became of it."""
        self.exchange.telephone.answer()
        for _ in range(3):  # what the news bring may have to be sent, too
            outbox.send_due(self.exchange.store, {"whatsapp": self.channel})
            self.twilio.settle()
            with self.exchange.store.transaction() as db:
                news.hear_news(db)

    def wait(self, time: timedelta) -> None:
        self.move(clock.now() + time)
        self.twilio.clock_ahead += time.total_seconds()

    def states(self, author: str) -> list[str]:
        return [m.state for m in self.exchange.rows(Message) if m.author == author]

    def case_line(self) -> case_files.ChatLine:
        return self.exchange.file().chat[-1]


@contextmanager
def line_in(folder: Path, *templates: str) -> Iterator[Line]:
    """``templates``: languages that have an approved one."""
    app = FastAPI()
    with TwilioApi() as twilio, served(app) as url, clock.frozen(MORNING) as move:
        notes = {language: twilio.add_template(NOTA if language == "pt" else NOTE) for language in templates}
        written = ",".join(f"{language}={content_sid}" for language, content_sid in notes.items())
        channel = TwilioWhatsapp(settings(twilio.url, whatsapp_templates=written), url, timeout=5)
        twilio.webhook = f"{url}/whatsapp"
        with open_exchange(folder, channel=channel) as exchange:  # type: ignore[arg-type]
            store = exchange.store

            reception = Reception(store, Door(store, None))
            app.routes.extend(routes(channel, url, reception.accept, reception.record_delivery))
            yield Line(exchange, twilio, channel, move)
            reception.close()
        channel.close()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with line_in(tmp_path, "en", "pt") as opened:
        yield opened


def reported(line: Line) -> Any:
    """A victim's whole report, with consent to a check-in; returns the case."""
    for text in VICTIM:
        assert line.says(text), text
    return line.exchange.case()


# In and out


@pytest.mark.parametrize("who", [ROSA, NAMELESS])
def test_somebody_with_or_without_a_number_is_answered_from_our_whatsapp_sender(line: Line, who: str) -> None:
    [answer] = line.says("hello, " + STORY, who)
    assert "Meta (WhatsApp)" in answer and "phone company" not in answer
    [sent] = line.twilio.sent
    assert (sent.to, sent.sender) == (who, "whatsapp:" + WHATSAPP_NUMBER)


def test_a_form_of_whatsapp_is_whatsapp_wherever_it_is_posted(line: Line) -> None:
    fields = line.twilio.inbound_fields(NAMELESS, "Oi")
    assert "WaId" not in fields
    assert parse_sms(fields) == IncomingMessage("whatsapp", NAMELESS, "Oi", fields["MessageSid"])


def test_what_becomes_of_a_text_is_heard_up_to_read(line: Line) -> None:
    line.twilio.reads = True
    line.says(STORY)
    assert line.states("bot") == ["read"]
    assert [m.body for m in line.exchange.rows(Message)] == [None, None]


def test_a_text_over_1600_characters_is_cut_before_it_goes_and_refused_if_not(line: Line) -> None:
    with pytest.raises(TransportError, match="refused 21617"):
        line.channel.send(OutgoingMessage(ROSA, "x" * 1601))
    assert line.channel.rate.counts == "messages"


def test_a_sender_that_is_not_on_whatsapp_loses_no_text(line: Line) -> None:
    wrong = settings(line.twilio.url).model_copy(update={"whatsapp_number": NUMBER})
    channel = TwilioWhatsapp(wrong, "http://127.0.0.1:9")
    with pytest.raises(TransportError, match="later 63007"):
        channel.send(OutgoingMessage(ROSA, "Oi"))
    channel.close()


@pytest.mark.parametrize(
    "wrong",
    [
        {"whatsapp_number": "whatsapp:+447700900002"},
        {"whatsapp_templates": "en:HX" + "0" * 32},
        {"whatsapp_templates": "en=HX1"},
        {"whatsapp_messages_per_second": -1},
    ],
)
def test_a_wrong_setting_stops_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TwilioSettings.model_validate({"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "number": NUMBER, **wrong})


def test_whatsapp_without_an_account_stops_the_start() -> None:
    with pytest.raises(ValidationError, match="together"):
        TwilioSettings(whatsapp_number=WHATSAPP_NUMBER)


# The window


def test_within_a_day_a_reply_goes_as_it_is_written(line: Line) -> None:
    reported(line)
    case = line.exchange.claims()
    line.wait(DAY - timedelta(minutes=10))
    line.exchange.replies(case, "How are you today?")
    line.works()
    assert line.twilio.to(ROSA)[-1] == "How are you today?"
    assert line.states("caseworker") == ["delivered"]


def test_after_a_day_a_reply_waits_behind_one_neutral_note_and_goes_when_they_write(line: Line) -> None:
    reported(line)
    case = line.exchange.claims()
    line.wait(DAY + timedelta(minutes=1))
    line.exchange.replies(case, "We found you a lawyer.")
    line.exchange.replies(case, "She is free on Monday.")
    before = len(line.twilio.sent)
    line.works()
    assert [m.body for m in line.twilio.sent[before:]] == [NOTE]
    assert [m.delivery for m in line.exchange.file().chat] == ["invited", "invited"]
    assert line.states("invitation") == ["delivered"]
    assert line.says("Hello?") == ["We found you a lawyer.", "She is free on Monday."]
    assert line.states("caseworker") == ["delivered", "delivered"]
    assert [m.text for m in line.exchange.file().chat][-1] == "Hello?"


def test_the_note_says_nothing_and_is_in_their_language(tmp_path: Path) -> None:
    with line_in(tmp_path, "en", "pt") as line:
        line.says("Ontem à noite no ônibus um homem gritou que eu devia voltar para o meu país")
        with line.exchange.store.transaction() as db:
            reporter = line.exchange.rows(Message)[0].reporter_id
            cases.open_case(db, lock_reporter(db, reporter), {"story": ["x"], "language": "pt"})
        case = line.exchange.claims()
        line.wait(2 * DAY)
        line.exchange.replies(case, "Encontrámos uma advogada.")
        line.works()
        assert line.twilio.to(ROSA)[-1] == NOTA
        assert line.twilio.sent[-1].content_sid
        assert "ContentVariables" not in json.dumps([m.__dict__ for m in line.twilio.sent], default=str)


def test_a_check_in_after_a_day_goes_by_note_and_what_they_answer_to_it_is_no_answer_to_the_question(line: Line) -> None:
    case = reported(line)
    line.wait(3 * DAY)
    with line.exchange.store.transaction() as db:
        db.execute(sa.update(CheckIn).values(due_at=clock.now()))
        due = checkins.claim_due(db, 11, "Europe/London")
        assert due is not None
        line.exchange.telephone.conversation.check_in(db, due)
    line.works()
    assert line.twilio.to(ROSA)[-1] == NOTE
    [question] = line.says("1")
    assert "1 " in question and line.exchange.rows(CheckIn)[0].state == "asked"
    assert "said_safe" not in [a["verb"] for a in line.exchange.file(case.id).actions]
    line.says("1")
    assert "said_safe" in [a["verb"] for a in line.exchange.file(case.id).actions]


@pytest.mark.parametrize("approval", ["pending", "rejected", "paused"])
def test_a_note_that_whatsapp_does_not_let_pass_is_said_honestly_and_the_reply_still_waits(line: Line, approval: Any) -> None:
    reported(line)
    case = line.exchange.claims()
    for template in line.twilio.templates.values():
        template.approval = approval
    line.wait(2 * DAY)
    line.exchange.replies(case, "We found you a lawyer.")
    line.works()
    assert (line.case_line().delivery, line.states("invitation")) == ("held", ["failed"])
    line.wait(timedelta(minutes=1))
    assert line.says("hi") == ["We found you a lawyer."]


def test_a_note_with_a_placeholder_never_reaches_anybody(line: Line) -> None:
    reported(line)
    case = line.exchange.claims()
    for template in line.twilio.templates.values():
        template.body = "Hello {{1}}"
    line.wait(2 * DAY)
    line.exchange.replies(case, "x")
    line.works()
    assert line.case_line().delivery == "held"
    assert line.twilio.sent[-1].error_code == 63028


def test_without_a_template_a_late_reply_waits_and_nobody_is_invited(tmp_path: Path) -> None:
    with line_in(tmp_path) as line:
        reported(line)
        case = line.exchange.claims()
        line.wait(2 * DAY)
        line.exchange.replies(case, "We found you a lawyer.")
        before = len(line.twilio.sent)
        line.works()
        assert len(line.twilio.sent) == before
        assert line.case_line().delivery == "held"
        assert line.says("hi") == ["We found you a lawyer."]


def test_when_whatsapp_sees_the_window_closed_before_we_do_the_reply_falls_back_to_the_note_once(line: Line) -> None:
    reported(line)
    case = line.exchange.claims()
    line.twilio.clock_ahead += 2 * DAY.total_seconds()  # their clock or their count, not ours
    line.exchange.replies(case, "We found you a lawyer.")
    line.works()
    assert [m.error_code for m in line.twilio.sent][-2:] == [63016, None]
    assert line.twilio.to(ROSA)[-1] == NOTE
    assert line.case_line().delivery == "invited"
    line.wait(timedelta(minutes=1))
    assert line.says("hi") == ["We found you a lawyer."]
    assert line.states("invitation") == ["delivered"]


def test_a_bots_text_that_whatsapp_gives_back_is_not_sent_once_a_person_owns_the_conversation(line: Line) -> None:
    line.says(STORY)
    line.twilio.callbacks = "none"
    line.says("1")
    [last] = [m for m in line.exchange.rows(Message) if m.author == "bot"][1:]
    with line.exchange.store.transaction() as db:
        cases.open_case(db, lock_reporter(db, last.reporter_id), {"story": [STORY], "language": "en"})
    line.exchange.claims()
    with line.exchange.store.transaction() as db:
        assert news.record_delivery(db, "whatsapp", Delivery(line.twilio.sent[-1].sid, "closed"))
    before = len(line.twilio.sent)
    line.works()
    assert len(line.twilio.sent) == before and line.states("bot")[1] == "failed"


def test_a_claim_and_silence_take_back_what_waits_for_them_to_write(line: Line) -> None:
    reported(line)
    line.wait(2 * DAY)
    with line.exchange.store.transaction() as db:
        outbox.put(db, line.exchange.case().reporter_id, "How was it?", author="bot")
    line.works()
    assert line.states("bot")[-1] == "invited"
    line.exchange.claims()
    assert line.states("bot")[-1] == "cancelled"
    case = line.exchange.case().id
    line.exchange.replies(case, "We found you a lawyer.")
    line.works()
    assert line.says("silence") == []
    assert line.states("caseworker") == ["cancelled"]


def test_what_waits_too_long_is_given_up_and_shown(line: Line) -> None:
    reported(line)
    case = line.exchange.claims()
    line.wait(2 * DAY)
    line.exchange.replies(case, "We found you a lawyer.")
    line.works()
    for days, state in ((13, "invited"), (2, "failed")):
        line.wait(days * DAY)
        with line.exchange.store.transaction() as db:
            windows.erase_late(db)
        assert line.states("caseworker") == [state]
    assert line.exchange.rows(Message)[-2].body is None or line.exchange.rows(Message)[-1].body is None
    assert line.exchange.case().is_unread


def test_the_words_of_a_text_without_news_are_forgotten_after_an_hour(line: Line) -> None:
    line.twilio.callbacks = "none"
    line.says(STORY)
    assert [m.body is None for m in line.exchange.rows(Message)] == [True, False]
    line.wait(windows.NEWS_FOR)
    with line.exchange.store.transaction() as db:
        windows.erase_late(db)
    assert [m.body is None for m in line.exchange.rows(Message)] == [True, True]


def test_who_blocked_us_is_left_alone(line: Line) -> None:
    line.twilio.undeliverable[ROSA] = 63014
    line.says(STORY)
    assert line.states("bot") == ["stopped"]
