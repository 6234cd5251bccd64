"""A small disk for a database, which fills up and has room again. Needs root."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bot.intake import LEAST_FREE

ROOM = 64 * 2**20  # bytes beside what `serve` keeps free
FULL_FOR = 3.0  # seconds


def missing() -> str:
    """What is missing to have one; empty: nothing is."""
    return "" if os.geteuid() == 0 else "run as root: sudo make test"


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk in memory at ``folder``."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={LEAST_FREE + ROOM}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(folder: Path) -> None:
    """Not a byte is left for some seconds."""
    filler = folder / "filler"
    try:
        with filler.open("wb") as file, contextlib.suppress(OSError):
            for size in (2**20, 4096, 1):
                _fill(file.fileno(), size)
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
