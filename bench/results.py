"""What a measurement hands on: lines to read as it runs, and one line for the table of goals at the end."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH = 100


@dataclass(frozen=True)
class Finding:
    """One goal: ``Finding("G4", "flow step with load and save", "22 us", "<= 35 us", True)``. ``met`` None: not measured."""

    goal: str
    what: str
    measured: str
    target: str
    met: bool | None
    short_of: str = ""  # by how much it is missed: "1.4x too much"


def at_most(goal: str, what: str, value: float, target: float, unit: str, digits: int = 0) -> Finding:
    """A goal that a value must not exceed."""
    met = value <= target
    return Finding(
        goal, what, f"{value:.{digits}f} {unit}", f"<= {target:g} {unit}", met, "" if met else f"{value / target:.2f}x the target"
    )


def at_least(goal: str, what: str, value: float, target: float, unit: str, digits: int = 0) -> Finding:
    """A goal that a value must reach."""
    met = value >= target
    return Finding(
        goal,
        what,
        f"{value:.{digits}f} {unit}",
        f">= {target:g} {unit}",
        met,
        "" if met else f"{value / target * 100:.0f} % of the target",
    )


def none_of(goal: str, what: str, faults: Sequence[str]) -> Finding:
    """A goal of zero: what went wrong is named."""
    return Finding(goal, what, f"{len(faults)} faults", "0", not faults, "; ".join(faults[:3]))


def unmeasured(goal: str, what: str, target: str, why: str) -> Finding:
    return Finding(goal, what, "not measured", target, None, why)


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Median and range: ``"0.71 (0.68-0.80)"``."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` (0 to 1) of all lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def heading(text: str) -> str:
    return f"\n{text}\n{'-' * len(text)}"


def table(findings: Sequence[Finding]) -> str:
    """The table at the end, 100 columns wide."""
    word = {True: "met", False: "NOT MET", None: "-"}
    lines = [heading("Goals"), f"{'':4} {'what':50} {'measured':>14} {'target':>14}  "]
    for one in findings:
        lines.append(f"{one.goal:4} {one.what[:50]:50} {one.measured:>14} {one.target:>14}  {word[one.met]}")
        if one.short_of:
            lines += textwrap.wrap(one.short_of, WIDTH, initial_indent=" " * 9, subsequent_indent=" " * 9)
    return "\n".join(lines)
