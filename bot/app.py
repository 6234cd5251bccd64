"""The one place where the parts are joined: settings in, a web application or a worker out."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from bot import inbox, news, rotation, staff
from bot.channels.terminal import Terminal
from bot.channels.twilio_sms import TwilioSettings, TwilioSms
from bot.channels.twilio_sms import routes as twilio_routes
from bot.channels.twilio_whatsapp import TwilioWhatsapp
from bot.conversation import Conversation
from bot.effects import EFFECTS, Voice
from bot.engines import Engines
from bot.hours import read_hours
from bot.intake import Door
from bot.key_files import DayKeys, KeyFile
from bot.messages import Channel, TransportError
from bot.privacy import Vault
from bot.reception import Reception
from bot.schema import migrate, require_schema, schema_state
from bot.settings import Settings, WrongSetting
from bot.store import Store, Transaction, engine_for, follow_clock
from bot.understanding import SILENT, Nlu, NluClient, Understanding
from bot.waking import Bell
from bot.worker import Worker
from flows import engine
from flows.places import load_places
from translations.machine import Translator

log = logging.getLogger(__name__)


class NumbersAndKeywords:
    """Stands in for Rasa where none is set: always silent, so numbers and keywords decide."""

    def understand(self, text: str, language: str | None = None) -> Understanding:
        return SILENT

    def would_ask(self, text: str, language: str | None = None) -> bool:
        return False


@dataclass(frozen=True)
class Parts:
    """What both `serve` and `work` are made of."""

    settings: Settings
    store: Store
    channels: Mapping[str, Channel]
    nlu: Nlu
    translator: Translator
    conversation: Conversation


def parts(settings: Settings, channels: Mapping[str, Channel] | None = None) -> Parts:
    """Open the store and join everything. Raises WrongSetting, WrongSchema, KeyProblem, FlowError: each says what to do."""
    store = open_store(settings)
    require_schema(store.engine)
    rotation.require_key(store)
    follow_clock(store)
    with store.reading() as db:
        if not staff.has_team(db):
            raise WrongSetting("nobody could read a report yet: run `tellonce staff add NAME`")
    ways = channels if channels is not None else open_channels(settings)
    nlu = understanding(settings)
    talk = Conversation(store, engine.load(), nlu, ways, voice(settings))
    return Parts(
        settings, store, ways, nlu, Translator(settings.translate_socket, working_language=settings.working_language), talk
    )


def understanding(settings: Settings) -> Nlu:
    """Rasa over HTTP, or silence where no address is set."""
    if not settings.nlu_url:
        return NumbersAndKeywords()
    return NluClient(settings.nlu_url, nlu_token(settings), settings.nlu_timeout)


def nlu_token(settings: Settings) -> str:
    """Rasa's token: the setting, else what `up` left for its own Rasa."""
    if token := settings.nlu_token.get_secret_value():
        return token
    left = settings.runtime_folder / "nlu-token"
    return left.read_text() if left.exists() else ""


def voice(settings: Settings) -> Voice:
    """How the bot presents itself at this place. Raises WrongSetting for a place without a file."""
    places = load_places()
    if settings.place not in places:
        raise WrongSetting(f"TELLONCE_PLACE: there is no place '{settings.place}'; known are {', '.join(sorted(places))}")
    place = places[settings.place]
    try:
        hours = read_hours(settings.hours, settings.holidays, settings.time_zone)
    except ValueError as error:
        raise WrongSetting(f"TELLONCE_HOURS or TELLONCE_HOLIDAYS: {error}") from None
    return Voice(
        settings.organisation,
        place.number,
        settings.check_in_hour,
        settings.time_zone,
        place.helpers,
        hours,
        (place.emergency_text.says, place.emergency_text.number) if place.emergency_text else None,
        place.lines,
    )


def open_channels(settings: Settings) -> Mapping[str, Channel]:
    """The channels whose settings are there."""
    account = TwilioSettings()
    ways: list[Channel] = [Terminal()]
    if account.is_set:
        ways += [TwilioSms(account, settings.public_url), TwilioWhatsapp(account, settings.public_url)]
    if any(name.startswith("TELLONCE_TELEGRAM_") and value for name, value in os.environ.items()):
        from bot.channels import telegram  # a heavy library, here and below: who has no bot there need not carry it

        if (bot := telegram.TelegramSettings()).is_set:
            ways.append(telegram.TelegramChannel(bot))
    return {way.name: way for way in ways}


def unset_variables() -> Mapping[str, Sequence[str]]:
    """For each channel, the variables it still needs: none means it is open."""
    sms = ["TELLONCE_TWILIO_ACCOUNT_SID", "TELLONCE_TWILIO_AUTH_TOKEN", "TELLONCE_TWILIO_NUMBER"]
    needed = {
        "sms": sms,
        "whatsapp": [*sms, "TELLONCE_TWILIO_WHATSAPP_NUMBER"],
        "telegram": ["TELLONCE_TELEGRAM_TOKEN", "TELLONCE_TELEGRAM_SECRET"],
    }
    if os.environ.get("TELLONCE_TELEGRAM_UPDATES") == "polling":
        needed["telegram"].pop()
    return {channel: [name for name in names if not os.environ.get(name)] for channel, names in needed.items()}


# -- the store and its key -----------------------------------------------------------------------------------------------------


def open_store(settings: Settings) -> Store:
    """The database with its service key. Raises KeyProblem when the key is missing or damaged."""
    return Store(engine_for(settings.database), open_vault(settings))


def open_vault(settings: Settings) -> Vault:
    """What opens addresses and working text. Raises KeyProblem."""
    key = KeyFile(settings.key_file).open()
    return Vault(key, DayKeys(settings.day_keys, key))


def set_up_store(settings: Settings) -> Store:
    """Bring the database to this release, making a service key for a database that holds nothing yet."""
    database = engine_for(settings.database)
    if not settings.key_file.exists() and schema_state(database) == "empty":
        KeyFile(settings.key_file).make()
    vault = open_vault(settings)
    migrate(database)
    store = Store(database, vault)
    rotation.remember_key(store)
    return store


# -- serve and work ------------------------------------------------------------------------------------------------------------


def build_app(settings: Settings) -> Starlette:
    """What `serve` runs: the vendors' webhooks and the caseworkers' console."""
    from fastapi import FastAPI  # the pages are a weight that `work` need not carry

    from bot import metrics, web  # the same

    made = parts(settings)
    reception = Reception(made.store, Door(made.store, settings.database_folder))
    webhooks: list[Route] = []
    for channel in made.channels.values():
        if isinstance(channel, TwilioSms):
            webhooks += twilio_routes(channel, settings.public_url, reception.accept, reception.record_delivery)
    if "telegram" in made.channels:
        from bot.channels import telegram  # heavy, see open_channels

        if isinstance(bot := made.channels["telegram"], telegram.TelegramChannel) and not bot.is_polled:
            webhooks += telegram.routes(bot, reception.accept, reception.record_standing)
    beside = engines(made)
    people = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    people.include_router(metrics.routes(made.store, beside, settings.metrics_token.get_secret_value(), settings.database_folder))
    people.mount("/", web.console(made.store, settings, made.translator, beside))
    # Webhooks come by the thousand and have no parameters to be read: FastAPI's part would cost as much as their signatures.
    return Starlette(routes=[*webhooks, Mount("/", people)], lifespan=_closing(made, reception, Bell(made.store)))


def engines(made: Parts) -> Engines:
    """The two processes beside us; Rasa only where it is to be used."""
    understands = made.nlu.is_there if isinstance(made.nlu, NluClient) else None
    return Engines(understands, lambda: made.translator.ping() is not None)


def _closing(made: Parts, reception: Reception, bell: Bell) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        reception.close()
        bell.close()
        for channel in made.channels.values():
            channel.close()
        made.store.engine.dispose()

    return lifespan


def build_worker(settings: Settings) -> Worker:
    """What `work` runs."""
    made = parts(settings)
    return Worker(made.store, made.conversation, made.channels, made.nlu, made.translator, settings, pollers(made))


def pollers(made: Parts) -> Sequence[Callable[[threading.Event], None]]:
    """What fetches texts from the vendors that are asked for them."""
    if "telegram" not in made.channels:
        return ()
    from bot.channels import telegram, telegram_polling  # heavy, see open_channels

    bot = made.channels["telegram"]
    if not isinstance(bot, telegram.TelegramChannel) or not bot.is_polled:
        return ()
    door = Door(made.store, made.settings.database_folder)

    def take(db: Transaction, raw: Mapping[str, object]) -> None:
        door.require_room()
        if standing := telegram.parse_standing(raw):
            news.record_standing(db, standing)
        elif incoming := telegram.parse_update(raw):
            inbox.accept(db, incoming, is_full=door.is_full())

    return (telegram_polling.Poller(made.store, bot, take).run,)


def register_webhooks(settings: Settings) -> None:
    """Tell the vendors that have to be told where to post; what fails is logged, and `serve` goes on."""
    if (channel := open_channels(settings).get("telegram")) is not None:
        from bot.channels import telegram  # heavy, see open_channels

        if isinstance(channel, telegram.TelegramChannel) and not channel.is_polled:
            try:
                channel.register_webhook(f"{settings.public_url}/telegram")
            except TransportError as error:
                log.error(
                    "channel %s was not told our address (%s): start `serve` again once it can be reached", channel.name, error
                )
            finally:
                channel.close()


def known_events() -> frozenset[str]:
    """Every event a flow may emit, for the linter."""
    return frozenset(EFFECTS)
