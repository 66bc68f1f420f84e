"""What processes use, from `/proc`; 0 where there is none."""

import os
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_OPEN = {"01", "08"}
"""Connections that both sides keep, and those that only the server has not closed yet."""


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process and its children have had."""
    spent = 0
    for one in tree(pid):
        fields = _read(one, "stat").rpartition(")")[2].split()
        spent += int(fields[11]) + int(fields[12]) if fields else 0
    return spent / _TICKS


def memory(pid: int) -> int:
    """Return the bytes that a process and its children have in memory and share with nobody else."""
    return sum(
        int(line.split()[1]) * 1024
        for one in tree(pid)
        for line in _read(one, "smaps_rollup").splitlines()
        if line.startswith("Pss:")
    )


def resident(pid: int) -> int:
    """Return the bytes that one process has in memory, what it shares with others included."""
    return next(
        (int(line.split()[1]) * 1024 for line in _read(pid, "status").splitlines() if "VmRSS:" in line), 0
    )


def connections(port: int) -> int:
    """Return how many connections a server has at a port of this machine's IPv4 addresses."""
    try:
        lines = Path("/proc/net/tcp").read_text("ascii").splitlines()[1:]
    except OSError:
        return 0
    return sum(row[1].endswith(f":{port:04X}") and row[3] in _OPEN for row in map(str.split, lines))


def tree(pid: int) -> Iterator[int]:
    """Yield a process and all that it began."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text("ascii").split():
            yield from tree(int(child))


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text("ascii")
    except OSError:
        return ""
