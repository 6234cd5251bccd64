"""Tune E5 on the training sentences: ``python nlu/tune.py [--public FOLDER] [--start FILE] [--seed N] [--into FILE]``.

Takes half an hour and more on two cores, so its results are kept with the project and set-up only reads them. ``--public`` names a
folder with ``hatecheck_family.csv`` (columns text, labels, lang; see NOTICE): a lightly weighted share of it teaches what single
hostile statements look like; without it the script runs all the same. ``--start`` goes on from numbers kept before. Printed: the
area under precision and recall on the development accounts, which this never learns from. ``weights/tuned.npz`` was made in six
goes on more and more sentences, ``weights/second.npz`` in three, from nothing with another seed: made anew they differ.
"""

from __future__ import annotations

import argparse
import csv
import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from sklearn.metrics import average_precision_score

from components import heads
from components.e5 import HALFWAY, HEAD, HEADS, LAYERS, MADE_BY_TUNING, MATRICES, NEVER, QUESTIONS, WIDTH, Tokens, layers
from components.encoder import encode
from components.fitting import fit
from components.lexicon import STRANDS

RANK, BATCH, EPOCHS, RATE, WARM_UP, DECAY = 16, 32, 2.5, 1e-3, 100, 0.01
DROPPED, DROPPED_INPUT, DROPPED_TOKENS, DROPPED_INSIDE = 0.2, 0.05, 0.1, 0.1
OF_PUBLIC, PUBLIC_A_LANGUAGE = 0.3, 420
OF_NO_ACCOUNT = 0.3
OF_STRANDS = 0.7
STRICTNESS = 0.2
HALFWAY_READS = 25_000  # sentences
OF_ACCOUNTS_INTENT = 0.1  # they outnumber all other sentences


@dataclass(frozen=True)
class Lesson:
    """A text, its strands and its intent, and how much each of the three questions counts."""

    text: str
    strands: frozenset[str]
    intent: str = "report"
    indicator: float = 1.0
    which: float = 1.0
    wants: float = 0.0


def lessons(public: Path | None) -> list[Lesson]:
    """All there is to learn from: accounts, single statements, texts that are no report, a share of the public data."""
    config = heads.ReportHeads.get_default_config()
    found = [Lesson(one.text, one.strands, wants=OF_ACCOUNTS_INTENT) for one in heads.bias_examples(config)]
    found += [Lesson(one.text, one.strands) for one in heads.bias_examples(config, "statements")]
    for text, intent, _ in heads.intent_examples(config):
        found.append(Lesson(text, frozenset(), intent, 0.0 if intent == "report" else OF_NO_ACCOUNT, 0.0, wants=1.0))
    if public is not None:
        with open(public / "hatecheck_family.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        np.random.RandomState(1).shuffle(rows)  # type: ignore[arg-type]
        taken: Counter[str] = Counter()
        for row in rows:
            taken[row["lang"]] += 1
            if taken[row["lang"]] <= PUBLIC_A_LANGUAGE:
                strands = frozenset(row["labels"].split("|")) - {"none"}
                found.append(Lesson(row["text"], strands, indicator=OF_PUBLIC, which=OF_PUBLIC))
    return found


class Tuning:
    """The network, the thin factors added to its layers, and the heads, all of it learned together.

    The head for intents is not kept: it only teaches the rows to tell them apart, which ``intents.py`` then reads.
    """

    def __init__(self, texts: Sequence[str], intents: int, start: Path | None, seed: int) -> None:
        self._tokens = Tokens()
        self._layers = [_frozen(layer) for layer in layers(self._tokens, None)]
        self._embedded = {text: self._embed(text) for text in texts}
        chance = np.random.RandomState(seed)
        self.updates = [
            {
                name: (_thin(chance, inputs), tf.Variable(np.zeros((RANK, outputs), "f4")))
                for name, (inputs, outputs) in MATRICES.items()
            }
            for _ in range(LAYERS)
        ]
        spread = {"inner": 20.0, "vote": 11.0}
        self.head = {
            name: tf.Variable((chance.randn(*shape) / spread[name]).astype("f4") if name in spread else np.zeros(shape, "f4"))
            for name, shape in HEAD.items()
        }
        self.wants = tf.Variable(np.zeros((WIDTH, intents), "f4")), tf.Variable(np.zeros(intents, "f4"))
        if start is not None:
            with np.load(start) as kept:
                for name, variable in self._kept().items():
                    variable.assign(kept[name].astype("f4"))
        self.variables = [*self._kept().values(), *self.wants]

    def _embed(self, text: str) -> np.ndarray:
        """Embeddings never change: looked up once a text, in half the precision."""
        states, _ = self._tokens.embed([text])
        return states[0].astype("f2")

    def _kept(self) -> dict[str, Any]:
        factors = {
            f"{number}.{name}.{part}": factor
            for number, update in enumerate(self.updates)
            for name, pair in update.items()
            for part, factor in zip("ab", pair)
        }
        return factors | self.head

    def length(self, text: str) -> int:
        return len(self._embedded[text])

    def padded(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        most = max(self.length(text) for text in texts)
        states, mask = np.zeros((len(texts), most, WIDTH), "f4"), np.zeros((len(texts), most), "f4")
        for line, text in enumerate(texts):
            states[line, : self.length(text)], mask[line, : self.length(text)] = self._embedded[text], 1.0
        return states, mask

    def odds(self, states: Any, mask: Any, learning: bool) -> tuple[Any, Any]:
        """Of the strands' questions, and of the intents."""
        if learning:
            states = tf.nn.dropout(states, DROPPED_INPUT)
            mask = _with_gaps(mask)
        for layer, update in zip(self._layers, self.updates):
            states = _through(layer, states, mask, update, self._tokens.epsilon, DROPPED_INSIDE if learning else 0.0)
        wanted = _mean(states, mask) @ self.wants[0] + self.wants[1]
        return _asked(self.head, states, mask, DROPPED if learning else 0.0), wanted

    def numbers(self) -> dict[str, np.ndarray]:
        """What is kept, in half the precision; nothing yet of what is read half-way."""
        nothing = {name: np.zeros(shape, np.float16) for name, shape in HALFWAY.items()}
        return {name: variable.numpy().astype(np.float16) for name, variable in self._kept().items()} | nothing


def _frozen(layer: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The matrices in bfloat16, which newer processors multiply twice as fast."""
    return {name: tf.constant(numbers, tf.bfloat16 if name in MATRICES else tf.float32) for name, numbers in layer.items()}


def _with_gaps(mask: Any) -> Any:
    """Some tokens left out, never the first: what a text says should not hang on one of them."""
    kept = tf.cast(tf.random.uniform(tf.shape(mask)) >= DROPPED_TOKENS, tf.float32)
    return mask * tf.concat([tf.ones_like(kept[:, :1]), kept[:, 1:]], axis=1)


def _through(layer: Mapping[str, Any], states: Any, mask: Any, update: Mapping[str, Any], epsilon: float, dropped: float) -> Any:
    """One layer of BERT; ``update``: the two thin factors that are added to each matrix."""
    shape = tf.shape(states)
    texts, length = shape[0], shape[1]

    def times(rows: Any, name: str) -> Any:
        whole = tf.cast(tf.cast(rows, tf.bfloat16) @ layer[name], tf.float32) + layer[name + "b"]
        return whole + (rows @ update[name][0]) @ update[name][1]

    def parted(rows: Any) -> Any:
        return tf.transpose(tf.reshape(rows, (texts, length, HEADS, WIDTH // HEADS)), (0, 2, 1, 3))

    def some(rows: Any) -> Any:
        return tf.nn.dropout(rows, dropped) if dropped else rows

    def levelled(rows: Any, scale: Any, shift: Any) -> Any:
        rows = rows - tf.reduce_mean(rows, -1, keepdims=True)
        return rows * tf.math.rsqrt(tf.reduce_mean(rows * rows, -1, keepdims=True) + epsilon) * scale + shift

    rows = tf.reshape(states, (texts * length, WIDTH))
    query, key, value = (parted(times(rows, name)) for name in "qkv")
    alike = tf.matmul(query, key, transpose_b=True) / (WIDTH // HEADS) ** 0.5 + ((1 - mask) * NEVER)[:, None, None, :]
    heard = tf.reshape(tf.transpose(tf.nn.softmax(alike) @ value, (0, 2, 1, 3)), (texts * length, WIDTH))
    rows = levelled(rows + some(times(heard, "ao")), layer["aw"], layer["ab"])
    inner = tf.nn.gelu(times(rows, "fi"), approximate=True)
    return tf.reshape(levelled(rows + some(times(inner, "fo")), layer["ow"], layer["ob"]), (texts, length, WIDTH))


def _asked(head: Mapping[str, Any], states: Any, mask: Any, dropped: float) -> Any:
    """The head's log odds: every token votes on each question, weighted by attention; the mean of all adds its own."""
    mean = _mean(states, mask)
    inner = tf.nn.gelu(states @ head["inner"] + head["inner_bias"])
    if dropped:
        mean, inner = tf.nn.dropout(mean, dropped), tf.nn.dropout(inner, dropped)
    weight = tf.nn.softmax(inner @ head["attention"] + ((1 - mask) * NEVER)[..., None], axis=1)
    return tf.reduce_sum(weight * (inner @ head["vote"]), 1) + head["vote_bias"] + mean @ head["mean"]


def _mean(states: Any, mask: Any) -> Any:
    return tf.reduce_sum(states * mask[..., None], 1) / tf.reduce_sum(mask, 1)[:, None]


_STATES = tf.TensorSpec((None, None, WIDTH)), tf.TensorSpec((None, None))


class _Falling(tf.keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Up within WARM_UP steps, then down to nothing along a half cosine (Loshchilov and Hutter 2017)."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def __call__(self, step: Any) -> Any:
        step = tf.cast(step, tf.float32)
        return RATE * tf.minimum(step / WARM_UP, 0.5 * (1 + tf.cos(np.pi * step / self._steps)))


def tune(found: Sequence[Lesson], epochs: float, development: Sequence[Any], start: Path | None, seed: int, into: Path) -> None:
    names = sorted({lesson.intent for lesson in found})
    texts = list(dict.fromkeys([lesson.text for lesson in found] + [one.text for one in development]))
    tuning = Tuning(texts, len(names), start, seed)
    wanted = np.array([[bool(one.strands)] + [strand in one.strands for strand in STRANDS] for one in found], "f4")
    intent = np.array([names.index(one.intent) for one in found], "i4")
    weight = np.array([[one.indicator, one.which, one.wants] for one in found], "f4")
    steps = int(epochs * len(found) / BATCH)
    optimizer = tf.keras.optimizers.experimental.AdamW(learning_rate=_Falling(steps), weight_decay=DECAY, jit_compile=False)

    def step(states: Any, mask: Any, wanted: Any, intent: Any, weight: Any) -> Any:
        with tf.GradientTape() as tape:
            odds, wants = tuning.odds(states, mask, learning=True)
            each = tf.nn.sigmoid_cross_entropy_with_logits(wanted, odds)
            which = tf.reduce_sum(each[:, 1:], 1) * wanted[:, 0] * OF_STRANDS
            meant = tf.nn.sparse_softmax_cross_entropy_with_logits(intent, wants)
            loss = tf.reduce_sum(weight[:, 0] * each[:, 0] + weight[:, 1] * which + weight[:, 2] * meant) / BATCH
        slopes, _ = tf.clip_by_global_norm(tape.gradient(loss, tuning.variables), 1.0)
        optimizer.apply_gradients(zip(slopes, tuning.variables))
        return loss

    signature = (*_STATES, tf.TensorSpec((None, QUESTIONS)), tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None, 3)))
    step = tf.function(step, input_signature=signature, autograph=False)
    begun, done, recent = time.monotonic(), 0, 0.0
    for batch in _batches([tuning.length(one.text) for one in found], steps, seed):
        loss = step(*tuning.padded([found[i].text for i in batch]), wanted[batch], intent[batch], weight[batch])
        done, recent = done + 1, 0.98 * recent + 0.02 * float(loss)
        if done % 200 == 0 or done == steps:
            print(f"{done}/{steps} loss {recent:.3f}, {time.monotonic() - begun:.0f} s", flush=True)
        if done % max(1, steps // 8) == 0 or done == steps:
            print(f"  development: {_precision(tuning, development):.3f}", flush=True)
            np.savez_compressed(into, **tuning.numbers())


def read_halfway(found: Sequence[Lesson]) -> None:
    """Put the same questions to the tuned network half-way, as logistic regressions on the mean of the tokens there.

    A part of the sentences (at most ``HALFWAY_READS``) is enough for so few numbers.
    """
    found = found[:: 1 + len(found) // HALFWAY_READS]
    rows = encode([one.text for one in found])[:, :WIDTH]
    with np.load(MADE_BY_TUNING) as kept:
        numbers = {name: kept[name] for name in kept.files}
    mean, spread = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    rows = (rows - mean) / spread
    biased = np.array([bool(one.strands) for one in found])
    questions = [fit(rows, biased, STRICTNESS)]
    questions += [fit(rows[biased], np.array([s in one.strands for one in found])[biased], STRICTNESS) for s in STRANDS]
    weights = np.stack(questions)
    numbers["half"] = (weights[:, :-1] / spread).T.astype(np.float32)
    numbers["half_bias"] = (weights[:, -1] - (weights[:, :-1] / spread) @ mean).astype(np.float32)
    np.savez_compressed(MADE_BY_TUNING, **numbers)


def _batches(lengths: Sequence[int], steps: int, seed: int) -> Iterator[np.ndarray]:
    """Texts of like length together, in an order of chance that is the same for one seed."""
    chance, left = np.random.RandomState(seed), steps
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
    return np.concatenate([tuning.odds(*tuning.padded(texts[s : s + BATCH]), learning=False)[0].numpy() for s in starts])


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
    arguments.add_argument("--start", type=Path, default=None)
    arguments.add_argument("--epochs", type=float, default=EPOCHS)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--into", type=Path, default=MADE_BY_TUNING, help="weights/second.npz for the second opinion")
    asked = arguments.parse_args()
    tf.random.set_seed(asked.seed)
    found = lessons(asked.public)
    print(f"{len(found)} texts", flush=True)
    tune(found, asked.epochs, heads.development(heads.ReportHeads.get_default_config()), asked.start, asked.seed, asked.into)
    if asked.into.resolve() == MADE_BY_TUNING:
        read_halfway([lesson for lesson in found if lesson.wants and (lesson.strands or lesson.indicator)])
    print(f"written: {asked.into}")


if __name__ == "__main__":
    main()
