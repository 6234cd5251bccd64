"""Several processes over one database: what one writes wakes the others."""

from __future__ import annotations

import threading

from bot.store import Store
from bot.waking import Bell, listen
from tests.exchange import employ
from tests.running import until


def test_what_one_process_writes_wakes_another(store: Store) -> None:
    stopping = threading.Event()
    heard: list[int] = []
    ear = threading.Thread(target=listen, args=(store, lambda: heard.append(1), stopping))
    bell = Bell(store)
    ear.start()
    try:
        until(lambda: heard, "the ear did not open")
        before = len(heard)
        employ(store)
        until(lambda: len(heard) > before, "nobody was woken")
    finally:
        stopping.set()
        ear.join()
        bell.close()
