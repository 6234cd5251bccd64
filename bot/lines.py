"""The commands that answer line by line, and the reports on flows: what they print."""

from __future__ import annotations

import json
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from bot import app, processes
from bot.settings import Settings
from bot.understanding import NOTHING_MEANT, NluClient, Understanding, is_readable
from flows import check as checker
from flows import picture, segments
from flows.model import Flow
from translations import catalog, machine
from translations import detect as detector

RASA_STARTS_WITHIN = 180.0  # seconds, on a cold disk
TRANSLATION_STARTS_WITHIN = 60.0


def detect(_settings: Settings) -> int:
    """``{"id", "text"}`` → ``{"id", "lang", "confidence", "ask"}``. Returns the exit status."""
    return detector.detect_lines(sys.stdin, sys.stdout)


def translate(settings: Settings) -> int:
    """``{"id", "text", "source", "target"}`` → ``{"id", "text", "engine", "route", "flags"}``. Returns the exit status."""
    translator = machine.Translator(settings.translate_socket, working_language=settings.working_language)
    if translator.ping() is not None:
        return machine.translate_lines(sys.stdin, sys.stdout, translator)
    with processes.TranslationChild(settings):
        translator.wait_until_ready(TRANSLATION_STARTS_WITHIN)
        return machine.translate_lines(sys.stdin, sys.stdout, translator)


def understand(settings: Settings) -> int:
    """``{"id", "text", "lang"?}`` → ``{"id", "lang", "intent", "bias", "told"}``. Returns the exit status.

    Raises WrongSetting when Rasa neither runs nor can be started.
    """
    with _rasa(settings) as nlu:
        return understand_lines(sys.stdin, sys.stdout, nlu)


@contextmanager
def _rasa(settings: Settings) -> Iterator[NluClient]:
    """Rasa as it runs, else one of our own for as long as it is needed."""
    if settings.nlu_url:
        running = NluClient(settings.nlu_url, app.nlu_token(settings), timeout=20)
        if running.is_there():
            yield running
            return
    with processes.own_rasa(settings, RASA_STARTS_WITHIN) as nlu:
        yield nlu


def understand_lines(stdin: TextIO, stdout: TextIO, nlu: NluClient) -> int:
    """One object a line in, one a line out, in order; a bad line gets an error and the others are answered all the same."""
    status = 0
    for line in stdin:
        if not line.strip():
            continue
        answer = _understood(line, nlu)
        status |= "error" in answer
        stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
        stdout.flush()
    return int(status)


def _understood(line: str, nlu: NluClient) -> dict[str, Any]:
    try:
        asked = json.loads(line)
        number, text = asked["id"], asked["text"]
        if not isinstance(text, str):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        return {"id": _id_of(line), "error": 'each line needs an "id" and a "text"'}
    language = asked.get("lang") or detector.language_of(text).language
    if not is_readable(text, language):
        state = "unsupported" if any(c.isalpha() for c in text) else "unclear"
        return {"id": number, "lang": language, **_answer(Understanding(bias={"state": state, "motivations": []}))}
    understood = nlu.understand(text, language)
    if understood.is_silent:
        return {"id": number, "error": "Rasa did not answer"}
    return {"id": number, "lang": language, **_answer(understood)}


def _answer(understood: Understanding) -> dict[str, Any]:
    facts = ("when", "where", "who", "injury", "online", "threat", "ongoing")
    return {
        "intent": {
            "name": None if understood.intent in ("", NOTHING_MEANT) else understood.intent,
            "confidence": understood.confidence,
        },
        "bias": dict(understood.bias) or {"state": "unclear", "motivations": []},
        "told": {fact: fact in understood.told for fact in facts},
    }


def _id_of(line: str) -> Any:
    try:
        return json.loads(line)["id"]
    except (ValueError, KeyError, TypeError):
        return None


# -- flows ---------------------------------------------------------------------------------------------------------------------


def check_flows(flows: Mapping[str, Flow], known_events: Collection[str]) -> int:
    """Print what is wrong with flows and their translations. Returns the exit status."""
    problems = checker.check(flows, catalog.texts(), known_events)
    for problem in problems:
        print(problem)
    print(f"{len(flows)} flows in {len(catalog.texts())} languages: {len(problems)} problems")
    return 1 if problems else 0


def draw_flow(flows: Mapping[str, Flow], name: str, language: str, as_svg: bool) -> int:
    """Print a flow as Mermaid text or as an SVG picture. Returns the exit status."""
    if name not in flows or language not in catalog.texts():
        print(f"there is no flow '{name}' in '{language}'; flows: {', '.join(flows)}; languages: {', '.join(catalog.texts())}")
        return 1
    draw = picture.svg if as_svg else picture.mermaid
    print(draw(flows[name], lambda msgid: catalog.texts()[language].get(msgid, msgid)), end="")
    return 0


def print_segments(flows: Mapping[str, Flow], as_json: bool) -> None:
    """Print what one whole report costs by SMS in each language, text by text."""
    counted = {language: _segments_of(flows["report"], language) for language in segments.REFERENCES}
    if as_json:
        print(json.dumps({"languages": counted}, ensure_ascii=False))
        return
    for language, found in counted.items():
        print(f"{language}: one report is {found['report_total']} parts")
        for message in found["messages"]:
            print(f"  {message['segments']} {message['alphabet']:6} {message['characters']:4}  {message['id']}")


def _segments_of(flow: Flow, language: str) -> dict[str, Any]:
    sent = segments.played_report(flow, catalog.render, language)
    messages = [{"id": s.id, "alphabet": s.alphabet, "characters": s.characters, "segments": s.segments} for s in sent]
    return {"messages": messages, "report_total": sum(s.segments for s in sent)}
