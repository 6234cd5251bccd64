"""Three machines in network namespaces of this one, each with a cable to PostgreSQL that can be pulled out. Needs root and ip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from tests.fault_proxy import fault_proxy
from tests.torture.family import Machine
from tests.torture.town import Town

HOME = Path(__file__).resolve().parents[2]
CUT_OFF = 20.0  # seconds: longer than a lease of children.py and than the patience of a connection (store._patience)


def missing() -> str:
    """The line that installs what is missing; empty: nothing is."""
    if not shutil.which("ip"):
        return "sudo apt-get install iproute2"
    return "" if os.geteuid() == 0 else "run as root: sudo make test"


@dataclass(frozen=True)
class Cable:
    """One machine's way to the database; the host's end of it is an interface that goes down."""

    end: str

    def cut(self, seconds: float = CUT_OFF) -> None:
        """Nothing passes and nobody is told, as when somebody stumbles over it; then it is put back."""
        _ip("link", "set", self.end, "down")
        try:
            time.sleep(seconds)
        finally:
            _ip("link", "set", self.end, "up")


@contextmanager
def machines(url: str, town: Town, count: int = 3) -> Iterator[tuple[Sequence[Machine], Sequence[Callable[[], None]]]]:
    """Machines with one `serve` and one `work` each, over one database, and what pulls out each one's cable."""
    with ExitStack() as stack:
        made, cables = zip(*(stack.enter_context(_machine(url, town, number)) for number in range(count)), strict=True)
        yield made, [cable.cut for cable in cables]


@contextmanager
def _machine(url: str, town: Town, number: int) -> Iterator[tuple[Machine, Cable]]:
    space = f"tt{os.getpid()}n{number}"
    world, data = f"10.213.{number}", f"10.214.{number}"
    with ExitStack() as stack:
        _ip("netns", "add", space)
        stack.callback(_ip, "netns", "del", space)  # takes its cables with it
        _ip("-n", space, "link", "set", "lo", "up")
        _lay_cable(space, f"{space}w", world)
        _lay_cable(space, f"{space}d", data)
        address = sa.make_url(url)
        proxy = stack.enter_context(fault_proxy(f"{address.query['host']}/.s.PGSQL.5432", f"{data}.1"))
        ports = [town.carrier.port, town.messenger.port]
        for port in ports:  # the vendors, at the same address of loopback as everywhere
            stack.enter_context(fault_proxy(f"127.0.0.1:{port}", f"{world}.1", port))
        stack.enter_context(_relay(space, [f"127.0.0.1:{port}={world}.1:{port}" for port in ports]))
        environment = {
            **town.environment(),
            "TELLONCE_DATABASE_URL": f"postgresql://{address.username}@{data}.1:{proxy.port}/{address.database}",
        }
        names = [f"serve{number}", f"work{number}"]
        enter = ("ip", "netns", "exec", space)
        yield Machine(space, names, environment, host=f"{world}.2", enter=enter), Cable(f"{space}d0")


def _lay_cable(space: str, name: str, net: str) -> None:
    """``net``.1 is here, ``net``.2 is there."""
    _ip("link", "add", f"{name}0", "type", "veth", "peer", "name", f"{name}1", "netns", space)
    _ip("address", "add", f"{net}.1/30", "dev", f"{name}0")
    _ip("link", "set", f"{name}0", "up")
    _ip("-n", space, "address", "add", f"{net}.2/30", "dev", f"{name}1")
    _ip("-n", space, "link", "set", f"{name}1", "up")


@contextmanager
def _relay(space: str, ways: Sequence[str]) -> Iterator[None]:
    relay = subprocess.Popen(
        ["ip", "netns", "exec", space, sys.executable, "-m", "tests.fault_proxy", *ways], stdin=subprocess.PIPE, cwd=HOME
    )
    try:
        yield
    finally:
        assert relay.stdin
        relay.stdin.close()
        relay.wait()


def _ip(*what: str) -> None:
    subprocess.run(["ip", *what], check=True)
