"""Asking Telegram for updates instead of having them posted: nothing is lost or doubled, whenever a process dies."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bot import clock
from bot.channels.telegram import TelegramChannel
from bot.messages import NoRoom, TransportError
from bot.models import Polling
from bot.privacy import what_failed
from bot.store import Store, Transaction

log = logging.getLogger(__name__)

WAIT = 5  # seconds Telegram may wait for an update before it answers that there is none
LEASE = timedelta(seconds=60)  # after it another process takes over from one that died; longer than any one asking takes
TROUBLE_WAIT = 5.0  # seconds
NO_ROOM_WAIT = 60.0  # seconds

_polling: Any = Polling.__table__.c  # type: ignore[attr-defined]

Take = Callable[[Transaction, Mapping[str, Any]], None]
"""Stores one update in the transaction it is given."""


class Poller:
    """Fetches the updates of one bot. Of many processes over one database one asks, and another when that one has died."""

    def __init__(self, store: Store, channel: TelegramChannel, take: Take) -> None:
        self._store = store
        self._channel = channel
        self._take = take
        self._id = store.vault.index(channel.rate.sender, "polling")
        self._said = ""
        self._until: datetime | None = None  # our lease

    def run(self, stopping: threading.Event) -> None:
        """Ask until stopped."""
        is_ready = False
        while not stopping.is_set():
            try:
                first = self._lease()
                if first is None:  # another process asks
                    stopping.wait(TROUBLE_WAIT)
                    continue
                if not is_ready:
                    self._channel.stop_webhook()
                    is_ready = True
                self.ask(first)
                self._said = ""
            except TransportError as error:
                self._tell(error)
                stopping.wait(error.retry_after or TROUBLE_WAIT)
            except NoRoom as reason:
                log.error("updates are left with telegram for a while: %s", reason)
                stopping.wait(NO_ROOM_WAIT)
            except Exception as error:  # the database went away: what was not stored is asked for again
                log.error("updates could not be fetched: %s", what_failed(error))
                stopping.wait(TROUBLE_WAIT)
        self._release()

    def ask(self, first: int) -> int:
        """Fetch and store what there is from update ``first`` on. Returns how many. Raises TransportError, NoRoom."""
        found = self._channel.updates(first, WAIT)
        for raw in found:
            with self._store.transaction() as db:
                self._keep(db, raw)
            self._channel.stop_spinner(raw)
        return len(found)

    def _keep(self, db: Transaction, raw: Mapping[str, Any]) -> None:
        """An update and our place behind it are one commit; one that came before (to another process) is not kept again."""
        place = db.execute(sa.select(_polling.next_update).where(_polling.id == self._id).with_for_update()).scalar_one()
        number = int(raw["update_id"])
        if number < place:
            return
        self._take(db, raw)
        db.execute(sa.update(Polling).where(_polling.id == self._id).values(next_update=number + 1))

    def _lease(self) -> int | None:
        """The update to begin with, if it is on us to ask; None while another process does."""
        now = clock.now()
        with self._store.transaction() as db:
            row = db.one(sa.select(*_polling).where(_polling.id == self._id).with_for_update())
            if row is None:
                db.insert(Polling(id=self._id, leased_until=now + LEASE))
                self._until = now + LEASE
                return 0
            if row.leased_until and row.leased_until > now and row.leased_until != self._until:
                return None
            self._until = now + LEASE
            db.execute(sa.update(Polling).where(_polling.id == self._id).values(leased_until=self._until))
            return int(row.next_update)

    def _release(self) -> None:
        mine = sa.update(Polling).where(_polling.id == self._id, _polling.leased_until == self._until)
        try:
            with self._store.transaction() as db:
                db.execute(mine.values(leased_until=None))
        except sa.exc.SQLAlchemyError as error:  # then the lease runs out by itself
            log.warning("the place in line was not given back: %s", what_failed(error))

    def _tell(self, error: TransportError) -> None:
        """Say once what is wrong, and again when it is something else."""
        if error.code == self._said:
            return
        self._said = error.code
        if error.code == "409":
            log.error(
                "telegram gives this bot's updates to another program, or posts them to a webhook: stop the other one (a second "
                "Tellonce with its own database, an old release), or give each its own bot; no text is lost, they wait at Telegram"
            )
        elif error.code == "401":
            log.error("telegram does not know this bot: correct TELLONCE_TELEGRAM_TOKEN")
        else:
            log.warning("telegram could not be asked for updates (%s): asked again", error)
