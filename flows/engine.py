"""Decides what to say next: reads the flow files once, then takes one answer at a time and knows no clock, store or vendor."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from flows.model import (
    OVER,
    RETURN,
    SKIPPED,
    Answer,
    Ask,
    Conditions,
    Emit,
    Event,
    Flow,
    FlowError,
    FlowInFile,
    Node,
    NodeInFile,
    Option,
    Position,
    Say,
    Turn,
)

DEFINITIONS = Path(__file__).parent / "definitions"
UNCLEAR = "unclear"  # the msgid said when an answer fits no option
NOT_UNDERSTOOD = "person.not_understood"  # the msgid said when that happens too often in a row
ENGINE_MSGIDS = (UNCLEAR, NOT_UNDERSTOOD)
MOST_UNCLEAR = 3  # then a person reads it
LONGEST_WAY = 40  # questions one can go back
_LISTS = ("remarks", "told")


# ---- playing --------------------------------------------------------------------------------------------------------------


def begin(flow: Flow, facts: Mapping[str, Any] = {}) -> Turn:
    """Start ``flow`` with what is already known, such as ``{"channel": "sms", "story": ["…"], "told": ["when"]}``."""
    return _walk(flow, flow.start, dict(facts))


def advance(flow: Flow, position: Position, answer: Answer) -> Turn:
    """Take one answer and go on to the next question. Pure: the position it was given stays as it was.

    Raises FlowError if the position names a node that the flow no longer has.
    """
    node, ask = _waiting_node(flow, position)
    facts = dict(position.facts)
    if answer.kind == "back":
        return _step_back(flow, node, facts)
    if answer.kind == "correct" and flow.corrects and _may_correct(flow, node):
        facts["return_to"] = node.name
        return _walk(flow, flow.corrects, facts)
    if answer.told:
        facts["told"] = sorted({*facts.get("told", ()), *answer.told})

    picked = _picked(node, answer)
    given = SKIPPED
    if answer.kind == "told":
        _count_retell(node, facts)
        if node.needs_an_answer:
            return again(flow, Position(flow.name, node.name, facts))
    elif picked is not None:
        given = answer.value or ""
        if not _takes_words(ask):
            _save(flow, node, facts, picked)
        if node.beside and answer.beside:
            facts[node.beside] = answer.beside
        elif _says_more_than_a_choice(answer.text):
            _add(facts, "remarks", answer.text)
    elif answer.kind == "skip":
        if _says_more_than_a_choice(answer.text):
            _add(facts, "remarks", answer.text)
        if node.needs_an_answer:
            return _ask_again(flow, node, ask, facts)
        _save_skip(node, facts)
    elif _takes_words(ask):
        given = "text"
        _save(flow, node, facts, answer.text)
        if answer.intent is None and node.adds_to:
            facts["unread"] = "yes"
    else:
        _add(facts, "remarks", answer.text)
        facts["unclear_count"] = facts.get("unclear_count", 0) + 1
        if facts["unclear_count"] >= MOST_UNCLEAR:
            wanted = Event("person_wanted", {"told": facts})
            return Turn(None, None, (wanted, _said(NOT_UNDERSTOOD, {}, ())))
        if node.needs_an_answer or facts.get("unclear_at") != node.name:
            return _ask_again(flow, node, ask, facts)
        _save_skip(node, facts)

    if answer.kind != "unclear":
        facts.pop("unclear_count", None)
    facts.pop("unclear_at", None)
    facts["way"] = [*facts.get("way", ()), node.name][-LONGEST_WAY:]
    return _walk(flow, _next(node, facts, given), facts)


def asked(flow: Flow, position: Position) -> Ask | None:
    """What the position is waiting for. Raises FlowError if the flow no longer has the node."""
    return _node(flow, position.node).ask


def again(flow: Flow, position: Position) -> Turn:
    """Ask the same question once more: after a pause, or in another language. Nothing but the words is repeated."""
    node, ask = _waiting_node(flow, position)
    events: list[Event] = []
    _speak(node, dict(position.facts), events)
    return Turn(position, ask, tuple(events))


def nearest(flow: Flow, facts: Mapping[str, Any]) -> Turn:
    """Go on where a flow that has lost the node of a position is nearest to it: after the last question answered that is left."""
    last = next((name for name in reversed(facts.get("way", ())) if name in flow.nodes), None)
    kept = dict(facts)
    return _walk(flow, _next(flow.nodes[last], kept, "") if last else flow.start, kept)


def _step_back(flow: Flow, node: Node, facts: dict[str, Any]) -> Turn:
    """Ask the question before once more; its answer stays until another replaces it. Before the first there is none."""
    way = [name for name in facts.get("way", ()) if name in flow.nodes and name != node.name]
    to = way.pop() if way else node.name
    facts["way"] = way
    facts.pop("unclear_at", None)
    return again(flow, Position(flow.name, to, facts))


def _may_correct(flow: Flow, node: Node) -> bool:
    return node.name != flow.corrects and all(to != RETURN for _, to in node.next)


def _count_retell(node: Node, facts: dict[str, Any]) -> None:
    """They were asked for what they had told: believe it, count it, and do not ask for it again."""
    facts["retells"] = facts.get("retells", 0) + 1
    fact = node.unless_told or node.saves
    if node.offers and node.saves:
        _save_skip(node, facts)  # what they told is in their words, which no machine turns into a choice
    elif fact and not facts.get(fact):
        facts["told"] = sorted({*facts.get("told", ()), fact})


def _walk(flow: Flow, name: str, facts: dict[str, Any]) -> Turn:
    events: list[Event] = []
    while name != OVER:
        if name == RETURN:
            name = facts.pop("return_to", None) or flow.returns_to or flow.start
        node = _node(flow, name)
        if _is_passed_over(node, facts):
            name = _next(node, facts, "")
            continue
        for emit in node.emit:
            if _holds(emit.when, facts, "") and (emit.if_known is None or facts.get(emit.if_known)):
                events.append(_emitted(flow, emit, facts))
        _speak(node, facts, events)
        if node.ask is not None:
            return Turn(Position(flow.name, name, facts), node.ask, tuple(events))
        name = _next(node, facts, "")
    return Turn(None, None, tuple(events))


def _ask_again(flow: Flow, node: Node, ask: Ask, facts: dict[str, Any]) -> Turn:
    facts["unclear_at"] = node.name
    return Turn(Position(flow.name, node.name, facts), ask, (_said(UNCLEAR, {}, ask.options),))


def _waiting_node(flow: Flow, position: Position) -> tuple[Node, Ask]:
    node = _node(flow, position.node)
    if node.ask is None:
        raise FlowError(f"flow '{flow.name}': '{node.name}' asks nothing, so no answer can be taken there; begin the flow again")
    return node, node.ask


def _node(flow: Flow, name: str) -> Node:
    try:
        return flow.nodes[name]
    except KeyError:
        raise FlowError(f"flow '{flow.name}': there is no node '{name}'; begin the flow again with the same facts") from None


def _is_passed_over(node: Node, facts: Mapping[str, Any]) -> bool:
    return (
        (node.unless_told is not None and node.unless_told in facts.get("told", ()))
        or (node.if_told is not None and node.if_told not in facts.get("told", ()))
        or (node.unless_known is not None and bool(facts.get(node.unless_known)))
        or not _holds(node.when, facts, "")
    )


def _holds(conditions: Conditions, facts: Mapping[str, Any], given: str) -> bool:
    return all((given if fact == "answer" else facts.get(fact)) in wanted for fact, wanted in conditions)


def _next(node: Node, facts: Mapping[str, Any], given: str) -> str:
    return next(to for when, to in node.next if _holds(when, facts, given))  # the last branch always holds


def _speak(node: Node, facts: dict[str, Any], events: list[Event]) -> None:
    said = [say for say in node.say if _is_said(say, facts)]
    for place, say in enumerate(said, start=1):
        values = {say.showing: _own_words(facts, say.showing)} if say.showing else {}
        is_last = place == len(said)
        events.append(_said(say.msgid, values, node.ask.options if node.ask and is_last else ()))


def _is_said(say: Say, facts: Mapping[str, Any]) -> bool:
    if not _holds(say.when, facts, "") or (say.if_told and say.if_told not in facts.get("told", ())):
        return False
    if say.showing:
        return bool(_own_words(facts, say.showing))
    return not (say.unless_said and _own_words(facts, say.unless_said))


def _own_words(facts: Mapping[str, Any], fact: str) -> str:
    words = facts.get(fact)
    if isinstance(words, list):
        return "\n".join(words)
    return words if isinstance(words, str) and words != SKIPPED else ""


def _said(msgid: str, values: Mapping[str, Any], options: tuple[Option, ...]) -> Event:
    return Event("said", {"msgid": msgid, "values": values, "options": list(options)})


def _emitted(flow: Flow, emit: Emit, facts: Mapping[str, Any]) -> Event:
    values = dict(emit.values)
    told = {fact: facts.get(fact, [] if fact in flow.lists else None) for fact in emit.facts}
    if emit.under:
        values[emit.under] = told
    else:
        values.update(told)
    return Event(emit.event, values)


def _takes_words(ask: Ask) -> bool:
    return ask.kind not in ("choice", "choices")


def _picked(node: Node, answer: Answer) -> str | list[str] | None:
    """The value, or the values, that the reporter picked; None when the node offers no such option."""
    if answer.kind != "option" or answer.value is None:
        return None
    if node.ask and node.ask.kind == "choices":
        values = answer.value.split(",")
        return values if node.offers.issuperset(values) else None
    return answer.value if answer.value in node.offers else None


def _says_more_than_a_choice(text: str) -> bool:
    """Whether words came with the number, as in "2, and he said he will come back": they belong in the report too."""
    return len(text.split()) > 3 or len(text) > 20


def _save(flow: Flow, node: Node, facts: dict[str, Any], value: str | list[str]) -> None:
    if node.adds_to and isinstance(value, str):
        _add(facts, node.adds_to, value)
    elif node.saves:
        facts[node.saves] = [value] if node.saves in flow.lists else value


def _save_skip(node: Node, facts: dict[str, Any]) -> None:
    """Keep that the reporter would rather not say; a skip never rubs out what they said before."""
    if node.saves:
        facts.setdefault(node.saves, SKIPPED)


def _add(facts: dict[str, Any], fact: str, text: str) -> None:
    facts[fact] = [*facts.get(fact, ()), text]


# ---- reading the files ----------------------------------------------------------------------------------------------------


def load(folder: Path | None = None) -> Mapping[str, Flow]:
    """Read every flow file of ``folder`` (the product's own by default).

    Raises FlowError, a sentence with the file, the node and the mend, for the first mistake.
    """
    folder = folder or DEFINITIONS
    flows: dict[str, Flow] = {}
    for path in sorted(folder.glob("*.yaml")):
        flow = _read(path)
        if flow.name in flows:
            raise FlowError(f"{path.name}: there are two flows named '{flow.name}'; rename one")
        flows[flow.name] = flow
    if not flows:
        raise FlowError(f"no flow file (*.yaml) in the folder '{folder.name}'; the product's own are in flows/definitions")
    return flows


def read_texts(path: Path) -> object:
    """The YAML of ``path`` with every scalar kept as text: `no` is an answer and a language, not false. Raises FlowError."""
    try:
        return yaml.load(path.read_text("utf-8"), Loader=_TextLoader)  # noqa: S506  (it makes text, lists and mappings only)
    except yaml.MarkedYAMLError as error:
        line = f" at line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise FlowError(f"{path.name} is not YAML{line}: {error.problem}; check the indentation and the quotes there") from None


class _TextLoader(yaml.BaseLoader):
    """YAML takes the last of two equal keys without a word; a node that vanished so would be missed only by its reporter."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := [key for key in keys if keys.count(key) > 1]:
            raise yaml.constructor.ConstructorError(problem=f"the key '{twice[0]}' stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


def complaint(path: Path, error: ValidationError) -> str:
    """One sentence for the first thing wrong in a file."""
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    said = first["msg"].removeprefix("Value error, ")
    where = f"node '{place[1]}'" if len(place) > 1 and place[0] == "nodes" else "the file"
    deeper = ".".join(place[2:] if where != "the file" else place)
    if first["type"] == "extra_forbidden":
        said = f"'{place[-1]}' is not a key it can have; correct the spelling or remove it"
    elif first["type"] == "missing":
        said = f"'{place[-1]}' is missing; add it"
    elif deeper:
        said = f"'{deeper}' is wrong: {said}"
    return f"{path.name}: {where}: {said}"


def _read(path: Path) -> Flow:
    try:
        in_file = FlowInFile.model_validate(read_texts(path))
    except ValidationError as error:
        raise FlowError(complaint(path, error)) from None
    nodes = {name: _compiled(name, node) for name, node in in_file.nodes.items()}
    lists = frozenset([*_LISTS, *(node.adds_to for node in nodes.values() if node.adds_to)])
    flow = Flow(in_file.flow, in_file.start, nodes, lists, in_file.corrects, in_file.returns_to)
    _check_ways(path, flow)
    return flow


def _compiled(name: str, node: NodeInFile) -> Node:
    options = tuple(Option(value, label) for value, label in node.options.items())
    return Node(
        name=name,
        next=tuple((_conditions(branch.when), branch.to) for branch in node.next),
        when=_conditions(node.when),
        if_told=node.if_told,
        unless_told=node.unless_told,
        unless_known=node.unless_known,
        emit=tuple(
            Emit(
                emit.event,
                _conditions(emit.when),
                {key: _constant(value) for key, value in emit.values.items()},
                tuple(emit.facts),
                emit.under,
                emit.if_known,
            )
            for emit in node.emit
        ),
        say=tuple(Say(say.say, _conditions(say.when), say.showing, say.unless_said, say.if_told) for say in node.say),
        ask=Ask(name, node.ask, options, node.unless_told, node.beside) if node.ask else None,
        saves=node.saves,
        adds_to=node.adds_to,
        needs_an_answer=node.needs_an_answer,
        beside=node.beside,
        offers=frozenset(node.options),
    )


def _conditions(in_file: Mapping[str, list[str]]) -> Conditions:
    return tuple((fact, frozenset(values)) for fact, values in in_file.items())


def _constant(text: str) -> Any:
    """The one place where a flow file's text becomes something else: a caseworker's 3 days are a number, not a "3"."""
    if text in ("true", "false"):
        return text == "true"
    if text == "null":
        return None
    return int(text) if text.lstrip("-").isdecimal() else text


def _check_ways(path: Path, flow: Flow) -> None:
    names = ", ".join(flow.nodes)
    if flow.start not in flow.nodes:
        raise FlowError(f"{path.name}: flow '{flow.name}' starts at '{flow.start}', which is not a node; the nodes are {names}")
    for key, named in (("corrects", flow.corrects), ("returns_to", flow.returns_to)):
        if named is not None and named not in flow.nodes:
            raise FlowError(f"{path.name}: flow '{flow.name}': '{key}' names '{named}', which is not a node; the nodes are {names}")
    for node in flow.nodes.values():
        for _, to in node.next:
            if to not in (OVER, RETURN) and to not in flow.nodes:
                mend = f"the nodes are {names}, and the end is '{OVER}'"
                raise FlowError(f"{path.name}: flow '{flow.name}': '{node.name}' goes to '{to}', which is not a node; {mend}")
    _check_stops(path, flow)


def _check_stops(path: Path, flow: Flow) -> None:
    """Going round without ever asking would never end: every ring of nodes must hold one that always asks."""
    passing = {name: node for name, node in flow.nodes.items() if not _always_asks(node)}
    safe: set[str] = set()

    def follow(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            ring = " to ".join(f"'{step}'" for step in (*way[way.index(name) :], name))
            raise FlowError(f"{path.name}: flow '{flow.name}': {ring} goes round and may never ask; let one of them always ask")
        if name in passing and name not in safe:
            for _, to in passing[name].next:
                follow(to, (*way, name))
            safe.add(name)

    for name in passing:
        follow(name, ())


def _always_asks(node: Node) -> bool:
    return node.ask is not None and not (node.when or node.if_told or node.unless_told or node.unless_known)
