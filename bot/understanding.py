"""What was meant: a number or a word we listen for first, else Rasa's hint; when Rasa is silent the conversation goes on."""

from __future__ import annotations

import logging
import re
import threading
import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import httpx

from flows.model import Answer, Ask
from translations import catalog

log = logging.getLogger(__name__)

LONGEST = 4000  # characters worth understanding; the rest of a long text is kept but not classified
REST = 15.0  # seconds to leave a silent Rasa alone
# The languages Rasa's network was tuned to; in any other it is confidently wrong ("no" comes back as a yes).
ENCODED = frozenset("ar bn de en es fa fr gu hi it ko nl pa pl pt ro ru so tl tr uk ur vi zh-Hans zh-Hant".split())
NOTHING_MEANT = "nothing"  # Rasa answered and found no intent
_FACTS = frozenset({"when", "where", "who", "injury", "online", "threat", "damage", "ongoing"})
_ONLY_NUMBER = re.compile(r"\W*(\d{1,2})\W*")


@dataclass(frozen=True)
class Understanding:
    """What NLU thinks was meant: ``Understanding("report", 0.93, frozenset({"when"}), {"state": "suggested", …})``.

    ``bias`` is the suggestion as in ``tellonce understand``; empty when NLU said nothing. ``incident``: kinds, likeliest first.
    """

    intent: str = ""
    confidence: float = 0.0
    told: frozenset[str] = frozenset()
    bias: Mapping[str, Any] = field(default_factory=dict)
    incident: tuple[str, ...] = ()

    @property
    def is_silent(self) -> bool:
        return not self.intent


SILENT = Understanding()


class Nlu(Protocol):
    """Something that understands: NluClient, or a fake."""

    def understand(self, text: str, language: str | None = None) -> Understanding: ...

    def would_ask(self, text: str, language: str | None = None) -> bool:
        """Whether understand() would wait for an answer; else it is SILENT at once."""
        ...


class WouldWait(Exception):
    """Only Rasa can tell what a text means, and nobody may wait for it here."""


@dataclass(frozen=True)
class Unasked:
    """Stands in for an NLU that nobody may wait for. Raises WouldWait where it would be asked."""

    nlu: Nlu

    def understand(self, text: str, language: str | None = None) -> Understanding:
        if self.nlu.would_ask(text, language):
            raise WouldWait
        return SILENT

    def would_ask(self, text: str, language: str | None = None) -> bool:
        return False


class NluClient:
    """Rasa over HTTP. Never raises: no answer in ``timeout`` seconds is SILENT, and for a while it is not asked again."""

    def __init__(self, url: str, token: str, timeout: float = 2.0) -> None:
        self._client = httpx.Client(
            base_url=url, params={"token": token}, timeout=timeout, trust_env=False, limits=httpx.Limits(max_connections=8)
        )
        self._resting_until = 0.0
        self._lock = threading.Lock()

    def understand(self, text: str, language: str | None = None) -> Understanding:
        """What ``text`` means; SILENT for a text without a letter, which Rasa would take for a yes, and in a language it lacks."""
        if not self.would_ask(text, language):
            return SILENT
        try:
            # Rasa counts from the first visible letter; evidence is counted from the first letter there is.
            bare = text.lstrip()
            answer = self._client.post("/model/parse", json={"text": _sendable(bare)})
            answer.raise_for_status()
            return _read(answer.json(), len(text) - len(bare))
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            with self._lock:
                self._resting_until = time.monotonic() + REST
            log.warning("understanding is silent (%s): going on with numbers and keywords", type(error).__name__)
            return SILENT

    def would_ask(self, text: str, language: str | None = None) -> bool:
        return is_readable(text, language) and time.monotonic() >= self._resting_until

    def is_there(self) -> bool:
        """Whether Rasa has a model loaded and answers."""
        try:
            return bool(self._client.get("/status").json().get("model_file"))
        except (httpx.HTTPError, ValueError, AttributeError):
            return False


def is_readable(text: str, language: str | None) -> bool:
    """Whether Rasa may be asked at all."""
    return any(c.isalpha() for c in text) and (language is None or language in ENCODED)


def _sendable(text: str) -> str:
    """The beginning of a text, without halves of characters (which no encoding can carry), each code point in its place."""
    return text[:LONGEST].encode("utf-8", "replace").decode()


def _read(answer: Mapping[str, Any], shift: int) -> Understanding:
    report = answer.get("report") or {}
    told = frozenset(fact for fact, is_told in (report.get("told") or {}).items() if is_told is True) & _FACTS
    intent, bias = answer["intent"], report.get("bias") or {}
    if bias:
        bias = {**bias, "motivations": [_shifted(m, shift) for m in bias["motivations"]]}
    incident = tuple(str(kind["code"]) for kind in report.get("incident") or ())
    return Understanding(str(intent["name"] or NOTHING_MEANT), float(intent["confidence"]), told, bias, incident)


def _shifted(motivation: Mapping[str, Any], shift: int) -> dict[str, Any]:
    evidence = [{**e, "start": e["start"] + shift, "end": e["end"] + shift} for e in motivation["evidence"]]
    return {**motivation, "evidence": evidence}


# Words that mean the same at every question.
_WORKS_ANYWHERE: tuple[tuple[catalog.Kind, Literal["told", "back", "correct"]], ...] = (
    ("told_already", "told"),
    ("back", "back"),
    ("correction", "correct"),
)


# -- reading an answer ---------------------------------------------------------------------------------------------------------


def pick_answer(ask: Ask, labels: Sequence[str], text: str, language: str, understood: Understanding = SILENT) -> Answer:
    """What ``text`` answers to ``ask``: a number, a label or a word first; else, where words are wanted, the words themselves.

    ``labels`` are the options as the reporter read them, in order. A yes, a no and a choice are never taken from NLU.
    """
    intent = understood.intent or None
    number = as_number(text)
    for word, kind in _WORKS_ANYWHERE:
        if number is None and catalog.matches_word(text, word, language):
            return Answer(kind, text, intent=intent)
    if number == 0 or (number is None and catalog.matches_word(text, "skip", language)):
        return Answer("skip", text, intent=intent)
    if ask.options:
        chosen = _option(ask, labels, text, number, language)
        if chosen is not None:
            return Answer("option", text, value=chosen, intent=intent)
        if ask.beside and (both := _beside(ask, labels, text, language)):
            return Answer("option", text, value=both[0], intent=intent, beside=both[1])
        if ask.kind != "text":
            return Answer("unclear", text, told=understood.told, intent=intent)
    return Answer("text", text, told=understood.told, intent=intent)


def _option(ask: Ask, labels: Sequence[str], text: str, number: int | None, language: str) -> str | None:
    if number is not None:
        return ask.options[number - 1].value if 1 <= number <= len(ask.options) else None
    plain = text.strip().casefold()
    for option, label in zip(ask.options, labels, strict=True):
        if plain == label.casefold():
            return option.value
    for value in ("yes", "no"):
        if any(o.value == value for o in ask.options) and catalog.matches_word(text, value, language):
            return value
    return None


def _beside(ask: Ask, labels: Sequence[str], text: str, language: str) -> tuple[str, str] | None:
    """The option and the word of ``"1 rose"``: a number, a yes or a no, and one word more."""
    first, _, word = text.strip().partition(" ")
    word = word.strip()
    if not word or len(word.split()) > 1 or not any(c.isalpha() for c in word):
        return None
    chosen = _option(ask, labels, first, as_number(first), language)
    return (chosen, word) if chosen else None


def as_number(text: str) -> int | None:
    """The number a text consists of, in any script's digits: ``"٢"`` and ``"2."`` are 2, ``"2 men"`` is None."""
    plain = "".join(str(d) if (d := unicodedata.digit(c, None)) is not None else c for c in text)
    found = _ONLY_NUMBER.fullmatch(plain)
    return int(found[1]) if found else None


def is_account(text: str, understood: Understanding) -> bool:
    """Whether a first text already tells something, so that asking "what happened?" would ask twice."""
    words = len(text.split())
    if understood.is_silent:
        return words >= 6 or len(text) >= 40
    return understood.intent == "report" or bool(understood.told) or words >= 12 or len(text) >= 80
