"""Rules about the code itself."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import bot
from bot.effects import EFFECTS
from flows.engine import load
from translations import catalog

HOME = Path(bot.__file__).parent.parent
SOURCES = sorted(p for part in ("bot", "flows", "translations") for p in (HOME / part).rglob("*.py") if "versions" not in p.parts)
COMMANDS = {"bot/__main__.py", "bot/lines.py", "bot/demo.py"}


def name_of(path: Path) -> str:
    return path.relative_to(HOME).as_posix()


def every_node(kind: type[ast.AST] | tuple[type[ast.AST], ...]) -> Iterator[tuple[str, ast.AST]]:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, kind):
                yield name_of(path), node


def test_a_module_opens_with_a_sentence() -> None:
    for path in SOURCES:
        if text := path.read_text("utf-8"):
            said = ast.get_docstring(ast.parse(text))
            assert said and (said[0].isupper() or said[0] == "`") and said.split("\n\n")[0].rstrip()[-1] in ".?:)", name_of(path)


def test_a_module_is_named_for_what_it_is() -> None:
    for path in SOURCES:
        words = set(path.stem.strip("_").split("_"))
        assert not words & {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}, name_of(path)


def test_vendors_are_named_in_their_channel_alone() -> None:
    # Parts are joined in app.py and shown to operators by doctor, demo and processes; a channel's name in a list is a word of ours.
    vendors = {
        "twilio": {"bot/channels/twilio_sms.py", "bot/channels/twilio_whatsapp.py"},
        "telegram": {"bot/channels/telegram.py", "bot/channels/telegram_polling.py"},
    }
    joined = {"bot/app.py", "bot/doctor.py", "bot/demo.py", "bot/processes.py", "bot/__main__.py"}
    for path in SOURCES:
        named = " ".join(_names(path)).casefold()
        for vendor, places in vendors.items():
            if name_of(path) not in places | joined:
                assert vendor not in named, f"{name_of(path)} names {vendor}"


def _names(path: Path) -> Iterator[str]:
    """The names of a file: no comment, no string."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text("utf-8")).readline):
        if token.type == tokenize.NAME:
            yield token.string


def test_only_commands_print() -> None:
    for where, node in every_node(ast.Call):
        assert isinstance(node, ast.Call)
        if isinstance(node.func, ast.Name) and node.func.id == "print":
            assert where in COMMANDS, f"{where}:{node.lineno} prints"


def test_time_comes_from_the_clock_and_knows_its_zone() -> None:
    for where, node in every_node(ast.Attribute):
        assert isinstance(node, ast.Attribute)
        if node.attr in ("utcnow", "utcfromtimestamp"):
            pytest.fail(f"{where}:{node.lineno} makes a time without a zone")
        if node.attr == "now" and isinstance(node.value, ast.Name) and node.value.id == "datetime":
            assert where == "bot/clock.py", f"{where}:{node.lineno} asks the machine for the time: use clock.now()"


def test_an_import_inside_a_function_says_why() -> None:
    for path in SOURCES:
        lines = path.read_text("utf-8").splitlines()
        for function in ast.walk(ast.parse("\n".join(lines))):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) or path.parts[-2] == "translations":
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Import | ast.ImportFrom):
                    assert "#" in lines[node.lineno - 1], f"{name_of(path)}:{node.lineno} imports late without its reason"


def test_everything_is_caught_only_where_one_failure_must_not_stop_the_rest() -> None:
    allowed = {
        "bot/worker.py",
        "bot/outbox.py",
        "bot/vendor_copies.py",
        "bot/attachments.py",
        "bot/reception.py",
        "bot/web/guard.py",
        "bot/channels/__init__.py",
        "bot/channels/telegram.py",
        "bot/channels/telegram_polling.py",
    }
    allowed |= {"translations/worker.py"}
    for where, node in every_node(ast.ExceptHandler):
        assert isinstance(node, ast.ExceptHandler)
        caught = ast.unparse(node.type) if node.type else "everything"
        if caught in ("everything", "Exception", "BaseException"):
            assert where in allowed, f"{where}:{node.lineno} catches {caught}"


def test_no_exception_is_logged_with_its_text() -> None:
    for where, node in every_node(ast.Call):
        assert isinstance(node, ast.Call)
        if (
            isinstance(node.func, ast.Attribute)
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id in ("log", "logging")
        ):
            assert node.func.attr != "exception", f"{where}:{node.lineno}: an exception's text may hold a reporter's words"
            assert not any(k.arg == "exc_info" for k in node.keywords), f"{where}:{node.lineno} logs an exception's text"


def test_every_event_of_a_flow_has_its_effect() -> None:
    for flow in load().values():
        for node in flow.nodes.values():
            for emit in node.emit:
                assert emit.event in EFFECTS, f"flow '{flow.name}', node '{node.name}' emits {emit.event}"


def _what_the_bot_does() -> str:
    return "".join((HOME / "bot" / name).read_text("utf-8") for name in ("conversation.py", "effects.py"))


def test_every_event_the_conversation_makes_has_its_effect() -> None:
    made = re.findall(r'Event\(\s*"(\w+)"', _what_the_bot_does())
    assert made and set(made) <= set(EFFECTS)


def test_every_text_the_conversation_says_is_there_in_english() -> None:
    text = _what_the_bot_does()
    said = set(re.findall(r'_said\(\s*"([\w.]+)"', text)) | set(re.findall(r'"msgid": "([\w.]+)"', text))
    said |= {"attachment.only", "empty"}
    assert len(said) > 8 and said <= set(catalog.texts()["en"])


def test_nobody_mocks_our_own_code() -> None:
    for path in (HOME / "tests").rglob("*.py"):
        names = set(_names(path))
        assert not names & {"MagicMock", "mocker"}, name_of(path)
