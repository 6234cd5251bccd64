"""The state of this machine, and what a process has cost it so far; ``python -m bench machine`` prints the state."""

from __future__ import annotations

import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PROC = Path("/proc")


def describe() -> list[str]:
    """What every figure must be read beside."""
    load = " ".join(f"{one:.2f}" for one in os.getloadavg())
    return [
        f"{os.cpu_count()} cores ({_processor()}), {_memory_gib():.0f} GiB, load {load}",
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        f"fdatasync {fdatasync_ms():.2f} ms (median of 50, in {tempfile.gettempdir()})",
    ]


def fdatasync_ms(times: int = 50) -> float:
    """What one durable write of 4 KiB costs on the disk the measurements use, in milliseconds (median)."""
    took = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - started)
    return statistics.median(took) * 1000


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and of its children that have ended."""
    fields = _stat(pid)
    # The clock of another process (clock_getcpuclockid in C): nanoseconds, where /proc counts ticks of 10 ms.
    own = time.clock_gettime((~pid << 3) | 2)
    return own + (int(fields[13]) + int(fields[14])) / TICK


def family_cpu_seconds(pid: int) -> float:
    """CPU of a process and everything below it: PostgreSQL is a process a connection."""
    return sum(cpu_seconds(one) for one in [pid, *descendants(pid)])


def descendants(pid: int) -> list[int]:
    """Every process below ``pid``, nearest first."""
    parents: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                parents.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
            except OSError:
                continue  # it has ended meanwhile
    found, look = [], [pid]
    while look:
        children = parents.get(look.pop(0), [])
        found += children
        look += children
    return found


def command_line(pid: int) -> str:
    try:
        return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def resident_mb(pid: int) -> float:
    """Resident memory (RSS) in MB of 10**6 bytes: pages shared with other processes count in full."""
    return _kilobytes(PROC / str(pid) / "status", "VmRSS:")


def peak_mb(pid: int) -> float:
    """The most it has ever had resident."""
    return _kilobytes(PROC / str(pid) / "status", "VmHWM:")


def share_mb(pid: int) -> float:
    """Proportional memory (PSS) in MB: a page shared by three processes counts a third."""
    return _kilobytes(PROC / str(pid) / "smaps_rollup", "Pss:")


def _kilobytes(path: Path, name: str) -> float:
    line = next(line for line in path.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024 / 1e6


def _stat(pid: int) -> list[str]:
    # The name stands in brackets and may hold blanks: what follows it starts with the state.
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _processor() -> str:
    for line in (PROC / "cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


if __name__ == "__main__":
    print(*describe(), sep="\n", file=sys.stdout)
