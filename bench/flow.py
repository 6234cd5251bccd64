"""One step of the flow with its state loaded from JSON and saved again, beside the JSON alone."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator

from bench.results import Finding, at_most, heading, spread
from flows import engine
from flows.model import Answer, Position

ROUNDS = 7
REPORTS = 150
STORY = "Last night on the bus a man shouted at me and spat at me. Nobody helped. I am afraid to leave the house."
ANSWERS = (
    Answer("option", "1", "done"),
    Answer("option", "1", "victim"),
    Answer("text", "Because of my headscarf. He shouted about it."),
    Answer("text", "yesterday, about ten at night"),
    Answer("text", "on the 42, near the school"),
    Answer("option", "1", "yes"),
    Answer("option", "1", "yes"),
    Answer("option", "2", "no"),
    Answer("option", "1", "yes"),
)


def step() -> Iterator[Finding]:
    """G4: microseconds a step, one core, the whole victim report again and again."""
    print(heading(f"Flow step with state load and save ({len(ANSWERS)} answers a report, {ROUNDS} rounds in turn)"))
    report = engine.load()["report"]
    kept: list[str] = []
    _play(lambda position, answer: engine.advance(report, position, answer).position, kept)
    ours, floor = [], []
    for _ in range(ROUNDS):
        floor.append(_microseconds(lambda: [json.dumps(json.loads(state)) for state in kept]))
        ours.append(_microseconds(lambda: _play(lambda p, a: engine.advance(report, p, a).position, None)))
    ratio = statistics.median(ours) / statistics.median(floor)
    print(f"  ours {spread(ours, 1)} us, JSON of the same states {spread(floor, 1)} us: {ratio:.1f} times the floor")
    yield at_most("G4", "flow step with state load and save", statistics.median(ours), 35, "us", 1)
    yield at_most("G4", "times the JSON floor", ratio, 5, "x", 1)


def _play(advance: Callable[[Position, Answer], Position | None], kept: list[str] | None) -> None:
    state = json.dumps(Position("report", "more", {"channel": "sms", "story": [STORY]}).as_dict())
    for answer in ANSWERS:
        if kept is not None:
            kept.append(state)
        position = advance(Position.from_dict(json.loads(state)), answer)
        if position is not None:
            state = json.dumps(position.as_dict())


def _microseconds(play: Callable[[], object]) -> float:
    started = time.process_time()
    for _ in range(REPORTS):
        play()
    return (time.process_time() - started) / REPORTS / len(ANSWERS) * 1e6
