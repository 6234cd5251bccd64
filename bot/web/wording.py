"""How the console says codes, times and flags in plain words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from bot import clock
from bot.case_queue import OTHER, UNKNOWN
from translations import catalog, quality

STRANDS: Mapping[str, str] = {
    "race": "Race or ethnicity",
    "religion": "Religion",
    "sexual_orientation": "Sexual orientation",
    "disability": "Disability",
    "transgender": "Transgender identity",
    "sex_gender": "Sex or gender",
}
NO_MOTIVATION = "none"
NO_MOTIVATION_LABEL = "No bias motivation seen"

RISKS: Mapping[int, str] = {3: "Emergency words", 2: "Not safe", 1: "Not sure", 0: "Nothing said"}
KINDS: Mapping[str, str] = {
    "report": "Report",
    "person_wanted": "Asked for a person",
    "not_understood": "Not understood by the bot",
    "fault": "Not handled by the bot",
    "cannot_be_answered": "Cannot be answered",
    "emergency": "Danger, not sent yet",
    "unconfirmed": "Never sent by the reporter",
}
STATES: Mapping[str, str] = {"open": "Unclaimed", "claimed": "Claimed", "closed": "Closed"}
REPORTER_STATES: Mapping[str, str] = {"silent": "Went silent", "opted_out": "Stopped by carrier"}
ROLES: Mapping[str, str] = {"victim": "The person it happened to", "witness": "A witness"}
SAFE: Mapping[str, str] = {"yes": "Yes", "no": "No, not safe", "not_sure": "Not sure"}
CONTACT: Mapping[str, str] = {
    "yes": "May be written to here",
    "reporter_first": "Only after they write first",
    "anonymous": "Anonymous: no address is kept",
    "open": "Not asked yet",
}
FLAGS: Mapping[str, str] = quality.IN_WORDS
EVIDENCE: Mapping[str, str] = {
    "slur": "a slur",
    "hostile_words": "hostile words",
    "symbol": "a symbol of hate",
    "reason_given": "a reason is named",
    "identity": "who they are is mentioned (alone no sign)",
    "date_or_place": "a place or date that matters to the group",
    "earlier_incidents": "it happened before",
    "no_other_motive": "no other motive is told",
    "model_weight": "words that weighed most for the model",
}
FILE_STATES: Mapping[str, str] = {
    "wanted": "A file that is being fetched",
    "too_large": "A file that was too large to be kept; the reporter was told",
    "lost": "A file that could not be fetched any more",
}
FILE_KINDS: Mapping[str, str] = {"image": "Picture", "audio": "Recording", "video": "Video"}
DELIVERIES: Mapping[str, str] = {
    "queued": "Waiting to be sent",
    "sending": "Being sent",
    "retried": "Could not be sent yet: it is tried again for a day",
    "sent": "Sent",
    "delivered": "Delivered",
    "read": "Read",
    "failed": "Could not be delivered",
    "stopped": "Refused: their carrier stopped our texts",
    "cancelled": "Taken back, not sent",
    "invited": "Waits: WhatsApp takes our words only within 24 hours of their own. A neutral note has invited them to write",
    "held": "Waits until they write: WhatsApp takes our words only within 24 hours of their own, and no note could be sent",
}
ACTIONS: Mapping[str, str] = {
    "opened": "The case was opened",
    "report_came": "The reporter sent their report",
    "danger_guessed": "The machine heard danger in a text that is not sent yet: a guess, and not shown",
    "word_wrong": "Three wrong words: somebody else may hold the phone",
    "read": "read the case",
    "claimed": "claimed the case",
    "opened_file": "opened a file",
    "noted": "wrote a note",
    "replied": "wrote to the reporter",
    "decided": "wrote down a decision",
    "closed": "closed the case",
    "held": "put the case under legal hold",
    "let_go": "ended the legal hold",
    "unmask_asked": "asked to see the reporter's address",
    "unmask_granted": "let a colleague see the reporter's address",
    "unmask_refused": "refused to show the reporter's address",
    "unmask_taken_back": "took the question for the reporter's address back",
    "unmasked": "saw the reporter's address",
    "erased": "erased a case",
    "disabled": "ended the access of",
    "reset": "gave a new password to",
    "made_lead": "made a lead of",
    "let_in": "let in",
    "exported": "took out the approved example",
    "training_agreed": "wrote down that the machine may learn from it",
    "training_withdrawn": "wrote down that the machine may not learn from it",
    "example_approved": "approved a redacted example",
    "transferred": "handed the case over to this team",
    "handed_back": "The case came back to the queue: whoever held it has left",
    "person_wanted": "The reporter asked for a person",
    "self_harm_words": "The reporter used words of self-harm",
    "child_risk_words": "The reporter used words that a child may be at risk",
    "adult_risk_words": "The reporter used words that an adult may be at risk",
    "contact_agreed": "The reporter agreed to be written to",
    "contact_withdrawn": "The reporter does not want to be written to first",
    "check_in_agreed": "The reporter agreed to check-ins",
    "check_in_withdrawn": "The reporter wants no more check-ins",
    "contact_ended": "The reporter came back with the code: no more messages",
    "chat_wiped": "The reporter had the chat cleared at the vendor; what we keep stays",
    "erasure_wanted": "The reporter came back with the code and wants everything deleted",
    "feedback_good": "Feedback: good",
    "feedback_mixed": "Feedback: partly good",
    "feedback_bad": "Feedback: not good",
    "reads_wrong": "The reporter says that our last text reads wrong",
    "asked_again": "The reporter was asked for something they had already told (a retell)",
    "check_in_due": "A check-in was due; it is left to whoever holds the case",
    "check_ins_ended": "The reporter wants no more check-ins",
    "emergency_words": "The reporter used emergency words",
    "went_silent": "The reporter asked for silence",
    "opted_out": "The reporter's carrier stopped our texts",
    "risk_raised": "The risk was raised",
    "said_safe": "Check-in: the reporter said they are safe",
    "said_not_safe": "The reporter said they are not safe",
    "gave_no_answer": "Check-in: the answer was not clear",
}
REVIEWS: Mapping[str, str] = {
    "source": "Written by us in this language. No machine translated it.",
    "reviewed": "Written beforehand and read by a person of this language. No machine translated it.",
    "unreviewed": "Written beforehand; no person of this language has read it yet.",
}
LIKELY_FROM = 0.8  # confidence, where an older suggestion has no word for it
DETAILS: Mapping[str, str] = {
    "race.black": "Anti-Black",
    "race.asian": "Anti-Asian",
    "race.arab": "Anti-Arab",
    "race.white": "Anti-White",
    "race.indigenous": "Anti-Indigenous",
    "race.hispanic": "Anti-Latino",
    "race.roma_gypsy_traveller": "Anti-Roma, Gypsy or Traveller",
    "race.migrant_nationality": "against migrants or a nationality",
    "race.caste": "caste",
    "race.other": "another origin",
    "religion.muslim": "Anti-Muslim",
    "religion.jewish": "Antisemitic",
    "religion.christian": "Anti-Christian",
    "religion.catholic": "Anti-Catholic",
    "religion.jw": "against Jehovah's Witnesses",
    "religion.hindu": "Anti-Hindu",
    "religion.sikh": "Anti-Sikh",
    "religion.buddhist": "Anti-Buddhist",
    "religion.other": "another religion or belief",
    "so.gay": "against gay men",
    "so.lesbian": "against lesbians",
    "so.bisexual": "against bisexual people",
    "disability.physical": "body or senses",
    "disability.mental": "learning disability, mental health, autism",
    "gender.female": "against women",
    "gender.male": "against men",
    "trans.transgender": "against trans people",
    "trans.gnc": "against non-binary people",
}
INCIDENTS: Mapping[str, str] = {
    "verbal_abuse": "insults",
    "threat": "a threat",
    "physical_assault": "an attack on a person",
    "damage": "damage to things",
    "theft": "theft or robbery",
    "online": "online abuse",
    "refusal": "a service or place refused",
    "harassment": "harassment over time",
}
ALSO_TOLD: Mapping[str, str] = {
    "injury": "somebody was hurt",
    "threat": "there was a threat",
    "damage": "things were damaged",
    "online": "it happened online",
    "ongoing": "it goes on",
}


@dataclass(frozen=True)
class Tongue:
    """A language as a page needs it: ``Tongue("pt", "Portuguese", "Português", "ltr")``.

    ``direction`` auto: the browser looks at the text.
    """

    code: str
    english: str
    own: str
    direction: Literal["ltr", "rtl", "auto"]


def tongue(code: str | None) -> Tongue:
    """A language by its code; one we do not know is left to the browser."""
    known = catalog.languages().get(code or "")
    if known is None:
        return Tongue(code or "", code or "language not known", "", "auto")
    return Tongue(code or "", known.english_name, known.name, known.direction)


def language(code: str) -> str:
    """A case's language on the queue: ``"Polish"``."""
    return {UNKNOWN: "Language not known yet", OTHER: "Another language"}.get(code) or tongue(code).english


def languages() -> list[tuple[str, str]]:
    """What the queue can be narrowed to, by code and name, in the order of the names."""
    ours = sorted(((code, known.english_name) for code, known in catalog.languages().items()), key=lambda one: one[1])
    return [*ours, (UNKNOWN, "Not known yet")]


def flags(codes: Iterable[str], doubtful: Iterable[str] = ()) -> list[str]:
    """The flags of a translation as sentences; ``doubtful`` are words of the original that may have been lost."""
    named = ", ".join(f"“{word}”" for word in doubtful)
    said = [FLAGS.get(code, code.replace("_", " ")) for code in codes]
    return [*said, *([f"May be missing or wrong: {named}"] if named else [])]


def confidence(motivation: Mapping[str, Any]) -> str:
    """How sure the model is, as a word: a number would promise more than it can know."""
    value = motivation.get("confidence")
    by_number = "likely" if isinstance(value, int | float) and value >= LIKELY_FROM else "possible"
    return str(motivation.get("band") or by_number)


def detail(code: str) -> str:
    """A finer code in words: ``"religion.muslim"`` → ``"Anti-Muslim"``."""
    return DETAILS.get(code, code.rpartition(".")[2].replace("_", " "))


def motivation(code: str) -> str:
    return NO_MOTIVATION_LABEL if code == NO_MOTIVATION else STRANDS.get(code, code.replace("_", " "))


def age(at: datetime) -> str:
    """How long ago, as one reads it at a glance: ``"just now"``, ``"35 min"``, ``"4 h"``, ``"3 days"``."""
    gone = max(clock.now() - at, timedelta())
    minutes = int(gone.total_seconds() // 60)
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h"
    return f"{gone.days} days"


def moment(at: datetime, zone: ZoneInfo) -> str:
    """A time on the caseworkers' clock: ``"Tue 3 Nov, 09:12"``; with the year when it is not this one."""
    here = at.astimezone(zone)
    year = "" if here.year == clock.now().astimezone(zone).year else f" {here.year}"
    return f"{here:%a} {here.day} {here:%b}{year}, {here:%H:%M}"


def file_kind(kind: str) -> str:
    """A type of file in a word: ``file_kind("audio/ogg") == "Recording"``."""
    return FILE_KINDS.get(kind.partition("/")[0], "Paper or other file")


def file_size(size: int) -> str:
    """``file_size(48211) == "47 kB"``."""
    return f"{size / 1024 / 1024:.1f} MB" if size >= 1024 * 1024 else f"{max(1, round(size / 1024))} kB"
