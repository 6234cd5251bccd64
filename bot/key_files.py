"""Keys as they lie in files: the service key, read again when it changes, and a random key a day for what is unfinished."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import date
from pathlib import Path

from bot.keys import KEY_BYTES, KeyRing, ServiceKey, WrongKey

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


class DayKeys:
    """A folder with one random key a day, each under the service key.

    What is encrypted under a day's key can be read by nobody once its file is gone, not even from an old backup of the database
    with the service key. Machines that share a database share this folder.
    """

    def __init__(self, folder: Path, key: ServiceKey) -> None:
        self._folder = folder
        self._key = key
        self._known: dict[date, bytes] = {}

    def of(self, day: date) -> bytes:
        """The key of a day, 32 bytes. Raises WrongKey when it is gone or was never here."""
        if day not in self._known:
            try:
                box = self._file(day).read_bytes()
            except OSError:
                raise WrongKey(f"the key of {day} is not in {self._folder}: destroyed, or not shared with this machine") from None
            self._known[day] = self._key.decrypt(box, _place(day))
        return self._known[day]

    def made_for(self, day: date) -> bytes:
        """The key of a day, made if there is none yet; of many who make it at once, one wins."""
        if day not in self._known and not self._file(day).exists():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with contextlib.suppress(FileExistsError):
                write_once(self._file(day), self._key.encrypt(os.urandom(KEY_BYTES), _place(day)))
        return self.of(day)

    def destroy_before(self, day: date) -> int:
        """Destroy the keys of earlier days. Returns how many."""
        old = [known for known in self._days() if known < day]
        for one in old:
            self._file(one).unlink(missing_ok=True)
        self._known = {known: key for known, key in self._known.items() if known >= day}
        return len(old)

    def rewrap(self, key: ServiceKey) -> None:
        """Put every key under the newest version of the service key."""
        for day in self._days():
            box = self._file(day).read_bytes()
            if box[0] != key.version:
                replace(self._file(day), key.encrypt(key.decrypt(box, _place(day)), _place(day)))

    def _days(self) -> list[date]:
        return [date.fromisoformat(file.name) for file in self._folder.glob("????-??-??")]

    def _file(self, day: date) -> Path:
        return self._folder / day.isoformat()


def _place(day: date) -> str:
    return f"day_key.{day.isoformat()}"


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
