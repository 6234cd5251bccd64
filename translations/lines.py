"""One JSON object a line in, one a line out, in order: what every ``--jsonl`` command does with a bad line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, TextIO

_HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")


class BadLineError(Exception):
    """A line that cannot be answered; the message says why without quoting it."""


def answer_lines(stdin: TextIO, stdout: TextIO, answer: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> int:
    """Answer each line with its own ``id``; a bad one gets ``{"id", "error"}`` and the others are still answered.

    Empty lines are passed over. Returns the exit status: 1 when any line was bad, else 0.
    """
    status = 0
    for line in stdin:
        if not line.strip():
            continue
        name = None
        try:
            request = _object(line)
            name = request.get("id")
            answered: Mapping[str, Any] = answer(request)
        except BadLineError as error:
            status = 1
            answered = {"error": str(error)}
        stdout.write(_line({"id": name, **answered}) + "\n")
        stdout.flush()
    return status


def text_of(request: Mapping[str, Any], name: str) -> str:
    """The text of that name. Raises BadLineError when it is missing or no text."""
    value = request.get(name)
    if not isinstance(value, str):
        raise BadLineError(f"'{name}' must be a text")
    return value


def _object(line: str) -> Mapping[str, Any]:
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        raise BadLineError("this line is not JSON") from None
    if not isinstance(request, dict):
        raise BadLineError("this line is not a JSON object")
    return request


def _line(answer: Mapping[str, Any]) -> str:
    line = json.dumps(answer, ensure_ascii=False)
    # JSON may hold half a character (a lone surrogate), which UTF-8 cannot: then everything is escaped.
    return json.dumps(answer) if _HALF_A_CHARACTER.search(line) else line
