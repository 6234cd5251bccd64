"""The tables. What a stolen copy could read stands in plain columns: states, risk, teams, times; everything else is a box."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlmodel import Field, Index, SQLModel

from bot import clock


class Moment(sa.TypeDecorator[datetime]):
    """An aware UTC time; SQLite forgets the zone, so it is put back on reading."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise ValueError("a time without a zone")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        moment: datetime = value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def new_id() -> UUID:
    """An id that lies beside those made with it: milliseconds, then 74 bits of chance (RFC 9562, version 7).

    It tells when it was made: only for rows that are many, say so themselves, and leave no id behind when they go.
    """
    chance = int.from_bytes(os.urandom(10), "big")
    tail = 0x7 << 76 | (chance >> 62 & 0xFFF) << 64 | 0b10 << 62 | chance & (1 << 62) - 1
    return UUID(int=int(clock.now().timestamp() * 1000) << 80 | tail)


def _id() -> Any:
    return Field(default_factory=uuid4, primary_key=True)


def _made() -> Any:
    return Field(default_factory=clock.now, sa_type=Moment)


def _when(**kwargs: Any) -> Any:
    return Field(default=None, sa_type=Moment, **kwargs)


IS_WAITING, IS_CLOSED = "state <> 'closed'", "state = 'closed'"  # of a case


def _while(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


class Installation(SQLModel, table=True):
    """One row: which service key is the database's own (a keyed hash), the version it has reached, when anything erased last."""

    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    key_check: bytes
    key_version: int
    seen_at: datetime | None = _when()


# -- teams and caseworkers -----------------------------------------------------------------------------------------------------


class Team(SQLModel, table=True):
    """The caseworkers one number or bot belongs to."""

    id: UUID = _id()
    name: str
    recovery_public: bytes
    made_at: datetime = _made()


class Tally(SQLModel, table=True):
    """What a team's work came to in a year. ``box`` (service key): {"decided pt race likely yes": 7}; it points to nobody."""

    __table_args__ = (sa.UniqueConstraint("team_id", "year"),)
    id: UUID = _id()
    team_id: UUID = Field(foreign_key="team.id")
    year: int
    box: bytes


class TeamKey(SQLModel, table=True):
    """One version of a team's key; new texts are sealed to the newest."""

    __tablename__ = "team_key"
    __table_args__ = (sa.UniqueConstraint("team_id", "version"),)
    id: UUID = _id()
    team_id: UUID = Field(foreign_key="team.id")
    version: int
    public: bytes
    made_at: datetime = _made()


class TeamKeyCopy(SQLModel, table=True):
    """The private half of a team key, sealed to one caseworker, or to the team's recovery key (caseworker_id empty)."""

    __tablename__ = "team_key_copy"
    __table_args__ = (sa.UniqueConstraint("team_key_id", "caseworker_id"),)
    id: UUID = _id()
    team_key_id: UUID = Field(foreign_key="team_key.id")
    caseworker_id: UUID | None = Field(default=None, foreign_key="caseworker.id")
    sealed: bytes


class Caseworker(SQLModel, table=True):
    """A member of a team with her own key pair, the private half under her password."""

    id: UUID = _id()
    team_id: UUID = Field(foreign_key="team.id")
    name: str = Field(unique=True)
    public: bytes
    private_salt: bytes
    private_box: bytes
    state: str = "waiting"  # waiting (until a member lets her in) | active | disabled
    is_lead: bool = Field(default=False, sa_column_kwargs={"server_default": sa.false()})
    failed_sign_ins: int = 0
    locked_until: datetime | None = _when()
    made_at: datetime = _made()


class ConsoleSession(SQLModel, table=True):
    """A signed-in caseworker: her private key, wrapped under the half of the cookie that is not stored."""

    __tablename__ = "console_session"
    id: bytes = Field(primary_key=True)
    caseworker_id: UUID = Field(foreign_key="caseworker.id")
    private_box: bytes
    seen_at: datetime = _made()


# -- reporters and what they wrote ---------------------------------------------------------------------------------------------


class Reporter(SQLModel, table=True):
    """A person who writes to us. ``profile`` (service key): {"language": "pt", "channel": "sms"}."""

    id: UUID = _id()
    team_id: UUID = Field(foreign_key="team.id")
    profile: bytes
    state: str = "open"  # open | silent (they said so) | opted_out (the carrier said so)
    contact: str = "open"  # open | yes | reporter_first | anonymous
    last_sequence: int = 0
    revision: int = 0  # raised by whatever changes the conversation
    emergency_said_at: datetime | None = _when()
    made_at: datetime = _made()


class Address(SQLModel, table=True):
    """A place on a channel. ``box`` (service key): {"channel": "sms", "address": "+4477…"}; found by its blind index."""

    id: UUID = _id()
    reporter_id: UUID = Field(foreign_key="reporter.id", index=True)
    found_by: bytes = Field(unique=True)
    box: bytes
    forget_at: datetime | None = _when()
    closed_at: datetime | None = _when()  # then the vendor said that they must write before we may


class Message(SQLModel, table=True):
    """One text, in or out, until its work is done; then only its state and times remain.

    ``body`` (service key): {"text": "…", "choices": [["1", "Yes"]], "attachments": 0}.
    in:  waiting → done, or handed_over to a person
    out: queued → sending → sent → delivered → read; or cancelled, failed, stopped; or held, invited until they write
    """

    __table_args__ = (
        Index("message_line", "direction", "state", "reporter_id", "sequence"),
        Index("message_due", "direction", "state", "due_at"),
        sa.UniqueConstraint("reporter_id", "sequence"),
    )
    id: UUID = Field(default_factory=new_id, primary_key=True)
    reporter_id: UUID = Field(foreign_key="reporter.id")
    address_id: UUID | None = Field(default=None, foreign_key="address.id", index=True, ondelete="SET NULL")
    direction: str
    author: str  # reporter | bot | caseworker | check_in | invitation | emergency (the one text that a claim leaves)
    sequence: int
    state: str
    body: bytes | None = None
    external_id: bytes | None = Field(default=None, unique=True)  # keyed hash of the vendor's id
    vendor_box: bytes | None = None  # (service key) {"channel": "sms", "id": "SM9f…"}: how its copy at the vendor is deleted
    attempts: int = 0
    due_at: datetime = _made()
    leased_until: datetime | None = _when()
    waits_for: bytes | None = None  # the sender of ours that was busy when this text was due
    made_at: datetime = _made()
    done_at: datetime | None = _when()


class VendorCopy(SQLModel, table=True):
    """A text erased here and still to be deleted at the vendor. ``box`` (service key): {"channel": "sms", "id": "SM9f…"}."""

    __tablename__ = "vendor_copy"
    __table_args__ = (Index("vendor_copy_due", "state", "due_at"),)
    id: UUID = _id()
    box: bytes | None = None
    state: str = "due"  # due | given_up
    attempts: int = 0
    due_at: datetime = _made()
    leased_until: datetime | None = _when()
    made_at: datetime = _made()


class Attachment(SQLModel, table=True):
    """A file a reporter sent. ``box`` (service key), until it is fetched: {"channel", "reference", "type"}; then ``sealed``:
    {"type": "image/jpeg", "size": 48211}, and ``content``: the file itself.
    """

    id: UUID = _id()
    reporter_id: UUID = Field(foreign_key="reporter.id", index=True)
    case_id: UUID | None = Field(default=None, foreign_key="case.id", index=True)
    state: str = "wanted"  # wanted | kept | too_large | lost
    box: bytes | None = None
    team_key_id: UUID | None = Field(default=None, foreign_key="team_key.id")
    sealed: bytes | None = None
    content: bytes | None = None
    attempts: int = 0
    due_at: datetime = _made()
    leased_until: datetime | None = _when()
    made_at: datetime = _made()


class Polling(SQLModel, table=True):
    """Where we are in the updates of a bot we ask for them; one process asks at a time. ``id``: the sender's keyed hash."""

    id: bytes = Field(primary_key=True)
    next_update: int = Field(default=0, sa_type=sa.BigInteger)
    leased_until: datetime | None = _when()


class EarlyNews(SQLModel, table=True):
    """What a vendor said of a text whose sending is not noted yet; ``found_by``: the keyed hash of the vendor's id."""

    __tablename__ = "early_news"
    id: UUID = _id()
    found_by: bytes
    state: str
    came_at: datetime = _made()


class Sender(SQLModel, table=True):
    """A number or bot of ours, by its keyed hash, and when it may send its next text."""

    id: bytes = Field(primary_key=True)
    free_at: datetime = Field(sa_type=Moment)


class FlowSession(SQLModel, table=True):
    """One reporter in one flow. ``body`` (service key): {"position": {…}, "asked": "when"}; empty once it is over."""

    __tablename__ = "flow_session"
    __table_args__ = (Index("flow_session_active", "reporter_id", unique=True, **_while("NOT is_over")),)
    id: UUID = Field(default_factory=new_id, primary_key=True)
    reporter_id: UUID = Field(foreign_key="reporter.id")
    flow: str
    is_over: bool = False
    body: bytes | None = None
    expires_at: datetime = _made()
    made_at: datetime = _made()


class Consent(SQLModel, table=True):
    """One purpose, given or withdrawn; the newest row of a purpose counts. ``words`` names the text that was agreed to."""

    id: UUID = _id()
    reporter_id: UUID = Field(foreign_key="reporter.id", index=True)
    purpose: str
    is_given: bool
    words: str
    at: datetime = _made()


class CheckIn(SQLModel, table=True):
    """A promise to ask a reporter at ``due_at`` whether they are safe."""

    __tablename__ = "check_in"
    id: UUID = _id()
    reporter_id: UUID = Field(foreign_key="reporter.id", index=True)
    case_id: UUID = Field(foreign_key="case.id")
    due_at: datetime = Field(sa_type=Moment, index=True)
    state: str = "due"  # due | asked | answered | cancelled
    asked_at: datetime | None = _when()


# -- reports and cases: sealed to the team from the first commit on ------------------------------------------------------------


class Report(SQLModel, table=True):
    """What the reporter told us of one incident, confirmed by them, never edited."""

    id: UUID = _id()
    team_id: UUID = Field(foreign_key="team.id")
    team_key_id: UUID = Field(foreign_key="team_key.id")
    sealed: bytes
    confirmed_at: datetime | None = _when()


class Case(SQLModel, table=True):
    """The caseworkers' handling of a report. ``kind`` says how it came: report, or why a person must look."""

    # One for each list of the queue, in its order (bot.case_queue), so that a page is read from where it starts. What follows
    # the id is looked at when hers and a language are asked for together.
    __table_args__ = (
        Index("case_queue", "team_id", "state", "risk", "opened_at"),
        Index("case_waiting", "team_id", "risk", "opened_at", "id", **_while(IS_WAITING)),
        Index("case_waiting_hers", "team_id", "claimed_by", "risk", "opened_at", "id", "language", **_while(IS_WAITING)),
        Index("case_waiting_language", "team_id", "language", "risk", "opened_at", "id", "claimed_by", **_while(IS_WAITING)),
        Index("case_closed", "team_id", "closed_at", "id", **_while(IS_CLOSED)),
        Index("case_closed_hers", "team_id", "claimed_by", "closed_at", "id", **_while(IS_CLOSED)),
        Index("case_closed_language", "team_id", "language", "closed_at", "id", **_while(IS_CLOSED)),
    )
    id: UUID = _id()
    team_id: UUID = Field(foreign_key="team.id")
    reporter_id: UUID = Field(foreign_key="reporter.id", index=True)
    report_id: UUID | None = Field(default=None, foreign_key="report.id")
    reference: str = Field(unique=True)
    kind: str = "report"  # report | person_wanted | unconfirmed | emergency | cannot_be_answered | fault
    state: str = "open"  # open | claimed | closed
    risk: int = 0  # 0 unknown or none said, 1 not sure, 2 not safe, 3 emergency words
    is_unread: bool = True
    language: bytes | None = None  # keyed hash of its code, by which cases can be found and the code cannot
    claimed_by: UUID | None = Field(default=None, foreign_key="caseworker.id")
    opened_at: datetime = _made()
    closed_at: datetime | None = _when()
    held_at: datetime | None = _when()  # under legal hold since then: nothing erases it


class Perception(SQLModel, table=True):
    """Why the reporter (or another person) thinks it happened; ``sealed``: {"who": "victim", "text": "…"}. Only ever added to."""

    id: UUID = _id()
    case_id: UUID = Field(foreign_key="case.id", index=True)
    team_key_id: UUID = Field(foreign_key="team_key.id")
    sealed: bytes
    at: datetime = _made()


class Suggestion(SQLModel, table=True):
    """What the model suggests; ``sealed``: the ``bias`` part of an Understanding. Only ever added to."""

    id: UUID = _id()
    case_id: UUID = Field(foreign_key="case.id", index=True)
    team_key_id: UUID = Field(foreign_key="team_key.id")
    sealed: bytes
    at: datetime = _made()


class Decision(SQLModel, table=True):
    """What a caseworker decides; ``sealed``: {"motivations": […], "reason": "…"}. Only ever added to."""

    id: UUID = _id()
    case_id: UUID = Field(foreign_key="case.id", index=True)
    caseworker_id: UUID = Field(foreign_key="caseworker.id")
    team_key_id: UUID = Field(foreign_key="team_key.id")
    sealed: bytes
    at: datetime = _made()


class Example(SQLModel, table=True):
    """A redacted account its reporter lets the machine learn from; ``sealed``: {"text", "language", "motivations", …}."""

    id: UUID = _id()
    case_id: UUID = Field(foreign_key="case.id", unique=True)
    caseworker_id: UUID = Field(foreign_key="caseworker.id")
    team_key_id: UUID = Field(foreign_key="team_key.id")
    sealed: bytes
    at: datetime = _made()


class CaseMessage(SQLModel, table=True):
    """A text of the chat about a case; ``sealed``: {"text", "language", "translation", …} as it was said and as it was sent."""

    __tablename__ = "case_message"
    __table_args__ = (Index("case_message_order", "case_id", "at"),)
    id: UUID = _id()
    case_id: UUID = Field(foreign_key="case.id")
    message_id: UUID | None = Field(default=None, foreign_key="message.id")
    author: str  # reporter | caseworker | bot
    caseworker_id: UUID | None = Field(default=None, foreign_key="caseworker.id")
    team_key_id: UUID = Field(foreign_key="team_key.id")
    sealed: bytes
    at: datetime = _made()


class SealedTranslation(SQLModel, table=True):
    """The machine's translation of a report or case message (``of``); ``sealed``: {field: {"text", "engine", "flags", …}}."""

    __tablename__ = "sealed_translation"
    id: UUID = _id()
    case_id: UUID = Field(foreign_key="case.id", index=True)
    of: UUID = Field(index=True)
    team_key_id: UUID = Field(foreign_key="team_key.id")
    sealed: bytes
    at: datetime = _made()


class CaseAction(SQLModel, table=True):
    """One thing done to a case, by whom, when; a note's words are ``sealed``."""

    __tablename__ = "case_action"
    id: UUID = _id()
    case_id: UUID = Field(foreign_key="case.id", index=True)
    caseworker_id: UUID | None = Field(default=None, foreign_key="caseworker.id")
    verb: str  # opened | read | claimed | noted | replied | decided | closed | risk_raised | went_silent | answered_check_in …
    team_key_id: UUID | None = Field(default=None, foreign_key="team_key.id")
    sealed: bytes | None = None
    at: datetime = _made()


class AuditEntry(SQLModel, table=True):
    """One thing a caseworker did, without content; ``hash`` covers the entry and ``previous``, the hash of the one before."""

    __tablename__ = "audit_entry"
    __table_args__ = (Index("audit_entry_case", "case_id"),)
    sequence: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    at: datetime = _made()
    caseworker_id: UUID | None = None  # no foreign keys: the log outlives what it speaks of
    verb: str
    case_id: UUID | None = None
    member_id: UUID | None = None  # the caseworker it was done to
    previous: bytes
    hash: bytes


class Unmasking(SQLModel, table=True):
    """A caseworker's question to see the address behind a case; ``sealed``: {"reason": "…"}. A second person grants it."""

    id: UUID = _id()
    case_id: UUID = Field(foreign_key="case.id", index=True)
    asked_by: UUID = Field(foreign_key="caseworker.id")
    granted_by: UUID | None = Field(default=None, foreign_key="caseworker.id")
    team_key_id: UUID = Field(foreign_key="team_key.id")
    sealed: bytes
    asked_at: datetime = _made()


class Receipt(SQLModel, table=True):
    """The code only the reporter holds, as its verifier."""

    id: UUID = _id()
    case_id: UUID = Field(foreign_key="case.id")
    verifier: bytes = Field(unique=True)


class CodeTries(SQLModel, table=True):
    """One row: when all codes tried so far are worked off at one a second, and how many were turned away (bot.code_tries)."""

    __tablename__ = "code_tries"
    id: int = Field(primary_key=True, sa_column_kwargs={"autoincrement": False})
    busy_until: datetime = Field(sa_type=Moment)
    refused: int


class WorkingCopy(SQLModel, table=True):
    """A text on its way through translation and classification; ``body`` (service key). Lives at most 15 minutes."""

    __tablename__ = "working_copy"
    id: UUID = _id()
    case_id: UUID = Field(foreign_key="case.id")
    of: UUID  # the report or case message
    body: bytes  # {"language": "pt", "texts": {"story": "…", "perception": "…"}, "wants": ["translation", "suggestion"]}
    leased_until: datetime | None = _when()
    erase_at: datetime = Field(sa_type=Moment, index=True)
