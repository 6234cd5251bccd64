"""The stand-ins as the vendors' sides: what no channel of ours asks for yet, and running as processes of their own."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]

from bot.channels.telegram import TelegramChannel, TelegramSettings
from bot.channels.twilio_sms import TwilioSettings, TwilioSms
from bot.messages import Choice, OutgoingMessage
from tests.standins import post
from tests.standins.telegram_api import SECRET, TOKEN
from tests.standins.twilio_api import ACCOUNT_SID, AUTH_TOKEN, NUMBER, TwilioApi, segments

ROSA = "+447700900123"
GOOD = {"To": ROSA, "From": NUMBER, "Body": "Oi"}


def create(
    twilio: TwilioApi, form: dict[str, str], token: str = AUTH_TOKEN, account: str = ACCOUNT_SID
) -> tuple[int, dict[str, Any]]:
    basic = base64.b64encode(f"{ACCOUNT_SID}:{token}".encode()).decode()
    url = f"{twilio.url}/2010-04-01/Accounts/{account}/Messages.json"
    status, body = post(url, urlencode(form).encode(), {"Authorization": f"Basic {basic}"})
    return status, json.loads(body)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"To": ""}, 21604),
        ({"From": ""}, 21603),
        ({"Body": ""}, 21602),
        ({"To": "07700 900123"}, 21211),
        ({"From": "+447700900999"}, 21606),
        ({"To": NUMBER}, 21266),
        ({"To": "whatsapp:+351900000000"}, 21910),
        ({"Body": "x" * 1601}, 21617),
        ({"StatusCallback": "/sms/status"}, 21609),
        ({"From": "", "MessagingServiceSid": "MGnone"}, 21701),
    ],
)
def test_twilio_refuses_with_its_own_code(change: dict[str, str], code: int) -> None:
    with TwilioApi() as twilio:
        status, answer = create(twilio, GOOD | change)
        assert (status, answer["code"], answer["status"]) == (400, code, 400)
        assert twilio.sent == []


def test_twilio_wants_the_account_and_its_token() -> None:
    with TwilioApi() as twilio:
        assert create(twilio, GOOD, token="wrong")[1]["code"] == 20003
        assert create(twilio, GOOD, account="AC" + "0" * 32)[1]["code"] == 20404
        status, answer = create(twilio, GOOD)
        assert (status, answer["status"], answer["direction"]) == (201, "queued", "outbound-api")


def test_twilio_lists_by_pages_and_deletes_only_what_is_done() -> None:
    with TwilioApi() as twilio:
        channel = TwilioSms(TwilioSettings.model_validate(account(twilio.url)), twilio.url)
        for number in range(7):
            channel.send(OutgoingMessage(ROSA, f"text {number}"))
        twilio.settle()
        messages = channel._client.messages
        assert [message.body for message in messages.list(page_size=3)] == [f"text {number}" for number in range(6, -1, -1)]
        assert messages(twilio.sent[0].sid).delete()
        assert len(twilio.sent) == 6
        twilio.sent[0].status = "sending"
        with pytest.raises(TwilioRestException) as caught:
            messages(twilio.sent[0].sid).delete()
        assert caught.value.code == 20009
        channel.close()


def test_twilios_own_validator_takes_the_stand_ins_signature() -> None:
    with TwilioApi() as twilio:
        fields = twilio.inbound_fields(ROSA, "Olá & adeus")
        assert len(fields) >= 19
        signature = twilio.sign("https://example.org/sms?team=1", list(fields.items()))
        assert RequestValidator(AUTH_TOKEN).validate("https://example.org/sms?team=1", fields, signature)


@pytest.mark.parametrize(
    ("text", "parts"), [("a" * 160, 1), ("a" * 161, 2), ("€" * 80, 1), ("€" * 81, 2), ("ş" * 70, 1), ("ş" * 71, 2), ("🙂" * 36, 2)]
)
def test_twilio_counts_parts_by_alphabet(text: str, parts: int) -> None:
    assert segments(text) == parts


def account(api_url: str) -> dict[str, str]:
    return {"account_sid": ACCOUNT_SID, "auth_token": AUTH_TOKEN, "number": NUMBER, "api_url": api_url}


@contextmanager
def process(module: str) -> Iterator[str]:
    """The module in a process of its own, at the port it prints."""
    root = Path(__file__).parent.parent
    running = subprocess.Popen([sys.executable, "-m", module, "--port", "0"], stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert running.stdout is not None
        yield f"http://127.0.0.1:{int(running.stdout.readline())}"
    finally:
        running.terminate()
        running.communicate(timeout=10)


def test_twilio_runs_as_a_process_of_its_own() -> None:
    with process("tests.standins.twilio_api") as url:
        channel = TwilioSms(TwilioSettings.model_validate(account(url)), "http://127.0.0.1:9")
        sid = channel.send(OutgoingMessage(ROSA, "Obrigado."))
        assert channel._client.messages(sid).fetch().body == "Obrigado."
        channel.close()
        wish = {"number": ROSA, "body": "Oi", "url": "http://127.0.0.1:9/sms"}
        assert json.loads(post(f"{url}/standin/deliver", json.dumps(wish).encode(), {})[1])["status"] == 0


def test_telegram_runs_as_a_process_of_its_own() -> None:
    with process("tests.standins.telegram_api") as url:
        channel = TelegramChannel(TelegramSettings.model_validate({"token": TOKEN, "secret": SECRET, "api_url": url}))
        assert post(f"{url}/standin/write", json.dumps({"user_id": 42, "text": "hi"}).encode(), {})[0] == 200
        channel.send(OutgoingMessage("42", "safe?", (Choice("1", "Yes"),)))
        assert post(f"{url}/standin/press", json.dumps({"user_id": 42, "label": "Yes"}).encode(), {})[0] == 200
        channel.close()
