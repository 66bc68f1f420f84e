"""The load: wrk where it is installed, else a generator of its own, over kept connections, each with one request."""

import asyncio
import json
import math
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_SCRIPT = """
local requests = {%s}
local at = 0
request = function() at = at %% #requests + 1 return requests[at] end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('\\n{"requests":%%d,"microseconds":%%d,"p50":%%f,"p99":%%f,"errors":%%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""
_LATE_SECONDS = 10
"""How much later wrk would end by itself."""


@dataclass(frozen=True)
class Load:
    """What one run of requests came to; latencies are milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float
    errors: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


Generator = Callable[[int, Sequence[bytes], int, float], Load]


def generator() -> tuple[str, Generator]:
    """Return what sends requests on this machine, with its name."""
    return ("wrk", wrk) if shutil.which("wrk") else ("a generator of its own", own)


def wrk(port: int, wires: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Send with wrk, on one thread."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_SCRIPT % ",".join(_lua(wire) for wire in wires))
        script.flush()
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{math.ceil(seconds) + _LATE_SECONDS}s",  # it knows whole seconds only; SIGINT ends it before
            "--timeout",
            "10s",
            "-s",
            script.name,
            f"http://127.0.0.1:{port}/",
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            time.sleep(seconds)
            process.send_signal(signal.SIGINT)
            said, _ = process.communicate()
    found = json.loads(said.strip().rpartition("\n")[2])
    return Load(
        found["requests"],
        found["microseconds"] / 1e6,
        found["p50"] / 1000,
        found["p99"] / 1000,
        found["errors"],
    )


def own(port: int, wires: Sequence[bytes], connections: int, seconds: float) -> Load:
    """Send from this process."""
    return asyncio.run(_all(port, wires, connections, seconds))


async def _all(port: int, wires: Sequence[bytes], connections: int, seconds: float) -> Load:
    began = time.perf_counter()
    senders = [_one(port, wires[at % len(wires)], began + seconds) for at in range(connections)]
    rows = await asyncio.gather(*senders, return_exceptions=True)
    spent = time.perf_counter() - began
    taken = sorted(one * 1000 for row in rows if isinstance(row, list) for one in row)
    errors = sum(isinstance(row, BaseException) for row in rows)
    if not taken:
        return Load(0, spent, 0.0, 0.0, errors)
    return Load(len(taken), spent, statistics.median(taken), taken[len(taken) * 99 // 100], errors)


async def _one(port: int, wire: bytes, until: float) -> list[float]:
    """Send the same request over one connection until the time is up; return each one's seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    taken: list[float] = []
    while (began := time.perf_counter()) < until:
        writer.write(wire)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 2"):
            raise RuntimeError(head.decode("latin-1"))
        await _body(reader, head)
        taken.append(time.perf_counter() - began)
    writer.close()
    return taken


async def _body(reader: asyncio.StreamReader, head: bytes) -> None:
    if b"content-length: " in head:
        await reader.readexactly(int(head.split(b"content-length: ")[1].split(b"\r\n")[0]))
        return
    while (size := int(await reader.readuntil(b"\r\n"), 16)) > 0:
        await reader.readexactly(size + 2)
    await reader.readexactly(2)


def _lua(wire: bytes) -> str:
    return '"' + "".join(f"\\{byte:03d}" for byte in wire) + '"'
