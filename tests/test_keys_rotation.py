"""The service key changes under a running installation: nothing is lost, whatever is killed, and every wrong key is named."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
import sqlalchemy as sa

from bot import clock, inbox, rotation
from bot.key_files import DayKeys, KeyFile, KeyProblem
from bot.keys import KeyRing, ServiceKey, WrongKey
from bot.messages import IncomingMessage
from bot.models import Address, Message, Reporter
from bot.privacy import Vault
from bot.processes import HOME
from bot.store import Store
from tests.exchange import employ
from tests.test_commands import tellonce

SECRET = bytes(range(32))


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    path = tmp_path / "service-key"
    path.write_text(SECRET.hex() + "\n")
    return KeyFile(path)


def running(store: Store, file: KeyFile) -> Store:
    """The same database with the key of a file, as a process opens it."""
    return Store(store.engine, Vault(KeyFile(file.path).open()))


def receives(store: Store, many: int, start: int = 0) -> None:
    for n in range(start, start + many):
        with store.transaction() as db:
            inbox.accept(db, IncomingMessage("sms", f"+4477009{n:05}", f"text {n}", f"SM{n}"))


def versions(store: Store) -> set[int]:
    boxes = [t.__table__.c[c] for t, c in rotation.UNDER_THE_SERVICE_KEY]  # type: ignore[attr-defined]
    with store.reading() as db:
        return {bytes(box)[0] for column in boxes for box in db.execute(sa.select(column).where(column.is_not(None))).scalars()}


def reads_everything(store: Store) -> list[str]:
    with store.reading() as db:
        for row in db.execute(sa.select(*Address.__table__.c)):  # type: ignore[attr-defined]
            assert db.vault.reveal(row.box, "address", "box", row.id)["address"].startswith("+44")
        for row in db.execute(sa.select(*Reporter.__table__.c)):  # type: ignore[attr-defined]
            assert db.vault.reveal(row.profile, "reporter", "profile", row.id)
        messages = db.execute(sa.select(*Message.__table__.c).order_by(Message.made_at)).all()  # type: ignore[attr-defined, arg-type]
        return [db.vault.reveal(m.body, "message", "body", m.id)["text"] for m in messages]


# -- the file ------------------------------------------------------------------------------------------------------------------


def test_a_file_with_one_plain_line_is_version_one(file: KeyFile) -> None:
    assert file.read() == KeyRing({1: SECRET})


def test_a_ring_reads_as_it_was_written_and_keeps_its_look_ups_when_versions_go(file: KeyFile) -> None:
    ring = file.read().with_new_version()
    file.write(ring)
    assert file.read() == ring
    file.write(ring.without_old_versions())
    kept = file.read()
    assert set(kept.secrets) == {2} and kept.look_ups == KeyRing({1: SECRET}).look_ups
    assert SECRET.hex() not in file.path.read_text()
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert ServiceKey(kept).blind_index("+44", "address") == ServiceKey(SECRET).blind_index("+44", "address")
    assert ServiceKey(kept).receipt_verifier("4929713620583941") == ServiceKey(SECRET).receipt_verifier("4929713620583941")


@pytest.mark.parametrize(
    "text", ["", "\n", "beef", "1 beef", f"1 {SECRET.hex()}\n1 {SECRET.hex()}", f"0 {SECRET.hex()}", "x y z", "ü"]
)
def test_a_damaged_file_is_named_and_never_quoted(file: KeyFile, text: str) -> None:
    file.path.write_text(text)
    with pytest.raises(KeyProblem, match="put the right file there") as said:
        file.read()
    assert "beef" not in str(said.value) and str(file.path) in str(said.value)


def test_a_missing_file_says_what_to_do(file: KeyFile) -> None:
    file.path.unlink()
    with pytest.raises(KeyProblem, match="put it back from where you keep it"):
        file.read()


def test_a_running_process_takes_a_new_version_up_by_itself(file: KeyFile) -> None:
    running, other = file.open(), KeyFile(file.path)
    old = running.encrypt(b"words", "here")
    other.write(other.read().with_new_version())
    new = other.open().encrypt(b"words", "here")
    assert new[0] == 2
    assert running.decrypt(new, "here") == b"words"  # an unknown version is looked for at once
    assert running.decrypt(old, "here") == b"words"
    assert running.encrypt(b"words", "here")[0] == 2


def test_a_process_that_only_writes_takes_a_new_version_up_too(file: KeyFile) -> None:
    running, other = file.open(), KeyFile(file.path)
    running.encrypt(b"words", "here")
    other.write(other.read().with_new_version())
    until = time.monotonic() + rotation.ALL_HAVE_LOOKED
    while running.encrypt(b"words", "here")[0] == 1:
        assert time.monotonic() < until


def test_a_file_that_is_away_for_a_moment_changes_nothing(file: KeyFile) -> None:
    running = file.open()
    file.path.unlink()
    assert running.decrypt(running.encrypt(b"words", "here"), "here") == b"words"
    with pytest.raises(WrongKey, match=r"version 9 .* this process has 1 alone"):
        running.decrypt(b"\x09" + bytes(40), "here")


# -- turning -------------------------------------------------------------------------------------------------------------------


def test_every_row_is_under_the_new_version_and_opens_and_the_old_one_is_gone(store: Store, file: KeyFile) -> None:
    employ(store)
    receives(running(store, file), 40)
    done = rotation.rotate(running(store, file), file, wait=0, batch=25)
    assert done.version == 2 and done.is_retired and not done.damaged and done.rows == 160  # four boxes a stranger
    assert versions(store) == {2} and set(file.read().secrets) == {2}
    afterwards = running(store, file)
    assert len(reads_everything(afterwards)) == 40
    receives(afterwards, 40)  # the same vendor ids: look-ups still find them
    assert len(reads_everything(afterwards)) == 40
    assert rotation.rotate(running(store, file), file, wait=0, batch=25).version == 3
    assert len(reads_everything(running(store, file))) == 40


def test_texts_that_come_in_meanwhile_are_neither_lost_nor_left_behind(store: Store, file: KeyFile) -> None:
    employ(store)
    serving = running(store, file)
    receives(serving, 30)
    stop = threading.Event()
    received = [30]

    def goes_on() -> None:
        while not stop.is_set():
            receives(serving, 1, received[0])
            received[0] += 1

    thread = threading.Thread(target=goes_on)
    thread.start()
    try:
        done = rotation.rotate(running(store, file), file)
    finally:
        stop.set()
        thread.join()
    assert done.is_retired and received[0] > 30
    assert versions(store) == {2}
    assert len(reads_everything(running(store, file))) == received[0]


def test_a_rotation_that_was_killed_goes_on_where_it_was(sqlite_store: Store, file: KeyFile, tmp_path: Path) -> None:
    employ(sqlite_store)
    receives(running(sqlite_store, file), 100)
    program = f"""
        from pathlib import Path
        from bot import rotation
        from bot.key_files import KeyFile
        from bot.privacy import Vault
        from bot.store import Store, engine_for
        file = KeyFile(Path({str(file.path)!r}))
        store = Store(engine_for({str(sqlite_store.engine.url)!r}), Vault(file.open()))
        rotation.rotate(store, file, wait=0, batch=5)
    """
    kills = 0
    while versions(sqlite_store) != {2}:
        child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], cwd=HOME)
        before = _under(sqlite_store, 2)
        while child.poll() is None and _under(sqlite_store, 2) < before + 60:
            time.sleep(0.005)
        if child.poll() is None:
            os.kill(child.pid, signal.SIGKILL)
            kills += 1
        assert child.wait() in (0, -signal.SIGKILL)
        assert len(reads_everything(running(sqlite_store, file))) == 100
    assert kills >= 1
    done = rotation.rotate(running(sqlite_store, file), file, wait=0, batch=25)
    if done.was_under_way:
        assert done.version == 2
    assert len(reads_everything(running(sqlite_store, file))) == 100


def _under(store: Store, version: int) -> int:
    with store.reading() as db:
        box = Address.__table__.c.box, Reporter.__table__.c.profile, Message.__table__.c.body  # type: ignore[attr-defined]
        return sum(
            db.execute(sa.select(sa.func.count()).where(sa.func.substr(b, 1, 1) == bytes([version]))).scalar_one() for b in box
        )


def test_a_truncated_text_stops_nothing_and_keeps_the_old_version(store: Store, file: KeyFile) -> None:
    employ(store)
    receives(running(store, file), 3)
    with store.transaction() as db:
        hurt = db.execute(sa.select(Message.id).limit(1)).scalar_one()  # type: ignore[call-overload]
        db.execute(sa.update(Message).where(Message.id == hurt).values(body=b"\x01short"))  # type: ignore[arg-type]
    done = rotation.rotate(running(store, file), file, wait=0, batch=25)
    assert done.damaged == [f"message.body.{hurt.hex}"] and not done.is_retired
    assert set(file.read().secrets) == {1, 2}
    with store.transaction() as db:
        db.execute(sa.update(Message).where(Message.id == hurt).values(body=None))  # type: ignore[arg-type]
    assert rotation.rotate(running(store, file), file, wait=0, batch=25).is_retired


def test_the_old_version_can_stay_for_machines_that_get_the_file_later(store: Store, file: KeyFile) -> None:
    assert not rotation.rotate(running(store, file), file, retires=False, wait=0).is_retired
    assert set(file.read().secrets) == {1, 2}
    again = rotation.rotate(running(store, file), file, wait=0, batch=25)
    assert again.version == 2 and again.is_retired


# -- wrong keys ----------------------------------------------------------------------------------------------------------------


def test_another_installations_key_and_an_old_copy_are_told_apart(store: Store, file: KeyFile) -> None:
    rotation.remember_key(running(store, file))
    old_copy = file.path.read_text()
    rotation.rotate(running(store, file), file, wait=0, batch=25)
    rotation.require_key(running(store, file))
    file.path.write_text(old_copy)
    with pytest.raises(KeyProblem, match="old copy: it ends at version 1 and the database is at version 2"):
        rotation.require_key(running(store, file))
    file.path.write_text(bytes(32).hex())
    with pytest.raises(KeyProblem, match="belongs to another installation"):
        rotation.require_key(running(store, file))


def test_the_command_turns_the_key_of_an_installation(tmp_path: Path) -> None:
    tellonce("staff", "add", "Ana", folder=tmp_path)
    turned = tellonce("keys", "rotate", folder=tmp_path)
    assert turned.returncode == 0, turned.stderr
    assert "version 2" in turned.stdout
    key = tmp_path / "var/keys/service-key"
    assert key.read_text().startswith("2 ")
    key.write_text(bytes(32).hex())
    refused = tellonce("staff", "add", "Bea", folder=tmp_path)
    assert refused.returncode == 1 and "another installation" in refused.stderr
    assert "Traceback" not in refused.stderr
    key.unlink()
    assert "is missing: put it back" in tellonce("keys", "rotate", folder=tmp_path).stderr


# -- day keys ------------------------------------------------------------------------------------------------------------------


def test_an_unfinished_conversation_cannot_be_read_once_its_day_key_is_gone(file: KeyFile, tmp_path: Path) -> None:
    key, row = file.open(), uuid4()
    vault = Vault(key, DayKeys(tmp_path / "days", key))
    today = clock.now().date()
    box = vault.hide({"story": "words"}, "flow_session", "body", row)
    assert (tmp_path / "days").stat().st_mode & 0o777 == 0o700
    again = Vault(key, DayKeys(tmp_path / "days", key))  # another process
    assert again.reveal(box, "flow_session", "body", row) == {"story": "words"}
    with pytest.raises(WrongKey):
        again.reveal(box, "flow_session", "body", uuid4())
    for damaged in (box[:3], box[:20], box[:-1]):
        with pytest.raises(WrongKey):
            again.reveal(damaged, "flow_session", "body", row)
    assert again.days and again.days.destroy_before(today) == 0 and again.days.destroy_before(today + timedelta(days=1)) == 1
    for gone in (again, Vault(key, DayKeys(tmp_path / "days", key))):
        with pytest.raises(WrongKey, match="destroyed, or not shared"):
            gone.reveal(box, "flow_session", "body", row)


def test_day_keys_follow_a_new_version_of_the_service_key(sqlite_store: Store, file: KeyFile, tmp_path: Path) -> None:
    key, row = file.open(), uuid4()
    store = Store(sqlite_store.engine, Vault(key, DayKeys(tmp_path / "days", key)))
    old = Vault(key).hide("from before", "flow_session", "body", row)
    box = store.vault.hide("words", "flow_session", "body", row)
    assert store.vault.reveal(old, "flow_session", "body", row) == "from before"
    assert rotation.rotate(store, file, wait=0).is_retired
    fresh = KeyFile(file.path).open()
    assert Vault(fresh, DayKeys(tmp_path / "days", fresh)).reveal(box, "flow_session", "body", row) == "words"
