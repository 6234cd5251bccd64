"""The shape of a conversation: what a flow file may say, and what travels while one is under way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

OVER = "over"  # the `next` that ends a flow
RETURN = "return"  # the `next` that goes back to where a correction began
SKIPPED = "skipped"  # what a fact holds when the reporter would rather not say

Kind = Literal["text", "choice", "choices", "place", "time", "file"]


class FlowError(Exception):
    """A flow cannot be read or played. The sentence names the flow, the node and the mend, never a reporter's word."""


# ---- what travels ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Option:
    """An answer to pick: ``Option("victim", "option.role.victim")``. ``label`` is a msgid; its number is its place from 1."""

    value: str
    label: str


@dataclass(frozen=True, slots=True)
class Ask:
    """What a node waits for: ``Ask("when", "text", (), "when")``. ``told`` is the fact of the narrative that would answer it.

    ``beside``: the fact that keeps a word written beside the number, as in "1 rose".
    """

    node: str
    kind: Kind
    options: tuple[Option, ...]
    told: str | None
    beside: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the reporter meant, already read by understanding: ``Answer("option", "1", "victim")``.

    ``text`` is the reporter's own words, byte for byte. ``value`` is the option's value (several, for `choices`, with commas).
    ``told`` names what a free text already tells (when where who injury online threat ongoing). ``unclear``: a choice was
    asked and nothing fitted. ``told``, as a kind: "I told you already". ``back``, ``correct``: the question before, or the list
    of what can be corrected. ``intent`` is only a hint; none at all means that understanding was silent.
    """

    kind: Literal["text", "option", "skip", "unclear", "told", "back", "correct"]
    text: str
    value: str | None = None
    told: frozenset[str] = frozenset()
    intent: str | None = None
    beside: str | None = None  # the word that was written beside the number, where one may be


@dataclass(frozen=True, slots=True)
class Position:
    """Where a reporter is in a flow: ``Position("report", "where", {"story": ["He spat at me"], "role": "victim"})``.

    ``facts`` holds the answers so far, as JSON can carry them. Besides what the nodes save: ``told`` (what the narrative already
    tells), ``remarks`` (words written where a number was asked), ``retells`` (how often they were asked for what they had told),
    and the engine's own: ``unclear_at`` (the node that was asked twice), ``unclear_count`` (answers in a row that fitted nothing),
    ``way`` (the nodes answered, in order), ``return_to`` (where a correction began), ``unread`` (no machine read the story).
    """

    flow: str
    node: str
    facts: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        return {"flow": self.flow, "node": self.node, "facts": self.facts}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Position:
        return cls(kept["flow"], kept["node"], kept["facts"])


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened: ``Event("said", {"msgid": "when.ask", "values": {}, "options": []})``."""

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Turn:
    """What one answer caused. ``position`` is None when the flow is over."""

    position: Position | None
    ask: Ask | None
    events: tuple[Event, ...]


# ---- a flow, ready to play ----------------------------------------------------------------------------------------------------

Conditions = tuple[tuple[str, frozenset[str]], ...]  # every named fact must have one of the values


@dataclass(frozen=True, slots=True)
class Say:
    msgid: str
    when: Conditions = ()
    showing: str | None = None
    unless_said: str | None = None
    if_told: str | None = None


@dataclass(frozen=True, slots=True)
class Emit:
    event: str
    when: Conditions = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    facts: tuple[str, ...] = ()
    under: str | None = None
    if_known: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One step. It is passed over, without a word, when ``when`` does not hold or what it asks is told or known already."""

    name: str
    next: tuple[tuple[Conditions, str], ...]
    when: Conditions = ()
    if_told: str | None = None
    unless_told: str | None = None
    unless_known: str | None = None
    emit: tuple[Emit, ...] = ()
    say: tuple[Say, ...] = ()
    ask: Ask | None = None
    saves: str | None = None
    adds_to: str | None = None
    needs_an_answer: bool = False
    beside: str | None = None
    offers: frozenset[str] = frozenset()  # the values of its options


@dataclass(frozen=True, slots=True)
class Flow:
    name: str
    start: str
    nodes: Mapping[str, Node]
    lists: frozenset[str]  # the facts that grow: a list each
    corrects: str | None = None  # the node that asks what to correct
    returns_to: str | None = None  # where `return` goes when no correction was begun elsewhere


# ---- what a flow file may say ---------------------------------------------------------------------------------------------


def _as_list(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _as_say(value: object) -> object:
    return [{"say": item} if isinstance(item, str) else item for item in [*_as_list(value)]]  # type: ignore[misc]


def _as_branches(value: object) -> object:
    return [{"to": value}] if isinstance(value, str) else value


def _as_conditions(value: object) -> object:
    return {fact: _as_list(wanted) for fact, wanted in value.items()} if isinstance(value, dict) else value


# Text, a list of texts, or `when: {role: victim}`: an author may write the short form wherever there is only one.
ConditionsInFile = Annotated[dict[str, list[str]], BeforeValidator(_as_conditions)]


class _InFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SayInFile(_InFile):
    """`say: readback.where` with `showing: where` says it with {where} filled in, and nothing if the reporter did not say."""

    say: str
    when: ConditionsInFile = {}
    showing: str | None = None
    unless_said: str | None = None
    if_told: str | None = None


class EmitInFile(_InFile):
    """`values` are constants (true, false, null and whole numbers are read as such); `facts` are what the reporter told."""

    event: str
    when: ConditionsInFile = {}
    values: dict[str, str] = {}
    facts: list[str] = []
    under: str | None = None
    if_known: str | None = None


class BranchInFile(_InFile):
    """`to` where, `when` what holds. The fact `answer` is the answer just given: an option's value, `text` or `skipped`."""

    to: str
    when: ConditionsInFile = {}


class NodeInFile(_InFile):
    """One step of a flow file; the definitions themselves are the best example."""

    when: ConditionsInFile = {}
    if_told: str | None = None
    unless_told: str | None = None
    unless_known: str | None = None
    emit: list[EmitInFile] = []
    say: Annotated[list[SayInFile], BeforeValidator(_as_say)] = []
    ask: Kind | None = None
    options: dict[str, str] = {}
    saves: str | None = None
    adds_to: str | None = None
    needs_an_answer: bool = False
    beside: str | None = None
    next: Annotated[list[BranchInFile], BeforeValidator(_as_branches)]

    @model_validator(mode="after")
    def _fits_together(self) -> NodeInFile:
        if self.next and self.next[-1].when:
            raise ValueError("the last 'next' has a 'when': end with one that always holds, such as '- to: over'")
        if not self.next:
            raise ValueError("'next' is empty: say where the flow goes, or 'over'")
        if self.ask is None and (self.options or self.saves or self.adds_to or self.needs_an_answer or self.unless_told):
            raise ValueError("it keeps an answer but has no 'ask': add 'ask: text' or 'ask: choice'")
        if self.ask in ("choice", "choices") and not self.options:
            raise ValueError(f"it asks a {self.ask} without 'options': add 'options' with a value and a msgid each")
        if self.ask is not None and not self.say:
            raise ValueError("it asks without a word: add 'say'")
        if self.beside and self.ask != "choice":
            raise ValueError("it keeps what stands 'beside' a number but asks no choice: remove 'beside', or add 'ask: choice'")
        if self.saves and self.adds_to:
            raise ValueError("it has both 'saves' and 'adds_to': keep one")
        return self


class FlowInFile(_InFile):
    flow: str
    start: str
    corrects: str | None = None
    returns_to: str | None = None
    nodes: dict[str, NodeInFile]
