"""What each event of a plan does, in the one commit that answers a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from bot import attachments, cases, checkins, clock, examples, identity_word, outbox, retention, sessions, vendor_copies, windows
from bot.hours import Hours
from bot.inbox import Claimed
from bot.messages import Channel, Choice, split_text
from bot.models import Address, Message
from bot.sessions import NOT_TOLD, Session, Situation
from bot.store import Transaction, lock_reporter, move_on, touch_reporter
from flows.model import Event, Option
from translations import catalog

EMERGENCY_TEXT_EVERY = timedelta(hours=1)
ANONYMOUS_LIVES = timedelta(hours=24)
CODE_TRIES_EVERY = timedelta(hours=1)
SAFEGUARDED: tuple[catalog.Kind, ...] = ("self_harm", "child_risk", "adult_risk")
PURPOSES = ("contact", "check_in")
PROMISE_A_PERSON = frozenset(
    {"receipt", "status.open", "received.late", "emergency.shown", "checkin.emergency", "checkin.not_said"}
    | {"person.requested", "person.not_understood"}
)
IN_DANGER = frozenset({"safe.emergency", "checkin.emergency"})  # after these it is said how the emergency services are texted
LINES_AT_ONCE = 2
KEEPS_THE_TEXT = frozenset({"case_message", "kept_for_a_person"})  # events that put the whole text into a case

_address: Any = Address.__table__.c  # type: ignore[attr-defined]
_message: Any = Message.__table__.c  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Voice:
    """How the bot presents itself: ``Voice("Hope House", "999", 11, "Europe/London")``."""

    organisation: str
    emergency: str
    check_in_hour: int
    time_zone: str
    support: Mapping[str, str] = field(default_factory=dict)  # who helps with self_harm, child_risk, adult_risk
    hours: Hours | None = None  # when people answer; None: nothing is promised
    emergency_text: tuple[str, str] | None = None  # what to say of writing to the emergency services, and their number
    helplines: Sequence[str] = ()  # who else helps: "Galop 0800 999 5428"

    def helps_with(self, need: str) -> str:
        """Who helps; the emergency number where the place names no line."""
        return self.support.get(need, self.emergency)


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


@dataclass
class Scene:
    """One commit in the making: what its events said and changed so far."""

    db: Transaction
    before: Situation
    plan: Plan
    message: Claimed | None
    voice: Voice
    texts: list[str] = field(default_factory=list)
    urgent: list[str] = field(default_factory=list)  # said before them, in a text that a claim does not take back
    options: Sequence[Option] = ()
    changes: dict[str, Any] = field(default_factory=dict)
    case: UUID | None = None
    reference: str = ""
    is_erased: bool = False  # what they told us, the session with it
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


def perform(
    db: Transaction, before: Situation, plan: Plan, message: Claimed | None, voice: Voice, channels: Mapping[str, Channel]
) -> None:
    """Do every event, send what was said as one text, keep where the reporter is now."""
    scene = Scene(db, before, plan, message, voice, is_in_danger=before.profile.get("in_danger", False))
    if message and message.media:
        attachments.want(db, message.reporter_id, message.channel, message.media)
    for event in plan.events:
        EFFECTS[event.name](scene, event.values)
    _send(scene, channels[scene.channel])
    sessions.save(db, replace(before, session=None, session_id=None) if scene.is_erased else before, plan.session)
    profile = {**before.profile, "in_danger": scene.is_in_danger, **scene.remembers}
    if plan.language:
        profile["language"] = plan.language
    if message:
        profile["channel"] = message.channel
    if profile != before.profile:
        scene.changes["profile"] = db.vault.hide(profile, "reporter", "profile", before.reporter.id)
    if scene.changes:
        move_on(db, before.reporter.id, **scene.changes)


def _send(scene: Scene, channel: Channel) -> None:
    """All texts of one turn go out as one message: fewer buzzes on a shared phone, fewer parts to pay for."""
    choices = _choices(scene.options, scene.language)
    text = "\n".join(scene.texts)
    if choices and not channel.has_buttons:
        text += "".join(f"\n{c.number} {c.label}" for c in choices)
    pieces = split_text(text, channel.max_length) if text else []
    address = scene.message.address_id if scene.message else None
    place = scene.message.place if scene.message else None
    if scene.urgent:
        outbox.put(scene.db, scene.before.reporter.id, "\n".join(scene.urgent), author="emergency", address=address, place=place)
    for piece in pieces:
        with_choices = choices if piece is pieces[-1] else []
        outbox.put(
            scene.db, scene.before.reporter.id, piece, author=scene.author, address=address, choices=with_choices, place=place
        )


def _choices(options: Sequence[Option], language: str) -> list[Choice]:
    """Options as the reporter reads them; a label that starts with ``=`` is shown as it is (a language's own name)."""
    labels = [o.label[1:] if o.label.startswith("=") else catalog.render(o.label, language) for o in options]
    return [Choice(str(n), label) for n, label in enumerate(labels, start=1)]


# -- effects: what each event does ---------------------------------------------------------------------------------------------


def _say(scene: Scene, values: Mapping[str, Any]) -> None:
    scene.texts += _with_time(scene, values["msgid"], values["values"])
    if values["msgid"] in IN_DANGER:
        scene.texts += _how_to_text(scene)
    scene.options = values["options"] or scene.options


def _with_time(scene: Scene, msgid: str, values: Mapping[str, Any] = {}) -> list[str]:
    """A text, and where it promises a person and nobody is there: when somebody is. Without set hours nothing is promised."""
    hours, now = scene.voice.hours, clock.now()
    if msgid not in PROMISE_A_PERSON or hours is None or hours.is_open(now) or (opens := hours.opens_next(now)) is None:
        return [_worded(scene, msgid, values)]
    days = (opens.date() - now.astimezone(hours.zone).date()).days
    when = {0: "hours.today", 1: "hours.tomorrow"}.get(days, "hours.on")
    named = {"time": f"{opens.hour}:{opens.minute:02}", "date": catalog.named_day(opens.date(), scene.language)}
    said = f"{msgid}.hours" if f"{msgid}.hours" in catalog.texts()[catalog.SOURCE] else msgid
    return [_worded(scene, said, values), _worded(scene, when, named)]


def _how_to_text(scene: Scene) -> list[str]:
    if scene.voice.emergency_text is None:
        return []
    msgid, number = scene.voice.emergency_text
    return [_worded(scene, msgid, {"number": number})]


def _worded(scene: Scene, msgid: str, values: Mapping[str, Any] = {}) -> str:
    fitting = {
        "receipt": " ".join(scene.plan.receipt[i : i + 4] for i in range(0, 16, 4)),
        "reference": scene.reference,
        "emergency": scene.voice.emergency,
        "organisation": scene.voice.organisation,
    }
    fitting |= {str(need): scene.voice.helps_with(need) for need in SAFEGUARDED}
    return catalog.render(msgid, scene.language, **{**fitting, **values})


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
    if message.media:
        attachments.give(scene.db, message.reporter_id, case.id)
    cases.add_reporter_message(
        scene.db,
        case,
        message.text,
        language=scene.plan.language,
        message=message.id,
        attachments=message.attachments,
        answers="check_in" if scene.before.session and scene.before.session.flow == "checkin" else "",
    )


def _warn(scene: Scene, values: Mapping[str, Any]) -> None:
    """Emergency words: the emergency number at most once an hour, even in a claimed case, and the caseworkers are alerted."""
    is_guess = bool(values.get("is_guess"))
    is_shown = _alert(scene, "danger_guessed" if is_guess else "emergency_words", is_guess=is_guess)
    scene.is_in_danger = True
    last = scene.before.reporter.emergency_said_at
    if scene.before.reporter.state == "opted_out" and "state" not in scene.changes:
        return  # the carrier would not deliver it
    if "emergency_said_at" in scene.changes or (last and last > clock.now() - EMERGENCY_TEXT_EVERY):
        return
    scene.changes["emergency_said_at"] = clock.now()
    scene.urgent += [_worded(scene, "emergency.now"), *_how_to_text(scene)]
    if is_shown:
        scene.urgent += _with_time(scene, "emergency.shown")


def _alert(scene: Scene, verb: str, *, is_guess: bool = False) -> bool:
    """A caseworker sees danger at once, in the case there is or in one opened for it. True: she sees this text, not sent yet.

    That case holds this one text of an unfinished report and no more; where only the machine thinks so, not even that
    (docs/decisions/0007).
    """
    if scene.message is None:
        return False
    known = scene.before.owner or scene.before.latest
    if scene.about is None:
        risk = cases.NOT_SURE if is_guess else cases.EMERGENCY
        scene.case = cases.open_case(scene.db, scene.before.reporter, None, kind="emergency", risk=risk).id
        known = cases.find(scene.db, scene.case)
    if scene.about is not None:
        cases.note_event(scene.db, scene.about, verb, at_least_risk=cases.NOT_SURE if is_guess else cases.EMERGENCY)
    is_kept = any(event.name in KEEPS_THE_TEXT for event in scene.plan.events)
    if is_guess or is_kept or known is None or known.id != scene.about or known.kind != "emergency" or known.report_id:
        return False
    message, language = scene.message, scene.plan.language
    cases.add_reporter_message(scene.db, known, message.text, language=language, message=message.id)
    return scene.before.owner is None


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


def _tell_of_copies(scene: Scene, msgid: str) -> None:
    """What is deleted elsewhere, and what we cannot delete; nothing where the channel has no such text."""
    if f"{msgid}.{scene.channel}" in catalog.texts()[catalog.SOURCE]:
        _say(scene, {"msgid": f"{msgid}.{scene.channel}", "values": {}, "options": []})


def _wipe(scene: Scene, _values: Mapping[str, Any]) -> None:
    """Delete what the vendor holds of this chat, this text included; what we keep of it stays."""
    vendor_copies.want_deleted(scene.db, _message.reporter_id == scene.before.reporter.id)
    if scene.before.owner is not None:
        cases.note_event(scene.db, scene.before.owner.id, "chat_wiped")
    elif scene.before.reporter.state == "open":
        _tell_of_copies(scene, "wiped")


def _forget_soon(scene: Scene, _values: Mapping[str, Any]) -> None:
    """Stay anonymous: the address goes once the last text is delivered, a day later at the latest; nobody is asked any more."""
    checkins.cancel(scene.db, scene.before.reporter.id)
    soon = sa.update(Address).where(_address.reporter_id == scene.before.reporter.id)
    scene.db.execute(soon.values(forget_at=clock.now() + ANONYMOUS_LIVES))
    _tell_of_copies(scene, "anonymous.copies")


def _raise_risk(scene: Scene, _values: Mapping[str, Any]) -> None:
    """The report carries it; here only a case that is already open learns of it."""
    if scene.before.latest is not None and scene.before.latest.state != "closed":
        cases.note_event(scene.db, scene.before.latest.id, "said_not_safe", at_least_risk=cases.NOT_SAFE)


def _safeguard(scene: Scene, values: Mapping[str, Any]) -> None:
    """Words of self-harm, or of a child or an adult at risk: who helps, once an hour, and the caseworkers see it first."""
    need = values["need"]
    is_shown = _alert(scene, f"{need}_words")
    scene.is_in_danger = True
    said = {**scene.before.profile.get("safeguarded", {}), **scene.remembers.get("safeguarded", {})}
    if scene.before.owner or said.get(need, "") > (clock.now() - EMERGENCY_TEXT_EVERY).isoformat():
        return
    scene.remembers["safeguarded"] = {**said, need: clock.now().isoformat()}
    scene.texts.append(_worded(scene, f"safeguard.{need}"))
    if is_shown:
        scene.texts += _with_time(scene, "emergency.shown")


def _note_code_try(scene: Scene, values: Mapping[str, Any]) -> None:
    tries = [at for at in scene.before.profile.get("code_tries", ()) if at > (clock.now() - CODE_TRIES_EVERY).isoformat()]
    scene.remembers["code_tries"] = [*tries, values["at"]]


def _returned_to(scene: Scene, values: Mapping[str, Any]) -> Any:
    """The case whose code was sent, with its reporter locked; None if it is gone meanwhile."""
    case = cases.find(scene.db, UUID(values["case"]))
    if case is not None and case.reporter_id != scene.before.reporter.id:
        lock_reporter(scene.db, case.reporter_id)
    return case


def _keep_word(scene: Scene, values: Mapping[str, Any]) -> None:
    """Only what shows that a word is the right one is kept, with the reporter whose case it speaks of."""
    if not values.get("word"):
        return
    case = _returned_to(scene, values) if "case" in values else cases.find(scene.db, scene.case) if scene.case else None
    if case is None:
        return
    if case.reporter_id == scene.before.reporter.id:
        kept = scene.before.profile.get("words", {})
        scene.remembers["words"] = {**kept, str(case.id): values["word"]}
        return
    theirs = lock_reporter(scene.db, case.reporter_id)
    profile = scene.db.vault.reveal(theirs.profile, "reporter", "profile", theirs.id)
    profile = {**profile, "words": {**profile.get("words", {}), str(case.id): values["word"]}}
    touch_reporter(scene.db, theirs.id, profile=scene.db.vault.hide(profile, "reporter", "profile", theirs.id))


def _note_wrong_word(scene: Scene, values: Mapping[str, Any]) -> None:
    scene.remembers["word_tries"] = [*identity_word.tries(scene.before.profile, clock.now()), values["at"]]
    if values["is_last"] and scene.about:
        cases.note_event(scene.db, scene.about, "word_wrong")


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
    if case is not None and checkins.has_consent(scene.db, case.reporter_id, examples.PURPOSE):
        _say(scene, {"msgid": "consents.training.yes", "values": {}, "options": []})
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


def _refuse_training(scene: Scene, values: Mapping[str, Any]) -> None:
    """A caseworker may have written down a yes; the reporter's no ends it, and what was kept for it is erased."""
    case = _returned_to(scene, values)
    if case is not None and checkins.has_consent(scene.db, case.reporter_id, examples.PURPOSE):
        examples.withdraw_consent(scene.db, case.reporter_id, "option.consents.no_training")
        cases.note_event(scene.db, case.id, "training_withdrawn")


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
    if case is not None and case.reporter_id == scene.before.reporter.id:
        _tell_of_copies(scene, "delete.copies")
        scene.is_erased = True
    if case is not None and retention.erase_reporter(scene.db, case.reporter_id) and cases.find(scene.db, case.id):
        cases.note_event(scene.db, case.id, "erasure_wanted", at_least_risk=cases.NOT_SURE)


def _send_what_waited(scene: Scene, _values: Mapping[str, Any]) -> None:
    windows.release(scene.db, scene.before.reporter.id)


def _note_reads_wrong(scene: Scene, _values: Mapping[str, Any]) -> None:
    """A reply reads wrong: its caseworker sees it beside the reply. While she holds the conversation the bot stays silent."""
    was_answered = scene.about is not None and cases.was_answered(scene.db, scene.about)
    if scene.about is not None and was_answered:
        cases.note_event(scene.db, scene.about, "reads_wrong")
    if scene.before.owner is None:
        _say(scene, {"msgid": "reads_wrong.thanks" if was_answered else "added", "values": {}, "options": []})


def _tell_who_helps(scene: Scene, _values: Mapping[str, Any]) -> None:
    """Two helplines of this place, and at the next asking the next two."""
    lines = scene.voice.helplines
    if not lines:
        scene.texts.append(_worded(scene, "help.none"))
        return
    told = scene.before.profile.get("helplines_told", 0) % len(lines)
    scene.remembers["helplines_told"] = told + LINES_AT_ONCE if told + LINES_AT_ONCE < len(lines) else 0
    scene.texts.append(_worded(scene, "help.lines", {"lines": "; ".join(lines[told : told + LINES_AT_ONCE])}))


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
    "word_chosen": _keep_word,
    "word_wrong": _note_wrong_word,
    "status_wanted": _tell_status,
    "words_added": _add_returned_words,
    "consents_wanted": _tell_consents,
    "consent_turned": _turn_consent,
    "training_refused": _refuse_training,
    "contact_ended": _end_contact,
    "erasure_wanted": _want_erasure,
    "feedback_given": _note_feedback,
    "help_wanted": _tell_who_helps,
    "reads_wrong": _note_reads_wrong,
    "wipe_wanted": _wipe,
    "went_silent": _fall_silent,
    "opted_out": lambda scene, values: _fall_silent(scene, values, "opted_out"),
    "window_opened": _send_what_waited,
    "came_back": lambda scene, _values: scene.changes.update(state="open"),
}
