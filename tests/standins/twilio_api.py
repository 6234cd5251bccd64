"""A stand-in for Twilio: its Messages API with limits and error codes, signed webhooks, a carrier that obeys STOP, and phones."""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import queue
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, Literal, Self
from urllib.parse import urlencode, urlsplit

from tests.standins import Call, Reply, StandIn, post

ACCOUNT_SID = "AC" + "5" * 32
AUTH_TOKEN = "standin-auth-token-0123456789abcd"
NUMBER = "+447700900001"
WHATSAPP_NUMBER = "+447700900002"
A_DAY = 24 * 3600

STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"})
START_WORDS = frozenset({"START", "YES", "UNSTOP"})

Trouble = Literal["busy", "unavailable", "hang", "hang_after_storing", "drop", "drop_after_storing", "not_json"]
Callbacks = Literal["in_order", "out_of_order", "twice", "none"]


@dataclass
class Template:
    """A content template: ``Template("You have a message. Write to us here.")``; WhatsApp lets only approved ones pass."""

    body: str
    approval: Literal["approved", "pending", "rejected", "paused"] = "approved"


@dataclass
class SentMessage:
    """One text the account created, as its phone shows it."""

    sid: str
    to: str
    sender: str
    body: str
    status: str
    status_callback: str
    sent_at: datetime
    error_code: int | None = None
    segments: int = 1
    content_sid: str = ""
    taken: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Posted:
    """One webhook or status callback that went out, and the answer: ``Posted("SM9f…", "delivered", 204, b"")``."""

    sid: str
    what: str
    status: int
    body: bytes = field(default=b"", repr=False)


class TwilioApi(StandIn):
    """``with TwilioApi() as twilio: twilio.deliver("+447700900123", "Oi", url=app_url + "/sms")``; ``sent`` is what phones got."""

    def __init__(
        self,
        port: int = 0,
        account_sid: str = ACCOUNT_SID,
        auth_token: str = AUTH_TOKEN,
        number: str = NUMBER,
        webhook: str = "",
        callbacks: Callbacks = "in_order",
        whatsapp_number: str = WHATSAPP_NUMBER,
    ) -> None:
        super().__init__(port)
        self.account_sid, self.auth_token, self.number = account_sid, auth_token, number
        self.whatsapp_number = whatsapp_number
        self.templates: dict[str, Template] = {}  # by ContentSid
        self.reads = False  # whether WhatsApp tells that a text was read
        self.clock_ahead = 0.0  # seconds by which this server's clock is ahead
        self.webhook = webhook  # where our number's texts are posted, as Twilio sees it
        self.callbacks: Callbacks = callbacks
        self.sent: list[SentMessage] = []
        self.media: dict[str, tuple[str, bytes]] = {}  # type and content by path
        self.received: dict[str, dict[str, str]] = {}  # what phones sent to us, by MessageSid
        self.posted: list[Posted] = []
        self.carrier_replies: list[tuple[str, str]] = []  # what the carrier itself answered, never we
        self.opted_out: set[str] = set()
        self.undeliverable: dict[str, int] = {}  # number -> error code of its failed callbacks, such as 30003
        self._last_heard: dict[str, float] = {}  # WhatsApp address -> when it last wrote
        self._troubles: deque[tuple[Trouble, float]] = deque()
        self._pending: queue.Queue[Callable[[], None] | None] = queue.Queue()
        self._postman = threading.Thread(target=self._post_pending, daemon=True)

    def start(self) -> Self:
        self._postman.start()
        return super().start()

    def stop(self) -> None:
        super().stop()
        self._pending.put(None)
        self._postman.join()

    # What a test or the demo does

    def environment(self) -> dict[str, str]:
        """The variables by which Tellonce takes this stand-in for the vendor."""
        return {
            "TELLONCE_TWILIO_ACCOUNT_SID": self.account_sid,
            "TELLONCE_TWILIO_AUTH_TOKEN": self.auth_token,
            "TELLONCE_TWILIO_NUMBER": NUMBER,
            "TELLONCE_TWILIO_WHATSAPP_NUMBER": WHATSAPP_NUMBER,
            "TELLONCE_TWILIO_WHATSAPP_MESSAGES_PER_SECOND": "0",
            "TELLONCE_TWILIO_API_URL": self.url,
            "TELLONCE_TWILIO_SEGMENTS_PER_SECOND": "0",
        }

    def fail_next(self, trouble: Trouble, times: int = 1, retry_after: float = 1) -> None:
        """The next creations fail. ``hang`` holds the answer back until the stand-in stops; ``…_after_storing`` keeps the text."""
        self._troubles.extend([(trouble, retry_after)] * times)

    def add_template(self, body: str, approval: Literal["approved", "pending", "rejected", "paused"] = "approved") -> str:
        """Make a content template and return its ContentSid."""
        content_sid = "HX" + secrets.token_hex(16)
        self.templates[content_sid] = Template(body, approval)
        return content_sid

    def to(self, number: str) -> list[str]:
        """The bodies a phone has got, in order."""
        return [message.body for message in list(self.sent) if message.to == number]

    def deliver(self, number: str, body: str, sid: str | None = None, url: str | None = None, **extra: str) -> Posted:
        """A phone texts our number: post it, signed, to ``url`` (else ``webhook``). ``extra`` adds fields or replaces them."""
        self._carrier_reads(number, body)
        fields = self.inbound_fields(number, body, sid) | extra
        self.received[fields["MessageSid"]] = fields
        target = url or self.webhook
        posted = self._post(target, list(fields.items()), fields["MessageSid"], "received")
        self.posted.append(posted)
        return posted

    def deliver_media(self, number: str, body: str, *files: tuple[str, bytes], url: str | None = None) -> Posted:
        """A phone sends files, each its type and content, with a text or without."""
        sid = "MM" + secrets.token_hex(16)
        fields = {"NumMedia": str(len(files))}
        for n, (kind, content) in enumerate(files):
            path = f"/2010-04-01/Accounts/{self.account_sid}/Messages/{sid}/Media/ME{secrets.token_hex(16)}"
            self.media[path] = (kind, content)
            fields |= {f"MediaUrl{n}": f"https://api.twilio.com{path}", f"MediaContentType{n}": kind}
        return self.deliver(number, body, sid, url, **fields)

    def inbound_fields(self, number: str, body: str, sid: str | None = None) -> dict[str, str]:
        """The form of one inbound text, as Twilio fills it."""
        sid = sid or new_sid()
        fields = dict.fromkeys(("ToZip", "ToState", "ToCity", "FromZip", "FromState", "FromCity"), "")
        fields |= {
            "MessageSid": sid,
            "SmsSid": sid,
            "SmsMessageSid": sid,
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
        }
        fields |= {"From": number, "Body": body, "NumMedia": "0", "NumSegments": str(segments(body)), "SmsStatus": "received"}
        if number.startswith("whatsapp:"):
            identity = number.removeprefix("whatsapp:")
            who = {"WaId": identity.removeprefix("+")} if identity.startswith("+") else {"ExternalUserId": identity}
            return fields | who | {"To": "whatsapp:" + self.whatsapp_number, "ProfileName": "Someone", "MessageType": "text"}
        return fields | {"To": self.number, "ToCountry": "GB", "FromCountry": "GB"}

    def sign(self, url: str, fields: list[tuple[str, str]]) -> str:
        """Twilio's signature: HMAC-SHA1 under the token of the address and each field's name and value, ordered by name."""
        text = url + "".join(name + value for name, value in sorted(set(fields)))
        return base64.b64encode(hmac.new(self.auth_token.encode(), text.encode(), hashlib.sha1).digest()).decode()

    def settle(self, timeout: float = 10.0) -> None:
        """Wait until every status callback has been posted. Raises TimeoutError."""
        done = threading.Event()
        self._pending.put(done.set)
        if not done.wait(timeout):
            raise TimeoutError("status callbacks are still waiting to be posted")

    # What Twilio answers

    def answer(self, call: Call) -> Reply:
        if call.path.startswith("/standin/"):
            return self._control(call)
        if call.path.startswith("/cdn/"):
            return self._stored(call)
        wanted = "Basic " + base64.b64encode(f"{self.account_sid}:{self.auth_token}".encode()).decode()
        if not hmac.compare_digest(call.headers.get("authorization", "").encode(), wanted.encode()):
            return _error(401, 20003, "Authenticate")
        if call.method == "GET" and call.path in self.media:  # it stands elsewhere, where our token must not go
            return Reply(307, b"", {"Location": f"http://localhost:{self.port}/cdn{call.path}"})
        parts = re.fullmatch(r"/2010-04-01/Accounts/([^/]+)/Messages(?:/([^/]+))?\.json", call.path)
        if not parts or parts[1] != self.account_sid:
            return _not_found(call.path)
        match call.method, parts[2]:
            case "POST", None:
                return self._create(call)
            case "GET", None:
                return self._list(call)
            case "GET", sid:
                found = self._find(sid)
                return Reply(200, self._record(found)) if found else _not_found(call.path)
            case "DELETE", str(sid):
                return self._delete(sid, call.path)
        return _error(405, 20004, "Method not allowed")

    def _stored(self, call: Call) -> Reply:
        if "authorization" in call.headers:
            return Reply(400, b"<Error><Code>InvalidArgument</Code></Error>", {"Content-Type": "application/xml"})
        kind, content = self.media[call.path.removeprefix("/cdn")]
        return Reply(200, content, {"Content-Type": kind})

    def _create(self, call: Call) -> Reply:
        trouble, retry_after = self._troubles.popleft() if self._troubles else (None, 0.0)
        match trouble:
            case "busy":
                return _error(429, 20429, "Too Many Requests", {"Retry-After": f"{retry_after:g}"})
            case "unavailable":
                return Reply(503, b"<html>Service Unavailable</html>", {"Content-Type": "text/html"})
            case "drop":
                return Reply(drop=True)
            case "hang":
                self.stopped.wait()
                return Reply(drop=True)
        form = call.form()
        if refusal := self._refusal(form):
            return refusal
        with self.lock:
            message = SentMessage(
                sid=new_sid(),
                to=form["To"],
                sender=form.get("From") or self.number,
                body=self._body(form),
                status="queued",
                status_callback=form.get("StatusCallback", ""),
                sent_at=datetime.now(UTC).replace(microsecond=0),
                segments=segments(self._body(form)),
                content_sid=form.get("ContentSid", ""),
            )
            self.sent.append(message)
        record = self._record(message)
        self._carry(message)
        match trouble:
            case "drop_after_storing":
                return Reply(drop=True)
            case "hang_after_storing":
                self.stopped.wait()
                return Reply(drop=True)
            case "not_json":
                return Reply(201, b"<html>a proxy was here</html>", {"Content-Type": "text/html"})
        return Reply(201, record)

    def _refusal(self, form: Mapping[str, str]) -> Reply | None:
        to, sender, service = form.get("To", ""), form.get("From", ""), form.get("MessagingServiceSid", "")
        content_sid = form.get("ContentSid", "")
        rules: list[tuple[bool, int, str]] = [
            (not to, 21604, "A 'To' phone number is required."),
            (not sender and not service, 21603, "A 'From' or 'MessagingServiceSid' parameter is required."),
            (not (content_sid or form.get("Body", "").strip()), 21602, "Message body is required."),
            (bool(content_sid) and content_sid not in self.templates, 21655, "The ContentSid is Invalid"),
            (not _are_variables(form.get("ContentVariables", "{}")), 21656, "The ContentVariables Parameter is invalid."),
            (
                not re.fullmatch(r"\+[1-9][0-9]{6,14}|whatsapp:(\+[1-9][0-9]{6,14}|[A-Z]{2}\.[0-9A-Za-z]+)", to),
                21211,
                f"Invalid 'To' Phone Number: {to}",
            ),
            (bool(service) and not re.fullmatch(r"MG[0-9a-f]{32}", service), 21701, "The Messaging Service does not exist."),
            (
                sender.startswith("whatsapp:") and sender != "whatsapp:" + self.whatsapp_number,
                63007,
                "Twilio could not find a Channel with the specified From address",
            ),
            (
                not service and not sender.startswith("whatsapp:") and sender != self.number,
                21606,
                f"The 'From' phone number {sender} is not a valid, SMS-capable number of your account.",
            ),
            (
                not service and sender.startswith("whatsapp:") != to.startswith("whatsapp:"),
                21910,
                f"Invalid 'From' and 'To' pair: {sender}, {to}.",
            ),
            (to == sender, 21266, "'To' and 'From' number cannot be the same."),
            (len(form.get("Body", "")) > 1600, 21617, "The concatenated message body exceeds the 1600 character limit."),
            (bool(form.get("StatusCallback")) and not _is_address(form["StatusCallback"]), 21609, "Invalid 'StatusCallback' URL."),
            (to in self.opted_out, 21610, "Attempt to send to unsubscribed recipient"),
        ]
        return next((_error(400, code, words) for broken, code, words in rules if broken), None)

    def _list(self, call: Call) -> Reply:
        unknown = set(call.query) - {"To", "From", "DateSent", "DateSent>", "DateSent<", "PageSize", "Page", "PageToken"}
        if unknown:
            return _error(400, 20001, f"Unknown parameters: {', '.join(sorted(unknown))}")
        size = min(int(call.query.get("PageSize", "50")), 1000)
        page = int(call.query.get("Page", "0"))
        found = [
            message
            for message in reversed(self.sent)
            if call.query.get("To", message.to) == message.to
            and call.query.get("From", message.sender) == message.sender
            and _instant(call.query.get("DateSent>", "0001-01-01")) <= message.sent_at
            and message.sent_at <= _instant(call.query.get("DateSent<", "9999-12-31"))
        ]
        shown = found[page * size : (page + 1) * size]
        more = len(found) > (page + 1) * size
        following = f"{call.path}?{urlencode({**call.query, 'PageSize': size, 'Page': page + 1})}" if more else None
        return Reply(
            200,
            {
                "messages": [self._record(message) for message in shown],
                "page": page,
                "page_size": size,
                "start": page * size,
                "end": page * size + max(len(shown) - 1, 0),
                "uri": call.path,
                "first_page_uri": call.path,
                "next_page_uri": following,
                "previous_page_uri": None,
            },
        )

    def _delete(self, sid: str, path: str) -> Reply:
        with self.lock:
            if self.received.pop(sid, None):
                self.media = {path: kept for path, kept in self.media.items() if f"/Messages/{sid}/" not in path}
                return Reply(204)
            found = self._find(sid)
            if not found:
                return _not_found(path)
            if found.status in {"queued", "sending"}:
                return _error(409, 20009, "Cannot delete a message that is not in a final state")
            self.sent.remove(found)
        return Reply(204)

    def _find(self, sid: str | None) -> SentMessage | None:
        return next((message for message in self.sent if message.sid == sid), None)

    def _record(self, message: SentMessage) -> dict[str, Any]:
        path = f"/2010-04-01/Accounts/{self.account_sid}/Messages/{message.sid}"
        moment = format_datetime(message.sent_at)
        return {
            "account_sid": self.account_sid,
            "api_version": "2010-04-01",
            "body": message.body,
            "date_created": moment,
            "date_sent": None if message.status == "queued" else moment,
            "date_updated": moment,
            "direction": "outbound-api",
            "error_code": message.error_code,
            "error_message": None,
            "from": message.sender,
            "messaging_service_sid": None,
            "num_media": "0",
            "num_segments": str(message.segments),
            "price": None,
            "price_unit": "USD",
            "sid": message.sid,
            "status": message.status,
            "subresource_uris": {"media": path + "/Media.json"},
            "tags": None,
            "to": message.to,
            "uri": path + ".json",
        }

    # What the carrier does

    def _carrier_reads(self, number: str, body: str) -> None:
        word = body.strip().upper()
        if number.startswith("whatsapp:"):
            self._last_heard[number] = self._now()
        elif word in STOP_WORDS:
            self.opted_out.add(number)
            self.carrier_replies.append((number, "You have successfully been unsubscribed. Reply START to resubscribe."))
        elif word in START_WORDS:
            if number in self.opted_out:
                self.carrier_replies.append((number, "You have successfully been re-subscribed. Reply STOP to unsubscribe."))
            self.opted_out.discard(number)

    def _carry(self, message: SentMessage) -> None:
        last, error = "delivered", self.undeliverable.get(message.to)
        is_whatsapp = message.to.startswith("whatsapp:")
        if error := error or (self._whatsapp_says(message) if is_whatsapp else None):
            last = "failed" if is_whatsapp else "undelivered"
        steps = ["queued", "failed"] if last == "failed" else ["queued", "sent", last]
        steps += ["read"] if is_whatsapp and self.reads and not error else []
        posts = {"in_order": steps, "out_of_order": steps[::-1], "twice": [s for s in steps for _ in "12"], "none": []}[
            self.callbacks
        ]

        def reach() -> None:
            message.status, message.error_code = last, error

        def post_step(step: str) -> None:
            self.posted.append(self._post_status(message, step, error if step == last else None))

        self._pending.put(reach)
        for step in posts if message.status_callback else []:
            self._pending.put(lambda step=step: post_step(step))  # type: ignore[misc]

    def _whatsapp_says(self, message: SentMessage) -> int | None:
        """Why WhatsApp does not take a text: told after it was created, never at once."""
        if template := self.templates.get(message.content_sid):
            if template.approval != "approved":
                return {"rejected": 63040, "paused": 63041}.get(template.approval, 63016)
            return 63028 if "{{" in message.body else None  # a placeholder that nothing filled
        is_open = self._now() - self._last_heard.get(message.to, -1e9) <= A_DAY
        return None if is_open else 63016  # free text goes only within a day of the person's own

    def _now(self) -> float:
        return time.monotonic() + self.clock_ahead

    def _body(self, form: Mapping[str, str]) -> str:
        """What the phone will show."""
        template = self.templates.get(form.get("ContentSid", ""))
        if template is None:
            return form["Body"]
        text = template.body
        for name, value in json.loads(form.get("ContentVariables", "{}")).items():
            text = text.replace("{{" + name + "}}", value)
        return text

    def _post_status(self, message: SentMessage, step: str, error: int | None) -> Posted:
        fields = {
            "MessageSid": message.sid,
            "SmsSid": message.sid,
            "MessageStatus": step,
            "SmsStatus": step,
            "To": message.to,
            "From": message.sender,
            "AccountSid": self.account_sid,
            "ApiVersion": "2010-04-01",
        }
        if error:
            fields["ErrorCode"] = str(error)
        return self._post(message.status_callback, list(fields.items()), message.sid, step)

    def _post_pending(self) -> None:
        while (task := self._pending.get()) is not None:
            task()

    def _post(self, url: str, fields: list[tuple[str, str]], sid: str, what: str) -> Posted:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
            "User-Agent": "TwilioProxy/1.1",
            "X-Twilio-Signature": self.sign(url.partition("#")[0], fields),
            "I-Twilio-Idempotency-Token": secrets.token_hex(16),
        }
        status, body = post(url.partition("#")[0], urlencode(fields).encode(), headers)
        return Posted(sid, what, status, body)

    # For a process of its own: another process plays the phones

    def _control(self, call: Call) -> Reply:
        match call.method, call.path:
            case "GET", "/standin/sent":
                shown = [self._record(message) for message in list(self.sent)]
                return Reply(200, [record for record in shown if call.query.get("to", record["to"]) == record["to"]])
            case "GET", "/standin/pace":
                return Reply(200, [[message.taken, message.segments] for message in list(self.sent)])
            case "POST", "/standin/deliver":
                wish: dict[str, str] = json.loads(call.body)
                posted = self.deliver(wish.pop("number"), wish.pop("body"), **wish)
                return Reply(200, {"sid": posted.sid, "status": posted.status})
        return Reply(404)


def new_sid() -> str:
    return "SM" + secrets.token_hex(16)


GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_EXTENDED = frozenset("\f^{}\\[~]|€")  # two places each


def segments(text: str) -> int:
    """How many parts Twilio bills; a pair that straddles two parts is counted as if it could be cut."""
    if all(character in GSM or character in GSM_EXTENDED for character in text):
        places, one, many = len(text) + sum(character in GSM_EXTENDED for character in text), 160, 153
    else:
        places, one, many = len(text.encode("utf-16-le", "surrogatepass")) // 2, 70, 67
    return 1 if places <= one else -(-places // many)


def _is_address(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _are_variables(given: str) -> bool:
    try:
        variables = json.loads(given)
    except ValueError:
        return False
    return isinstance(variables, dict) and all(isinstance(value, str) for value in variables.values())


def _instant(text: str) -> datetime:
    moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _error(status: int, code: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    more = f"https://www.twilio.com/docs/errors/{code}"
    return Reply(status, {"code": code, "message": message, "more_info": more, "status": status}, headers or {})


def _not_found(path: str) -> Reply:
    return _error(404, 20404, f"The requested resource {path} was not found")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=0, help="0: any free one; it is printed")
    options.add_argument("--account-sid", default=ACCOUNT_SID)
    options.add_argument("--auth-token", default=AUTH_TOKEN)
    options.add_argument("--number", default=NUMBER)
    options.add_argument("--webhook", default="", help="where texts to our number are posted")
    chosen = options.parse_args()
    TwilioApi(chosen.port, chosen.account_sid, chosen.auth_token, chosen.number, chosen.webhook).serve_until_stopped()


if __name__ == "__main__":
    main()
