"""``python -m bench`` measures everything; ``python -m bench webhook memory`` only what is named."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence

from bench import flow, machine, memory, queue, scale, start, webhook
from bench.results import Finding, heading, table

Measurement = Callable[[], Iterator[Finding]]

ALL: Mapping[str, Sequence[Measurement]] = {
    "machine": (),
    "flow": (flow.step,),
    "start": (start.first_reply, start.size),
    "memory": (memory.processes,),
    "queue": (queue.pages,),
    "webhook": (webhook.latency, webhook.loss, webhook.sqlite, webhook.postgresql),
    "scale": (scale.surge, scale.workers, scale.pacing),
}


def main(names: Sequence[str]) -> int:
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"bench: there is no measurement '{unknown[0]}'; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    since = time.monotonic()
    print(heading("This machine"), *machine.describe(), sep="\n  ")
    findings = [finding for name in names or ALL for measure in ALL[name] for finding in _measured(measure)]
    print(heading("This machine, afterwards"), *machine.describe(), sep="\n  ")
    if findings:
        print(table(findings))
    print(f"\n{time.monotonic() - since:.0f} s. Ratios and medians travel between machines; seconds and milliseconds do not.")
    return 0


def _measured(measure: Measurement) -> list[Finding]:
    """One measurement that fails must not cost the others."""
    try:
        return list(measure())
    except Exception as error:
        print(f"  FAILED: {error}")
        return [Finding("-", measure.__name__, "failed", "", None, str(error)[:200])]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
