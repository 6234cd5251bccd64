"""What webhooks bring, written down: all that waits while one commit is under way shares the next, and hears of it afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from bot import inbox, news
from bot.intake import Door
from bot.messages import Delivery, IncomingMessage, NoRoom, Standing
from bot.store import Store, Transaction

MOST_TOGETHER = 200  # in one commit
GATHER = 0.005  # seconds in which more may come for the next commit, where the last one was for several
ALONE = 8  # threads for what has to be written by itself
NEWS_WAITS = (0, 0.2)  # seconds before each look for the text a vendor's news is about

Act = Callable[[Transaction], Any]


@dataclass(frozen=True)
class Brought:
    """A text, or something else to be done with the database; ``done`` gets what became of it once that is committed."""

    what: IncomingMessage | Act
    done: asyncio.Future[Any]

    @property
    def line(self) -> str | None:
        """Texts of one address keep their order."""
        return self.what.address if isinstance(self.what, IncomingMessage) else None


class Reception:
    """The one way from the webhooks into the database, for one event loop.

    Where one thing fails the others of its commit, or waits for a reporter somebody else holds, each is written by itself.
    """

    def __init__(self, store: Store, door: Door) -> None:
        self._store = store
        self._door = door
        self._threads = ThreadPoolExecutor(1 + ALONE, "reception")
        self._waiting: list[Brought] = []
        self._writing: asyncio.Task[None] | None = None
        self._alone: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        self._threads.shutdown()

    async def accept(self, incoming: IncomingMessage) -> None:
        """Store one text; returns once it is committed. Raises NoRoom, and whatever the database raises."""
        stored = await self._bring(incoming)
        if isinstance(stored, NoRoom):
            raise stored

    async def record_delivery(self, channel: str, delivery: Delivery) -> None:
        """Note what a vendor says of a text we sent."""
        for wait in NEWS_WAITS:  # news may overtake the commit that notes the text's id
            await asyncio.sleep(wait)
            if await self._bring(lambda db: news.record_delivery(db, channel, delivery)):
                return
        await self._bring(lambda db: news.keep_news(db, channel, delivery))

    async def record_standing(self, standing: Standing) -> None:
        """Note that somebody blocked or unblocked us."""
        await self._bring(lambda db: news.record_standing(db, standing))

    async def _bring(self, what: IncomingMessage | Act) -> Any:
        brought = Brought(what, asyncio.get_running_loop().create_future())
        self._waiting.append(brought)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_what_waits())
        return await brought.done

    async def _write_what_waits(self) -> None:
        together: Sequence[Brought] = ()
        while self._waiting:
            if len(together) > 1:
                await asyncio.sleep(GATHER)
            together, self._waiting = self._waiting[:MOST_TOGETHER], self._waiting[MOST_TOGETHER:]
            await self._write(together)
        self._writing = None

    async def _write(self, together: Sequence[Brought]) -> None:
        try:
            results = await asyncio.get_running_loop().run_in_executor(self._threads, self._commit, [one.what for one in together])
        except Exception as error:
            if len(together) == 1 or is_about_all(error):
                for one in together:
                    _tell(one, error)
                return
            for line in _lines(together):
                task = asyncio.create_task(self._write_alone(line))
                self._alone.add(task)
                task.add_done_callback(self._alone.discard)
        else:
            for one, result in zip(together, results, strict=True):
                _tell(one, result)

    async def _write_alone(self, line: Sequence[Brought]) -> None:
        for one in line:
            await self._write([one])

    def _commit(self, together: Sequence[IncomingMessage | Act]) -> list[Any]:
        """What became of each, in one transaction."""
        texts = [what for what in together if isinstance(what, IncomingMessage)]
        if texts:
            self._door.require_room()
        is_full = bool(texts) and self._door.is_full()
        with self._store.transaction() as db:
            if len(together) > 1:
                db.be_quick()
            stored = iter(inbox.accept_all(db, texts, is_full=is_full) if texts else ())
            return [next(stored) if isinstance(what, IncomingMessage) else what(db) for what in together]


def is_about_all(error: Exception) -> bool:
    """Whether the database itself is away or full, and nothing that shared a commit would fare better by itself."""
    return isinstance(error, sa.exc.OperationalError) and getattr(error.orig, "sqlstate", None) is None


def _lines(together: Sequence[Brought]) -> list[list[Brought]]:
    """What has to keep its order, together; everything else by itself."""
    lines: dict[Any, list[Brought]] = {}
    for one in together:
        lines.setdefault(one.line or one, []).append(one)
    return list(lines.values())


def _tell(one: Brought, result: Any) -> None:
    if one.done.done():  # whoever waited has hung up
        return
    if isinstance(result, Exception) and not isinstance(result, NoRoom):
        one.done.set_exception(result)
    else:
        one.done.set_result(result)
