"""Count the instructions of a request with valgrind: the same on a busy machine as on a quiet one.

    python -m tests.bench.instructions ["2 KiB, one connection"] [requests] [BFF_SESSION_CACHE=0 ...]

The system's share is not in it. What the process does by itself meanwhile is counted while it is idle, and subtracted.
"""

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Final

from tests.bench.ground import prepared
from tests.bench.ours import counted
from tests.bench.processes import program
from tests.bench.wire import ONE_CONNECTION, SCENARIOS, request_bytes

_IDLE_SECONDS: Final = 5.0
_WARM_REQUESTS: Final = 150
_LENGTH: Final = re.compile(rb"(?i)content-length: (\d+)")
_SUMMARY: Final = re.compile(r"^(?:summary|totals): (\d+)", re.MULTILINE)


class Counter:
    """The instructions of a process that runs under valgrind.

    Args:
        pid: the process.
        prefix: how the names of the files begin in which valgrind leaves what it has counted.
    """

    def __init__(self, pid: int, prefix: Path) -> None:
        self._pid = pid
        self._prefix = prefix

    def during(self, work: Callable[[], object]) -> tuple[int, float]:
        """Return how many instructions the process took meanwhile, and how many seconds it was."""
        self._tell("--zero")
        self._tell("--instr=on")
        began = time.monotonic()
        work()
        seconds = time.monotonic() - began
        self._tell("--instr=off")
        before = self._dumps()
        self._tell("--dump")
        (dump,) = self._dumps() - before
        return int(_SUMMARY.findall(dump.read_text("utf-8", "replace"))[-1]), seconds

    def _dumps(self) -> set[Path]:
        return set(self._prefix.parent.glob(f"{self._prefix.name}.*"))

    def _tell(self, what: str) -> None:
        subprocess.run(["callgrind_control", what, str(self._pid)], check=True, capture_output=True)


async def ask(port: int, requests: Iterator[bytes], each: int, connections: int) -> None:
    """Send so many requests over each of so many connections, the next one whenever there is an answer."""

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(each):
            writer.write(next(requests))
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if b" 200 " not in head.partition(b"\r\n")[0] or length is None:
                raise RuntimeError(f"an answer of the proxy: {head!r}")
            await reader.readexactly(int(length[1]))
        writer.close()

    await asyncio.gather(*(one() for _ in range(connections)))


def main(name: str = ONE_CONNECTION, requests: str = "300", *changes: str) -> None:
    """Measure and print; `changes` are settings of the proxy."""
    if program("valgrind") is None:
        sys.exit("valgrind is needed")
    scenario = next(one for one in SCENARIOS if one.name == name)
    with tempfile.TemporaryDirectory() as folder, prepared(Path(folder)) as ground:
        prefix = Path(folder) / "counted"
        changed = dict(change.split("=", 1) for change in changes)
        with counted(ground, prefix, **changed) as proxy:
            wires = cycle(request_bytes(scenario, proxy.port, proxy.visitors[scenario.visitor]))
            each, warm = (max(1, n // scenario.connections) for n in (int(requests), _WARM_REQUESTS))
            asyncio.run(ask(proxy.port, wires, warm, scenario.connections))
            counter = Counter(proxy.pid, prefix)
            busy, took = counter.during(
                lambda: asyncio.run(ask(proxy.port, wires, each, scenario.connections))
            )
            idle, rest = counter.during(lambda: time.sleep(_IDLE_SECONDS))
    mean = (busy - idle / rest * took) / (each * scenario.connections)
    sys.stdout.write(f"{name}: {mean / 1000:,.0f} thousand instructions a request\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
