"""A new version of the service key while everything runs: first it is there, then every row is under it, then the old one goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import keys
from bot.key_files import LOOK_EVERY, KeyFile, KeyProblem
from bot.models import Address, Attachment, FlowSession, Installation, Message, Reporter, Tally, VendorCopy, WorkingCopy
from bot.privacy import place
from bot.store import Store, Transaction

BATCH = 200  # rows a transaction: short enough that nobody waits for it
# Every process looks at the file before it writes, at least this often; once that time is over nobody writes under the old one.
ALL_HAVE_LOOKED = 4 * LOOK_EVERY
UNDER_THE_SERVICE_KEY: Sequence[tuple[Any, str]] = (
    (Address, "box"),
    (Reporter, "profile"),
    (Message, "body"),
    (Message, "vendor_box"),
    (VendorCopy, "box"),
    (Attachment, "box"),
    (FlowSession, "body"),
    (WorkingCopy, "body"),
    (Tally, "box"),
)

_installation: Any = Installation.__table__.c  # type: ignore[attr-defined]


@dataclass
class Rotated:
    """What a rotation did. ``damaged``: rows that open with no version there is, as ``"message.body.7f3c…"``."""

    version: int
    was_under_way: bool
    rows: int = 0
    damaged: list[str] = field(default_factory=list)
    is_retired: bool = False


def rotate(
    store: Store,
    file: KeyFile,
    *,
    retires: bool = True,
    heard: Callable[[str], None] = lambda said: None,
    wait: float = ALL_HAVE_LOOKED,
    batch: int = BATCH,
) -> Rotated:
    """Add a version, put every row under it, retire the old ones; called again after a crash it goes on where it was.

    ``retires`` False leaves the old version in the file, for machines that get their copy of it later. Raises KeyProblem.
    """
    ring = file.read()
    done = Rotated(ring.newest, was_under_way=len(ring.secrets) > 1)
    if not done.was_under_way:
        if ring.newest == 255:
            raise KeyProblem("this service key has reached its last version (255): export the cases and set up anew")
        ring = ring.with_new_version()
        file.write(ring)
        done.version = ring.newest
    with store.transaction() as db:
        db.execute(sa.update(Installation).values(key_version=done.version))
    heard(f"version {done.version} is in {file.path}; waiting until every process has seen it")
    time.sleep(wait)
    vault_key = keys.ServiceKey(ring)
    while True:
        changed = sum(_rewrite(store, vault_key, table, column, done, batch) for table, column in UNDER_THE_SERVICE_KEY)
        done.rows += changed
        heard(f"{done.rows} rows are under version {done.version} now")
        if not changed and not _is_any_left(store, ring.newest, len(done.damaged)):
            break
    if store.vault.days:
        store.vault.days.rewrap(vault_key)
    if retires and not done.damaged:
        file.write(ring.without_old_versions())
        done.is_retired = True
    return done


def _rewrite(store: Store, key: keys.ServiceKey, table: Any, column: str, done: Rotated, batch: int) -> int:
    """Put one column of a table under the newest version. Returns how many rows it changed."""
    columns, count, last = table.__table__.c, 0, UUID(int=0)
    box: Any = columns[column]
    old = sa.select(columns.id, box.label("box")).where(is_older(box, key.version)).order_by(columns.id).limit(batch)
    while True:
        with store.transaction() as db:
            # A row somebody holds is met again in the next round: waiting for it could hold both of us up for ever.
            found = db.execute(old.where(columns.id > last).with_for_update(skip_locked=True)).all()
            for row in found:
                where = place(table.__tablename__, column, row.id)
                try:
                    fresh = key.encrypt(key.decrypt(row.box, where), where)
                except keys.WrongKey:
                    if where not in done.damaged:
                        done.damaged.append(where)
                    continue
                count += db.execute(sa.update(table).where(columns.id == row.id, box == row.box).values({column: fresh})).rowcount
        if not found:
            return count
        last = found[-1].id


def is_older(box: Any, version: int) -> Any:
    """Whether a box was written under another version than this; its first byte says. (0 is a day key's: see privacy.)"""
    return sa.and_(box.is_not(None), sa.func.substr(box, 1, 1).not_in((bytes([version]), b"\0")))


def _is_any_left(store: Store, version: int, damaged: int) -> bool:
    with store.reading() as db:
        return sum(_left(db, version).values()) > damaged


def _left(db: Transaction, version: int) -> Mapping[str, int]:
    counted: dict[str, int] = {}
    for table, column in UNDER_THE_SERVICE_KEY:
        box = table.__table__.c[column]
        counted[table.__tablename__] = db.execute(sa.select(sa.func.count()).where(is_older(box, version))).scalar_one()
    return counted


# -- is this the right key? ----------------------------------------------------------------------------------------------------


def remember_key(store: Store) -> None:
    """Note in a new database which service key is its own, or see that it still is. Raises KeyProblem."""
    with store.transaction() as db:
        if db.execute(sa.select(_installation.id)).scalar() is None:
            _require_that_it_opens(db)
            db.insert(Installation(id=1, key_check=_check(store), key_version=store.vault.key_version))
            return
    require_key(store)


def require_key(store: Store) -> None:
    """See that the service key is this database's own and not an older copy of it. Raises KeyProblem."""
    with store.reading() as db:
        known = db.one(sa.select(*_installation))
    if known is None:
        return
    if known.key_check != _check(store):
        raise KeyProblem(
            "this service key belongs to another installation: put this database's own key into its place; nothing was changed"
        )
    if store.vault.key_version < known.key_version:
        raise KeyProblem(
            f"this service key is an old copy: it ends at version {store.vault.key_version} and the database is at version "
            f"{known.key_version}; put the newest copy of the file into its place"
        )


def _check(store: Store) -> bytes:
    return store.vault.index("tellonce", "key check")


def _require_that_it_opens(db: Transaction) -> None:
    """A database from before keys were noted: what is in it must open."""
    row = db.execute(sa.select(Address.__table__.c.id, Address.__table__.c.box).limit(1)).one_or_none()  # type: ignore[attr-defined]
    if row is not None:
        try:
            db.vault.reveal(row.box, "address", "box", row.id)
        except keys.WrongKey:
            raise KeyProblem("this service key does not open this database: put its own key into its place") from None
