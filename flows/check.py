"""The linter of flows and their translations: what would fail a reporter at night is found before anything is started."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from string import Formatter

from flows.engine import ENGINE_MSGIDS
from flows.model import OVER, RETURN, SKIPPED, Flow, Node
from flows.segments import VALUES, segments

Catalogs = Mapping[str, Mapping[str, str]]  # language, msgid, text

SOURCE = "en"
# Sent as a whole message, these reach the carrier or the vendor first: it stops, resumes or answers in our place.
CARRIER_WORDS = frozenset(
    "stop stopall unsubscribe cancel end quit optout revoke arret arrêt start yes unstop help info".split(),
)
MOST_SEGMENTS = 2  # of one message; the texts of a turn are sent as one SMS
_BEGINNING_FACTS = frozenset(
    {"channel", "answer", "told", "remarks", "retells", "unread", "case"}
)  # given, or kept by the engine itself
_SHOUTED_OR_QUOTED = re.compile(r"\b[A-Z]{3,}\b|[\"'“”‘’«»„]\s*(\w+)\s*[\"'“”‘’«»„]")


@dataclass(frozen=True, slots=True)
class Problem:
    """``Problem("flow 'report', node 'whn'", "nothing leads to it", "remove it, or let a 'next' go there")``."""

    where: str
    problem: str
    mend: str

    def __str__(self) -> str:
        return f"{self.where}: {self.problem}; {self.mend}"


def check(flows: Mapping[str, Flow], catalogs: Catalogs, known_events: Collection[str]) -> list[Problem]:
    """Everything wrong with loaded flows and the texts of every language, in the order of the files.

    A flow whose ``next`` goes nowhere never gets here: ``engine.load`` refuses it.
    """
    problems: list[Problem] = []
    for flow in flows.values():
        problems += _unreached(flow)
        problems += _unknown_events(flow, known_events)
        problems += _unknown_facts(flow)
        problems += _unfilled(flow, catalogs)
        problems += _eaten_answers(flow, catalogs)
    problems += _untranslated(flows, catalogs)
    for language, texts in catalogs.items():
        for msgid, text in texts.items():
            problems += _bad_text(language, msgid, text, catalogs)
    return problems


def msgids(flow: Flow) -> list[str]:
    """Every msgid a flow can say, once, in the order of the file."""
    said: dict[str, None] = {}
    for node in flow.nodes.values():
        said |= dict.fromkeys(say.msgid for say in node.say)
        if node.ask:
            said |= dict.fromkeys(option.label for option in node.ask.options)
    return list(said)


def placeholders(text: str) -> frozenset[str]:
    """The names in braces: ``placeholders("Call {emergency}.") == {"emergency"}``. Raises ValueError for a lone brace."""
    return frozenset(name for _, name, _, _ in Formatter().parse(text) if name is not None)


def _at(flow: Flow, node: Node) -> str:
    return f"flow '{flow.name}', node '{node.name}'"


def _unreached(flow: Flow) -> Iterator[Problem]:
    reached, ahead = set[str](), [flow.start, *([flow.corrects] if flow.corrects else [])]
    while ahead:
        name = ahead.pop()
        if name not in (OVER, RETURN) and name not in reached:
            reached.add(name)
            ahead += [to for _, to in flow.nodes[name].next]
    for node in flow.nodes.values():
        if node.name not in reached:
            yield Problem(_at(flow, node), "nothing leads to it", "remove it, or let a 'next' go there")


def _unknown_events(flow: Flow, known_events: Collection[str]) -> Iterator[Problem]:
    for node in flow.nodes.values():
        for emit in node.emit:
            if emit.event not in known_events:
                known = ", ".join(sorted(known_events))
                yield Problem(_at(flow, node), f"nothing happens on the event '{emit.event}'", f"the known events are {known}")


def _unknown_facts(flow: Flow) -> Iterator[Problem]:
    """A misspelt fact would quietly send a reporter the wrong way, or leave a part of the report empty."""
    kept = {fact for node in flow.nodes.values() for fact in (node.saves or node.adds_to, node.beside)} | _BEGINNING_FACTS
    for node in flow.nodes.values():
        conditions = [*node.when, *(pair for way, _ in node.next for pair in way)]
        conditions += [pair for say in node.say for pair in say.when] + [pair for emit in node.emit for pair in emit.when]
        used = [fact for fact, _ in conditions] + [fact for emit in node.emit for fact in emit.facts]
        used += [fact for say in node.say for fact in (say.showing, say.unless_said) if fact]
        used += [fact for fact in (node.unless_known, *(emit.if_known for emit in node.emit)) if fact]
        for fact in dict.fromkeys(used):
            if fact not in kept:
                yield Problem(_at(flow, node), f"no node saves the fact '{fact}'", "correct its spelling, or save it somewhere")
        for fact, wanted in conditions:
            possible = _possible_values(flow, node, fact)
            for value in sorted(wanted - possible) if possible else ():
                yield Problem(_at(flow, node), f"'{fact}' is never '{value}'", f"it can be {', '.join(sorted(possible))}")


def _possible_values(flow: Flow, node: Node, fact: str) -> frozenset[str]:
    """What a fact can hold where that is known: the values of the options it is saved from. Empty where anything goes."""
    if fact == "answer":
        return node.offers | {"text", SKIPPED}
    savers = [other for other in flow.nodes.values() if other.saves == fact]
    if not savers or not all(other.offers for other in savers):
        return frozenset()
    return frozenset.union(*(other.offers for other in savers)) | {SKIPPED}


def _unfilled(flow: Flow, catalogs: Catalogs) -> Iterator[Problem]:
    for node in flow.nodes.values():
        for say in node.say:
            text = catalogs.get(SOURCE, {}).get(say.msgid, "")
            for name in sorted(_names_in(text) - VALUES.keys() - {say.showing}):
                yield Problem(_at(flow, node), f"nothing fills {{{name}}} in '{say.msgid}'", f"add 'showing: {name}', or remove it")


def _eaten_answers(flow: Flow, catalogs: Catalogs) -> Iterator[Problem]:
    labels = {option.label: node for node in flow.nodes.values() if node.ask for option in node.ask.options}
    for language, texts in catalogs.items():
        for label, node in labels.items():
            word = texts.get(label, "").strip(" .!?,").casefold()
            if word in CARRIER_WORDS:
                mend = "use a longer answer, such as 'Yes, I am safe'"
                yield Problem(f"{_at(flow, node)}, language '{language}'", f"carriers eat '{word}' ('{label}')", mend)


def _untranslated(flows: Mapping[str, Flow], catalogs: Catalogs) -> Iterator[Problem]:
    wanted = dict.fromkeys([*ENGINE_MSGIDS, *(msgid for flow in flows.values() for msgid in msgids(flow))])
    wanted |= dict.fromkeys(catalogs.get(SOURCE, {}))
    for language, texts in catalogs.items():
        for msgid in wanted:
            if not texts.get(msgid):
                yield Problem(f"language '{language}'", f"'{msgid}' has no text", f"add it to translations/{language}/messages.po")


def _bad_text(language: str, msgid: str, text: str, catalogs: Catalogs) -> Iterator[Problem]:
    where = f"language '{language}', '{msgid}'"
    source = catalogs.get(SOURCE, {}).get(msgid)
    if source is None:
        yield Problem(where, "English has no such text", "correct the msgid, or remove it")
        return
    try:
        named = placeholders(text)
    except ValueError:
        yield Problem(where, "a brace stands alone", "write placeholders as {name}, with both braces")
        return
    if text and named != _names_in(source):
        expected = ", ".join(sorted(_names_in(source))) or "none"
        yield Problem(where, "its placeholders are not those of the English text", f"use exactly these: {expected}")
        return
    for match in _SHOUTED_OR_QUOTED.finditer(text):
        word = (match.group(1) or match.group()).casefold()
        if word in CARRIER_WORDS:
            yield Problem(where, f"it teaches '{word}', which carriers take for themselves", "teach a number instead")
    alphabet, parts = segments(text.format_map(dict.fromkeys(named, "") | VALUES))
    if parts > MOST_SEGMENTS:
        yield Problem(where, f"it takes {parts} SMS parts ({alphabet})", f"shorten it to {MOST_SEGMENTS}")


def _names_in(text: str) -> frozenset[str]:
    try:
        return placeholders(text)
    except ValueError:
        return frozenset()
