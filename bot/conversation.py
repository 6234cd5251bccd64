"""What a text leads to: the words that outrank everything first, then what was meant, then what the flow says.

Deciding needs no transaction, so a slow Rasa holds nobody up. Applying is the one commit: it locks the reporter, finds that the
conversation has not moved meanwhile, and does every event (see effects).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from bot import attachments, cases, checkins, clock, code_tries, identity_word, inbox, keys, sessions, windows
from bot.checkins import Due
from bot.effects import CODE_TRIES_EVERY, SAFEGUARDED, Plan, Voice, perform
from bot.inbox import Claimed
from bot.messages import Channel, Windowed
from bot.models import FlowSession
from bot.sessions import LONG_SILENCE, UNFINISHED_LIVES, Session, Situation
from bot.store import Store, Transaction, hold_reporters, language_of, lock_reporter, move_on
from bot.understanding import SILENT, Nlu, Unasked, Understanding, WouldWait, as_number, is_account, pick_answer
from flows import engine
from flows.model import Event, Flow, FlowError, Option, Position, Turn
from translations import catalog, detect

OFFER_AGAIN = timedelta(days=1)  # after it a half-told report is offered once more
PAUSE = (Option("may_read", "option.pause.may_read"), Option("erase", "option.pause.erase"))
RESUME = (Option("go_on", "option.resume.go_on"), Option("restart", "option.resume.restart"))
PLACES = ("where", "change_where")  # the nodes whose answer is a place
RECEIPT_DIGITS = 16
MOST_CODE_TRIES = 5
MOVES = 5  # how often a conversation may move under our hands before its text goes back into the line
DANGER_CONFIDENCE = 0.6  # NLU may only ever ADD the emergency text

_session: Any = FlowSession.__table__.c  # type: ignore[attr-defined]


class Moved(Exception):
    """Somebody changed the conversation between reading and writing it: read it again."""


class Conversation:
    """Handles one text after another; keeps nothing itself."""

    def __init__(self, store: Store, flows: Mapping[str, Flow], nlu: Nlu, channels: Mapping[str, Channel], voice: Voice) -> None:
        self._store = store
        self._flows = flows
        self._nlu = nlu
        self._channels = channels
        self._voice = voice
        self._windowed = {name for name, channel in channels.items() if isinstance(channel, Windowed)}

    def handle(self, message: Claimed) -> None:
        """Answer one text, in one commit. When it raises, nothing is half done."""
        for _ in range(MOVES):
            before = self._read([message])[message.id]
            plan = self._with_secrets(self._decide(before, message))
            if self._commit([(before, plan, message)]):
                return
        raise Moved

    def handle_together(self, messages: Sequence[Claimed]) -> Sequence[Claimed]:
        """Answer texts of different reporters in one commit. Returns those that are to be handled each by itself.

        That is whatever has to be waited for (Rasa, a receipt), does more than talk, failed before, or moved meanwhile. When it
        raises, nothing is half done, and each is to be handled by itself.
        """
        plain = [message for message in messages if message.attempts == 1 and not message.media and not _code_in(message.text)]
        unasked = Conversation(self._store, self._flows, Unasked(self._nlu), self._channels, self._voice)
        answers = []
        situations = self._read(plain)
        for message in plain:
            if (before := situations.get(message.id)) is None:
                continue
            try:
                plan = unasked._decide(before, message)
            except WouldWait:
                continue
            if all(event.name == "said" for event in plan.events):
                answers.append((before, plan, message))
        answered = self._commit(answers) if answers else set()
        return [message for message in messages if message.id not in answered]

    def _read(self, messages: Sequence[Claimed]) -> dict[UUID, Situation]:
        """What decides what each text means, by the text's id; without those whose reporter is gone."""
        with self._store.reading() as db:
            found = sessions.read_all(db, {message.reporter_id for message in messages})
            situations = {message.id: found[message.reporter_id] for message in messages if message.reporter_id in found}
            for message in messages:
                if message.channel in self._windowed and windows.is_any_held(db, message.reporter_id):
                    situations[message.id] = replace(situations[message.id], is_invited=True)
        return situations

    def hand_over(self, message: Claimed) -> None:
        """A text that could not be handled becomes a case for a person; the reporter hears that their words are kept."""
        with self._store.transaction() as db:
            lock_reporter(db, message.reporter_id)
            before = sessions.read(db, message.reporter_id, reads_session=False)  # it may be what cannot be read
            plan = _plain_word(before, message)
            if plan is None:
                events = [Event("kept_for_a_person", {"kind": "fault"})]
                if before.owner is None and before.reporter.state == "open":
                    events.append(_said("received.late"))
                if catalog.matches_word(message.text, "emergency"):
                    events.append(Event("emergency_words", {}))
                plan = Plan(tuple(events), None, before.language)
            perform(db, before, plan, message, self._voice, self._channels)
            inbox.finish(db, message.id, "handed_over")

    def check_in(self, db: Transaction, due: Due) -> None:
        """Ask a check-in that is due; where a person owns the conversation she is told instead, and the bot is silent."""
        lock_reporter(db, due.reporter_id)
        before = sessions.read(db, due.reporter_id)
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
            perform(db, before, plan, None, self._voice, self._channels)

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
            before = sessions.read(db, reporter_id)
            session = before.session
            if session is None or session.was_offered or session.waits_for or session.position is None:
                continue
            if before.owner is not None or before.reporter.state != "open" or session.position.facts.get("contact") != "yes":
                continue
            waiting = replace(session, waits_for="resumed", was_offered=True)
            perform(db, before, Plan((_said("resume.ask", RESUME),), waiting, before.language), None, self._voice, self._channels)
            offered += 1
        return offered

    # -- deciding ------------------------------------------------------------------------------------------------------------

    def _decide(self, before: Situation, message: Claimed) -> Plan:
        text = message.text
        if plain := _plain_word(before, message):
            return plain
        if before.is_long_silent and before.session is not None and before.session.flow == "return":
            before = replace(before, session=None)  # the code was sent days ago: others may hold the phone by now
        channel = self._channels.get(message.channel)
        needs_start = channel is None or channel.needs_start_word
        if before.reporter.state == "opted_out" and needs_start and not catalog.matches_word(text, "carrier_start"):
            events = [Event("kept_for_a_person", {"kind": "cannot_be_answered"})]
            if catalog.matches_word(text, "emergency"):
                events.append(Event("emergency_words", {}))
            return Plan(tuple(events), before.session, before.language)
        if message.media and before.owner is None and before.reporter.state == "open" and text.strip():
            return _with_files(self._meant(before, message), message)
        return self._meant(before, message)

    def _meant(self, before: Situation, message: Claimed) -> Plan:
        text = message.text
        if catalog.matches_word(text, "wipe"):
            return _wiped(before)
        if before.owner is not None:
            back = [] if before.reporter.state == "open" else [Event("came_back", {})]
            language = detect.language_of(text, before.language).language or before.language
            opened = [Event("window_opened", {})] if before.is_invited else []
            wrong = [Event("reads_wrong", {})] if catalog.matches_word(text, "reads_wrong") else []
            plan = Plan((*back, Event("case_message", {}), *wrong, *opened), before.session, language)
        elif before.reporter.state != "open":
            plan = self._coming_back(before, message)
        elif before.is_invited:
            plan = self._invited(before, message)
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
            others = (event for event in plan.events if event.name != "emergency_words")  # a machine's guess adds nothing to them
            plan = replace(plan, events=(Event("emergency_words", {}), *others))
        return plan

    def _returning(self, before: Situation, message: Claimed) -> Plan | None:
        """A whole message of 16 digits is the code of a report. It opens what can be done with it, never the story."""
        code = _code_in(message.text)
        if code is None:
            return None
        language = before.language or detect.language_of(message.text).language
        tries = [at for at in before.profile.get("code_tries", ()) if at > (clock.now() - CODE_TRIES_EVERY).isoformat()]
        if len(tries) >= MOST_CODE_TRIES:
            return Plan((_said("return.too_often"),), before.session, language)
        found = None
        if keys.is_receipt(code):
            # Who has a case with us is no stranger: whoever guesses elsewhere does not keep them out.
            is_counted = before.latest is None
            if is_counted and not self._may_try(is_first=not tries):
                return Plan((_said("return.later"),), before.session, language)
            verifier = self._store.vault.receipt_verifier(code)
            with self._store.reading() as db:
                found = cases.find_by_receipt(db, verifier)
                if found is not None and language is None:
                    language = language_of(db, found.reporter_id)
            if is_counted and found is not None:
                with self._store.transaction() as db:
                    code_tries.give_back(db)
        tried = Event("code_tried", {"at": clock.now().isoformat()})
        if found is None:
            return Plan((tried, _said("return.wrong")), before.session, language)
        turn = engine.begin(self._flows["return"], {"case": str(found.id)})
        return Plan((tried, *turn.events), _session_of("return", turn), language)

    def _may_try(self, *, is_first: bool) -> bool:
        with self._store.transaction() as db:
            return code_tries.take(db, is_first=is_first)

    def _coming_back(self, before: Situation, message: Claimed) -> Plan:
        """They asked for silence and now write themselves. Somebody else may hold the phone: say nothing of what it is about."""
        if before.session is None and before.latest is not None and before.latest.state != "closed":
            return Plan((Event("came_back", {}), Event("case_message", {}), _said("added")), None, before.language)
        session = before.session or Session(before={"channel": message.channel})
        if not catalog.matches_word(message.text, "carrier_start"):
            session = _keeping(session, message.text)
        return Plan((Event("came_back", {}), _said("resume.neutral")), replace(session, waits_for="go_on"), before.language)

    def _invited(self, before: Situation, message: Claimed) -> Plan:
        """They answer a note that said only that there is a message. It goes to them now; what they wrote cannot answer it yet."""
        opened = Event("window_opened", {})
        if _is_greeting(message.text) or as_number(message.text) is not None:
            return Plan((opened,), before.session, before.language)
        if before.session is not None and before.session.flow == "report":
            return Plan((opened,), _keeping(before.session, message.text), before.language)
        kept = (Event("case_message", {}),) if before.latest is not None else ()
        return Plan((*kept, opened), before.session, before.language)

    def _nothing_to_read(self, before: Situation, message: Claimed) -> Plan:
        events: tuple[Event, ...] = (_said(_about_files(message, "attachment.only") if message.attachments else "empty"),)
        if before.session is None and before.latest is not None and before.latest.state != "closed":
            events = (Event("case_message", {}), *events)
        return Plan(events, before.session, before.language)

    def _opening(self, before: Situation, message: Claimed) -> Plan:
        """Nothing is under way: words for an open case, or the beginning of a report."""
        text = message.text
        if before.latest is not None and catalog.matches_word(text, "my_data", before.language):
            if not before.profile.get("words"):
                return Plan((_said("return.code_wanted"),), None, before.language)
            return self._word_wanted(before, Session("return", before={"channel": message.channel}), before.language)
        if before.latest is not None and catalog.matches_word(text, "reads_wrong"):
            return Plan((Event("case_message", {}), Event("reads_wrong", {})), None, before.language)
        if before.latest is not None and _wants_help(text, before.language):
            return Plan((Event("help_wanted", {}),), before.session, before.language)
        wants_new = catalog.matches_word(text, "new", before.language)
        if before.latest is not None and before.latest.state != "closed" and not wants_new:
            if catalog.matches_word(text, "person", before.language):
                events = (Event("case_message", {}), Event("person_wanted", {}), _said("person.requested"))
                return Plan(events, None, before.language)
            return Plan((Event("case_message", {}), _said("added")), None, before.language)
        facts: dict[str, Any] = {"channel": message.channel}
        if message.is_place:
            return self._speak_their_language({**facts, "where": text}, before.language)
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
        guess: tuple[Event, ...] = ()
        if first.strip() and not _is_greeting(first):
            understood = self._nlu.understand(first, language)
            guess = _danger_in(understood)
            if is_account(first, understood):
                known |= {"story": [first], "told": sorted(understood.told)}
                known |= {"unread": "yes"} if understood.is_silent else {}
            else:
                known["remarks"] = [first, *known.get("remarks", ())]
        turn = engine.begin(self._flows["report"], known)
        events = (*guess, *turn.events) if catalog.has(language) else (*guess, _said("language.unsupported"), *turn.events)
        if catalog.matches_word(first, "person"):
            return self._person_wanted(Plan(events, _session_of("report", turn), language))
        return Plan(events, _session_of("report", turn), language)

    def _going_on(self, before: Situation, session: Session, message: Claimed) -> Plan:
        text, language = message.text, before.language or "en"
        if session.waits_for == "go_on":
            if as_number(text) != 1:
                return Plan((_said("resume.neutral"),), _keeping(session, text), before.language)
            return self._go_on(before, session, before.language)
        if catalog.matches_word(text, "person", before.language):
            return self._person_wanted(Plan((), session, before.language or detect.language_of(text).language))
        if session.waits_for == "word":
            return self._word_given(before, session, text, language)
        if session.waits_for is None and session.flow == "report" and _wants_help(text, before.language):
            plan = self._again(session, before.language)
            return replace(plan, events=(Event("help_wanted", {}), *plan.events))
        if session.waits_for == "language":
            return self._language_chosen(session, message)
        if session.waits_for in ("pause", "resume", "resumed") or (before.is_long_silent and session.flow == "report"):
            return self._resuming(before, session, text, language)
        if session.position is not None and session.flow == "report":
            if message.is_place and session.position.node not in PLACES and "where" not in session.position.facts:
                return self._placed(session, session.position, text, language)
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

    def _placed(self, session: Session, position: Position, place: str, language: str) -> Plan:
        """They shared a place: it is kept as where it happened, which the read-back shows, and the open question stands."""
        known = replace(session, position=replace(position, facts={**position.facts, "where": place}))
        plan = self._again(known, language)
        return replace(plan, events=(_said("place.kept"), *plan.events))

    def _resuming(self, before: Situation, session: Session, text: str, language: str) -> Plan:
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
            return self._go_on(before, session, language)
        told = "" if catalog.matches_word(text, "greeting") else text
        held = "\n".join(part for part in (session.held, told) if part.strip())
        return Plan((_said("resume.ask", RESUME),), replace(session, waits_for="resumed", held=held), language)

    def _go_on(self, before: Situation, session: Session, language: str | None, *, knows_word: bool = False) -> Plan:
        """Back to where they were; what they wrote meanwhile is the answer. The word they chose, if any, comes first."""
        going = replace(session, waits_for=None, held="")
        if session.position is not None and session.position.facts.get("word") and not knows_word:
            return self._word_wanted(before, session, language)
        if session.held and going.position:
            return self._advance(going, going.position, session.held, language or "en")
        return self._again(going, language)

    def _word_wanted(self, before: Situation, session: Session, language: str | None) -> Plan:
        if len(identity_word.tries(before.profile, clock.now())) >= identity_word.TRIES:
            return Plan((_said("word.person"),), before.session, language)
        return Plan((_said("word.ask"),), replace(session, waits_for="word"), language)

    def _word_given(self, before: Situation, session: Session, text: str, language: str) -> Plan:
        """Three wrong words a day, then nothing more is said; who asked for their report still has the code."""
        before_now = len(identity_word.tries(before.profile, clock.now()))
        if before_now >= identity_word.TRIES:
            return Plan((_said("word.person"),), session, language)
        if session.position is not None:
            if catalog.normalised(text) == catalog.normalised(session.position.facts.get("word", "")):
                return self._go_on(before, session, language, knows_word=True)
        elif case := self._case_of_word(before, text):
            turn = engine.begin(self._flows["return"], {"case": case})
            return Plan(turn.events, _session_of("return", turn), language)
        is_last = before_now + 1 >= identity_word.TRIES
        wrong = Event("word_wrong", {"at": clock.now().isoformat(), "is_last": is_last})
        after = session if session.position is not None or not is_last else None
        return Plan((wrong, _said("word.person" if is_last else "word.wrong")), after, language)

    def _case_of_word(self, before: Situation, text: str) -> str | None:
        kept, vault = before.profile.get("words", {}), self._store.vault
        return next((case for case, locked in reversed(kept.items()) if identity_word.is_right(vault, locked, text)), None)

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
        events = (*_danger_in(understood), *kept, *turn.events)
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

    def _with_secrets(self, plan: Plan) -> Plan:
        """Mint the receipt and lock the word they chose before the commit: Argon2id must not hold the database."""
        plan = replace(plan, events=tuple(self._locked(event) for event in plan.events))
        if not any(e.name == "report_confirmed" for e in plan.events):
            return plan
        receipt = keys.new_receipt()
        return replace(plan, receipt=receipt, verifier=self._store.vault.receipt_verifier(receipt))

    def _locked(self, event: Event) -> Event:
        if event.name != "word_chosen" or not event.values.get("word"):
            return event
        return Event(event.name, {**event.values, "word": identity_word.lock(self._store.vault, event.values["word"])})

    # -- applying ------------------------------------------------------------------------------------------------------------

    def _commit(self, answers: Sequence[tuple[Situation, Plan, Claimed]]) -> set[UUID]:
        """Apply plans for different reporters. Returns the texts that are done: those whose conversation did not move meanwhile."""
        with self._store.transaction() as db:
            if len(answers) > 1:
                db.be_quick()
            held = hold_reporters(db, [message.reporter_id for _, _, message in answers])
            unmoved = [
                (before, plan, message)
                for before, plan, message in answers
                if (row := held.get(message.reporter_id)) is not None and row.revision == before.reporter.revision
            ]
            done = inbox.finish_all(db, [message.id for _, _, message in unmoved])
            for before, plan, message in unmoved:
                if message.id in done:  # else somebody else was quicker
                    move_on(db, message.reporter_id)
                    perform(db, before, plan, message, self._voice, self._channels)
            return {message.id for _, _, message in unmoved}


# -- words and places -----------------------------------------------------------------------------------------------------------


def _plain_word(before: Situation, message: Claimed) -> Plan | None:
    """The words that end all talk, before anything else is looked at; nothing may be answered to them."""
    if catalog.matches_word(message.text, "silent_stop"):
        return Plan((Event("went_silent", {}),), before.session, before.language)
    if catalog.matches_word(message.text, "carrier_stop"):
        return Plan((Event("opted_out", {}),), before.session, before.language)
    return None


def _code_in(text: str) -> str | None:
    """The 16 digits, in any script, that a whole text consists of."""
    digits = [character for character in text if character.isdecimal()]
    if len(digits) != RECEIPT_DIGITS or any(character.isalpha() for character in text):
        return None
    return "".join(str(int(digit)) for digit in digits)


def _about_files(message: Claimed, otherwise: str) -> str:
    return "attachment.too_large" if any(one.size > attachments.BIGGEST for one in message.media) else otherwise


def _with_files(plan: Plan, message: Claimed) -> Plan:
    """One calm line about the files, before what the words lead to."""
    return replace(plan, events=(_said(_about_files(message, "attachment.kept")), *plan.events))


def _wiped(before: Situation) -> Plan:
    """The chat is cleared where that can be done. Who wants that may not be alone: no question follows until they write again."""
    session = before.session
    if session is not None and session.flow == "report" and session.position is not None:
        session = replace(session, waits_for="resume")
    return Plan((Event("wipe_wanted", {}),), session, before.language)


def _said(msgid: str, options: Sequence[Option] = ()) -> Event:
    return Event("said", {"msgid": msgid, "values": {}, "options": list(options)})


def _danger_in(understood: Understanding) -> tuple[Event, ...]:
    """A machine that hears danger may be wrong: it only ever adds the emergency number and a caseworker's look."""
    if understood.intent == "in_danger" and understood.confidence >= DANGER_CONFIDENCE:
        return (Event("emergency_words", {"is_guess": True}),)
    return ()


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


def _is_free(session: Session | None) -> bool:
    """Whether a code would interrupt nothing that is told."""
    return session is None or session.flow == "return" or (session.position is None and session.waits_for == "language")


def _is_greeting(text: str) -> bool:
    """Whether a first text only says hello: START also comes from a keyword campaign, or as Telegram's first button."""
    return catalog.matches_word(text, "greeting") or catalog.matches_word(text, "carrier_start")


def _wants_help(text: str, language: str | None) -> bool:
    """Whether they ask who else helps; the carriers' HELP reaches us too, where no carrier stands between."""
    return catalog.matches_word(text, "help", language) or catalog.matches_word(text, "carrier_help")


def _offered_languages() -> list[str]:
    return [code for code in catalog.languages() if catalog.has(code)]


def _language_menu() -> Event:
    names = [Option(code, f"={catalog.languages()[code].name}") for code in _offered_languages()]
    return _said("language.choose", names)


def _named_language(text: str) -> str | None:
    """The language a whole message names: ``"Português"`` or ``"portuguese"`` is ``pt``."""
    return _languages_by_name().get(text.strip().casefold())


@cache
def _languages_by_name() -> Mapping[str, str]:
    tongues = catalog.languages().items()
    return {name.casefold(): code for code, tongue in reversed(list(tongues)) for name in (tongue.name, tongue.english_name)}
