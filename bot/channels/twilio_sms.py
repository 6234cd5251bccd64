"""SMS through Twilio: signed webhooks in, texts out, and what became of them; WhatsApp builds on it (twilio_whatsapp)."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import parse_qsl, urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.datastructures import ImmutableMultiDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from twilio.base.exceptions import TwilioException, TwilioRestException  # type: ignore[import-untyped]
from twilio.http.http_client import TwilioHttpClient  # type: ignore[import-untyped]
from twilio.request_validator import RequestValidator  # type: ignore[import-untyped]
from twilio.rest import Client  # type: ignore[import-untyped]

from bot import clock
from bot.channels import Accept, RecordDelivery, hand_over, read_body
from bot.messages import Delivery, DeliveryState, Found, IncomingMessage, Media, OutgoingMessage, Rate, TransportError

log = logging.getLogger(__name__)

STATUS = "/status"
SIGNATURE = "X-Twilio-Signature"
WHATSAPP = "whatsapp:"  # before an address of WhatsApp, theirs and ours
MEDIA = r"/2010-04-01/Accounts/{}/Messages/(?:MM|SM)[0-9a-f]{{32}}/Media/ME[0-9a-f]{{32}}"
MOST_MEDIA = 10  # files in one text
EMPTY_TWIML = "<Response/>"  # our answer goes through the outbox, never back through the webhook

_TEMPLATES = r"^$|^[A-Za-z-]+=HX[0-9a-f]{32}(,[A-Za-z-]+=HX[0-9a-f]{32})*$"

Form = Mapping[str, str] | Iterable[tuple[str, str]]
Parsed = TypeVar("Parsed")


class TwilioSettings(BaseSettings):
    """The operator's Twilio account: ``TELLONCE_TWILIO_NUMBER=+447700900001`` sets ``number``. The first three or none."""

    model_config = SettingsConfigDict(
        env_prefix="TELLONCE_TWILIO_", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    account_sid: Annotated[str, Field(description="Twilio's id of the account.", pattern=r"^$|^AC[0-9a-f]{32}$")] = ""
    auth_token: Annotated[SecretStr, Field(description="The account's auth token; it signs webhooks, too.")] = SecretStr("")
    number: Annotated[
        str,
        Field(description="Our number (E.164) or Messaging Service (MG…).", pattern=r"^$|^\+[1-9][0-9]{4,14}$|^MG[0-9a-f]{32}$"),
    ] = ""
    api_url: Annotated[str, Field(description="Address of a stand-in for Twilio's API; empty: Twilio itself.")] = ""
    segments_per_second: Annotated[
        float, Field(description="Segments the number may send in a second, as its contract says; 0: no limit.", ge=0)
    ] = 1.0
    whatsapp_number: Annotated[
        str, Field(description="Our WhatsApp sender (E.164); empty: the number above.", pattern=r"^$|^\+[1-9][0-9]{4,14}$")
    ] = ""
    whatsapp_templates: Annotated[
        str,
        Field(description="Approved neutral templates by language: en=HX…,pt=HX….", pattern=_TEMPLATES),
    ] = ""
    whatsapp_messages_per_second: Annotated[
        float, Field(description="Messages the WhatsApp sender may send in a second; 0: no limit.", ge=0)
    ] = 80.0

    @property
    def is_set(self) -> bool:
        return bool(self.number)

    @property
    def templates(self) -> Mapping[str, str]:
        """The ContentSid of the neutral template in each language: ``{"en": "HX…"}``."""
        pairs = (one.partition("=") for one in self.whatsapp_templates.split(",") if one)
        return {language: content_sid for language, _, content_sid in pairs}

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        given = [bool(self.account_sid), bool(self.auth_token.get_secret_value()), bool(self.number)]
        if (any(given) or self.whatsapp_number or self.whatsapp_templates) and not all(given):
            raise ValueError("set TELLONCE_TWILIO_ACCOUNT_SID, _AUTH_TOKEN and _NUMBER together, or none of them")
        if self.api_url and urlsplit(self.api_url).hostname not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError("TELLONCE_TWILIO_API_URL is for a stand-in on this machine: http://127.0.0.1:PORT, or empty")
        return self


class IncompleteForm(Exception):
    """A signed form lacks what makes it a message; the text names the missing fields and holds nothing of the form."""


def parse_sms(form: Mapping[str, str]) -> IncomingMessage:
    """One text as Twilio posts it, by SMS or WhatsApp.

    The address is what Twilio takes as ``To``: ``+44…``, ``whatsapp:+44…``, or ``whatsapp:`` and an id that holds no number.
    Raises IncompleteForm.
    """
    _require(form, "MessageSid", "From")
    attachments, place = _count(form.get("NumMedia", "")), _place(form)
    if "Body" not in form and not attachments and not place:
        raise IncompleteForm("Body")
    channel, address = "sms", form["From"]
    if address.startswith(WHATSAPP) or form.get("To", "").startswith(WHATSAPP):
        channel, address = "whatsapp", WHATSAPP + address.removeprefix(WHATSAPP)
    text = place or form.get("Body", "")
    sent = [n for n in range(min(attachments, MOST_MEDIA)) if f"MediaUrl{n}" in form]
    media = [Media(form[f"MediaUrl{n}"], form.get(f"MediaContentType{n}", "")) for n in sent]
    return IncomingMessage(channel, address, text, form["MessageSid"], attachments, media=media, is_place=bool(place))


def _place(form: Mapping[str, str]) -> str:
    """A place shared on WhatsApp, as text: ``"Central Station, 51.50074, -0.12463"``; empty if there is none."""
    try:
        where = f"{float(form['Latitude']):.5f}, {float(form['Longitude']):.5f}"
    except (KeyError, ValueError):
        return ""
    names = [form[name] for name in ("Label", "Address") if form.get(name)] or [form.get("Body", "")]
    return ", ".join([*dict.fromkeys(name for name in names if name), where])


_STATES: Mapping[str, DeliveryState] = {
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "undelivered": "failed",
    "failed": "failed",
    "canceled": "failed",
}


def parse_status(form: Mapping[str, str]) -> Delivery | None:
    """What became of a text; None for a step on the way (queued, sending) or a word Twilio adds later. Raises IncompleteForm."""
    _require(form, "MessageSid", "MessageStatus")
    state = _STATES.get(form["MessageStatus"])
    if state is None:
        return None
    code = form.get("ErrorCode", "")
    if state == "failed" and code in map(str, _STOPPED):
        state = "stopped"
    elif state == "failed" and code == str(_WINDOW_CLOSED):
        state = "closed"
    return Delivery(form["MessageSid"], state)


class TwilioSms:
    """The channel ``sms``: texts to phones, through Twilio's own SDK.

    ``public_url`` is our address as Twilio sees it; it signs that address and posts there what became of our texts.
    """

    name = "sms"
    path = "/sms"  # where Twilio posts texts; what became of ours comes to path/status
    has_buttons = False
    needs_start_word = True
    max_length = 1600  # Twilio's own cap (21617), on SMS and WhatsApp alike

    def __init__(self, settings: TwilioSettings, public_url: str, timeout: float = 10.0) -> None:
        """``timeout`` is in seconds, for each call. Raises ValueError without an account: with an empty token anybody can sign."""
        if not settings.is_set:
            raise ValueError(f"the channel {self.name} needs TELLONCE_TWILIO_ACCOUNT_SID, _AUTH_TOKEN and _NUMBER")
        _silence()
        token = settings.auth_token.get_secret_value()
        self.public_url = public_url.rstrip("/")
        self.number = settings.number
        self.rate = self._rate(settings)
        self._validator = RequestValidator(token)
        self._http = _Http(settings.api_url, timeout)
        self._account_sid, self._account = settings.account_sid, (settings.account_sid, token)
        self._client = Client(settings.account_sid, token, http_client=self._http)

    def _rate(self, settings: TwilioSettings) -> Rate:
        return Rate(f"{self.name} {self.number}", settings.segments_per_second, counts="segments")

    def close(self) -> None:
        self._http.session.close()

    def verify_signature(self, url: str, form: Form, signature: str) -> bool:
        """Whether Twilio posted this: ``url`` as Twilio sees it, query included, and every posted field, blanks and repeats too."""
        return bool(self._validator.validate(url, ImmutableMultiDict(form), signature))

    def send(self, message: OutgoingMessage) -> str:
        """Hand one text over and return its MessageSid. Raises TransportError; a text over ``max_length`` is refused, not cut.

        After ``later`` Twilio may have the text all the same (a time-out after it was stored): ask ``find_sent`` first.
        """
        if len(message.text) > self.max_length:
            raise TransportError("refused", "21617")
        return self._create(message.address, body=message.text)

    def find_sent(self, message: OutgoingMessage, within: timedelta) -> Sequence[Found]:
        """What Twilio took for this address in the last time ``within``, newest first, by Twilio's clock. Raises TransportError.

        Its filter by date is not used: it goes by the date of sending, which a text that still waits at Twilio has not got.
        """
        found = self._ask(lambda: self._client.messages.list(to=message.address, limit=50))
        since = self._http.their_time() - within
        ours = [m for m in found if str(m.direction).startswith("outbound") and (m.date_created or since) >= since]
        return [Found(str(m.sid), is_this=m.body == message.text) for m in ours]

    def fetch(self, reference: str, limit: int) -> bytes:
        """A file that came with a text, from its MediaUrl, of at most ``limit`` bytes. Raises TransportError.

        Our token goes to Twilio's own address alone; where that sends us on to is asked without it.
        """
        parts = urlsplit(reference)
        if parts.hostname != "api.twilio.com" or not re.fullmatch(MEDIA.format(self._account_sid), parts.path):
            raise TransportError("refused", "not a media address")
        content: bytes = self._ask(lambda: self._http.download(f"https://api.twilio.com{parts.path}", self._account, limit))
        return content

    def delete(self, external_id: str) -> None:
        """Delete a message at Twilio, in or out, with its media. Raises TransportError.

        A text that is not final yet is for later. Twilio's own backups keep the words for up to 30 days.
        """
        try:
            self._ask(lambda: self._client.messages(external_id).delete())
        except TransportError as error:
            if error.code != str(_NOT_FOUND):
                raise

    def _create(self, address: str, **content: str) -> str:
        """Create a message and return its MessageSid. Raises TransportError."""
        heard_at = self.public_url + self.path + STATUS
        sender = self._sender()
        return str(self._ask(lambda: self._client.messages.create(to=address, status_callback=heard_at, **sender, **content)).sid)

    def _sender(self) -> dict[str, str]:
        return {"messaging_service_sid": self.number} if self.number.startswith("MG") else {"from_": self.number}

    def _ask(self, ask: Callable[[], Any]) -> Any:
        """What Twilio answers. Raises TransportError."""
        outcome = self._call(ask)
        if isinstance(outcome, TransportError):
            raise outcome  # here, outside any except: the vendor's error holds number and words and would hang on as __context__
        return outcome

    @staticmethod
    def _call(ask: Callable[[], Parsed]) -> Parsed | TransportError:
        try:
            return ask()
        except TransportError as error:
            return error
        except TwilioRestException as error:
            return _failure(error.status, error.code)
        except (TwilioException, OSError, ValueError) as error:  # requests raises OSErrors; an answer without JSON is a ValueError
            return TransportError("later", type(error).__name__)


# Twilio's codes in our words. Whatever stands in no list and is a 4xx is about this one text: refused.
_STOPPED = frozenset({21610, 63014})  # opted out by STOP; blocked us on WhatsApp
_NOT_FOUND = 20404
_BUSY = frozenset({14107, 20009, 20429, 21611, 30001, 63018, 63038})  # too fast, not final, too many queued, over the limit
_TOO_FAST = frozenset({14107, 20429})
_WINDOW_CLOSED = 63016  # WhatsApp: free text goes only within a day of the person's own
_OUR_SETTING = frozenset(  # a wrong setting of ours must not lose a text: it waits until the operator has mended it
    {
        20003,  # authentication
        20005,  # account not active
        _NOT_FOUND,  # no such account
        21212,  # wrong From
        21408,  # this country is not switched on
        21603,  # no From
        21606,  # From is not our number
        21609,  # StatusCallback is not a public address
        21659,  # From is not a Twilio number
        21701,  # no such Messaging Service
        21703,  # Messaging Service without a number
        30002,  # account suspended
        63007,  # no WhatsApp sender of that number
        63015,  # the WhatsApp sandbox, which only some have joined
        63051,  # our WhatsApp business account is locked
    }
)
SETTING_RETRY = 300.0  # seconds


def _failure(status: int, code: int | None) -> TransportError:
    if code in _STOPPED:
        return TransportError("stopped", str(code))
    if code == _WINDOW_CLOSED:
        return TransportError("closed", str(code))
    if code in _OUR_SETTING or status in {401, 403, 404}:
        return TransportError("later", str(code or status), SETTING_RETRY)
    if code in _BUSY or status == 429 or status >= 500:
        return TransportError("later", str(code or status), is_too_fast=code in _TOO_FAST or status == 429)
    return TransportError("refused", str(code or status))


class _Http(TwilioHttpClient):  # type: ignore[misc]
    """Twilio's HTTP client, pointed at a stand-in if there is one (no SDK setting leaves twilio.com), keeping Retry-After."""

    def __init__(self, api_url: str, timeout: float) -> None:
        super().__init__(timeout=timeout)
        self.api_url = api_url.rstrip("/")
        self._date = ""  # of the last answer
        self.session.trust_env = not api_url  # a proxy of the environment must not catch what is meant for this machine

    def download(self, url: str, account: tuple[str, str], limit: int) -> bytes:
        """A file of at most ``limit`` bytes, in memory. Raises TransportError, OSError."""
        if self.api_url:
            url = self.api_url + urlsplit(url).path
        with self.session.get(url, auth=account, stream=True, timeout=self.timeout) as answer:
            if answer.status_code == 404:  # it may not be there yet
                raise TransportError("later", "404")
            if answer.status_code != 200:
                raise _failure(answer.status_code, None)
            content = bytearray()
            for chunk in answer.iter_content(64 * 1024):
                content += chunk
                if len(content) > limit:
                    raise TransportError("refused", "too large")
        return bytes(content)

    def their_time(self) -> datetime:
        """What time it was at Twilio when it answered last; ours where it did not say."""
        try:
            return parsedate_to_datetime(self._date)
        except ValueError:
            return clock.now()

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Any:
        if self.api_url:
            url = self.api_url + urlsplit(url)._replace(scheme="", netloc="").geturl()
        response = super().request(method, url, *args, **kwargs)
        self._date = response.headers.get("Date", "")
        if response.status_code == 429 or response.status_code >= 500:
            retry_after = _seconds(response.headers.get("Retry-After"))
            raise TransportError("later", _code(response), retry_after, is_too_fast=response.status_code == 429)
        return response


def routes(channel: TwilioSms, public_url: str, accept: Accept, record_delivery: RecordDelivery) -> list[Route]:
    """The addresses Twilio posts to: ``/sms`` for texts, ``/sms/status`` for what became of ours; the like for WhatsApp.

    A text counts by who sent it, not by where it was posted. Let the number's webhook end in ``#rc=5&rp=all``: without it Twilio
    tries a text again only when it cannot connect.
    """
    here = public_url.rstrip("/") + channel.path

    async def receive_text(request: Request) -> Response:
        form = await _signed_form(request, channel, here)
        incoming = _complete(parse_sms, form)
        await hand_over(accept(incoming), about=f"{incoming.channel} {_safe_id(form)}")
        return Response(EMPTY_TWIML, media_type="text/xml")

    async def receive_status(request: Request) -> Response:
        form = await _signed_form(request, channel, here + STATUS)
        delivery = _complete(parse_status, form)
        if delivery is not None:
            await hand_over(record_delivery(channel.name, delivery), about=f"status of {channel.name} {_safe_id(form)}")
        return Response(status_code=204)

    return [
        Route(channel.path, receive_text, methods=["POST"]),
        Route(channel.path + STATUS, receive_status, methods=["POST"]),
    ]


async def _signed_form(request: Request, channel: TwilioSms, url: str) -> ImmutableMultiDict[str, str]:
    """The posted fields. Raises HTTPException 413 (too long) or 403 (not from Twilio: nothing of it is kept or logged)."""
    query = request.scope["query_string"].decode("latin-1")
    body = await read_body(request)
    try:
        form = ImmutableMultiDict(parse_qsl(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=500))
    except ValueError:  # Twilio sends percent-encoded UTF-8
        raise HTTPException(403) from None
    if not channel.verify_signature(f"{url}?{query}" if query else url, form, request.headers.get(SIGNATURE, "")):
        raise HTTPException(403)
    return form


def _complete(parse: Callable[[Mapping[str, str]], Parsed], form: Mapping[str, str]) -> Parsed:
    try:
        return parse(form)
    except IncompleteForm:
        log.warning("sms %s: the signed form is incomplete, refused", _safe_id(form))
        raise HTTPException(400) from None


def _require(form: Mapping[str, str], *names: str) -> None:
    missing = [name for name in names if not form.get(name)]
    if missing:
        raise IncompleteForm(", ".join(missing))


def _count(digits: str) -> int:
    return int(digits) if re.fullmatch(r"[0-9]{1,3}", digits) else 0


def _safe_id(form: Mapping[str, str]) -> str:
    sid = form.get("MessageSid", "")
    return sid if re.fullmatch(r"[A-Za-z]{2}[0-9A-Fa-f]{32}", sid) else "without id"


def _code(response: Any) -> str:
    try:
        return str(int(json.loads(response.text)["code"]))
    except (ValueError, KeyError, TypeError):
        return str(response.status_code)


def _seconds(retry_after: str | None) -> float | None:
    return float(retry_after) if retry_after and re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", retry_after) else None


def _silence() -> None:
    """At INFO the SDK logs the query of each call, at DEBUG urllib3 its path: both may hold a number."""
    for name in ("twilio.http_client", "urllib3"):
        logging.getLogger(name).setLevel(logging.WARNING)
