"""Prints how the trained model does on the held-out files: python nlu/evaluate.py nlu/models/nlu.tar.gz."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from rasa.core.agent import Agent
from rasa.shared.utils.io import read_yaml_file
from rasa.utils.log_utils import configure_structlog

HELD_OUT = Path(__file__).parent / "tests" / "held_out"
NLU_DATA = Path(__file__).parent / "data"


def parse_with(model: Path) -> Any:
    """A function that parses one text as the service does."""
    configure_structlog(logging.WARNING)  # left alone, Rasa prints every text it parses
    agent, loop = Agent.load(str(model)), asyncio.new_event_loop()
    return lambda text: loop.run_until_complete(agent.parse_message(text))


def intents(parse: Any) -> dict[str, tuple[int, int, list[str]]]:
    """For each language: right answers, sentences, and what went wrong."""
    result = {}
    for language, wanted in read_yaml_file(HELD_OUT / "intents.yml").items():
        cases = [(intent, text) for intent, texts in wanted.items() for text in texts]
        found = [(intent, text, parse(text)["intent"]) for intent, text in cases]
        wrong = [f"{text}: {got['name']} {got['confidence']:.2f}, not {intent}" for intent, text, got in found if got["name"] != intent]
        result[language] = (len(cases) - len(wrong), len(cases), wrong)
    return result


def bias(parse: Any) -> dict[str, tuple[Counter[str], list[str]]]:
    """For each language: counts of "right", "silent", "wrong" and "false alarm" (of "biased" and "none" accounts), and what went wrong."""
    result = {}
    for language, wanted in read_yaml_file(HELD_OUT / "bias.yml").items():
        counts: Counter[str] = Counter()
        remarks = []
        for strand, text in [(strand, text) for strand, texts in wanted.items() for text in texts]:
            codes = [motivation["code"] for motivation in parse(text)["report"]["bias"]["motivations"]]
            counts["none" if strand == "none" else "biased"] += 1
            if strand == "none":
                verdict = "false alarm" if codes else "quiet"
            else:
                verdict = "silent" if not codes else "right" if codes[0] == strand else "wrong"
            counts[verdict] += 1
            if verdict not in ("right", "quiet"):
                remarks.append(f"{verdict}: {text}: {codes}, {strand}")
        result[language] = (counts, remarks)
    return result


def main(model: Path) -> None:
    parse = parse_with(model)
    for language, (right, of, wrong) in intents(parse).items():
        print(f"intents {language}: {right}/{of} = {right / of:.3f}", *wrong, sep="\n    ")
    for language, (counts, remarks) in bias(parse).items():
        print(f"bias {language}: {dict(counts)}", *remarks, sep="\n    ")
    started = time.perf_counter()
    for _ in range(20):
        parse("a man on the bus told me to go back to my country")
    print(f"one short account: {(time.perf_counter() - started) / 20 * 1000:.1f} ms")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
