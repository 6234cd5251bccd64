"""Teams and caseworkers: who holds which key, and who is signed in."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import clock, keys
from bot.models import Caseworker, ConsoleSession, Team, TeamKey, TeamKeyCopy
from bot.privacy import TeamOpener, TeamSeal
from bot.store import Store, Transaction

TRIES = 5
LOCK = timedelta(minutes=15)

_team: Any = Team.__table__.c  # type: ignore[attr-defined]
_team_key: Any = TeamKey.__table__.c  # type: ignore[attr-defined]
_copy: Any = TeamKeyCopy.__table__.c  # type: ignore[attr-defined]
_caseworker: Any = Caseworker.__table__.c  # type: ignore[attr-defined]
_session: Any = ConsoleSession.__table__.c  # type: ignore[attr-defined]


class NameTaken(Exception):
    """There is a caseworker of that name already."""


class NoSuchCaseworker(Exception):
    """There is nobody of that name, or she is not in the state for this; the text says so."""


class NotLead(Exception):
    """Only the lead of a team may do this; the text says so."""


class SignInRefused(Exception):
    """The name or the password is wrong, or there were too many tries; the text is fit to be shown."""


@dataclass(frozen=True)
class SignedIn:
    """A caseworker at work: who she is, and the opener of what her team may read."""

    caseworker_id: UUID
    team_id: UUID
    name: str
    opener: TeamOpener
    session: keys.SessionSecret
    is_lead: bool = False


@dataclass(frozen=True)
class Added:
    """A new caseworker. ``recovery_key`` only for the first of a team; it is shown once and kept nowhere."""

    caseworker_id: UUID
    password: str
    recovery_key: str | None
    is_waiting: bool


# -- making a team and its members ---------------------------------------------------------------------------------------------


def add(store: Store, name: str, team: str = "caseworkers") -> Added:
    """Add a caseworker with a fresh password. The first one makes the team and its keys and leads it; any other waits for a member.

    Raises NameTaken.
    """
    password = _new_password()
    pair = keys.KeyPair.generate()
    wrapped = keys.wrap_with_password(pair.private, password)
    with store.transaction() as db:
        if db.one(sa.select(_caseworker.id).where(_caseworker.name == name)):
            raise NameTaken(f"there is a caseworker named {name} already; choose another name")
        team_id = db.execute(sa.select(_team.id).where(_team.name == team)).scalar()
        row = Caseworker(
            team_id=team_id or UUID(int=0), name=name, public=pair.public, private_salt=wrapped.salt, private_box=wrapped.box
        )
        if team_id is not None:
            db.insert(row)
            return Added(row.id, password, None, is_waiting=True)
        recovery = keys.KeyPair.generate()
        made = Team(name=team, recovery_public=recovery.public)
        db.insert(made)
        row.team_id, row.state, row.is_lead = made.id, "active", True
        db.insert(row)
        _make_team_key(db, made.id, 1)
        return Added(row.id, password, keys.print_recovery_key(recovery.private), is_waiting=False)


def _make_team_key(db: Transaction, team: UUID, version: int) -> None:
    """A new version of a team's key, sealed to every active member and to the recovery key."""
    pair = keys.KeyPair.generate()
    row = TeamKey(team_id=team, version=version, public=pair.public)
    db.insert(row)
    recovery = db.execute(sa.select(_team.recovery_public).where(_team.id == team)).scalar_one()
    holders = [(None, recovery)]
    members = sa.select(_caseworker.id, _caseworker.public).where(_caseworker.team_id == team, _caseworker.state == "active")
    holders += [(m.id, m.public) for m in db.execute(members)]
    for caseworker, public in holders:
        _give_copy(db, row.id, pair.private, caseworker, public)


def _give_copy(db: Transaction, team_key: UUID, private: bytes, caseworker: UUID | None, public: bytes) -> None:
    copy = TeamKeyCopy(team_key_id=team_key, caseworker_id=caseworker, sealed=b"")
    copy.sealed = keys.seal(private, public, f"team_key_copy.{copy.id.hex}")
    db.insert(copy)


def let_in(db: Transaction, member: SignedIn, newcomer: UUID) -> bool:
    """A signed-in member completes `staff add`: every version of the team's key is sealed to the newcomer. False: nobody waits."""
    _hold_team(db, member.team_id)
    row = db.one(
        sa.select(_caseworker.public)
        .where(_caseworker.id == newcomer, _caseworker.team_id == member.team_id, _caseworker.state == "waiting")
        .with_for_update()
    )
    if row is None:
        return False
    for team_key, private in member.opener.private.items():
        _give_copy(db, team_key, private, newcomer, row.public)
    db.execute(sa.update(Caseworker).where(_caseworker.id == newcomer).values(state="active"))
    return True


def _hold_team(db: Transaction, team: UUID) -> None:
    """One change of a team's members at a time: else a new key version could miss somebody who joins at that moment."""
    db.execute(sa.select(_team.id).where(_team.id == team).with_for_update()).one()


def waiting_to_be_let_in(db: Transaction, member: SignedIn) -> list[tuple[UUID, str]]:
    """Newcomers of her team, by id and name."""
    new = sa.select(_caseworker.id, _caseworker.name).where(_caseworker.team_id == member.team_id, _caseworker.state == "waiting")
    return [(r.id, r.name) for r in db.execute(new)]


# -- leaving, and coming back --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Colleague:
    """A caseworker as her team sees her: ``Colleague(…, "Amira", "active", True)``."""

    id: UUID
    name: str
    state: str
    is_lead: bool = False


def colleagues(db: Transaction, team: UUID) -> list[Colleague]:
    """Everybody who ever belonged to a team, by name."""
    columns = (_caseworker.id, _caseworker.name, _caseworker.state, _caseworker.is_lead)
    members = sa.select(*columns).where(_caseworker.team_id == team)
    return [Colleague(m.id, m.name, m.state, m.is_lead) for m in db.execute(members.order_by(_caseworker.name))]


def require_lead(member: SignedIn) -> None:
    """Raises NotLead."""
    if not member.is_lead:
        raise NotLead("Only a lead of your team can do this.")


def let_lead(db: Transaction, name: str, team: UUID | None = None) -> UUID:
    """Make an active caseworker a lead of her team, beside those there are. Returns her id. Raises NoSuchCaseworker."""
    row = find(db, name)
    if row.state != "active" or team not in (None, row.team_id):
        raise NoSuchCaseworker(f"there is no caseworker named {name} who is at work")
    db.execute(sa.update(Caseworker).where(_caseworker.id == row.id).values(is_lead=True))
    found: UUID = row.id
    return found


def has_lead_beside(db: Transaction, caseworker: UUID) -> bool:
    """Whether somebody else leads a caseworker's team and is at work."""
    team = sa.select(_caseworker.team_id).where(_caseworker.id == caseworker).scalar_subquery()
    leads = sa.select(_caseworker.id).where(_caseworker.team_id == team, _caseworker.is_lead, _caseworker.state == "active")
    leads = leads.where(_caseworker.id != caseworker)
    return db.execute(leads.limit(1)).scalar() is not None


def find(db: Transaction, name: str) -> Any:
    """The row of a caseworker, held until the commit. Raises NoSuchCaseworker."""
    row = db.one(sa.select(*_caseworker).where(_caseworker.name == name).with_for_update())
    if row is None:
        raise NoSuchCaseworker(f"there is no caseworker named {name}")
    return row


def disable(db: Transaction, name: str, team: UUID | None = None) -> tuple[UUID, int]:
    """End a caseworker's access at once: her copies of the team's keys, her own key and her sessions are erased.

    What comes from now on is sealed to a new version of the team's key, which she never held; making it needs nobody's private
    key. ``team``: where only its members may be disabled. Returns her id and how many members are left who can read. Raises
    NoSuchCaseworker.
    """
    row = find(db, name)
    if row.state == "disabled" or team not in (None, row.team_id):
        raise NoSuchCaseworker(f"there is no caseworker named {name} who could still sign in")
    _hold_team(db, row.team_id)
    _take_keys_away(db, row.id)
    nothing = {"private_box": b"", "private_salt": b"\0" * 16}
    db.execute(sa.update(Caseworker).where(_caseworker.id == row.id).values(state="disabled", is_lead=False, **nothing))
    newest = db.execute(sa.select(sa.func.max(_team_key.version)).where(_team_key.team_id == row.team_id)).scalar_one()
    _make_team_key(db, row.team_id, newest + 1)
    left = sa.select(sa.func.count()).where(_caseworker.team_id == row.team_id, _caseworker.state == "active")
    return row.id, db.execute(left).scalar_one()


def _take_keys_away(db: Transaction, caseworker: UUID) -> None:
    db.execute(sa.delete(TeamKeyCopy).where(_copy.caseworker_id == caseworker))
    db.execute(sa.delete(ConsoleSession).where(_session.caseworker_id == caseworker))


def reset(store: Store, name: str, team: UUID | None = None) -> str:
    """Give a caseworker a new password and key pair; she reads nothing until a member or the recovery key lets her in again.

    ``team``: where only its members may be reset. Returns the password. Raises NoSuchCaseworker.
    """
    password = _new_password()
    pair = keys.KeyPair.generate()
    wrapped = keys.wrap_with_password(pair.private, password)
    with store.transaction() as db:
        row = find(db, name)
        if team not in (None, row.team_id):
            raise NoSuchCaseworker(f"there is no caseworker named {name}")
        _hold_team(db, row.team_id)
        _take_keys_away(db, row.id)
        fresh = {"public": pair.public, "private_salt": wrapped.salt, "private_box": wrapped.box}
        anew = sa.update(Caseworker).where(_caseworker.id == row.id)
        db.execute(anew.values(state="waiting", failed_sign_ins=0, locked_until=None, **fresh))
    return password


def recover(store: Store, name: str, recovery_key: str) -> None:
    """Let a waiting caseworker in with the team's recovery key, where no member is left to do it.

    Raises NoSuchCaseworker, keys.WrongKey.
    """
    private = keys.read_recovery_key(recovery_key)
    with store.transaction() as db:
        row = find(db, name)
        if row.state != "waiting":
            raise NoSuchCaseworker(f"{name} is not waiting to be let in: run `tellonce staff reset {name}` first")
        _hold_team(db, row.team_id)
        team = db.execute(sa.select(_team.recovery_public).where(_team.id == row.team_id)).scalar_one()
        if keys.KeyPair.from_private(private).public != team:
            raise keys.WrongKey("that is the recovery key of another team")
        copies = sa.select(_copy.id, _copy.team_key_id, _copy.sealed).join_from(
            TeamKeyCopy.__table__,  # type: ignore[attr-defined]
            TeamKey.__table__,  # type: ignore[attr-defined]
            _copy.team_key_id == _team_key.id,
        )
        for c in db.execute(copies.where(_copy.caseworker_id.is_(None), _team_key.team_id == row.team_id)).all():
            _give_copy(db, c.team_key_id, keys.unseal(c.sealed, private, f"team_key_copy.{c.id.hex}"), row.id, row.public)
        db.execute(sa.update(Caseworker).where(_caseworker.id == row.id).values(state="active"))


# -- the team's key ------------------------------------------------------------------------------------------------------------


def team_seal(db: Transaction, team: UUID) -> TeamSeal:
    """The newest key of a team, to seal to."""
    newest = sa.select(_team_key.id, _team_key.public).where(_team_key.team_id == team).order_by(_team_key.version.desc()).limit(1)
    row = db.execute(newest).one()
    return TeamSeal(row.id, row.public)


def teams(db: Transaction) -> list[tuple[UUID, str]]:
    """Every team's id and name."""
    return [(t.id, t.name) for t in db.execute(sa.select(_team.id, _team.name).order_by(_team.name))]


def has_team(db: Transaction) -> bool:
    """Whether anybody could ever read a report."""
    return db.execute(sa.select(_team_key.id).limit(1)).scalar() is not None


def _new_password() -> str:
    """Fifteen letters and digits that are not mistaken for each other, in groups (77 bits): ``"hm4tq-7xwpk-r9bnd"``."""
    alphabet = "abcdefghjkmnpqrstuvwxyz2345679"
    return "-".join("".join(secrets.choice(alphabet) for _ in range(5)) for _ in range(3))


# -- signing in ----------------------------------------------------------------------------------------------------------------


def sign_in(store: Store, name: str, password: str) -> keys.SessionSecret:
    """Open a session. Raises SignInRefused; after five wrong passwords the name is locked for a quarter of an hour."""
    with store.transaction() as db:
        row = db.one(sa.select(*_caseworker).where(_caseworker.name == name).with_for_update())
        if row and row.locked_until and row.locked_until > clock.now():
            raise SignInRefused("Too many tries. Please wait a quarter of an hour.")
        if row:  # counted before the password is tried: many tries at once count as many
            count = sa.case((_caseworker.locked_until.is_not(None), 1), else_=_caseworker.failed_sign_ins + 1)
            lock = clock.now() + LOCK if row.locked_until is None and row.failed_sign_ins + 1 >= TRIES else None
            db.execute(sa.update(Caseworker).where(_caseworker.id == row.id).values(failed_sign_ins=count, locked_until=lock))
    private = _private_key(row, password)
    if row is None or private is None:
        raise SignInRefused("That name and password do not fit.")
    if row.state == "waiting":
        raise SignInRefused("A member of your team has to let you in first: on her console, under “New caseworkers”.")
    if row.state != "active":
        raise SignInRefused("That name and password do not fit.")
    session = keys.SessionSecret.new()
    with store.transaction() as db:
        db.execute(sa.update(Caseworker).where(_caseworker.id == row.id).values(failed_sign_ins=0, locked_until=None))
        box = keys.wrap_with_key(private, session.key)
        db.insert(ConsoleSession(id=session.id, caseworker_id=row.id, private_box=box))
    return session


def _private_key(row: Any, password: str) -> bytes | None:
    """The private half, or None. An unknown name costs as much time as a wrong password."""
    wrapped = keys.WrappedKey(row.private_salt, row.private_box) if row else keys.WrappedKey(b"\0" * 16, b"\0" * 72)
    try:
        return keys.unwrap_with_password(wrapped, password)
    except keys.WrongKey:
        return None


def signed_in(db: Transaction, cookie: str, idle: timedelta, *, is_use: bool = True) -> SignedIn | None:
    """Who a cookie belongs to, or None when it is unknown, idle for too long, or its caseworker may no longer read.

    ``is_use``: False for what a page asks by itself, so that a page left open does not keep the session alive; nothing is written.
    """
    session = keys.SessionSecret.from_cookie(cookie)
    now = clock.now()
    found = (
        sa.select(_session.private_box, _session.seen_at, *(_caseworker[name] for name in ("id", "team_id", "name", "is_lead")))
        .join_from(ConsoleSession.__table__, Caseworker.__table__, _session.caseworker_id == _caseworker.id)  # type: ignore[attr-defined]
        .where(_session.id == session.id, _caseworker.state == "active")
    )
    row = db.one(found)
    ended = sa.delete(ConsoleSession).where(_session.id == session.id)
    if row is None or row.seen_at < now - idle:
        if is_use:
            db.execute(ended)
        return None
    if is_use and row.seen_at < now - timedelta(seconds=30):
        db.execute(sa.update(ConsoleSession).where(_session.id == session.id).values(seen_at=now))
    try:
        opener = _opener(db, row.id, keys.unwrap_with_key(row.private_box, session.key))
    except keys.WrongKey:  # a session whose row was changed or swapped with another's is nobody's
        if is_use:
            db.execute(ended)
        return None
    return SignedIn(row.id, row.team_id, row.name, opener, session, row.is_lead)


def _opener(db: Transaction, caseworker: UUID, private: bytes) -> TeamOpener:
    copies = db.execute(sa.select(_copy.id, _copy.team_key_id, _copy.sealed).where(_copy.caseworker_id == caseworker))
    return TeamOpener({c.team_key_id: keys.unseal(c.sealed, private, f"team_key_copy.{c.id.hex}") for c in copies})


def sign_out(db: Transaction, cookie: str) -> None:
    """End a session; its wrapped key is erased."""
    db.execute(sa.delete(ConsoleSession).where(_session.id == keys.SessionSecret.from_cookie(cookie).id))


def end_idle_sessions(db: Transaction, idle: timedelta) -> None:
    """Erase the wrapped keys of sessions nobody used for a while."""
    db.execute(sa.delete(ConsoleSession).where(_session.seen_at < clock.now() - idle))
