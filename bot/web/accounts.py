"""A reporter's words as a page shows them: the original, its translation and how far to trust it, and evidence marked in place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

from bot.case_files import CaseFile, ChatLine
from bot.web import wording
from bot.web.wording import Tongue, tongue
from translations import lexicon
from translations.lexicon import Gloss

State = Literal["same", "made", "pending", "none"]


@dataclass(frozen=True)
class Passage:
    """A stretch of an original and the numbers of the evidence it belongs to (none: plain text)."""

    text: str
    evidence: tuple[int, ...] = ()
    starts: tuple[int, ...] = ()  # the evidence whose first passage this is


@dataclass(frozen=True)
class Words:
    """One thing the reporter told.

    ``state``: same (the caseworkers' own language), made (there is a translation), pending (it is being made), none.
    ``note`` says who translated, or why nobody did; ``warnings`` say what to check against the original; ``glosses`` what the
    insults in it mean, which engines lose.
    """

    passages: Sequence[Passage]
    tongue: Tongue
    state: State = "same"
    translation: str = ""
    note: str = ""
    warnings: Sequence[str] = ()
    glosses: Sequence[Gloss] = ()

    @property
    def original(self) -> str:
        return "".join(p.text for p in self.passages)


@dataclass(frozen=True)
class Evidence:
    """A place in the account that points to a motivation."""

    number: int
    words: str
    why: str


@dataclass(frozen=True)
class Motivation:
    """One motivation the model suggests."""

    label: str
    confidence: str
    detail: str
    evidence: Sequence[Evidence]


@dataclass(frozen=True)
class Account:
    """Everything a report tells, ready to be shown."""

    story: Words | None
    facts: Sequence[tuple[str, Words | str]]
    perceptions: Sequence[tuple[str, Words]]
    motivations: Sequence[Motivation]
    suggestion: str  # suggested | unclear | unsupported | pending | none
    incident: Sequence[str] = ()  # the kinds the model sees, in words
    also_told: Sequence[str] = ()  # what the account tells besides, in words


@dataclass(frozen=True)
class Line:
    """One text of the chat, ready to be shown. ``sent``: what went out, where that differs from what she wrote."""

    line: ChatLine
    words: Words
    sent: Words | None
    delivery: str
    has_failed: bool
    reads_wrong: bool = False  # the reporter said so


def account(file: CaseFile, working: str) -> Account:
    """The report of a case. ``working``: the caseworkers' language."""
    told, made = file.report, file.report_translation
    language = tongue(told.get("language") or file.language)

    def words(name: str, text: str, spans: Sequence[Mapping[str, Any]] = ()) -> Words:
        return _words(marked(text, spans), language, working, made.get(name), file.is_being_translated)

    spans = _numbered(file.suggestion)
    story = story_of(file)
    facts: list[tuple[str, Words | str]] = [
        (label, _fact(words, name, told)) for label, name in (("When", "when"), ("Where", "where")) if told
    ]
    if told.get("role") != "witness" and told:
        facts.append(("Safe now?", wording.SAFE.get(str(told.get("safe_now")), "Not said")))
    if remarks := _joined(told.get("remarks")):
        facts.append(("Also wrote", words("remarks", remarks)))
    return Account(
        story=words("story", story, spans) if story else None,
        facts=facts,
        perceptions=[(str(p.get("who", "")), _perceived(words, p)) for p in file.perceptions],
        motivations=_motivations(file.suggestion, story),
        suggestion=_state_of(file),
        incident=[wording.INCIDENTS.get(code, code.replace("_", " ")) for code in (file.suggestion or {}).get("incident", ())],
        also_told=[said for fact, said in wording.ALSO_TOLD.items() if fact in (file.suggestion or {}).get("told", ())],
    )


def _fact(words: Any, name: str, told: Mapping[str, Any]) -> Words | str:
    value = told.get(name)
    if value and value != "skipped":
        made: Words = words(name, str(value))
        return made
    return "Told in the account" if name in told.get("told", ()) else "Not said"


def _perceived(words: Any, perception: Mapping[str, Any]) -> Words:
    text = str(perception.get("text", ""))
    if text == "skipped":
        return Words((), tongue(None))
    made: Words = words("perception", text)
    return made


def story_of(file: CaseFile) -> str:
    """What happened, in the reporter's words."""
    return _joined(file.report.get("story"))


def _joined(texts: Any) -> str:
    """The texts of a story in one, as the model read them: evidence offsets count in this string."""
    return texts if isinstance(texts, str) and texts != "skipped" else "\n".join(texts) if isinstance(texts, list | tuple) else ""


def _words(passages: Sequence[Passage], language: Tongue, working: str, made: Mapping[str, Any] | None, is_pending: bool) -> Words:
    if language.code == working:
        return Words(passages, language)
    glosses = lexicon.gloss("".join(p.text for p in passages), language.code or "")
    if made is None:
        note = "" if is_pending else "Not translated"
        return Words(passages, language, "pending" if is_pending else "none", note=note, glosses=glosses)
    codes = [str(f) for f in made.get("flags", ())]
    if made.get("text") is None:
        note = wording.FLAGS["engine_down" if "engine_down" in codes else "interpreter_needed"]
        return Words(passages, language, "none", note=note, glosses=glosses)
    note = f"Automatic translation ({made['engine']})"
    checks = wording.flags(codes, map(str, made.get("doubtful", ())))
    return Words(passages, language, "made", str(made["text"]), note, checks, glosses)


# -- evidence ------------------------------------------------------------------------------------------------------------------


def marked(text: str, spans: Sequence[Mapping[str, Any]]) -> list[Passage]:
    """Cut a text where evidence starts and ends.

    ``spans``: {"number", "start", "end"} with offsets in code points; they may overlap; what lies outside the text is left out.
    """
    places = [(n["number"], max(0, n["start"]), min(len(text), n["end"])) for n in spans]
    places = [place for place in places if place[1] < place[2]]
    cuts = sorted({0, len(text), *(p for _, start, end in places for p in (start, end))})
    passages = []
    for start, end in pairwise(cuts):
        inside = tuple(sorted(n for n, s, e in places if s <= start and end <= e))
        passages.append(Passage(text[start:end], inside, tuple(sorted(n for n, s, _ in places if s == start))))
    return passages


def _numbered(suggestion: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Each distinct place once, numbered in the order of the text."""
    places = {(int(e["start"]), int(e["end"])) for m in _suggested(suggestion) for e in m.get("evidence", ())}
    return [{"number": n, "start": start, "end": end} for n, (start, end) in enumerate(sorted(places), 1)]


def _suggested(suggestion: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = (suggestion or {}).get("motivations", ())
    return found


def _motivations(suggestion: Mapping[str, Any] | None, story: str) -> list[Motivation]:
    number_of = {(s["start"], s["end"]): s["number"] for s in _numbered(suggestion)}
    found = []
    for m in sorted(_suggested(suggestion), key=lambda m: -float(m.get("confidence", 0))):
        evidence = [
            Evidence(
                number_of[e["start"], e["end"]],
                story[max(0, e["start"]) : e["end"]],
                wording.EVIDENCE.get(e.get("why", ""), str(e.get("why", "")).replace("_", " ")),
            )
            for e in m.get("evidence", ())
        ]
        found.append(Motivation(wording.motivation(m["code"]), wording.confidence(m), _detail(m.get("detail")), evidence))
    return found


def _detail(codes: Any) -> str:
    """Finer codes of the taxonomy in words: ``["religion.muslim"]`` → ``"Anti-Muslim"``."""
    listed = [codes] if isinstance(codes, str) else list(codes or ())
    return ", ".join(wording.detail(str(code)) for code in listed)


def _state_of(file: CaseFile) -> str:
    if file.suggestion is not None:
        return str(file.suggestion.get("state", "unclear"))
    return "pending" if file.is_being_translated else "none"


# -- the chat ------------------------------------------------------------------------------------------------------------------


def chat(file: CaseFile, working: str) -> list[Line]:
    """The chat of a case, oldest first; what the reporter said reads wrong is marked: the last text they had got by then."""
    lines = [_line(line, file, working) for line in file.chat]
    for at in (action["at"] for action in file.actions if action["verb"] == "reads_wrong"):
        theirs = [n for n, line in enumerate(lines) if line.line.author != "reporter" and line.line.at <= at]
        if theirs:
            lines[theirs[-1]] = replace(lines[theirs[-1]], reads_wrong=True)
    return lines


def _line(line: ChatLine, file: CaseFile, working: str) -> Line:
    spoken = tongue(line.language or (file.language if line.author == "reporter" else working))
    plain = [Passage(line.text)] if line.text else []
    delivery = wording.DELIVERIES.get(line.delivery or "", "")
    has_failed = line.delivery in ("failed", "stopped", "cancelled")
    if line.author == "reporter":
        return Line(line, _words(plain, spoken, working, line.other, file.is_being_translated), None, delivery, has_failed)
    sent = None
    if line.other and line.other.get("text") != line.text:
        warnings = wording.flags(line.other.get("flags", ()))
        sent = Words([Passage(str(line.other["text"]))], tongue(line.other.get("language")), warnings=warnings)
    return Line(line, Words(plain, spoken), sent, delivery, has_failed)


# -- the history ---------------------------------------------------------------------------------------------------------------


def history(actions: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What was done, newest first; somebody's readings one after another are one line."""
    lines: list[dict[str, Any]] = []
    for action in actions:
        last = lines[-1] if lines else None
        if action["verb"] == "read" and last and last["verb"] == "read" and last["by"] == action["by"]:
            last["at"], last["times"] = action["at"], last["times"] + 1
            continue
        said = wording.ACTIONS.get(action["verb"], str(action["verb"]).replace("_", " "))
        lines.append({**action, "said": said, "times": 1})
    return lines[::-1]
