"""Telegram through python-telegram-bot, as transport only: updates in by webhook or by asking, texts with buttons out."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import re
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import timedelta
from typing import Annotated, Any, Literal, Self, TypeVar
from urllib.parse import urlencode, urlsplit

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from telegram import Bot, CallbackQuery, InlineKeyboardButton, InlineKeyboardMarkup, LinkPreviewOptions, Message, Update
from telegram.error import BadRequest, ChatMigrated, Conflict, Forbidden, InvalidToken, RetryAfter, TelegramError
from telegram.request import HTTPXRequest

from bot.channels import Accept, RecordStanding, hand_over, read_body
from bot.messages import Found, IncomingMessage, Media, OutgoingMessage, Rate, Standing, TransportError

os.environ.setdefault("PTB_TIMEDELTA", "true")  # else the library warns whenever Telegram asks us to wait

log = logging.getLogger(__name__)

SECRET = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 - the header's name
TELEGRAM = "https://api.telegram.org"
FILES = ("photo", "voice", "video", "document", "audio", "location")
WANTED = ("message", "edited_message", "callback_query", "my_chat_member")

Result = TypeVar("Result")


class TelegramSettings(BaseSettings):
    """The operator's bot: ``TELLONCE_TELEGRAM_TOKEN=123:ABC…`` sets ``token``. By webhook it needs the secret, too."""

    model_config = SettingsConfigDict(
        env_prefix="TELLONCE_TELEGRAM_", env_ignore_empty=True, extra="ignore", hide_input_in_errors=True
    )

    token: Annotated[SecretStr, Field(description="The bot's token, from @BotFather.")] = SecretStr("")
    secret: Annotated[SecretStr, Field(description="Telegram sends it with each update: letters, digits, _ and -.")] = SecretStr("")
    updates: Annotated[
        Literal["webhook", "polling"], Field(description="Telegram posts updates to `serve`, or `work` asks for them.")
    ] = "webhook"
    api_url: Annotated[str, Field(description="Address of a stand-in or of your own Bot API server; empty: Telegram's.")] = ""
    messages_per_second: Annotated[float, Field(description="Messages the bot may send in a second; 0: no limit.", ge=0)] = 30.0
    chat_messages_per_second: Annotated[
        float, Field(description="Messages the bot may send to one person in a second; 0: no limit.", ge=0)
    ] = 1.0

    @property
    def is_set(self) -> bool:
        return bool(self.token.get_secret_value())

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        secret = self.secret.get_secret_value()
        if self.is_set != bool(secret) and not (self.is_set and self.updates == "polling"):
            raise ValueError("set TELLONCE_TELEGRAM_TOKEN and _SECRET together, or neither (by polling, the token alone)")
        if not re.fullmatch(r"[A-Za-z0-9_-]{0,256}", secret):
            raise ValueError("TELLONCE_TELEGRAM_SECRET may hold letters, digits, _ and - only, at most 256")
        api = urlsplit(self.api_url)
        if self.api_url and api.scheme != "https" and api.hostname not in {"127.0.0.1", "::1", "localhost"}:
            raise ValueError("TELLONCE_TELEGRAM_API_URL must be https, or on this machine")
        return self


def parse_update(raw: Mapping[str, Any]) -> IncomingMessage | None:
    """One update in a private chat as a text; None if it holds nothing a reporter wrote, pressed or sent.

    An edited message is a new text. A pressed button is the text of its number, and counts once however often it is pressed.
    Where the library stumbles over an update, the text is read without it: Telegram may add what this version does not know.
    """
    try:
        update = Update.de_json(dict(raw), None)
    except Exception as error:  # the library raises whatever it happens to stumble on
        log.warning("telegram update %s is odd (%s), read without the library", _safe_id(raw), type(error).__name__)
        return _parse_odd(raw)
    if update.callback_query:
        return _parse_press(update.callback_query, update.update_id)
    message = update.message or update.edited_message
    return _parse_message(message, update.update_id) if message else None


def parse_standing(raw: Mapping[str, Any]) -> Standing | None:
    """Whether an update says that a person blocked or unblocked the bot; None if it is about anything else."""
    try:
        change = raw["my_chat_member"]
        status = change["new_chat_member"]["status"]
        if change["chat"]["type"] != "private" or status not in ("kicked", "member"):
            return None
        return Standing("telegram", str(int(change["chat"]["id"])), status == "kicked")
    except (KeyError, TypeError, ValueError):
        return None


def _parse_message(message: Message, update_id: int) -> IncomingMessage | None:
    place = _place(message)
    attachments = 0 if place else int(bool(message.effective_attachment))
    text = place or message.text or message.caption or ""
    if message.chat.type != "private" or not (text or attachments):
        return None
    copy = f"{message.chat.id}/{message.message_id}"
    return IncomingMessage(
        "telegram", str(message.chat.id), text, str(update_id), attachments, copy=copy, media=_media(message), is_place=bool(place)
    )


def _place(message: Message) -> str:
    """A shared place as text: ``"Central Station, Main Street 1, 51.50074, -0.12463"``; empty if there is none."""
    if message.location is None:
        return ""
    names = [message.venue.title, message.venue.address] if message.venue else []
    return ", ".join([*names, f"{message.location.latitude:.5f}, {message.location.longitude:.5f}"])


def _media(message: Message) -> list[Media]:
    """The file that can be fetched: of a picture the largest size."""
    if message.photo:
        largest = message.photo[-1]
        return [Media(largest.file_id, "image/jpeg", largest.file_size or 0)]
    for found in (message.voice, message.audio, message.video, message.video_note, message.document):
        if found is not None:
            default = "video/mp4" if found is message.video_note else "application/octet-stream"
            return [Media(found.file_id, getattr(found, "mime_type", None) or default, found.file_size or 0)]
    return []


def _parse_press(press: CallbackQuery, update_id: int) -> IncomingMessage | None:
    if press.data is None or press.message is None or press.message.chat.type != "private":
        return None
    pressed = _press_id(press.message.message_id, press.data)
    return IncomingMessage("telegram", str(press.message.chat.id), press.data, pressed, copy="")


def _press_id(message_id: int, data: str) -> str:
    return f"press:{message_id}:{data}"  # an impatient second tap must not answer the next question


def _parse_odd(raw: Mapping[str, Any]) -> IncomingMessage | None:
    try:
        press = raw.get("callback_query")
        message = press["message"] if press else raw.get("message") or raw.get("edited_message")
        if not message or message["chat"]["type"] != "private":
            return None
        text = press["data"] if press else message.get("text") or message.get("caption") or ""
        external_id = _press_id(int(message["message_id"]), text) if press else str(int(raw["update_id"]))
        attachments = 0 if press else int(any(kind in message for kind in FILES))
        if not isinstance(text, str) or not (text or attachments):
            return None
        chat = int(message["chat"]["id"])
        copy = "" if press else f"{chat}/{int(message['message_id'])}"
        return IncomingMessage("telegram", str(chat), text, external_id, attachments, copy=copy)
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


class TelegramChannel:
    """The channel ``telegram``. The library is asynchronous and we are not: one thread holds its event loop."""

    name = "telegram"
    has_buttons = True
    needs_start_word = False  # who writes has unblocked us
    max_length = 4096

    def __init__(self, settings: TelegramSettings, timeout: float = 10.0) -> None:
        """``timeout`` is in seconds, for each step of a call. Raises ValueError when the bot is not set."""
        if not settings.is_set:
            raise ValueError("the channel telegram needs TELLONCE_TELEGRAM_TOKEN and _SECRET")
        _silence()
        self.is_polled = settings.updates == "polling"
        self._settings = settings
        bot = settings.token.get_secret_value().partition(":")[0]  # its public id
        self.rate = Rate(f"{self.name} {bot}", settings.messages_per_second, settings.chat_messages_per_second)
        self._timeout = timeout
        self._starting = threading.Lock()
        self._running: _Running | None = None

    def knows_secret(self, sent: str) -> bool:
        secret = self._settings.secret.get_secret_value()
        return bool(secret) and hmac.compare_digest(sent.encode(), secret.encode())

    def send(self, message: OutgoingMessage) -> str:
        """Hand one text over and return ``"CHAT/MESSAGE"``, which deletes it again. Raises TransportError."""
        outcome = self._call(lambda bot: self._send(bot, message))
        if isinstance(outcome, TransportError):
            raise outcome  # here, outside any except: the library's error would hang on as __context__
        return f"{message.address}/{outcome.message_id}"

    def register_webhook(self, url: str) -> None:
        """Tell Telegram where to post updates, and with which secret. Raises TransportError."""
        outcome = self._call(lambda bot: self._register(bot, url))
        if isinstance(outcome, TransportError):
            raise outcome

    def stop_webhook(self) -> None:
        """Have updates kept for ``updates`` instead of posted; what waits is not dropped. Raises TransportError."""
        outcome = self._call(lambda bot: bot.delete_webhook(drop_pending_updates=False))
        if isinstance(outcome, TransportError):
            raise outcome

    def updates(self, first: int, wait: int) -> Sequence[Mapping[str, Any]]:
        """The updates from number ``first`` on, oldest first, as Telegram sends them; it waits up to ``wait`` seconds for one.

        Asking tells Telegram that all before ``first`` are safe with us, and it forgets them. Raises TransportError.
        """
        outcome = self._call(lambda bot: self._updates(bot, first, wait))
        if isinstance(outcome, TransportError):
            raise outcome
        return outcome

    def stop_spinner(self, raw: Mapping[str, Any]) -> None:
        """Tell the phone that its press of a button came. Only a courtesy: whether it works does not matter."""
        if press_id := _answer(raw).get("callback_query_id"):
            self._call(lambda bot: bot.answer_callback_query(press_id))

    def find_sent(self, message: OutgoingMessage, within: timedelta) -> Sequence[Found]:
        """Telegram cannot be asked: after a lost answer a text may come twice."""
        return ()

    def fetch(self, reference: str, limit: int) -> bytes:
        """A file that came with a text, by its file_id, of at most ``limit`` bytes. Raises TransportError."""
        outcome = self._call(lambda bot: self._fetch(bot, reference, limit))
        if isinstance(outcome, TransportError):
            raise outcome
        return outcome

    def delete(self, external_id: str) -> None:
        """Delete a message of ours or theirs for both, within 48 hours of its sending. Raises TransportError."""
        chat, _, message = external_id.partition("/")
        outcome = self._call(lambda bot: self._delete(bot, chat, message))
        if isinstance(outcome, TransportError):
            raise outcome

    def close(self) -> None:
        """End the thread; a later ``send`` starts a new one."""
        with self._starting:
            if self._running is not None:
                self._running.stop()
                self._running = None

    async def _send(self, bot: Bot, message: OutgoingMessage) -> Message:
        rows = [[InlineKeyboardButton(choice.label, callback_data=choice.number)] for choice in message.choices]
        return await bot.send_message(
            chat_id=message.address,
            text=message.text,
            reply_markup=InlineKeyboardMarkup(rows) if rows else None,
            link_preview_options=LinkPreviewOptions(is_disabled=True),  # a preview on a lock screen tells too much
        )

    async def _fetch(self, bot: Bot, reference: str, limit: int) -> bytes:
        try:
            file = await bot.get_file(reference)
        except BadRequest as error:
            if "too big" in str(error).casefold():
                raise TransportError("refused", "too large") from None
            raise
        if (file.file_size or 0) > limit:
            raise TransportError("refused", "too large")
        content = bytes(await file.download_as_bytearray())
        if len(content) > limit:
            raise TransportError("refused", "too large")
        return content

    async def _delete(self, bot: Bot, chat: str, message: str) -> bool:
        try:
            return await bot.delete_message(chat_id=chat, message_id=int(message))
        except BadRequest as error:
            if "message to delete not found" in str(error).casefold():
                return True
            raise

    async def _updates(self, bot: Bot, first: int, wait: int) -> list[dict[str, Any]]:
        # The library's own get_updates gives up on the whole batch where it cannot read one of it.
        asked = urlencode({"offset": first, "timeout": wait, "allowed_updates": json.dumps(WANTED)})
        found = await bot.request.post(f"{bot.base_url}/getUpdates?{asked}", read_timeout=wait + self._timeout)
        return list(found) if isinstance(found, list) else []

    async def _register(self, bot: Bot, url: str) -> bool:
        secret = self._settings.secret.get_secret_value()
        return await bot.set_webhook(url, secret_token=secret, allowed_updates=WANTED)

    def _call(self, ask: Callable[[Bot], Coroutine[Any, Any, Result]]) -> Result | TransportError:
        running = self._start()
        future = asyncio.run_coroutine_threadsafe(ask(running.bot), running.loop)
        try:
            return future.result(self._timeout * 4)  # waiting for a connection, connecting, writing, reading
        except TransportError as error:
            return error
        except TelegramError as error:
            return _failure(error)
        except TimeoutError:
            future.cancel()
            return TransportError("later", "TimedOut")

    def _start(self) -> _Running:
        with self._starting:
            if self._running is None:
                self._running = _Running(self._settings, self._timeout)
            return self._running


class _Running:
    """The library's bot, its connections, and the thread whose event loop they live in."""

    def __init__(self, settings: TelegramSettings, timeout: float) -> None:
        api = settings.api_url.rstrip("/")
        self.request = HTTPXRequest(
            connection_pool_size=16,
            read_timeout=timeout,
            write_timeout=timeout,
            connect_timeout=timeout,
            pool_timeout=timeout,
            httpx_kwargs={"trust_env": not api},  # a proxy of the environment must not catch what is meant for this machine
        )
        self.bot = Bot(
            settings.token.get_secret_value(),
            base_url=(api or TELEGRAM) + "/bot",
            base_file_url=(api or TELEGRAM) + "/file/bot",
            request=self.request,
            get_updates_request=self.request,
        )
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="telegram", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.request.shutdown(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


SETTING_RETRY = 300.0  # seconds
CONFLICT_RETRY = 30.0  # seconds


def _failure(error: TelegramError) -> TransportError:
    """Telegram's error in our words; its description may quote the chat, so only the number goes on."""
    match error:
        case RetryAfter():
            wait = error.retry_after
            seconds = wait.total_seconds() if isinstance(wait, timedelta) else wait
            return TransportError("later", "429", seconds, is_too_fast=True)
        case Forbidden():  # blocked us, gone, or never wrote to us
            return TransportError("stopped", "403")
        case Conflict():  # another program reads this bot's updates, or a webhook is set
            return TransportError("later", "409", CONFLICT_RETRY)
        case InvalidToken():  # a wrong setting of ours must not lose a text
            return TransportError("later", "401", SETTING_RETRY)
        case BadRequest() | ChatMigrated():
            return TransportError("refused", "400")
        case _:  # TimedOut, NetworkError and what the library adds later
            return TransportError("later", type(error).__name__)


def routes(channel: TelegramChannel, accept: Accept, record_standing: RecordStanding) -> list[Route]:
    """The address Telegram posts to: ``/telegram``."""

    async def receive_update(request: Request) -> JSONResponse:
        if not channel.knows_secret(request.headers.get(SECRET, "")):
            raise HTTPException(403)
        raw = _json_object(await read_body(request))
        about = f"telegram update {_safe_id(raw)}"
        if standing := parse_standing(raw):
            await hand_over(record_standing(standing), about)
        elif incoming := parse_update(raw):
            await hand_over(accept(incoming), about)
        else:
            log.info("%s holds no message", about)
        return JSONResponse(_answer(raw))

    return [Route("/telegram", receive_update, methods=["POST"])]


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        raw = json.loads(body)
    except ValueError:
        raise HTTPException(400) from None
    if not isinstance(raw, dict):
        raise HTTPException(400)
    return raw


def _answer(raw: Mapping[str, Any]) -> dict[str, str]:
    """A webhook's answer may name a method for Telegram to run: after a press, the one that stops the phone's spinner."""
    press = raw.get("callback_query")
    press_id = press.get("id") if isinstance(press, dict) else None
    return {"method": "answerCallbackQuery", "callback_query_id": press_id} if isinstance(press_id, str) else {}


def _safe_id(raw: Mapping[str, Any]) -> str:
    update_id = raw.get("update_id")
    return str(update_id) if isinstance(update_id, int) else "without id"


def _silence() -> None:
    """httpx logs addresses at INFO, the token in them; the library quotes texts at DEBUG, and an unreadable answer at ERROR."""
    for name in ("httpx", "httpcore", "telegram"):
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("telegram.request.BaseRequest").setLevel(logging.CRITICAL)
