"""Starts `serve` and `work` processes fast: this process has loaded everything once, and each child is a fork of it.

It reads one JSON object a line, ``{"what": "work", "log": "…", "environment": {…}}``, and answers with the child's id. The clock of
a child's machine is wrong by the seconds in the file named by TORTURE_CLOCK, read anew each time.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot import clock, inbox, outbox, processes
from bot import settings as all_settings
from bot.app import build_worker
from bot.privacy import quiet_logs
from translations import detect

SHORT_LEASE = timedelta(seconds=10)  # so that a short run sees leases of dead workers run out


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody is left as a zombie
    detect.language_of("He shouted at me on the bus")  # load what is heavy before the first fork
    inbox.LEASE = outbox.LEASE = SHORT_LEASE
    for line in sys.stdin:
        wish: dict[str, Any] = json.loads(line)
        child = os.fork()
        if child == 0:
            _live(wish)
        print(child, flush=True)


def _live(wish: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    log = os.open(wish["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for descriptor in (1, 2):
        os.dup2(log, descriptor)
    os.environ.update(wish["environment"])
    offset = Path(os.environ["TORTURE_CLOCK"])
    status = 1
    try:
        quiet_logs()
        with clock.wrong_by(lambda: timedelta(seconds=float(offset.read_text() or 0))):
            if wish["what"] == "serve":
                processes.serve(all_settings.load())
            else:
                worker = build_worker(all_settings.load())
                processes.on_stop(worker.stop)
                worker.run()
                worker.close()
        status = 0
    except BaseException as error:
        print(f"{wish['what']} ended: {type(error).__name__}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
