"""A stand-in for Telegram: its Bot API with its limits and error words, a webhook with the secret header, and people who write."""

from __future__ import annotations

import argparse
import itertools
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from tests.standins import Call, Reply, StandIn, post

TOKEN = "110201543:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw0"  # the example token of Telegram's own manual
SECRET = "standin-secret_1"
TWO_DAYS = 48 * 3600

Trouble = Literal["flood", "unavailable", "hang", "drop", "drop_after_storing"]
Answer = dict[str, Any]


class Refusal(Exception):
    """What the Bot API says no to: ``Refusal(400, "Bad Request: chat not found")``."""

    def __init__(self, status: int, description: str, parameters: Mapping[str, Any] | None = None) -> None:
        super().__init__(description)
        self.status, self.description, self.parameters = status, description, parameters


@dataclass
class Person:
    """Someone on Telegram; a bot may write to them once they wrote first, until they block it."""

    user_id: int
    first_name: str
    language: str
    wrote_first: bool = False
    blocked: bool = False

    def user(self) -> Answer:
        return {"id": self.user_id, "is_bot": False, "first_name": self.first_name, "language_code": self.language}

    def chat(self) -> Answer:
        return {"id": self.user_id, "first_name": self.first_name, "type": "private"}


@dataclass
class Webhook:
    """Where updates are posted, as setWebhook asked."""

    url: str = ""
    secret: str = ""
    allowed: tuple[str, ...] = ()
    last_error: str = ""


@dataclass
class Posted:
    """One update that was posted to the webhook, and the answer's status (0: nobody answered)."""

    update_id: int
    status: int
    body: bytes = field(default=b"", repr=False)


class TelegramApi(StandIn):
    """``with TelegramApi() as telegram: telegram.write(42, "Oi")``; ``sent`` holds the bot's messages as people see them."""

    def __init__(self, port: int = 0, token: str = TOKEN, first_update: int = 700_000_001) -> None:
        super().__init__(port)
        self.token = token
        self.bot = {
            "id": int(token.partition(":")[0]),
            "is_bot": True,
            "first_name": "Tellonce",
            "username": "tellonce_standin_bot",
        }
        self.webhook = Webhook()
        self.people: dict[int, Person] = {}
        self.messages: dict[
            int, Answer
        ] = {}  # everything in every chat by message id, which counts over all private chats of a bot
        self.sent: list[Answer] = []
        self.posted: list[Posted] = []
        self.answered: list[str] = []  # callback queries whose spinner was stopped
        self.clock_ahead = 0.0  # seconds by which this server's clock is ahead
        self.files: dict[str, bytes] = {}
        self._open_presses: set[str] = set()
        self._pending: list[Answer] = []
        self._message_ids, self._update_ids, self._press_ids = (
            itertools.count(1),
            itertools.count(first_update),
            itertools.count(9_001),
        )
        self._asking: object | None = None  # the newest getUpdates; it ends the one before
        self._posting = threading.Lock()
        self._troubles: deque[tuple[Trouble, int]] = deque()

    # What people do; each returns the status the webhook answered with (0: nobody answered, or there is no webhook)

    def write(self, user_id: int, text: str) -> int:
        return self._post_message(user_id, {"text": text})

    def photo(self, user_id: int, caption: str = "", content: bytes = b"\xff\xd8 picture") -> int:
        sizes = [{**self._file(content), "width": side, "height": side} for side in (90, 320)]
        return self._post_message(user_id, {"photo": sizes} | ({"caption": caption} if caption else {}))

    def voice(self, user_id: int) -> int:
        return self._post_message(user_id, {"voice": {**self._file(b"OggS voice"), "duration": 4, "mime_type": "audio/ogg"}})

    def document(self, user_id: int, caption: str = "") -> int:
        document = {**self._file(b"%PDF-1.7"), "file_name": "letter.pdf", "mime_type": "application/pdf"}
        return self._post_message(user_id, {"document": document} | ({"caption": caption} if caption else {}))

    def location(self, user_id: int, latitude: float, longitude: float, title: str = "") -> int:
        where = {"latitude": latitude, "longitude": longitude}
        venue = {"venue": {"location": where, "title": title, "address": "Main Street 1"}} if title else {}
        return self._post_message(user_id, {"location": where} | venue)

    def edit(self, user_id: int, text: str) -> int:
        """Change what the person wrote last."""
        with self.lock:
            theirs = [m for m in self.messages.values() if m["chat"]["id"] == user_id and m["from"]["id"] == user_id]
            message = theirs[-1]
            message |= {"text": text, "edit_date": self._now()}
        return self.post_update({"edited_message": dict(message)})

    def press(self, user_id: int, label: str) -> int:
        """Press the newest button of that label. Raises LookupError when the person sees none."""
        with self.lock:
            seen = [
                (m, button)
                for m in reversed(self.sent)
                if m["chat"]["id"] == user_id
                for button in _buttons(m)
                if button["text"] == label
            ]
            if not seen:
                raise LookupError(f"no button {label!r} in the chat")
            message, button = seen[0]
            press_id = f"{user_id}{next(self._press_ids)}"
            self._open_presses.add(press_id)
        press = {"id": press_id, "from": self._person(user_id).user(), "message": message, "chat_instance": str(user_id * 7919)}
        return self.post_update({"callback_query": press | {"data": button["callback_data"]}})

    def block(self, user_id: int) -> int:
        person = self._person(user_id)
        person.blocked = True
        return self._post_membership(person, "member", "kicked")

    def unblock(self, user_id: int) -> int:
        person = self._person(user_id)
        person.blocked = False
        return self._post_membership(person, "kicked", "member")

    def meet(self, user_id: int, first_name: str = "Someone", language: str = "en") -> Person:
        """Someone the bot may know of, and who has not written to it yet."""
        return self.people.setdefault(user_id, Person(user_id, first_name, language))

    def to(self, user_id: int) -> list[str]:
        """The texts a person has got, in order."""
        return [message["text"] for message in list(self.sent) if message["chat"]["id"] == user_id]

    def labels(self, user_id: int) -> list[str]:
        """The buttons under the newest text a person has got."""
        newest = [message for message in self.sent if message["chat"]["id"] == user_id][-1]
        return [button["text"] for button in _buttons(newest)]

    def fail_next(self, trouble: Trouble, times: int = 1, retry_after: int = 3) -> None:
        """The next sendings fail. ``hang`` holds the answer back until the stand-in stops."""
        self._troubles.extend([(trouble, retry_after)] * times)

    def post_update(self, update: Answer) -> int:
        """Post any update, given its number here unless it brings one; then whatever waits from before."""
        update = {"update_id": next(self._update_ids), **update}
        kind = next((name for name in update if name != "update_id"), "")
        if self.webhook.allowed and kind not in self.webhook.allowed:
            return 200  # Telegram keeps what was not asked for to itself
        self._pending.append(update)
        self.post_pending()
        return next((posted.status for posted in reversed(self.posted) if posted.update_id == update["update_id"]), 0)

    def post_pending(self) -> None:
        """Post what waits, oldest first; stop at the first that is not taken, as Telegram does, and keep it for the next time."""
        with self._posting:
            while self._pending and self.webhook.url and 200 <= self._post(self._pending[0]) < 300:
                self._pending.pop(0)

    def _post_message(self, user_id: int, content: Answer) -> int:
        person = self._person(user_id)
        person.wrote_first, person.blocked = True, False
        message = self._new_message(person, person.user(), content)
        return self.post_update({"message": message})

    def _post_membership(self, person: Person, before: str, after: str) -> int:
        def member(status: str) -> Answer:
            return {"user": self.bot, "status": status} | ({"until_date": 0} if status == "kicked" else {})

        change = {"chat": person.chat(), "from": person.user(), "date": self._now()}
        return self.post_update({"my_chat_member": change | {"old_chat_member": member(before), "new_chat_member": member(after)}})

    def _post(self, update: Answer) -> int:
        headers = {"Content-Type": "application/json"}
        if self.webhook.secret:
            headers["X-Telegram-Bot-Api-Secret-Token"] = self.webhook.secret
        status, body = post(self.webhook.url, json.dumps(update).encode(), headers)
        self.posted.append(Posted(update["update_id"], status, body))
        self.webhook.last_error = "" if status == 200 else f"Wrong response from the webhook: {status}"
        if 200 <= status < 300:
            self._run_answer(body)
        return status

    def _run_answer(self, body: bytes) -> None:
        """A webhook may answer with a method to run; whether it works, the bot never hears."""
        try:
            wish = json.loads(body)
            method = METHODS[wish.pop("method")]
            method(self, wish)
        except (ValueError, KeyError, AttributeError, TypeError, Refusal):
            return

    # What the Bot API answers

    def answer(self, call: Call) -> Reply:
        if call.path.startswith("/standin/"):
            return self._control(call)
        parts = re.fullmatch(r"/(file/)?bot([^/]+)/(.+)", unquote(call.path))
        if not parts or not re.fullmatch(r"[0-9]+:[A-Za-z0-9_-]{35}", parts[2]):
            return _refused(Refusal(404, "Not Found"))
        if parts[2] != self.token:
            return _refused(Refusal(401, "Unauthorized"))
        if parts[1]:
            content = self.files.get(parts[3].rpartition("/")[2])
            return (
                Reply(200, content, {"Content-Type": "application/octet-stream"})
                if content
                else _refused(Refusal(404, "Not Found"))
            )
        return self._run(parts[3], call)

    def _run(self, name: str, call: Call) -> Reply:
        method = {known.lower(): known for known in METHODS}.get(name.lower())
        if method is None:
            return _refused(Refusal(404, "Not Found"))
        trouble, retry_after = self._troubles.popleft() if self._troubles and method == "sendMessage" else (None, 0)
        match trouble:
            case "flood":
                words = f"Too Many Requests: retry after {retry_after}"
                return _refused(Refusal(429, words, {"retry_after": retry_after}))
            case "unavailable":
                return Reply(502, b"<html>Bad Gateway</html>", {"Content-Type": "text/html"})
            case "drop":
                return Reply(drop=True)
            case "hang":
                self.stopped.wait()
                return Reply(drop=True)
        try:
            result = METHODS[method](self, _parameters(call))
        except Refusal as refusal:
            return _refused(refusal)
        return Reply(drop=True) if trouble else Reply(200, {"ok": True, "result": result})

    def _get_me(self, _: Answer) -> Answer:
        extras = {"can_join_groups": False, "can_read_all_group_messages": False, "supports_inline_queries": False}
        return self.bot | extras

    def _set_webhook(self, asked: Answer) -> bool:
        url, secret = str(asked.get("url", "")), str(asked.get("secret_token", ""))
        address = urlsplit(url)
        if url and address.scheme != "https" and address.hostname not in {"127.0.0.1", "localhost"}:
            raise Refusal(400, "Bad Request: bad webhook: An HTTPS URL must be provided for webhook")
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret):
            raise Refusal(400, "Bad Request: secret token contains unallowed characters")
        allowed = _json(asked.get("allowed_updates", []), "allowed updates")
        self.webhook = Webhook(url, secret, tuple(allowed))
        if asked.get("drop_pending_updates") in {True, "true", "True"}:
            self._pending.clear()
        return True

    def _delete_webhook(self, _: Answer) -> bool:
        self.webhook = Webhook()
        return True

    def _get_webhook_info(self, _: Answer) -> Answer:
        info: Answer = {"url": self.webhook.url, "has_custom_certificate": False, "pending_update_count": len(self._pending)}
        info |= {"max_connections": 40, "allowed_updates": list(self.webhook.allowed)}
        if self.webhook.last_error:
            info |= {"last_error_date": self._now(), "last_error_message": self.webhook.last_error}
        return info

    def _get_updates(self, asked: Answer) -> list[Answer]:
        if self.webhook.url:
            words = "Conflict: can't use getUpdates method while webhook is active; use deleteWebhook to delete the webhook first"
            raise Refusal(409, words)
        if offset := int(asked.get("offset", 0)):
            self._pending = [update for update in self._pending if update["update_id"] >= offset]
        if wanted := _json(asked.get("allowed_updates", []), "allowed updates"):
            self.webhook.allowed = tuple(wanted)  # Telegram remembers what was asked for last
        self._asking = mine = object()
        deadline = time.monotonic() + min(float(asked.get("timeout", 0)), 2.0)
        while not self._pending and time.monotonic() < deadline and not self.stopped.is_set():
            if self._asking is not mine:
                words = "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
                raise Refusal(409, words)
            time.sleep(0.02)
        return self._pending[: int(asked.get("limit", 100))]

    def _send_message(self, asked: Answer) -> Answer:
        person = self._reachable(asked)
        content: Answer = {"text": _text(asked)}
        if markup := _markup(asked):
            content["reply_markup"] = markup
        message = self._new_message(person, self.bot, content)
        self.sent.append(message)
        return message

    def _edit_message_text(self, asked: Answer) -> Answer:
        message = self._own_message(asked)
        text, markup = _text(asked), _markup(asked)
        if message["text"] == text and message.get("reply_markup") == markup:
            raise _not_modified()
        message["text"] = text
        return self._edited(message, markup)

    def _edit_message_reply_markup(self, asked: Answer) -> Answer:
        message = self._own_message(asked)
        markup = _markup(asked)
        if message.get("reply_markup") == markup:
            raise _not_modified()
        return self._edited(message, markup)

    def _edited(self, message: Answer, markup: Answer | None) -> Answer:
        message.pop("reply_markup", None)
        message |= {"edit_date": self._now()} | ({"reply_markup": markup} if markup else {})
        return message

    def _answer_callback_query(self, asked: Answer) -> bool:
        press_id = str(asked.get("callback_query_id", ""))
        if press_id not in self._open_presses:
            raise Refusal(400, "Bad Request: query is too old and response timeout expired or query ID is invalid")
        self._open_presses.discard(press_id)
        self.answered.append(press_id)
        return True

    def _delete_message(self, asked: Answer) -> bool:
        person = self._chat(asked)
        message = self.messages.get(_number(asked, "message_id"))
        if message is None or message["chat"]["id"] != person.user_id:
            raise Refusal(400, "Bad Request: message to delete not found")
        if self._now() - message["date"] >= TWO_DAYS:
            raise Refusal(400, "Bad Request: message can't be deleted for everyone")
        del self.messages[message["message_id"]]
        if message in self.sent:
            self.sent.remove(message)
        return True

    def _get_file(self, asked: Answer) -> Answer:
        file_id = str(asked.get("file_id", ""))
        if file_id not in self.files:
            raise Refusal(400, "Bad Request: invalid file_id")
        if len(self.files[file_id]) > 20 * 1024 * 1024:
            raise Refusal(400, "Bad Request: file is too big")
        return {
            "file_id": file_id,
            "file_unique_id": file_id[-8:],
            "file_size": len(self.files[file_id]),
            "file_path": f"files/{file_id}",
        }

    # What the methods share

    def _now(self) -> int:
        return int(time.time() + self.clock_ahead)

    def _person(self, user_id: int) -> Person:
        return self.meet(user_id)

    def _chat(self, asked: Answer) -> Person:
        chat_id = str(asked.get("chat_id", ""))
        if not chat_id:
            raise Refusal(400, "Bad Request: chat_id is empty")
        if not re.fullmatch(r"-?[0-9]+", chat_id) or int(chat_id) not in self.people:
            raise Refusal(400, "Bad Request: chat not found")
        return self.people[int(chat_id)]

    def _reachable(self, asked: Answer) -> Person:
        person = self._chat(asked)
        if not person.wrote_first:
            raise Refusal(403, "Forbidden: bot can't initiate conversation with a user")
        if person.blocked:
            raise Refusal(403, "Forbidden: bot was blocked by the user")
        return person

    def _own_message(self, asked: Answer) -> Answer:
        person = self._chat(asked)
        message = self.messages.get(_number(asked, "message_id"))
        if message is None or message["chat"]["id"] != person.user_id:
            raise Refusal(400, "Bad Request: message to edit not found")
        if message["from"]["id"] != self.bot["id"]:
            raise Refusal(400, "Bad Request: message can't be edited")
        return message

    def _new_message(self, person: Person, sender: Answer, content: Answer) -> Answer:
        with self.lock:
            message_id = next(self._message_ids)
            message = {"message_id": message_id, "from": sender, "chat": person.chat(), "date": self._now(), **content}
            self.messages[message_id] = message
        return message

    def _file(self, content: bytes) -> Answer:
        file_id = f"AgACAgQAAxkBAAM{len(self.files):08d}"
        self.files[file_id] = content
        return {"file_id": file_id, "file_unique_id": file_id[-8:], "file_size": len(content)}

    # For a process of its own: another process plays the people

    def _control(self, call: Call) -> Reply:
        match call.method, call.path:
            case "GET", "/standin/sent":
                return Reply(
                    200, [m for m in list(self.sent) if call.query.get("to", str(m["chat"]["id"])) == str(m["chat"]["id"])]
                )
            case "POST", "/standin/write":
                wish = json.loads(call.body)
                return Reply(200, {"status": self.write(int(wish["user_id"]), wish["text"])})
            case "POST", "/standin/press":
                wish = json.loads(call.body)
                return Reply(200, {"status": self.press(int(wish["user_id"]), wish["label"])})
        return Reply(404)


METHODS: Mapping[str, Callable[[TelegramApi, Answer], Any]] = {
    "getMe": TelegramApi._get_me,
    "setWebhook": TelegramApi._set_webhook,
    "deleteWebhook": TelegramApi._delete_webhook,
    "getWebhookInfo": TelegramApi._get_webhook_info,
    "getUpdates": TelegramApi._get_updates,
    "sendMessage": TelegramApi._send_message,
    "editMessageText": TelegramApi._edit_message_text,
    "editMessageReplyMarkup": TelegramApi._edit_message_reply_markup,
    "answerCallbackQuery": TelegramApi._answer_callback_query,
    "deleteMessage": TelegramApi._delete_message,
    "getFile": TelegramApi._get_file,
}


def _parameters(call: Call) -> Answer:
    content = call.headers.get("content-type", "")
    if not call.body:
        return dict(call.query)
    if content.startswith("application/json"):
        return dict(call.query) | dict(json.loads(call.body))
    if content.startswith("application/x-www-form-urlencoded"):
        return dict(call.query) | call.form()
    raise Refusal(400, f"Bad Request: unsupported content type {content.partition(';')[0]}")


def _text(asked: Answer) -> str:
    text = str(asked.get("text", "")).strip()
    if not text:
        raise Refusal(400, "Bad Request: message text is empty")
    if len(text) > 4096:
        raise Refusal(400, "Bad Request: message is too long")
    if asked.get("parse_mode") not in {None, "", "HTML", "Markdown", "MarkdownV2"}:
        raise Refusal(400, "Bad Request: unsupported parse_mode")
    return text


def _markup(asked: Answer) -> Answer | None:
    given = asked.get("reply_markup")
    if not given:
        return None
    markup = _json(given, "reply keyboard markup JSON object")
    rows = markup.get("inline_keyboard") if isinstance(markup, dict) else None
    if not isinstance(rows, list):
        raise Refusal(400, "Bad Request: object expected as reply markup")
    for row in rows:
        if not isinstance(row, list):
            raise Refusal(400, 'Bad Request: field "inline_keyboard" of the InlineKeyboardMarkup must be an Array of Arrays')
        for button in row:
            _check_button(button)
    return {"inline_keyboard": rows} if any(rows) else None


def _check_button(button: Any) -> None:
    if not isinstance(button, dict) or not isinstance(button.get("text"), str):
        raise Refusal(400, 'Bad Request: can\'t parse inline keyboard button: Field "text" must be of type String')
    if not button["text"].strip():
        raise Refusal(400, "Bad Request: BUTTON_TEXT_INVALID")
    actions = {"url", "callback_data", "web_app", "login_url", "switch_inline_query", "copy_text", "pay"} & set(button)
    if len(actions) != 1:
        raise Refusal(400, "Bad Request: can't parse inline keyboard button: Text buttons are unallowed in the inline keyboard")
    if "callback_data" in button and not 1 <= len(str(button["callback_data"]).encode()) <= 64:
        raise Refusal(400, "Bad Request: BUTTON_DATA_INVALID")


def _buttons(message: Answer) -> list[Answer]:
    return [button for row in message.get("reply_markup", {}).get("inline_keyboard", []) for button in row]


def _json(given: Any, what: str) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        raise Refusal(400, f"Bad Request: can't parse {what}") from None


def _number(asked: Answer, name: str) -> int:
    given = str(asked.get(name, ""))
    if not given.isdecimal():
        raise Refusal(400, f"Bad Request: {name} is not specified")
    return int(given)


def _not_modified() -> Refusal:
    return Refusal(400, "Bad Request: message is not modified: specified new message content and reply markup are exactly the same")


def _refused(refusal: Refusal) -> Reply:
    body = {"ok": False, "error_code": refusal.status, "description": refusal.description}
    return Reply(refusal.status, body | ({"parameters": refusal.parameters} if refusal.parameters else {}))


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=0, help="0: any free one; it is printed")
    options.add_argument("--token", default=TOKEN)
    chosen = options.parse_args()
    TelegramApi(chosen.port, chosen.token).serve_until_stopped()


if __name__ == "__main__":
    main()
