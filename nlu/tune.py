"""Tune the upper layers of E5 on the training accounts: ``python nlu/tune.py [--public FOLDER]`` writes ``weights/tuned.npz``.

Takes half an hour on two cores, so its result is kept with the project and set-up only reads it. ``--public`` names a folder with
``hatecheck_family.csv`` (columns text, labels, lang; see NOTICE): a lightly weighted share of it teaches what single hostile
statements look like; without it the script runs all the same. Printed: the area under precision and recall on the development
accounts, which this never learns from. The numbers kept now were made with eight further questions, the facts told, which came to
nothing and were cut off; made anew without these they differ a little.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from sklearn.metrics import average_precision_score

from components import heads
from components.e5 import HEAD, LAYERS, MADE_BY_TUNING, MATRICES, QUESTIONS, UPPER, WIDTH, Network, Tokens
from components.lexicon import STRANDS

RANK, BATCH, EPOCHS, RATE, WARM_UP, DECAY = 16, 32, 2.5, 1e-3, 100, 0.01
DROPPED, DROPPED_INPUT = 0.2, 0.05
OF_PUBLIC, PUBLIC_A_LANGUAGE = 0.3, 420
OF_NO_ACCOUNT = 0.3
OF_STRANDS = 0.7


@dataclass(frozen=True)
class Lesson:
    """A text, its strands, and how much its two questions count."""

    text: str
    strands: frozenset[str]
    indicator: float = 1.0
    which: float = 1.0


def lessons(public: Path | None) -> list[Lesson]:
    """All there is to learn from: accounts, single statements, texts that are no report, a share of the public data."""
    config = heads.ReportHeads.get_default_config()
    found = [
        Lesson(example.text, example.strands) for kind in ("bias", "statements") for example in heads.bias_examples(config, kind)
    ]
    asked = heads.intent_examples(config)
    found += [Lesson(text, frozenset(), OF_NO_ACCOUNT, 0.0) for text, intent, _ in asked if intent != "report"]
    if public is not None:
        with open(public / "hatecheck_family.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        np.random.RandomState(1).shuffle(rows)  # type: ignore[arg-type]
        taken: Counter[str] = Counter()
        for row in rows:
            taken[row["lang"]] += 1
            if taken[row["lang"]] <= PUBLIC_A_LANGUAGE:
                strands = frozenset(row["labels"].split("|")) - {"none"}
                found.append(Lesson(row["text"], strands, OF_PUBLIC, OF_PUBLIC))
    return found


class Tuning:
    """The network, the thin factors added to its upper layers, and the head, all of it learned together."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.network = Network(Tokens(), None)
        self._lower_states = dict(zip(texts, self._lower(texts)))
        chance = np.random.RandomState(0)
        self.updates = [
            {
                name: (_thin(chance, inputs), tf.Variable(np.zeros((RANK, outputs), "f4")))
                for name, (inputs, outputs) in MATRICES.items()
            }
            for _ in range(UPPER)
        ]
        spread = {"inner": 20.0, "vote": 11.0}
        self.head = {
            name: tf.Variable((chance.randn(*shape) / spread[name]).astype("f4") if name in spread else np.zeros(shape, "f4"))
            for name, shape in HEAD.items()
        }
        self.variables = [one for update in self.updates for pair in update.values() for one in pair] + list(self.head.values())

    def _lower(self, texts: Sequence[str]) -> Iterator[np.ndarray]:
        """The states under the tuned layers never change: computed once a text, in half the precision."""
        lower = tf.function(self.network.lower, input_signature=_STATES, autograph=False)
        found: dict[int, np.ndarray] = {}
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        for start in range(0, len(order), 2 * BATCH):
            batch = order[start : start + 2 * BATCH]
            states, mask = self.network.tokens.embed([texts[i] for i in batch])
            for i, row, tokens in zip(batch, lower(states, mask).numpy(), mask.sum(axis=1).astype(int)):
                found[i] = row[:tokens].astype("f2")
        return (found[i] for i in range(len(texts)))

    def length(self, text: str) -> int:
        return len(self._lower_states[text])

    def padded(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        most = max(self.length(text) for text in texts)
        states, mask = np.zeros((len(texts), most, WIDTH), "f4"), np.zeros((len(texts), most), "f4")
        for line, text in enumerate(texts):
            states[line, : self.length(text)], mask[line, : self.length(text)] = self._lower_states[text], 1.0
        return states, mask

    def odds(self, states: Any, mask: Any, learning: bool) -> Any:
        if learning:
            states = tf.nn.dropout(states, DROPPED_INPUT)
        return self.network.asked(self.head, self.network.tuned(self.updates, states, mask), mask, DROPPED if learning else 0.0)

    def numbers(self) -> dict[str, np.ndarray]:
        """What is kept, in half the precision."""
        kept = {
            f"{LAYERS - UPPER + number}.{name}.{part}": factor.numpy()
            for number, update in enumerate(self.updates)
            for name, pair in update.items()
            for part, factor in zip("ab", pair)
        }
        kept.update({name: variable.numpy() for name, variable in self.head.items()})
        return {name: value.astype(np.float16) for name, value in kept.items()}


_STATES = tf.TensorSpec((None, None, WIDTH)), tf.TensorSpec((None, None))


class _Falling(tf.keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Up within WARM_UP steps, then down to nothing along a half cosine (Loshchilov and Hutter 2017)."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        return RATE * tf.minimum(step / WARM_UP, 0.5 * (1 + tf.cos(np.pi * step / self._steps)))


def tune(found: Sequence[Lesson], epochs: float, development: Sequence[Any]) -> None:
    tuning = Tuning(list(dict.fromkeys([lesson.text for lesson in found] + [one.text for one in development])))
    wanted = np.array([[bool(one.strands)] + [strand in one.strands for strand in STRANDS] for one in found], "f4")
    weight = np.array([[one.indicator, one.which] for one in found], "f4")
    steps = int(epochs * len(found) / BATCH)
    optimizer = tf.keras.optimizers.experimental.AdamW(learning_rate=_Falling(steps), weight_decay=DECAY, jit_compile=False)

    def step(states: Any, mask: Any, wanted: Any, weight: Any) -> Any:
        with tf.GradientTape() as tape:
            each = tf.nn.sigmoid_cross_entropy_with_logits(wanted, tuning.odds(states, mask, learning=True))
            which = tf.reduce_sum(each[:, 1:], 1) * wanted[:, 0] * OF_STRANDS
            loss = tf.reduce_sum(weight[:, 0] * each[:, 0] + weight[:, 1] * which) / BATCH
        slopes, _ = tf.clip_by_global_norm(tape.gradient(loss, tuning.variables), 1.0)
        optimizer.apply_gradients(zip(slopes, tuning.variables))
        return loss

    signature = (*_STATES, tf.TensorSpec((None, QUESTIONS)), tf.TensorSpec((None, 2)))
    step = tf.function(step, input_signature=signature, autograph=False)
    begun, done, recent = time.monotonic(), 0, 0.0
    for batch in _batches([tuning.length(one.text) for one in found], steps):
        loss = step(*tuning.padded([found[i].text for i in batch]), wanted[batch], weight[batch])
        done, recent = done + 1, 0.98 * recent + 0.02 * float(loss)
        if done % 200 == 0 or done == steps:
            print(f"{done}/{steps} loss {recent:.3f}, {time.monotonic() - begun:.0f} s", flush=True)
        if done % max(1, steps // 4) == 0 or done == steps:
            print(f"  development: {_precision(tuning, development):.3f}", flush=True)
            np.savez_compressed(MADE_BY_TUNING, **tuning.numbers())


def _batches(lengths: Sequence[int], steps: int) -> Iterator[np.ndarray]:
    """Texts of like length together, in an order of chance that is the same each time."""
    chance, left = np.random.RandomState(0), steps
    while left > 0:
        order, batches = chance.permutation(len(lengths)), []
        for start in range(0, len(order), BATCH * 32):
            some = sorted(order[start : start + BATCH * 32], key=lambda i: lengths[i])
            batches += [np.array(some[i : i + BATCH]) for i in range(0, len(some), BATCH)]
        chance.shuffle(batches)  # type: ignore[arg-type]
        yield from batches[:left]
        left -= len(batches)


def _odds(tuning: Tuning, texts: Sequence[str]) -> np.ndarray:
    starts = range(0, len(texts), BATCH)
    return np.concatenate([tuning.odds(*tuning.padded(texts[s : s + BATCH]), learning=False).numpy() for s in starts])


def _precision(tuning: Tuning, development: Sequence[Any]) -> float:
    share = 1 / (1 + np.exp(-_odds(tuning, [one.text for one in development])))
    said = share[:, :1] * share[:, 1:]
    return float(
        np.mean([average_precision_score([s in one.strands for one in development], said[:, k]) for k, s in enumerate(STRANDS)])
    )


def _thin(chance: np.random.RandomState, inputs: int) -> Any:
    return tf.Variable((chance.randn(inputs, RANK) / np.sqrt(inputs)).astype("f4"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    arguments.add_argument("--public", type=Path, default=None)
    arguments.add_argument("--epochs", type=float, default=EPOCHS)
    asked = arguments.parse_args()
    tf.random.set_seed(0)
    found = lessons(asked.public)
    print(f"{len(found)} texts", flush=True)
    tune(found, asked.epochs, heads.development(heads.ReportHeads.get_default_config()))
    print(f"written: {MADE_BY_TUNING}")


if __name__ == "__main__":
    main()
