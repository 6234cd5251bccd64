"""Telegram: what it posts, what we send, and what never reaches a log."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError

from bot.channels.telegram import TelegramChannel, TelegramSettings, parse_standing, parse_update, routes
from bot.messages import Choice, IncomingMessage, OutgoingMessage, Standing, TransportError
from tests.standins import post, served
from tests.standins.telegram_api import SECRET, TOKEN, TWO_DAYS, TelegramApi, Trouble

AMIRA = 5_550_001
STORY = "ضربوني في الحافلة"
HEADER = "X-Telegram-Bot-Api-Secret-Token"
SAFE = OutgoingMessage(str(AMIRA), "Are you safe now?", (Choice("1", "Yes"), Choice("2", "No")))


@dataclass
class Desk:
    """What our side stored; ``broken`` makes storing fail with an error that quotes the text, as a database's does."""

    texts: list[IncomingMessage] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)
    broken: bool = False

    async def record_standing(self, standing: Standing) -> None:
        self.standings.append(standing)

    async def accept(self, incoming: IncomingMessage) -> None:
        if self.broken:
            raise RuntimeError(f"database is locked: INSERT {incoming.text} {incoming.address}")
        self.texts.append(incoming)


@dataclass
class Line:
    """Our app, the stand-in, and the channel between them."""

    telegram: TelegramApi
    channel: TelegramChannel
    desk: Desk
    url: str

    def post(self, update: Any, secret: str = SECRET) -> int:
        return post(self.url + "/telegram", json.dumps(update).encode(), {HEADER: secret} if secret else {})[0]


def settings(api_url: str = "") -> TelegramSettings:
    return TelegramSettings(token=SecretStr(TOKEN), secret=SecretStr(SECRET), api_url=api_url)


@pytest.fixture
def line() -> Iterator[Line]:
    app, desk = FastAPI(), Desk()
    with TelegramApi() as telegram, served(app) as url:
        channel = TelegramChannel(settings(telegram.url), timeout=0.5)
        app.routes.extend(routes(channel, desk.accept, desk.record_standing))
        channel.register_webhook(url + "/telegram")
        yield Line(telegram, channel, desk, url)
        channel.close()


# In


def test_a_text_is_accepted_as_it_was_written(line: Line) -> None:
    assert line.telegram.write(AMIRA, STORY) == 200
    assert line.desk.texts == [IncomingMessage("telegram", str(AMIRA), STORY, str(line.telegram.posted[0].update_id))]


@pytest.mark.parametrize("text", ["/start", "\u202eabc", "a\u0000b\r\n", "👩‍👩‍👧", "🙂" * 10_000])
def test_odd_texts_arrive_byte_for_byte(line: Line, text: str) -> None:
    assert line.telegram.write(AMIRA, text) == 200
    assert [incoming.text for incoming in line.desk.texts] == [text]


def test_an_edited_text_is_a_new_text(line: Line) -> None:
    line.telegram.write(AMIRA, "yesterday")
    line.telegram.edit(AMIRA, "the day before yesterday")
    assert [incoming.text for incoming in line.desk.texts] == ["yesterday", "the day before yesterday"]
    assert len({incoming.external_id for incoming in line.desk.texts}) == 2


def test_a_pressed_button_is_its_number_and_the_spinner_stops(line: Line) -> None:
    line.telegram.write(AMIRA, "hi")
    line.channel.send(SAFE)
    assert line.telegram.labels(AMIRA) == ["Yes", "No"]
    assert line.telegram.press(AMIRA, "No") == 200
    assert [incoming.text for incoming in line.desk.texts] == ["hi", "2"]
    assert len(line.telegram.answered) == 1


def test_a_button_tapped_twice_is_one_answer_and_another_button_another(line: Line) -> None:
    line.telegram.write(AMIRA, "hi")
    line.channel.send(SAFE)
    for label in ("No", "No", "Yes"):
        line.telegram.press(AMIRA, label)
    line.channel.send(SAFE)
    line.telegram.press(AMIRA, "No")
    _, first, again, other, next_question = [incoming.external_id for incoming in line.desk.texts]
    assert first == again
    assert len({first, other, next_question}) == 3
    assert len(line.telegram.answered) == 4


@pytest.mark.parametrize(("kind", "text"), [("photo", ""), ("photo", "look"), ("document", "the letter"), ("voice", "")])
def test_a_file_counts_as_an_attachment_and_its_caption_is_the_text(line: Line, kind: str, text: str) -> None:
    assert (getattr(line.telegram, kind)(AMIRA, text) if text else getattr(line.telegram, kind)(AMIRA)) == 200
    assert [(incoming.text, incoming.attachments) for incoming in line.desk.texts] == [(text, 1)]


@pytest.mark.parametrize("secret", ["", "wrong", SECRET + "x", "ÄÖ"])
def test_a_stranger_gets_403_and_nothing_is_stored(line: Line, secret: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "bot")
    assert line.post(text_update(), secret) == 403
    assert line.desk.texts == []
    assert caplog.messages == []


def test_what_cannot_be_stored_is_posted_again_in_order(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    line.desk.broken = True
    assert line.telegram.write(AMIRA, STORY) == 500
    assert STORY not in caplog.text
    assert str(AMIRA) not in caplog.text
    line.desk.broken = False
    assert line.telegram.write(AMIRA, "second") == 200
    assert [incoming.text for incoming in line.desk.texts] == [STORY, "second"]


def chat(kind: str = "private") -> dict[str, Any]:
    return {"id": AMIRA, "type": kind, "first_name": "Amira"}


def text_update(kind: str = "private", **extra: Any) -> dict[str, Any]:
    person = {"id": AMIRA, "is_bot": False, "first_name": "Amira"}
    message = {"message_id": 7, "date": 1_700_000_000, "chat": chat(kind), "from": person, "text": STORY}
    return {"update_id": 12, "message": message | extra}


def press_update(**extra: Any) -> dict[str, Any]:
    """A press without the chat_instance that the library insists on."""
    press = {"id": "77", "from": {"id": AMIRA, "is_bot": False, "first_name": "Amira"}, "data": "2"}
    return {"update_id": 13, "callback_query": press | {"message": {"message_id": 8, "date": 0, "chat": chat()}} | extra}


@pytest.mark.parametrize(
    ("update", "expected"),
    [
        (text_update(), IncomingMessage("telegram", str(AMIRA), STORY, "12")),
        (text_update(surprise={"of": "next year"}), IncomingMessage("telegram", str(AMIRA), STORY, "12")),
        (text_update(entities=[{"what": 1}]), IncomingMessage("telegram", str(AMIRA), STORY, "12")),
        (text_update(entities=[{"what": 1}], text="", photo=[]), IncomingMessage("telegram", str(AMIRA), "", "12", 1)),
        (press_update(), IncomingMessage("telegram", str(AMIRA), "2", "press:8:2")),
        (press_update(chat_instance="1"), IncomingMessage("telegram", str(AMIRA), "2", "press:8:2")),
        (press_update(chat_instance="1", message=None), None),
        (press_update(data=None, game_short_name="chess", chat_instance="1"), None),
        (text_update("group"), None),
        (text_update("group", entities=[{"what": 1}]), None),
        (text_update(text=None, pinned_message=None), None),
        (text_update(entities=[{"what": 1}], text=["no", "text"]), None),
        ({"update_id": 14, "poll_answer": {"poll_id": 1}}, None),
        ({"update_id": "x", "message": []}, None),
        ({"message": {"text": STORY}}, None),
        ({}, None),
    ],
)
def test_an_update_becomes_a_text_if_it_holds_one(update: dict[str, Any], expected: IncomingMessage | None) -> None:
    assert parse_update(update) == expected


def test_an_odd_update_is_acknowledged_and_the_log_has_its_id_alone(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "bot")
    assert line.post(text_update("group")) == 200
    assert line.post(text_update(entities=[{"what": 1}], text=None)) == 200
    assert line.desk.texts == []
    assert caplog.messages.count("telegram update 12 holds no message") == 2
    assert STORY not in caplog.text
    assert str(AMIRA) not in caplog.text


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"7", b"\xff"])
def test_what_is_no_update_is_refused(line: Line, body: bytes) -> None:
    assert post(line.url + "/telegram", body, {HEADER: SECRET})[0] == 400


def test_blocking_and_unblocking_are_heard(line: Line) -> None:
    line.telegram.write(AMIRA, "hi")
    assert line.telegram.block(AMIRA) == 200 and line.telegram.unblock(AMIRA) == 200
    assert line.desk.standings == [Standing("telegram", str(AMIRA), is_blocked=blocked) for blocked in (True, False)]
    assert len(line.desk.texts) == 1


@pytest.mark.parametrize(
    "odd", [{}, {"chat": {"type": "group", "id": 1}}, {"new_chat_member": {"status": "restricted"}}, {"chat": 7}]
)
def test_an_odd_standing_is_none(odd: dict[str, Any]) -> None:
    change = {"chat": {"type": "private", "id": 5}, "new_chat_member": {"status": "kicked"}}
    assert parse_standing({"my_chat_member": change}) == Standing("telegram", "5", is_blocked=True)
    assert parse_standing({"my_chat_member": {**change, **odd} if odd else None}) is None


# Out


def test_a_text_goes_out_with_its_buttons_and_no_preview(line: Line) -> None:
    line.telegram.write(AMIRA, "hi")
    message_id = line.channel.send(SAFE)
    assert line.telegram.to(AMIRA) == ["Are you safe now?"]
    assert message_id == f"{AMIRA}/{line.telegram.sent[0]['message_id']}"


def test_someone_who_never_wrote_or_blocked_the_bot_means_stopped(line: Line) -> None:
    line.telegram.meet(AMIRA)
    with pytest.raises(TransportError, match="stopped 403"):
        line.channel.send(SAFE)
    line.telegram.write(AMIRA, "hi")
    line.channel.send(SAFE)
    line.telegram.block(AMIRA)
    with pytest.raises(TransportError, match="stopped 403"):
        line.channel.send(SAFE)
    line.telegram.unblock(AMIRA)
    line.channel.send(SAFE)


@pytest.mark.parametrize(
    "message",
    [
        OutgoingMessage("404", "nobody"),
        OutgoingMessage(str(AMIRA), " "),
        OutgoingMessage(str(AMIRA), "x" * 4097),
        OutgoingMessage(str(AMIRA), "text", (Choice("", "no data"),)),
        OutgoingMessage(str(AMIRA), "text", (Choice("1" * 65, "too much data"),)),
        OutgoingMessage(str(AMIRA), "text", (Choice("1", " "),)),
    ],
    ids=["nobody", "empty", "too long", "no data", "too much data", "no label"],
)
def test_what_telegram_refuses_is_refused(line: Line, message: OutgoingMessage) -> None:
    line.telegram.write(AMIRA, "hi")
    with pytest.raises(TransportError, match="refused 400"):
        line.channel.send(message)
    assert line.telegram.sent == []


@pytest.mark.parametrize(
    ("trouble", "code", "retry_after"),
    [
        ("flood", "429", 7.0),
        ("unavailable", "NetworkError", None),
        ("hang", "TimedOut", None),
        ("drop", "NetworkError", None),
        ("drop_after_storing", "NetworkError", None),
    ],
)
def test_a_passing_trouble_means_later(line: Line, trouble: Trouble, code: str, retry_after: float | None) -> None:
    line.telegram.write(AMIRA, "hi")
    line.telegram.fail_next(trouble, retry_after=7)
    with pytest.raises(TransportError) as caught:
        line.channel.send(SAFE)
    assert (caught.value.failure, caught.value.code, caught.value.retry_after) == ("later", code, retry_after)
    line.channel.send(SAFE)


@pytest.mark.parametrize("token", ["110201543:" + "x" * 35, "nonsense"])
def test_a_wrong_token_loses_no_text(line: Line, token: str) -> None:
    channel = TelegramChannel(settings(line.telegram.url).model_copy(update={"token": SecretStr(token)}))
    with pytest.raises(TransportError, match="later 401") as caught:
        channel.send(SAFE)
    channel.close()
    assert caught.value.retry_after is not None


def test_a_closed_channel_opens_again(line: Line) -> None:
    line.telegram.write(AMIRA, "hi")
    line.channel.send(SAFE)
    line.channel.close()
    line.channel.close()
    line.channel.send(SAFE)
    assert len(line.telegram.sent) == 2


def test_the_webhook_is_registered_with_its_secret_and_what_we_read(line: Line) -> None:
    assert line.telegram.webhook.url == line.url + "/telegram"
    assert line.telegram.webhook.secret == SECRET
    assert line.telegram.webhook.allowed == ("message", "edited_message", "callback_query", "my_chat_member")
    with pytest.raises(TransportError, match="refused 400"):
        line.channel.register_webhook("http://example.org/telegram")


def test_no_word_no_chat_and_no_token_reach_a_log_or_an_exception(line: Line, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    line.telegram.write(AMIRA, STORY)
    line.channel.send(OutgoingMessage(str(AMIRA), STORY))
    line.telegram.block(AMIRA)
    with pytest.raises(TransportError) as caught:
        line.channel.send(OutgoingMessage(str(AMIRA), STORY))
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    for secret in (STORY, str(AMIRA), TOKEN, SECRET):
        assert secret not in caplog.text
        assert secret not in str(caught.value)


# The stand-in itself, where nothing of ours calls it yet


def ask(telegram: TelegramApi, method: str, token: str = TOKEN, **parameters: Any) -> tuple[int, Any]:
    status, body = post(
        f"{telegram.url}/bot{token}/{method}", json.dumps(parameters).encode(), {"Content-Type": "application/json"}
    )
    answer = json.loads(body)
    return status, answer["result"] if answer["ok"] else answer["description"]


def test_the_stand_in_knows_its_token() -> None:
    with TelegramApi() as telegram:
        assert ask(telegram, "getMe")[1]["is_bot"] is True
        assert ask(telegram, "getMe", token="110201543:" + "x" * 35)[0] == 401
        assert ask(telegram, "getMe", token="nonsense")[0] == 404
        assert ask(telegram, "sendDice", chat_id=1)[0] == 404


def test_the_stand_in_gives_updates_from_an_offset_and_not_beside_a_webhook() -> None:
    with TelegramApi() as telegram:
        telegram.write(AMIRA, "one")
        telegram.write(AMIRA, "two")
        first, second = ask(telegram, "getUpdates")[1]
        assert ask(telegram, "getUpdates", offset=second["update_id"])[1] == [second]
        assert first["update_id"] < second["update_id"]
        ask(telegram, "setWebhook", url="https://example.org/telegram")
        assert ask(telegram, "getUpdates")[0] == 409


def test_the_stand_in_edits_and_deletes_as_telegram_does() -> None:
    with TelegramApi() as telegram:
        telegram.write(AMIRA, "hi")
        markup = {"inline_keyboard": [[{"text": "Yes", "callback_data": "1"}]]}
        sent = ask(telegram, "sendMessage", chat_id=AMIRA, text="safe?", reply_markup=markup)[1]
        where = {"chat_id": AMIRA, "message_id": sent["message_id"]}
        assert ask(telegram, "editMessageReplyMarkup", **where)[0] == 200
        assert ask(telegram, "editMessageReplyMarkup", **where)[0] == 400
        assert ask(telegram, "editMessageText", **where, text="are you safe?")[1]["text"] == "are you safe?"
        assert ask(telegram, "editMessageText", chat_id=AMIRA, message_id=1, text="not the bot's")[0] == 400
        with pytest.raises(LookupError):
            telegram.press(AMIRA, "Yes")
        telegram.clock_ahead = TWO_DAYS
        assert ask(telegram, "deleteMessage", **where)[0] == 400
        telegram.clock_ahead = 0
        assert ask(telegram, "deleteMessage", **where) == (200, True)
        assert ask(telegram, "deleteMessage", **where)[0] == 400


def test_the_stand_in_hands_out_files() -> None:
    with TelegramApi() as telegram:
        telegram.photo(AMIRA)
        (update,) = ask(telegram, "getUpdates")[1]
        path = ask(telegram, "getFile", file_id=update["message"]["photo"][-1]["file_id"])[1]["file_path"]
        assert post(f"{telegram.url}/file/bot{TOKEN}/{path}", b"", {})[1].startswith(b"\xff\xd8")
        assert ask(telegram, "getFile", file_id="none")[0] == 400


# Settings


@pytest.mark.parametrize(
    "given",
    [
        {"token": TOKEN},
        {"secret": SECRET},
        {"token": TOKEN, "secret": "with blank"},
        {"token": TOKEN, "secret": "s" * 257},
        {"token": TOKEN, "secret": SECRET, "api_url": "http://example.org"},
    ],
)
def test_a_wrong_setting_stops_the_start_without_showing_the_token(given: dict[str, str]) -> None:
    with pytest.raises(ValidationError) as caught:
        TelegramSettings.model_validate(given)
    assert not re.search(re.escape(TOKEN) + "|" + re.escape(SECRET), str(caught.value))


def test_without_a_token_there_is_no_channel() -> None:
    assert not TelegramSettings().is_set
    with pytest.raises(ValueError, match="TELLONCE_TELEGRAM_TOKEN"):
        TelegramChannel(TelegramSettings())
