"""Draws a flow for a person to review: as Mermaid text, or as an SVG picture that needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from flows.model import OVER, RETURN, Conditions, Flow, Node

Words = Callable[[str], str]  # what a msgid says, placeholders left as they are

WIDTH, ROW, GAP, LINE, LETTERS = 560, 34, 26, 15, 74


def mermaid(flow: Flow, words: Words) -> str:
    """The flow as a Mermaid flowchart, each node with what it says and each way with its condition."""
    lines = [f"flowchart TD  %% {flow.name}"]
    for node in flow.nodes.values():
        text = "<br/>".join([f"<b>{node.name}</b>", *(_quoted(line) for line in _lines_of(node, words))])
        shape = ("{{", "}}") if node.ask and node.ask.options else ("[", "]")
        lines.append(f'  {_id(node.name)}{shape[0]}"{text}"{shape[1]}')
    for node in flow.nodes.values():
        for conditions, to in node.next:
            label = f'|"{_quoted(_condition(conditions))}"|' if conditions else ""
            lines.append(f"  {_id(node.name)} -->{label} {_id(to)}")
    return "\n".join([*lines, f"  {_id(OVER)}(({OVER}))", *([f"  {_id(RETURN)}((back))"] if flow.corrects else []), ""])


def svg(flow: Flow, words: Words) -> str:
    """The flow as one column of boxes in the order of the file; under each box stand its ways on."""
    top, boxes = GAP, []
    for node in flow.nodes.values():
        body = [piece for line in _lines_of(node, words) for piece in _folded(line)]
        ways = [f"{_condition(conditions) or 'then'} → {to}" for conditions, to in node.next]
        height = ROW + LINE * (len(body) + len(ways))
        texts = [f'<text x="24" y="{top + 20}" font-weight="bold">{escape(node.name)}</text>']
        for place, line in enumerate(body, start=1):
            texts.append(f'<text x="24" y="{top + 20 + LINE * place}" dir="auto">{escape(line)}</text>')
        for place, way in enumerate(ways, start=len(body) + 1):
            texts.append(f'<text x="24" y="{top + 20 + LINE * place}" fill="#1d4f91">{escape(way)}</text>')
        colour = "#fff7e0" if node.ask else "#eef3f8"
        boxes.append(f'<rect x="12" y="{top}" width="{WIDTH - 24}" height="{height}" rx="6" fill="{colour}" stroke="#555"/>')
        boxes += texts
        top += height + GAP
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, f"<title>{escape(flow.name)}</title>", *boxes, "</svg>", ""])


def _lines_of(node: Node, words: Words) -> list[str]:
    lines = [f"({_condition(node.when)} only)"] if node.when else []
    lines += [f"(not if {name} is known)" for name in (node.unless_told or node.unless_known,) if name]
    lines += [words(say.msgid) + (f"  ({_condition(say.when)})" if say.when else "") for say in node.say]
    if node.ask:
        lines += [f"{number} {words(option.label)}" for number, option in enumerate(node.ask.options, start=1)]
    return [*lines, *(f"emits {emit.event}" for emit in node.emit)]


def _condition(conditions: Conditions) -> str:
    return ", ".join(f"{fact} {'/'.join(sorted(values))}" for fact, values in conditions)


def _folded(line: str) -> list[str]:
    pieces = [""]
    for word in line.split():
        if len(pieces[-1]) + len(word) >= LETTERS:
            pieces.append("")
        pieces[-1] = f"{pieces[-1]} {word}".strip()
    return pieces


def _id(name: str) -> str:
    return f"n_{name}"  # `end` and `return` mean something else in Mermaid


def _quoted(text: str) -> str:
    return text.replace('"', "#quot;").replace("<", "&lt;")
