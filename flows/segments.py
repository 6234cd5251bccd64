"""What a conversation costs over SMS: the parts of a text, and of one whole report played with a reference story."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import regex

from flows.engine import advance, begin
from flows.model import Answer, Flow, Turn

Alphabet = Literal["GSM-7", "UCS-2"]
Render = Callable[..., str]  # render(msgid, language, **values)

GSM = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_DOUBLE = frozenset("\f^{}\\[~]|€")  # each takes two places and is never split


def segments(text: str) -> tuple[Alphabet, int]:
    """The alphabet a text needs and the parts it is sent in: ``segments("Olá") == ("UCS-2", 1)``.

    One part holds 160 GSM-7 characters or 70 UTF-16 units, several hold 153 or 67 each; neither a surrogate pair nor a whole
    grapheme is split. Agrees with Twilio's own calculator. No national shift tables are counted on.
    """
    is_gsm = all(character in GSM or character in GSM_DOUBLE for character in text)
    alphabet: Alphabet = "GSM-7" if is_gsm else "UCS-2"
    alone, each = (160, 153) if is_gsm else (70, 67)
    if is_gsm:
        units = [1 + (character in GSM_DOUBLE) for character in text]
    else:
        units = [len(grapheme.encode("utf-16-le", "surrogatepass")) // 2 for grapheme in regex.findall(r"\X", text)]
    if sum(units) <= alone:
        return alphabet, 1
    parts, used = 1, 0
    for unit in units:
        if used + unit > each:
            parts, used = parts + 1, 0
        used += unit
    return alphabet, parts


@dataclass(frozen=True, slots=True)
class Sent:
    """One text of a played report: ``Sent("role.ask", "Who did it happen to?\\n1 Me…", "GSM-7", 55, 1)``."""

    id: str  # the msgid of its last sentence: the question
    text: str
    alphabet: Alphabet
    characters: int
    segments: int


@dataclass(frozen=True, slots=True)
class Reference:
    """A story told in one SMS, and the answers to every question that follows (the numbers are chosen by ``CHOICES``)."""

    story: str
    why: str
    when: str
    where: str


REFERENCES: Mapping[str, Reference] = {
    "en": Reference(
        "A man spat at me, pulled at my headscarf and shouted go back to your country. "
        "My little girl saw it all and cried. Nobody on the bus said anything to him.",
        "He shouted about my headscarf",
        "Yesterday at 5",
        "On the 36 bus",
    ),
    "pt": Reference(
        "Um homem cuspiu em mim, gritou volta para a tua terra e puxou o meu cabelo. "
        "A minha filha viu e chorou. Ninguém no 36 disse nada.",
        "A minha cor. Ele falou disso.",
        "Ontem ao fim da tarde",
        "No 36, perto da escola",
    ),
    "ar": Reference(
        "بصق رجل علي وشد حجابي وصرخ: عودي إلى بلدك. كانت ابنتي معي وبكت ولم يساعدنا أحد.",
        "صرخ بسبب حجابي",
        "أمس مساء",
        "في الحافلة 36",
    ),
}
CHOICES = {
    "more": "done",
    "more_again": "done",
    "role": "victim",
    "safe_now": "yes",
    "contact": "yes",
    "check_in": "yes",
    "read_back": "yes",
}
# Values as long as real ones: an organisation's name of 18 letters, a reference, a code of 16 digits in groups.
VALUES = {
    "organisation": "Eastbridge Listens",
    "emergency": "999",
    "place": "Eastbridge",
    "reference": "T-4821",
    "receipt": "4821 0937 5516 2208",
    "number": "999",
    "time": "9:00",
    "date": "Wednesday, 30 September 2026",
    "lines": "Crimestoppers 0800 555 111; Galop 0800 999 5428",
    "self_harm": "Samaritans 116 123",
    "child_risk": "Childline 0800 1111",
    "adult_risk": "0808 2000 247",
}


def played_report(flow: Flow, render: Render, language: str, opens_with_story: bool = True) -> list[Sent]:
    """Every text sent over SMS for one completed victim report that is asked, and answers, every question.

    The reporter's first text is the story itself, or a mere hello. ``told`` stays empty, so that no question is left out.
    """
    reference = REFERENCES[language]
    words = {"story": reference.story, "motive": reference.why, "when": reference.when, "where": reference.where}
    turn = begin(flow, {"channel": "sms", "story": [reference.story] if opens_with_story else []})
    sent = [_sent(turn, render, language)]
    while turn.position is not None and turn.ask is not None:
        node = turn.ask.node
        if node in words:
            answer = Answer("text", words[node])
        else:
            number = 1 + [option.value for option in turn.ask.options].index(CHOICES[node])
            answer = Answer("option", str(number), CHOICES[node])
        turn = advance(flow, turn.position, answer)
        sent.append(_sent(turn, render, language))
    return sent


def report_total(flow: Flow, render: Render, language: str) -> int:
    """The parts of all the texts of ``played_report``."""
    return sum(text.segments for text in played_report(flow, render, language))


def as_text(turn: Turn, render: Render, language: str, values: Mapping[str, Any] = VALUES) -> str:
    """The texts of one turn as one SMS: a line each, then the options, "1 label" a line."""
    lines = []
    for event in turn.events:
        if event.name == "said":
            lines.append(render(event.values["msgid"], language, **{**values, **event.values["values"]}))
            labels = [render(option.label, language) for option in event.values["options"]]
            lines += [f"{number} {label}" for number, label in enumerate(labels, start=1)]
    return "\n".join(lines)


def _sent(turn: Turn, render: Render, language: str) -> Sent:
    text = as_text(turn, render, language)
    last = [event.values["msgid"] for event in turn.events if event.name == "said"][-1]
    alphabet, parts = segments(text)
    return Sent(last, text, alphabet, len(text), parts)
