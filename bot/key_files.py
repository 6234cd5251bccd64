"""The service key as it lies in a file: read, read again when it changes, and written so that a power cut does no harm."""

from __future__ import annotations

import os
import time
from pathlib import Path

from bot.keys import KeyRing, ServiceKey

LOOK_EVERY = 0.5  # seconds between two looks at a file for a change


class KeyProblem(Exception):
    """A key cannot be had; the text names the file and says what to do, and holds nothing of the key."""


class KeyFile:
    """One file that holds the service key, a line a version."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, ...] = ()
        self._looked_at = 0.0

    def open(self) -> ServiceKey:
        """The key, which looks at the file again by itself. Raises KeyProblem."""
        return ServiceKey(self.read(), self.look_again)

    def read(self) -> KeyRing:
        """Raises KeyProblem."""
        try:
            self._seen = self._state()
            text = self.path.read_text("ascii")
        except FileNotFoundError:
            raise KeyProblem(
                f"the service key {self.path} is missing: put it back from where you keep it "
                "(set TELLONCE_SERVICE_KEY_FILE if it lies elsewhere); for a new installation run `tellonce migrate`"
            ) from None
        except (OSError, ValueError):
            raise KeyProblem(f"the service key {self.path} cannot be read or is not one: put the right file there") from None
        try:
            return KeyRing.from_text(text)
        except ValueError as error:
            raise KeyProblem(f"the service key {self.path} is not a key or damaged ({error}): put the right file there") from None

    def look_again(self, is_missing: bool) -> KeyRing | None:
        """The ring if the file has changed. ``is_missing``: a version is needed that we do not have, so look at once.

        A file that is away or half copied at this moment changes nothing.
        """
        now = time.monotonic()
        if not is_missing and now - self._looked_at < LOOK_EVERY:
            return None
        self._looked_at = now
        try:
            return self.read() if self._state() != self._seen else None
        except (KeyProblem, OSError):
            return None

    def _state(self) -> tuple[int, ...]:
        found = self.path.stat()
        return found.st_mtime_ns, found.st_ino, found.st_size

    def make(self) -> None:
        """Write a first key where there is none. Raises FileExistsError."""
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_once(self.path, KeyRing({1: ServiceKey.generate()}).as_text().encode())

    def write(self, ring: KeyRing) -> None:
        """Put a ring in the place of the one that is there. Raises KeyProblem."""
        try:
            replace(self.path, ring.as_text().encode())
        except OSError:
            raise KeyProblem(
                f"the service key {self.path} cannot be written here (a systemd credential is a copy): "
                "set TELLONCE_SERVICE_KEY_FILE to the file itself and run the command again"
            ) from None


def replace(path: Path, content: bytes) -> None:
    """Write a file that only we can read; at any moment, even after a power cut, the old or the new one is there."""
    new = _written_beside(path, content)
    new.replace(path)
    _keep(path.parent)


def write_once(path: Path, content: bytes) -> None:
    """Like replace(), but raises FileExistsError where there is one already: of many who try, one wins."""
    new = _written_beside(path, content)
    try:
        os.link(new, path)
    finally:
        new.unlink()
    _keep(path.parent)


def _written_beside(path: Path, content: bytes) -> Path:
    new = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return new


def _keep(folder: Path) -> None:
    """Make the folder's entry outlive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
