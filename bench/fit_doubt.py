"""Fit the weights of translations/doubt.py on the sentences meant for it, and say what they catch."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import evaluate_translation
from translations import doubt, glossary, packages
from translations.argos import Argos, Leg
from translations.draft import Rendered, draft
from translations.machine import Translation

FITTED_ON = ("set", "doubt set")
ALARMS = 0.14  # of the right translations it was fitted on, each judged by weights that have not seen it
_FOLDS = 10
_RIDGE = 1.0


@dataclass(frozen=True)
class Row:
    """One translation: its measures (surprise, doubt, missing), and whether a fact was lost."""

    place: int
    part: str
    way: str
    measured: tuple[float, float, float]
    is_wrong: bool
    is_flagged: bool  # by the rules alone


@dataclass
class _Recorder:
    """Stands between the draft and the model, and keeps what doubt.py measures of a text."""

    leg: Leg
    found: list[tuple[float, float, float]]

    def translate(self, sentence: str) -> Rendered:
        made = self.leg.translate(sentence)
        counterparts = glossary.counterparts(sentence, made.text, self.leg.source, self.leg.target)
        self.found.append(doubt.measures(made.words, counterparts))
        return made


def rows() -> list[Row]:
    """Every sentence of the embedded directions, translated in this process."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        packages.install_embedded(Path(folder) / "argos" / "packages")
        argos = Argos(Path(folder) / "argos" / "packages")
        for task in evaluate_translation.tasks():
            if task.source == "es":
                continue
            recorder = _Recorder(argos.route(task.source, task.target)[0], [])
            made = draft(task.text, [recorder], task.source, task.target)
            flags = tuple(flag for flag in made.flags if flag != "doubtful")
            judged = evaluate_translation.judge(task, Translation(made.text, "", (), flags, ""))
            first, second, third = (max(values) for values in zip(*recorder.found, strict=True))
            measured = (first, second, third)
            found.append(Row(task.place, task.part, task.way, measured, bool(judged.lost), judged.is_flagged))
    return found


def fitted(measured: NDArray[np.float64], is_wrong: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weights of a logistic regression, the constant first; Newton's method, a ridge on all but the constant."""
    middle, spread = measured.mean(axis=0), measured.std(axis=0)
    table = np.column_stack([np.ones(len(measured)), (measured - middle) / spread])
    ridge = _RIDGE * np.eye(table.shape[1])
    ridge[0, 0] = 0
    weights = np.zeros(table.shape[1])
    for _ in range(50):
        chance = 1 / (1 + np.exp(-table @ weights))
        slope = table.T @ (is_wrong - chance) - ridge @ weights
        bend = (table.T * (chance * (1 - chance))) @ table + ridge
        weights += np.linalg.solve(bend, slope)
    plain = weights[1:] / spread
    return np.concatenate([[weights[0] - plain @ middle], plain])


def fit(some: Sequence[Row]) -> tuple[NDArray[np.float64], float]:
    """The weights, and the sum above which ALARMS of the right ones lie when a tenth of the incidents is left out in turn."""
    measured, wrong = np.array([row.measured for row in some]), np.array([row.is_wrong for row in some], float)
    fold = np.array([row.place % _FOLDS for row in some])  # the careful and the texted form of an incident stay together
    sums = np.empty(len(some))
    for left_out in range(_FOLDS):
        weights = fitted(measured[fold != left_out], wrong[fold != left_out])
        sums[fold == left_out] = weights[0] + measured[fold == left_out] @ weights[1:]
    weights = fitted(measured, wrong)
    limit = float(np.quantile(sums[wrong == 0], 1 - ALARMS)) - weights[0]
    caught = (sums - weights[0] > limit)[wrong == 1].mean()
    print(f"left out in turn: catches {caught:.0%} at {ALARMS:.0%} alarms")
    return weights[1:], limit


def main() -> int:
    found = rows()
    weights, limit = fit([row for row in found if row.part in FITTED_ON])
    print(f"WEIGHTS = ({', '.join(f'{weight:.3f}' for weight in weights)})\nDOUBTED_FROM = {limit:.3f}")
    for part in evaluate_translation.PARTS:
        for source in ("pt", "en"):
            some = [row for row in found if row.part == part and row.way.startswith(source)]
            flagged = [row.is_flagged or float(weights @ np.array(row.measured)) > limit for row in some]
            wrong = sum(row.is_wrong for row in some)
            caught = sum(row.is_wrong and is_flagged for row, is_flagged in zip(some, flagged, strict=True))
            print(f"{part:11} from {source}: catches {caught}/{wrong}, alarms {sum(flagged) - caught}/{len(some) - wrong}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
