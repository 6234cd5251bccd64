"""What a text leads to: the words that outrank everything first, then what was meant, then what the flow says, then the effects.

Deciding needs no transaction, so a slow Rasa holds nobody up. Applying is the one commit: it locks the reporter, finds that the
conversation has not moved meanwhile, and does every event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from bot import cases, checkins, clock, inbox, keys, outbox, retention
from bot.checkins import Due
from bot.inbox import Claimed
from bot.messages import Channel, Choice, split_text
from bot.models import Address, FlowSession, Reporter
from bot.store import Store, Transaction, lock_reporter, touch_reporter
from bot.understanding import SILENT, Nlu, as_number, is_account, pick_answer
from flows import engine
from flows.model import Event, Flow, FlowError, Option, Position, Turn
from translations import catalog, detect

UNFINISHED_LIVES = timedelta(days=30)
OFFER_AGAIN = timedelta(days=1)  # after it a half-told report is offered once more
LONG_SILENCE = timedelta(days=2)  # after it we ask whether to go on
EMERGENCY_TEXT_EVERY = timedelta(hours=1)
ANONYMOUS_LIVES = timedelta(hours=24)
PAUSE = (Option("may_read", "option.pause.may_read"), Option("erase", "option.pause.erase"))
RESUME = (Option("go_on", "option.resume.go_on"), Option("restart", "option.resume.restart"))
NOT_TOLD = frozenset({"channel", "first", "unclear_at", "unclear_count", "way", "return_to", "unread"})  # facts of our own
SAFEGUARDED: tuple[catalog.Kind, ...] = ("self_harm", "child_risk", "adult_risk")
RECEIPT_DIGITS = 16
MOST_CODE_TRIES, CODE_TRIES_EVERY = 5, timedelta(hours=1)
PURPOSES = ("contact", "check_in")
MOVES = 5  # how often a conversation may move under our hands before its text goes back into the line
DANGER_CONFIDENCE = 0.6  # NLU may only ever ADD the emergency text

_session: Any = FlowSession.__table__.c  # type: ignore[attr-defined]
_reporter: Any = Reporter.__table__.c  # type: ignore[attr-defined]
_address: Any = Address.__table__.c  # type: ignore[attr-defined]


class Moved(Exception):
    """Somebody changed the conversation between reading and writing it: read it again."""


@dataclass(frozen=True)
class Voice:
    """How the bot presents itself: ``Voice("Hope House", "999", 11, "Europe/London")``."""

    organisation: str
    emergency: str
    check_in_hour: int
    time_zone: str
    support: Mapping[str, str] = field(default_factory=dict)  # who helps with self_harm, child_risk, adult_risk

    def helps_with(self, need: str) -> str:
        """Who helps; the emergency number where the place names no line."""
        return self.support.get(need, self.emergency)


@dataclass(frozen=True)
class Session:
    """Where a reporter is. ``before``: facts gathered while there is no position yet, such as their first words.

    ``waits_for``: nothing, the ``language`` menu, ``go_on`` (they asked for silence and wrote again), ``pause`` (may a person read
    it if they do not come back?), ``resume`` (they paused), ``resumed`` (go on, or start again?). ``held``: what they wrote on
    coming back, the answer to the open question once they go on. ``may_read``: they agreed that a person reads it.
    """

    flow: str = "report"
    position: Position | None = None
    before: Mapping[str, Any] = field(default_factory=dict)
    waits_for: str | None = None
    held: str = ""
    may_read: bool = False
    was_abused: bool = False
    was_offered: bool = False

    def as_dict(self) -> dict[str, Any]:
        position = self.position.as_dict() if self.position else None
        kept = {"flow": self.flow, "position": position, "before": dict(self.before), "waits_for": self.waits_for}
        return kept | {name: getattr(self, name) for name in _LATER}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Session:
        position = Position.from_dict(kept["position"]) if kept["position"] else None
        more = {name: kept[name] for name in _LATER if name in kept}
        return cls(kept["flow"], position, kept["before"], kept["waits_for"], **more)


_LATER = ("held", "may_read", "was_abused", "was_offered")  # a session written by an earlier release has none of these


@dataclass(frozen=True)
class Situation:
    """All that decides what a text means: the reporter, the case that owns the conversation, and where they are in a flow."""

    reporter: Any
    profile: Mapping[str, Any]
    owner: Any
    latest: Any
    session: Session | None
    session_id: UUID | None
    is_long_silent: bool = False

    @property
    def language(self) -> str | None:
        return self.profile.get("language")


@dataclass(frozen=True)
class Plan:
    """What a text leads to: events, in order, and the session afterwards (None: there is none any more).

    ``language``: the reporter's from now on; None while we do not know it and speak English.
    """

    events: tuple[Event, ...]
    session: Session | None
    language: str | None
    receipt: str = ""
    verifier: bytes = b""


class Conversation:
    """Handles one text after another; keeps nothing itself."""

    def __init__(self, store: Store, flows: Mapping[str, Flow], nlu: Nlu, channels: Mapping[str, Channel], voice: Voice) -> None:
        self._store = store
        self._flows = flows
        self._nlu = nlu
        self._channels = channels
        self._voice = voice

    def handle(self, message: Claimed) -> None:
        """Answer one text, in one commit. When it raises, nothing is half done."""
        for _ in range(MOVES):
            with self._store.reading() as db:
                before = _situation(db, message.reporter_id)
            plan = self._with_receipt(self._decide(before, message))
            try:
                self._commit(before, plan, message)
                return
            except Moved:
                continue
        raise Moved

    def hand_over(self, message: Claimed) -> None:
        """A text that could not be handled becomes a case for a person; the reporter hears that their words are kept."""
        with self._store.transaction() as db:
            lock_reporter(db, message.reporter_id)
            before = _situation(db, message.reporter_id, reads_session=False)  # it may be what cannot be read
            plan = _plain_word(before, message)
            if plan is None:
                events = [Event("kept_for_a_person", {"kind": "fault"})]
                if before.owner is None and before.reporter.state == "open":
                    events.append(_said("received.late"))
                if catalog.matches_word(message.text, "emergency"):
                    events.append(Event("emergency_words", {}))
                plan = Plan(tuple(events), None, before.language)
            self._perform(db, before, plan, message)
            inbox.finish(db, message.id, "handed_over")

    def check_in(self, db: Transaction, due: Due) -> None:
        """Ask a check-in that is due; where a person owns the conversation she is told instead, and the bot is silent."""
        lock_reporter(db, due.reporter_id)
        before = _situation(db, due.reporter_id)
        if before.owner is not None:
            checkins.settle(db, due.reporter_id, "passed_on")
            cases.note_event(db, before.owner.id, "check_in_due")
        elif before.reporter.state != "open" or not checkins.has_consent(db, due.reporter_id, "check_in"):
            checkins.settle(db, due.reporter_id, "cancelled")
        elif before.session is not None and before.session.flow != "feedback":
            checkins.put_off(db, due.id)
        else:
            turn = engine.begin(self._flows["checkin"])
            plan = Plan(turn.events, _session_of("checkin", turn), before.language)
            self._perform(db, before, plan, None)

    def offer_again(self, db: Transaction) -> int:
        """Offer half-told reports once more, by day, to those who said that we may write to them. Returns how many."""
        now, offered = clock.now(), 0
        if now.astimezone(ZoneInfo(self._voice.time_zone)).hour not in checkins.DAY:
            return 0
        quiet = sa.select(_session.reporter_id).where(
            ~_session.is_over,
            _session.flow == "report",
            _session.expires_at.between(now + UNFINISHED_LIVES - LONG_SILENCE, now + UNFINISHED_LIVES - OFFER_AGAIN),
        )
        for reporter_id in db.execute(quiet).scalars().all():
            lock_reporter(db, reporter_id)
            before = _situation(db, reporter_id)
            session = before.session
            if session is None or session.was_offered or session.waits_for or session.position is None:
                continue
            if before.owner is not None or before.reporter.state != "open" or session.position.facts.get("contact") != "yes":
                continue
            waiting = replace(session, waits_for="resumed", was_offered=True)
            self._perform(db, before, Plan((_said("resume.ask", RESUME),), waiting, before.language), None)
            offered += 1
        return offered

    # -- deciding ------------------------------------------------------------------------------------------------------------

    def _decide(self, before: Situation, message: Claimed) -> Plan:
        text = message.text
        if plain := _plain_word(before, message):
            return plain
        if before.reporter.state == "opted_out" and not catalog.matches_word(text, "carrier_start"):
            events = [Event("kept_for_a_person", {"kind": "cannot_be_answered"})]
            if catalog.matches_word(text, "emergency"):
                events.append(Event("emergency_words", {}))
            return Plan(tuple(events), before.session, before.language)
        if before.owner is not None:
            back = [] if before.reporter.state == "open" else [Event("came_back", {})]
            language = detect.language_of(text, before.language).language or before.language
            plan = Plan((*back, Event("case_message", {})), before.session, language)
        elif before.reporter.state != "open":
            plan = self._coming_back(before, message)
        elif not text.strip():
            plan = self._nothing_to_read(before, message)
        elif _is_free(before.session) and (returning := self._returning(before, message)):
            plan = returning
        elif before.session is None:
            plan = self._opening(before, message)
        else:
            plan = self._going_on(before, before.session, message)
        for need in SAFEGUARDED:
            if catalog.matches_word(text, need):
                plan = replace(plan, events=(Event("safeguarding_words", {"need": need}), *plan.events))
        if catalog.matches_word(text, "emergency"):
            plan = replace(plan, events=(Event("emergency_words", {}), *plan.events))
        return plan

    def _returning(self, before: Situation, message: Claimed) -> Plan | None:
        """A whole message of 16 digits is the code of a report. It opens what can be done with it, never the story."""
        digits = "".join(character for character in message.text if character.isdecimal())
        if len(digits) != RECEIPT_DIGITS or any(character.isalpha() for character in message.text):
            return None
        code = "".join(str(int(digit)) for digit in digits)
        language = before.language or detect.language_of(message.text).language
        tries = [at for at in before.profile.get("code_tries", ()) if at > (clock.now() - CODE_TRIES_EVERY).isoformat()]
        if len(tries) >= MOST_CODE_TRIES:
            return Plan((_said("return.too_often"),), before.session, language)
        found = None
        if keys.is_receipt(code):
            verifier = self._store.vault.receipt_verifier(code)
            with self._store.reading() as db:
                found = cases.find_by_receipt(db, verifier)
                if found is not None and language is None:
                    language = _language_of_reporter(db, found.reporter_id)
        tried = Event("code_tried", {"at": clock.now().isoformat()})
        if found is None:
            return Plan((tried, _said("return.wrong")), before.session, language)
        turn = engine.begin(self._flows["return"], {"case": str(found.id)})
        return Plan((tried, *turn.events), _session_of("return", turn), language)

    def _coming_back(self, before: Situation, message: Claimed) -> Plan:
        """They asked for silence and now write themselves. Somebody else may hold the phone: say nothing of what it is about."""
        if before.session is None and before.latest is not None and before.latest.state != "closed":
            return Plan((Event("came_back", {}), Event("case_message", {}), _said("added")), None, before.language)
        session = before.session or Session(before={"channel": message.channel})
        if not catalog.matches_word(message.text, "carrier_start"):
            session = _keeping(session, message.text)
        return Plan((Event("came_back", {}), _said("resume.neutral")), replace(session, waits_for="go_on"), before.language)

    def _nothing_to_read(self, before: Situation, message: Claimed) -> Plan:
        events: tuple[Event, ...] = (_said("attachment.only" if message.attachments else "empty"),)
        if before.session is None and before.latest is not None and before.latest.state != "closed":
            events = (Event("case_message", {}), *events)
        return Plan(events, before.session, before.language)

    def _opening(self, before: Situation, message: Claimed) -> Plan:
        """Nothing is under way: words for an open case, or the beginning of a report."""
        text = message.text
        if before.latest is not None and catalog.matches_word(text, "my_data", before.language):
            return Plan((_said("return.code_wanted"),), None, before.language)
        wants_new = catalog.matches_word(text, "new", before.language)
        if before.latest is not None and before.latest.state != "closed" and not wants_new:
            if catalog.matches_word(text, "person", before.language):
                events = (Event("case_message", {}), Event("person_wanted", {}), _said("person.requested"))
                return Plan(events, None, before.language)
            return Plan((Event("case_message", {}), _said("added")), None, before.language)
        facts: dict[str, Any] = {"channel": message.channel}
        return self._speak_their_language(facts if wants_new and before.language else {**facts, "first": text}, before.language)

    def _speak_their_language(self, facts: Mapping[str, Any], known: str | None) -> Plan:
        """Begin the report in the language they have, or of their first words; where it is unsure, they choose."""
        if known:
            return self._begin_report(facts, known)
        guess = detect.language_of(facts.get("first", ""))
        if guess.ask or guess.language is None:
            return Plan((_language_menu(),), Session(before=facts, waits_for="language"), None)
        return self._begin_report(facts, guess.language)

    def _begin_report(self, facts: Mapping[str, Any], language: str) -> Plan:
        """Start the report; first words that already tell something are the story and are not asked for again."""
        known = {k: v for k, v in facts.items() if k != "first"}
        first = facts.get("first", "")
        if first.strip() and not _is_greeting(first):
            understood = self._nlu.understand(first, language)
            if is_account(first, understood):
                known |= {"story": [first], "told": sorted(understood.told)}
                known |= {"unread": "yes"} if understood.is_silent else {}
            else:
                known["remarks"] = [first, *known.get("remarks", ())]
        turn = engine.begin(self._flows["report"], known)
        events = turn.events if catalog.has(language) else (_said("language.unsupported"), *turn.events)
        if catalog.matches_word(first, "person"):
            return self._person_wanted(Plan(events, _session_of("report", turn), language))
        return Plan(events, _session_of("report", turn), language)

    def _going_on(self, before: Situation, session: Session, message: Claimed) -> Plan:
        text, language = message.text, before.language or "en"
        if session.waits_for == "go_on":
            if as_number(text) != 1:
                return Plan((_said("resume.neutral"),), _keeping(session, text), before.language)
            return self._again(replace(session, waits_for=None), before.language)
        if catalog.matches_word(text, "person", before.language):
            return self._person_wanted(Plan((), session, before.language or detect.language_of(text).language))
        if session.waits_for == "language":
            return self._language_chosen(session, message)
        if session.waits_for in ("pause", "resume", "resumed") or (before.is_long_silent and session.flow == "report"):
            return self._resuming(session, text, language)
        if session.position is not None and session.flow == "report":
            if catalog.matches_word(text, "later", language):
                return Plan((_said("pause.ask", PAUSE),), replace(session, waits_for="pause"), language)
            if not session.was_abused and catalog.matches_word(text, "abuse", language):
                plan = self._again(replace(_keeping(session, text), was_abused=True), language)
                return replace(plan, events=(_said("abuse.calm"), *plan.events))
        if (chosen := _named_language(text)) and chosen != language:
            return self._again(session, chosen)
        if session.position is None:
            return self._begin_report({**session.before, "first": text}, language)
        if session.flow == "feedback" and as_number(text) is None:
            return self._opening(replace(before, session=None), message)  # they have more to say than how it was
        return self._advance(session, session.position, text, language)

    def _resuming(self, session: Session, text: str, language: str) -> Plan:
        """They paused, or were silent for days: go on, or start again? What they write meanwhile is kept as their answer."""
        number = as_number(text)
        if session.waits_for == "pause" and number in (1, 2):
            chosen = PAUSE[number - 1]
            kept = replace(session, waits_for="resume", may_read=chosen.value == "may_read")
            return Plan((_said(f"pause.{chosen.value}"),), kept, language)
        if session.waits_for == "resumed" and number == 2:
            channel = (session.position.facts if session.position else session.before).get("channel", "")
            turn = engine.begin(self._flows["report"], {"channel": channel})
            return Plan(turn.events, _session_of("report", turn), language)
        if session.waits_for == "resumed" and number == 1:
            going = replace(session, waits_for=None, held="")
            if session.held and going.position:
                return self._advance(going, going.position, session.held, language)
            return self._again(going, language)
        words = "" if catalog.matches_word(text, "greeting") else text
        held = "\n".join(part for part in (session.held, words) if part.strip())
        return Plan((_said("resume.ask", RESUME),), replace(session, waits_for="resumed", held=held), language)

    def _advance(self, session: Session, position: Position, text: str, language: str) -> Plan:
        flow = self._flows[session.flow]
        # Outside a report no answer has a place of its own: the words go into the case at once.
        kept = (Event("case_message", {}),) if session.flow in ("checkin", "feedback") else ()
        try:
            ask = engine.asked(flow, position)
        except FlowError:
            ask = None
        if ask is None:  # a newer release has no such node: go on from the nearest with what was told
            turn = engine.nearest(flow, {**position.facts, "remarks": [*position.facts.get("remarks", ()), text]})
            return Plan((*kept, _said("flow.changed"), *turn.events), _session_of(session.flow, turn, session), language)
        understood = SILENT
        labels = [catalog.render(o.label, language) for o in ask.options]
        answer = pick_answer(ask, labels, text, language)
        if answer.kind in ("text", "unclear"):
            understood = self._nlu.understand(text, language)
            answer = pick_answer(ask, labels, text, language, understood)
        turn = engine.advance(flow, position, answer)
        events = (*kept, *turn.events)
        if understood.intent == "in_danger" and understood.confidence >= DANGER_CONFIDENCE:
            events = (Event("emergency_words", {}), *events)
        return Plan(events, _session_of(session.flow, turn, session), language)

    def _again(self, session: Session, language: str | None) -> Plan:
        """Ask the open question once more, in the language wanted."""
        if session.position is None:
            return self._speak_their_language(session.before, language)
        turn = engine.again(self._flows[session.flow], session.position)
        return Plan(turn.events, replace(session, position=turn.position), language)

    def _language_chosen(self, session: Session, message: Claimed) -> Plan:
        """The answer to the menu; words in a language we recognise are an answer too, and nobody is asked twice."""
        offered = _offered_languages()
        number = as_number(message.text)
        chosen = offered[number - 1] if number and number <= len(offered) else _named_language(message.text)
        before = dict(session.before)
        if chosen is None:
            first = f"{before.get('first', '')}\n{message.text}".strip()
            guess = detect.language_of(first)
            chosen, before["first"] = guess.language or "en", first
        return self._begin_report(before, chosen)

    def _person_wanted(self, plan: Plan) -> Plan:
        """A person, please: what was told so far goes to the caseworkers, marked unconfirmed, and the questions end."""
        session = plan.session
        told = dict(session.position.facts if session and session.position else session.before if session else {})
        return Plan((Event("person_wanted", {"told": told}), _said("person.requested")), None, plan.language)

    def _with_receipt(self, plan: Plan) -> Plan:
        """Mint the receipt before the commit: its Argon2id must not hold the database."""
        if not any(e.name == "report_confirmed" for e in plan.events):
            return plan
        receipt = keys.new_receipt()
        return replace(plan, receipt=receipt, verifier=self._store.vault.receipt_verifier(receipt))

    # -- applying ------------------------------------------------------------------------------------------------------------

    def _commit(self, before: Situation, plan: Plan, message: Claimed) -> None:
        self._store.together(lambda db: self._apply(db, before, plan, message))

    def _apply(self, db: Transaction, before: Situation, plan: Plan, message: Claimed) -> None:
        now = lock_reporter(db, message.reporter_id)
        if now.revision != before.reporter.revision:
            raise Moved
        self._perform(db, before, plan, message)
        inbox.finish(db, message.id)

    def _perform(self, db: Transaction, before: Situation, plan: Plan, message: Claimed | None) -> None:
        """Do every event, send what was said as one text, keep where the reporter is now."""
        scene = Scene(db, before, plan, message, self._voice, is_in_danger=before.profile.get("in_danger", False))
        for event in plan.events:
            EFFECTS[event.name](scene, event.values)
        self._send(scene)
        _save_session(db, before, plan.session)
        profile = {**before.profile, "in_danger": scene.is_in_danger, **scene.remembers}
        if plan.language:
            profile["language"] = plan.language
        if message:
            profile["channel"] = message.channel
        if profile != before.profile:
            scene.changes["profile"] = db.vault.hide(profile, "reporter", "profile", before.reporter.id)
        touch_reporter(db, before.reporter.id, **scene.changes)

    def _send(self, scene: Scene) -> None:
        """All texts of one turn go out as one message: fewer buzzes on a shared phone, fewer parts to pay for."""
        if not scene.texts:
            return
        channel = self._channels[scene.channel]
        choices = _choices(scene.options, scene.language)
        text = "\n".join(scene.texts)
        if choices and not channel.has_buttons:
            text += "".join(f"\n{c.number} {c.label}" for c in choices)
        pieces = split_text(text, channel.max_length)
        for piece in pieces:
            with_choices = choices if piece is pieces[-1] else []
            address = scene.message.address_id if scene.message else None
            place = scene.message.place if scene.message else None
            outbox.put(
                scene.db, scene.before.reporter.id, piece, author=scene.author, address=address, choices=with_choices, place=place
            )


# -- reading and keeping where a reporter is -----------------------------------------------------------------------------------


def _situation(db: Transaction, reporter_id: UUID, *, reads_session: bool = True) -> Situation:
    # The reporter first: whatever is read after their revision and has moved since is found out by it.
    reporter = db.execute(_REPORTER, {"of": reporter_id}).one()
    row = db.execute(_ACTIVE, {"of": reporter_id}).one_or_none() if reads_session else None
    session = Session.from_dict(db.vault.reveal(row.body, "flow_session", "body", row.id)) if row else None
    profile = db.vault.reveal(reporter.profile, "reporter", "profile", reporter_id)
    owner, latest = cases.owner_of(db, reporter_id), cases.latest_of(db, reporter_id)
    is_long_silent = bool(row and row.expires_at < clock.now() + UNFINISHED_LIVES - LONG_SILENCE)
    return Situation(reporter, profile, owner, latest, session, row.id if row else None, is_long_silent)


def _plain_word(before: Situation, message: Claimed) -> Plan | None:
    """The words that end all talk, before anything else is looked at; nothing may be answered to them."""
    if catalog.matches_word(message.text, "silent_stop"):
        return Plan((Event("went_silent", {}),), before.session, before.language)
    if catalog.matches_word(message.text, "carrier_stop"):
        return Plan((Event("opted_out", {}),), before.session, before.language)
    return None


def _save_session(db: Transaction, before: Situation, session: Session | None) -> None:
    if session == before.session:
        return
    if session is None:
        db.execute(_CHANGE, {"active": before.session_id, "is_over": True, "body": None})
        return
    kept: dict[str, Any] = {"flow": session.flow, "expires_at": clock.now() + UNFINISHED_LIVES}
    if active := before.session_id:
        body = db.vault.hide(session.as_dict(), "flow_session", "body", active)
        if db.execute(_CHANGE, {"active": active, "body": body, **kept}).rowcount:
            return
    row = FlowSession(reporter_id=before.reporter.id, **kept)  # their first, or the last one expired meanwhile
    row.body = db.vault.hide(session.as_dict(), "flow_session", "body", row.id)
    db.insert(row)


# Built once, as every text takes them (see store).
_REPORTER = sa.select(*_reporter).where(_reporter.id == sa.bindparam("of"))
_ACTIVE = sa.select(_session.id, _session.body, _session.expires_at).where(
    _session.reporter_id == sa.bindparam("of"), ~_session.is_over
)
_CHANGE = sa.update(FlowSession.__table__).where(_session.id == sa.bindparam("active"), ~_session.is_over)  # type: ignore[attr-defined]


def erase_expired(db: Transaction) -> int:
    """Erase the answers of conversations nobody finished. Returns how many.

    Who agreed that a person reads it if they do not come back: their words become a case marked unconfirmed.
    """
    expired = sa.select(*_session).where(~_session.is_over, _session.expires_at <= clock.now())
    found = db.execute(expired).all()
    for row in found:
        _keep_if_agreed(db, row)
        db.execute(sa.update(FlowSession).where(_session.id == row.id).values(is_over=True, body=None))
    return len(found)


def _keep_if_agreed(db: Transaction, row: Any) -> None:
    try:
        session = Session.from_dict(db.vault.reveal(row.body, "flow_session", "body", row.id))
    except (keys.WrongKey, ValueError, KeyError, TypeError):  # what cannot be read any more is only erased
        return
    if not session.may_read or session.position is None:
        return
    reporter = lock_reporter(db, row.reporter_id)
    told = {k: v for k, v in session.position.facts.items() if k not in NOT_TOLD}
    told["language"] = db.vault.reveal(reporter.profile, "reporter", "profile", reporter.id).get("language")
    cases.open_case(db, reporter, told, kind="unconfirmed")


def _session_of(flow: str, turn: Turn, before: Session | None = None) -> Session | None:
    if turn.position is None:
        return None
    return replace(before, position=turn.position) if before else Session(flow, turn.position)


def _keeping(session: Session, text: str) -> Session:
    """The same place, with words that answer nothing kept: as their first words, which may be the story, else as a remark."""
    if not text.strip():
        return session
    if session.position is None and "first" not in session.before:
        return replace(session, before={**session.before, "first": text})
    if session.position is None:
        return replace(session, before={**session.before, "remarks": [*session.before.get("remarks", ()), text]})
    facts = {**session.position.facts, "remarks": [*session.position.facts.get("remarks", ()), text]}
    return replace(session, position=replace(session.position, facts=facts))


# -- words ---------------------------------------------------------------------------------------------------------------------


def _is_free(session: Session | None) -> bool:
    """Whether a code would interrupt nothing that is told."""
    return session is None or session.flow == "return" or (session.position is None and session.waits_for == "language")


def _language_of_reporter(db: Transaction, reporter: UUID) -> str | None:
    row = db.execute(_REPORTER, {"of": reporter}).one()
    language: str | None = db.vault.reveal(row.profile, "reporter", "profile", reporter).get("language")
    return language


def _said(msgid: str, options: Sequence[Option] = ()) -> Event:
    return Event("said", {"msgid": msgid, "values": {}, "options": list(options)})


def _is_greeting(text: str) -> bool:
    """Whether a first text only says hello: START also comes from a keyword campaign, or as Telegram's first button."""
    return catalog.matches_word(text, "greeting") or catalog.matches_word(text, "carrier_start")


def _offered_languages() -> list[str]:
    return [code for code in catalog.languages() if catalog.has(code)]


def _language_menu() -> Event:
    names = [Option(code, f"={catalog.languages()[code].name}") for code in _offered_languages()]
    return _said("language.choose", names)


def _named_language(text: str) -> str | None:
    """The language a whole message names: ``"Português"`` or ``"portuguese"`` is ``pt``."""
    name = text.strip().casefold()
    named = ((code, (tongue.name.casefold(), tongue.english_name.casefold())) for code, tongue in catalog.languages().items())
    return next((code for code, names in named if name in names), None)


def _choices(options: Sequence[Option], language: str) -> list[Choice]:
    """Options as the reporter reads them; a label that starts with ``=`` is shown as it is (a language's own name)."""
    labels = [o.label[1:] if o.label.startswith("=") else catalog.render(o.label, language) for o in options]
    return [Choice(str(n), label) for n, label in enumerate(labels, start=1)]


# -- effects: what each event does ---------------------------------------------------------------------------------------------


@dataclass
class Scene:
    """One commit in the making: what its events said and changed so far."""

    db: Transaction
    before: Situation
    plan: Plan
    message: Claimed | None
    voice: Voice
    texts: list[str] = field(default_factory=list)
    options: Sequence[Option] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    case: UUID | None = None
    reference: str = ""
    is_in_danger: bool = False  # emergency words came since their last report
    remembers: dict[str, Any] = field(default_factory=dict)  # what the reporter's profile gains

    @property
    def language(self) -> str:
        return self.plan.language or "en"

    @property
    def author(self) -> str:
        return "bot" if self.message else "check_in"

    @property
    def channel(self) -> str:
        return self.message.channel if self.message else str(self.before.profile["channel"])

    @property
    def about(self) -> UUID | None:
        """The case this scene is about: the one it opened, else the one that owns the conversation, else the reporter's last."""
        known = self.before.owner or self.before.latest
        return self.case or (known.id if known else None)

    def risk_of(self, told: Mapping[str, Any]) -> int:
        """How urgent what they told is."""
        if self.is_in_danger:
            return cases.EMERGENCY
        return {"no": cases.NOT_SAFE, "not_sure": cases.NOT_SURE}.get(str(told.get("safe_now")), 0)


def _say(scene: Scene, values: Mapping[str, Any]) -> None:
    fitting = {
        "receipt": " ".join(scene.plan.receipt[i : i + 4] for i in range(0, 16, 4)),
        "reference": scene.reference,
        "emergency": scene.voice.emergency,
        "organisation": scene.voice.organisation,
    }
    fitting |= {str(need): scene.voice.helps_with(need) for need in SAFEGUARDED}
    scene.texts.append(catalog.render(values["msgid"], scene.language, **{**fitting, **values["values"]}))
    scene.options = values["options"] or scene.options


def _confirm_report(scene: Scene, values: Mapping[str, Any]) -> None:
    report = {**values["report"], "language": scene.plan.language}
    risk = scene.risk_of(report)
    opened = cases.open_case(scene.db, scene.before.reporter, report, risk=risk, receipt=scene.plan.verifier)
    scene.case, scene.reference, scene.is_in_danger = opened.id, opened.reference, False
    for _ in range(report.get("retells") or 0):
        cases.note_event(scene.db, opened.id, "asked_again")
    wish = report.get("contact")
    scene.changes |= {"contact": wish if wish in ("yes", "reporter_first", "anonymous") else "reporter_first"}


def _want_person(scene: Scene, values: Mapping[str, Any]) -> None:
    told = {k: v for k, v in values.get("told", {}).items() if k not in NOT_TOLD}
    if first := values.get("told", {}).get("first"):
        told["story"] = [first, *told.get("story", ())]
    if scene.before.latest is not None and scene.before.latest.state == "open" and not told:
        cases.note_event(scene.db, scene.before.latest.id, "person_wanted")
        return
    report = {**told, "language": scene.plan.language}
    opened = cases.open_case(scene.db, scene.before.reporter, report, kind="person_wanted", risk=scene.risk_of(told))
    scene.case, scene.is_in_danger = opened.id, False


def _keep_for_a_person(scene: Scene, values: Mapping[str, Any]) -> None:
    """Words the bot cannot answer: into the case there is, else into a new one that says why a person must look."""
    if scene.before.owner or (scene.before.latest is not None and scene.before.latest.state != "closed"):
        _add_to_case(scene, {})
        return
    text = scene.message.text if scene.message else ""
    told = {"story": [text], "language": scene.before.language}
    scene.case = cases.open_case(scene.db, scene.before.reporter, told, kind=values["kind"]).id


def _add_to_case(scene: Scene, _values: Mapping[str, Any]) -> None:
    case = scene.before.owner or scene.before.latest
    if scene.message is None or case is None:
        return
    message = scene.message
    cases.add_reporter_message(
        scene.db,
        case,
        message.text,
        language=scene.plan.language,
        message=message.id,
        attachments=message.attachments,
        answers="check_in" if scene.before.session and scene.before.session.flow == "checkin" else "",
    )


def _warn(scene: Scene, _values: Mapping[str, Any]) -> None:
    """Emergency words: the emergency number at most once an hour, even in a claimed case, and the caseworkers are alerted."""
    if scene.about:
        cases.note_event(scene.db, scene.about, "emergency_words", at_least_risk=cases.EMERGENCY)
    scene.is_in_danger = True
    last = scene.before.reporter.emergency_said_at
    if scene.before.reporter.state == "opted_out" and "state" not in scene.changes:
        return  # the carrier would not deliver it
    if "emergency_said_at" in scene.changes or (last and last > clock.now() - EMERGENCY_TEXT_EVERY):
        return
    scene.changes["emergency_said_at"] = clock.now()
    _say(scene, {"msgid": "emergency.now", "values": {}, "options": []})


def _fall_silent(scene: Scene, _values: Mapping[str, Any], state: str = "silent") -> None:
    """Not one word more: what is queued is taken back, check-ins too, and the caseworkers see it."""
    reporter = scene.before.reporter.id
    outbox.cancel_queued(scene.db, reporter)
    checkins.cancel(scene.db, reporter)
    scene.changes["state"] = state
    if scene.about:
        cases.note_event(scene.db, scene.about, "went_silent" if state == "silent" else "opted_out")


def _give_consent(scene: Scene, values: Mapping[str, Any]) -> None:
    checkins.give_consent(scene.db, scene.before.reporter.id, values["purpose"], f"{values['purpose']}.ask")


def _withdraw_consent(scene: Scene, values: Mapping[str, Any]) -> None:
    reporter = scene.before.reporter.id
    checkins.give_consent(scene.db, reporter, values["purpose"], f"{values['purpose']}.ask", is_given=False)
    checkins.settle(scene.db, reporter)
    checkins.cancel(scene.db, reporter)
    if scene.about:
        cases.note_event(scene.db, scene.about, "check_ins_ended")


def _promise_check_in(scene: Scene, values: Mapping[str, Any]) -> None:
    if scene.case:
        due_at = checkins.due_at(values["in_days"], scene.voice.check_in_hour, scene.voice.time_zone, clock.now())
        checkins.schedule(scene.db, scene.before.reporter.id, scene.case, due_at)


def _note_check_in(scene: Scene, values: Mapping[str, Any]) -> None:
    checkins.settle(scene.db, scene.before.reporter.id)
    if scene.about is None:
        return
    verb, risk = {True: ("said_safe", 0), False: ("said_not_safe", cases.NOT_SAFE)}.get(
        values["safe"], ("gave_no_answer", cases.NOT_SURE)
    )
    cases.note_event(scene.db, scene.about, verb, at_least_risk=risk)


def _forget_soon(scene: Scene, _values: Mapping[str, Any]) -> None:
    """Stay anonymous: the address goes once the last text is delivered, a day later at the latest; nobody is asked any more."""
    checkins.cancel(scene.db, scene.before.reporter.id)
    soon = sa.update(Address).where(_address.reporter_id == scene.before.reporter.id)
    scene.db.execute(soon.values(forget_at=clock.now() + ANONYMOUS_LIVES))


def _raise_risk(scene: Scene, _values: Mapping[str, Any]) -> None:
    """The report carries it; here only a case that is already open learns of it."""
    if scene.before.latest is not None and scene.before.latest.state != "closed":
        cases.note_event(scene.db, scene.before.latest.id, "said_not_safe", at_least_risk=cases.NOT_SAFE)


def _safeguard(scene: Scene, values: Mapping[str, Any]) -> None:
    """Words of self-harm, or of a child or an adult at risk: who helps, once an hour, and the caseworkers see it first."""
    need = values["need"]
    if scene.about:
        cases.note_event(scene.db, scene.about, f"{need}_words", at_least_risk=cases.EMERGENCY)
    scene.is_in_danger = True
    said = {**scene.before.profile.get("safeguarded", {}), **scene.remembers.get("safeguarded", {})}
    if scene.before.owner or said.get(need, "") > (clock.now() - EMERGENCY_TEXT_EVERY).isoformat():
        return
    scene.remembers["safeguarded"] = {**said, need: clock.now().isoformat()}
    _say(scene, {"msgid": f"safeguard.{need}", "values": {}, "options": []})


def _note_code_try(scene: Scene, values: Mapping[str, Any]) -> None:
    tries = [at for at in scene.before.profile.get("code_tries", ()) if at > (clock.now() - CODE_TRIES_EVERY).isoformat()]
    scene.remembers["code_tries"] = [*tries, values["at"]]


def _returned_to(scene: Scene, values: Mapping[str, Any]) -> Any:
    """The case whose code was sent, with its reporter locked; None if it is gone meanwhile."""
    case = cases.find(scene.db, UUID(values["case"]))
    if case is not None and case.reporter_id != scene.before.reporter.id:
        lock_reporter(scene.db, case.reporter_id)
        touch_reporter(scene.db, case.reporter_id)
    return case


def _tell_status(scene: Scene, values: Mapping[str, Any]) -> None:
    case = _returned_to(scene, values)
    state = case.state if case else "closed"
    _say(scene, {"msgid": f"status.{state}", "values": {}, "options": []})


def _add_returned_words(scene: Scene, values: Mapping[str, Any]) -> None:
    case = _returned_to(scene, values)
    if case is not None and scene.message is not None:
        cases.add_reporter_message(scene.db, case, values["added"], language=scene.plan.language, message=scene.message.id)


def _tell_consents(scene: Scene, values: Mapping[str, Any]) -> None:
    case = _returned_to(scene, values)
    for purpose in PURPOSES:
        is_given = case is not None and checkins.has_consent(scene.db, case.reporter_id, purpose)
        _say(scene, {"msgid": f"consents.{purpose}.{'yes' if is_given else 'no'}", "values": {}, "options": []})
    _say(scene, {"msgid": "consents.sharing", "values": {}, "options": []})


def _turn_consent(scene: Scene, values: Mapping[str, Any]) -> None:
    """Give what was not given, withdraw what was; the ledger keeps both."""
    case = _returned_to(scene, values)
    if case is None:
        return
    purpose = values["purpose"]
    is_given = not checkins.has_consent(scene.db, case.reporter_id, purpose)
    checkins.give_consent(scene.db, case.reporter_id, purpose, "consents.ask", is_given=is_given)
    cases.note_event(scene.db, case.id, f"{purpose}_{'agreed' if is_given else 'withdrawn'}")
    if purpose == "contact":
        touch_reporter(scene.db, case.reporter_id, contact="yes" if is_given else "reporter_first")
    elif is_given:
        due_at = checkins.due_at(3, scene.voice.check_in_hour, scene.voice.time_zone, clock.now())
        checkins.schedule(scene.db, case.reporter_id, case.id, due_at)
    else:
        checkins.cancel(scene.db, case.reporter_id)


def _end_contact(scene: Scene, values: Mapping[str, Any]) -> None:
    """No more messages: every consent is withdrawn, what is promised or queued is taken back."""
    case = _returned_to(scene, values)
    if case is None:
        return
    for purpose in PURPOSES:
        if checkins.has_consent(scene.db, case.reporter_id, purpose):
            checkins.give_consent(scene.db, case.reporter_id, purpose, "return.stopped", is_given=False)
    checkins.cancel(scene.db, case.reporter_id)
    outbox.cancel_queued(scene.db, case.reporter_id)
    touch_reporter(scene.db, case.reporter_id, contact="reporter_first")
    cases.note_event(scene.db, case.id, "contact_ended")


def _want_erasure(scene: Scene, values: Mapping[str, Any]) -> None:
    """Erased at once, and no person has to agree; only what is under legal hold stays, and a caseworker sees the wish."""
    case = _returned_to(scene, values)
    if case is not None and retention.erase_reporter(scene.db, case.reporter_id) and cases.find(scene.db, case.id):
        cases.note_event(scene.db, case.id, "erasure_wanted", at_least_risk=cases.NOT_SURE)


def _note_feedback(scene: Scene, values: Mapping[str, Any]) -> None:
    if scene.about:
        cases.note_event(scene.db, scene.about, f"feedback_{values['was']}")


EFFECTS: Mapping[str, Callable[[Scene, Mapping[str, Any]], None]] = {
    "said": _say,
    "report_confirmed": _confirm_report,
    "risk_raised": _raise_risk,
    "consent_given": _give_consent,
    "consent_withdrawn": _withdraw_consent,
    "check_in_wanted": _promise_check_in,
    "checked_in": _note_check_in,
    "anonymity_wanted": _forget_soon,
    "case_message": _add_to_case,
    "person_wanted": _want_person,
    "kept_for_a_person": _keep_for_a_person,
    "emergency_words": _warn,
    "safeguarding_words": _safeguard,
    "code_tried": _note_code_try,
    "status_wanted": _tell_status,
    "words_added": _add_returned_words,
    "consents_wanted": _tell_consents,
    "consent_turned": _turn_consent,
    "contact_ended": _end_contact,
    "erasure_wanted": _want_erasure,
    "feedback_given": _note_feedback,
    "went_silent": _fall_silent,
    "opted_out": lambda scene, values: _fall_silent(scene, values, "opted_out"),
    "came_back": lambda scene, _values: scene.changes.update(state="open"),
}
