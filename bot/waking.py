"""Waking workers: `serve` rings after it has written, and every `work` process on any machine looks at once, not a moment later."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from bot.privacy import what_failed
from bot.store import Store, follow_clock

log = logging.getLogger(__name__)

CHANNEL = "tellonce"
CLOCK_EVERY = 60.0  # seconds between two looks at the database's clock
BREATH = 0.02  # seconds between two rings, and between two looks at a SQLite file
AGAIN = 1.0  # seconds before a broken connection is made again; until then workers find work by looking now and then


class Bell:
    """Rings after commits on PostgreSQL; on SQLite the file itself tells (see listen).

    The ring is a transaction of its own, in a thread of its own: inside ours, its lock would make commits wait for each other.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._written = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._ring, name="bell", daemon=True)
        if store.engine.dialect.name == "postgresql":
            sa.event.listen(store.engine, "commit", self._note)
            self._thread.start()

    def close(self) -> None:
        self._stopping.set()
        self._written.set()
        if self._thread.is_alive():
            self._thread.join()

    def _note(self, connection: sa.Connection) -> None:
        options = connection.get_execution_options()
        if not options.get("reading") and not options.get("is_bell"):
            self._written.set()

    def _ring(self) -> None:
        looked = time.monotonic()
        while True:
            is_written = self._written.wait(CLOCK_EVERY)
            if self._stopping.wait(BREATH):
                return
            self._written.clear()
            try:
                if time.monotonic() - looked >= CLOCK_EVERY:
                    looked = time.monotonic()
                    follow_clock(self._store)
                if not is_written:
                    continue
                with self._store.engine.connect().execution_options(isolation_level="AUTOCOMMIT", is_bell=True) as connection:
                    connection.exec_driver_sql(f"NOTIFY {CHANNEL}")
            except sa.exc.SQLAlchemyError as error:
                log.warning("workers were not woken: %s", what_failed(error))
                self._stopping.wait(AGAIN)


def listen(store: Store, heard: Callable[[], None], stopping: threading.Event) -> None:
    """Call ``heard`` whenever another connection has written, until ``stopping``; a connection that breaks is made again."""
    attend = _attend_postgres if store.engine.dialect.name == "postgresql" else _attend_sqlite
    while not stopping.is_set():
        try:
            attend(store.engine, heard, stopping)
        except (sa.exc.SQLAlchemyError, _driver_error(store.engine)) as error:
            log.warning("the worker is not woken for now: %s", what_failed(error))
            stopping.wait(AGAIN)


def _driver_error(engine: sa.Engine) -> type[Exception]:
    error: type[Exception] = engine.dialect.loaded_dbapi.Error
    return error


def _attend_postgres(engine: sa.Engine, heard: Callable[[], None], stopping: threading.Event) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"LISTEN {CHANNEL}")
        driver: Any = connection.connection.driver_connection
        heard()  # whatever came while nobody listened
        while not stopping.is_set():
            for _ in driver.notifies(timeout=0.5, stop_after=1):
                heard()


def _attend_sqlite(engine: sa.Engine, heard: Callable[[], None], stopping: threading.Event) -> None:
    connection = engine.raw_connection()
    try:
        cursor = connection.cursor()
        version = None
        while not stopping.wait(BREATH):
            now = cursor.execute("PRAGMA data_version").fetchall()  # all: an unread row would keep the old view
            if now != version:
                version = now
                heard()
    finally:
        connection.close()
