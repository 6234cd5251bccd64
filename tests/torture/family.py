"""The processes of a run: `serve` and `work` on one or more machines, each started again when it was killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """Where processes run: ``Machine("here", ["serve0", "work0"], {"TELLONCE_DATABASE_URL": …})``."""

    name: str
    processes: Sequence[str]
    environment: Mapping[str, str]  # of every process of it
    host: str = "127.0.0.1"  # where its `serve` listens
    enter: Sequence[str] = ()  # the command that runs another one inside, such as ip netns exec …
    clock: str = "all"  # "all": its processes share one clock; "each": every process has its own


@dataclass
class _Process:
    machine: Machine
    port: int
    pid: int = 0


@dataclass
class Family:
    """``with family.started(): …``: what dies is started again within a tenth of a second."""

    machines: Sequence[Machine]
    folder: Path
    is_over: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _nurseries: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    _processes: dict[str, _Process] = field(default_factory=dict)

    @contextmanager
    def started(self) -> Iterator[Family]:
        watch = threading.Thread(target=self._keep)
        try:
            for machine in self.machines:
                command = [*machine.enter, sys.executable, "-m", "tests.torture.children"]
                self._nurseries[machine.name] = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
                for name in machine.processes:
                    self._processes[name] = _Process(machine, free_port())
                    self.set_clock(name, 0)
            for name in self._processes:
                self._start(name)
            watch.start()
            yield self
        finally:
            self.is_over = True
            if watch.ident:
                watch.join()
            for process in self._processes.values():
                _end(process.pid)
            for nursery in self._nurseries.values():
                nursery.communicate()

    @property
    def names(self) -> list[str]:
        return list(self._processes)

    def urls(self) -> list[str]:
        """Where webhooks are taken."""
        serving = [p for name, p in self._processes.items() if name.startswith("serve")]
        return [f"http://{p.machine.host}:{p.port}" for p in serving]

    def kill(self, name: str) -> None:
        """At once, with nothing put in order."""
        with self._lock:
            _end(self._processes[name].pid)

    def pause(self, name: str, seconds: float) -> None:
        """Let a process stand still, so that another one takes up what it was doing, and then go on with it."""
        process = self._processes[name]
        stopped = process.pid
        _signal(stopped, signal.SIGSTOP)
        end = time.monotonic() + seconds
        while time.monotonic() < end and process.pid == stopped and not self.is_over:
            time.sleep(0.1)
        _signal(stopped, signal.SIGCONT)

    def set_clock(self, name: str, ahead: float) -> None:
        """The clock of a process, or of the machine it shares, is wrong by so many seconds from now on."""
        self._clock(name).write_text(str(ahead))

    def pids(self) -> dict[str, int]:
        return {name: process.pid for name, process in self._processes.items()}

    def _clock(self, name: str) -> Path:
        machine = self._processes[name].machine
        return self.folder / f"{name if machine.clock == 'each' else machine.name}.clock"

    def _keep(self) -> None:
        while not self.is_over:
            for name in self._processes:
                with self._lock:
                    if not _lives(self._processes[name].pid):
                        self._start(name)
            time.sleep(0.1)

    def _start(self, name: str) -> None:
        process = self._processes[name]
        machine = process.machine
        webhooks = next(p for n, p in self._processes.items() if p.machine is machine and n.startswith("serve"))
        environment = {
            **machine.environment,
            "TELLONCE_DATA_DIR": str(self.folder / "var"),
            "TELLONCE_HOST": machine.host,
            "TELLONCE_PORT": str(process.port),
            "TELLONCE_PUBLIC_URL": f"http://{machine.host}:{(process if name.startswith('serve') else webhooks).port}",
            "TELLONCE_NLU_URL": "off",
            "TORTURE_CLOCK": str(self._clock(name)),
        }
        wish = {"what": name.rstrip("0123456789"), "log": str(self.folder / f"{name}.log"), "environment": environment}
        nursery = self._nurseries[machine.name]
        assert nursery.stdin and nursery.stdout
        nursery.stdin.write(json.dumps(wish) + "\n")
        nursery.stdin.flush()
        process.pid = int(nursery.stdout.readline())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


def _lives(pid: int) -> bool:
    return _signal(pid, 0)


def _end(pid: int) -> None:
    if pid and _signal(pid, signal.SIGKILL):
        while _lives(pid):
            time.sleep(0.01)
