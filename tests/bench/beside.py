"""What this proxy takes beside the time of requests: memory, its start, and Redis' memory."""

import asyncio
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from redis import Redis

from bff.config.embedded_redis import EmbeddedRedis
from bff.session import Session
from tests.bench.goals import Goal
from tests.bench.ground import Ground
from tests.bench.load import Generator
from tests.bench.ours import ours, settings
from tests.bench.plain import plain_install
from tests.bench.processes import on_core
from tests.bench.rounds import run_once
from tests.bench.usage import connections, resident
from tests.bench.wire import SCENARIOS, SLOW_2000
from tests.commands import settings_only
from tests.contract.on_redis import OnRedis
from tests.live import free_port
from tests.usual_sessions import a_customer, a_guest, token_bytes
from tests.values import new_ticket

_STARTS = 5
_FRESH = 3
_PAUSE = 0.002
_START_SECONDS = 30
_AT_ONCE = 32
_CUSTOMERS_OF = 10
"""So many guests shop for each customer."""


def beside_requests(ground: Ground, send: Generator, sessions: int) -> list[Goal]:
    """Return a line for each of them; sessions that are to be 0 are not written."""
    return [*_starts(ground), _connections(ground, send), *(_sessions(sessions) if sessions else ())]


def _starts(ground: Ground) -> Iterator[Goal]:
    """Start it several times, once before them to have everything compiled and in the machine's memory."""
    with plain_install() as command:
        runs = [_start(ground, command) for _ in range(_STARTS + 1)][1:]
    seconds, bytes_held = (statistics.median(column) for column in zip(*runs, strict=True))
    yield Goal("start to ready", 0.5, seconds, "s", most=True)
    yield Goal("memory at rest", 60, bytes_held / 2**20, "MiB", most=True)


def _start(ground: Ground, command: Sequence[str]) -> tuple[float, int]:
    """Return the seconds until it is ready, and the bytes that it then has in memory."""
    port = free_port()
    environ = settings_only(settings(ground, BFF_PUBLIC_ORIGIN=f"http://127.0.0.1:{port}"))
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with on_core(measured=True):
        began = time.perf_counter()
        process = subprocess.Popen(
            [*command, "serve", "--port", str(port)],
            env=environ,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    try:
        while not _ready(port):
            if process.poll() is not None or time.perf_counter() - began > _START_SECONDS:
                raise RuntimeError("the proxy does not become ready")
            time.sleep(_PAUSE)
        return time.perf_counter() - began, resident(process.pid)
    finally:
        process.terminate()
        process.wait()


def _ready(port: int) -> bool:
    request = f"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n"
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 5) as connection:
        connection.sendall(request.encode("ascii"))
        return connection.recv(64).startswith(b"HTTP/1.1 200")
    return False


def _connections(ground: Ground, send: Generator) -> Goal:
    """Let 2,000 connections wait for an upstream that takes its time, at proxies that had no request before."""
    fresh = [_each_connection(ground, send) for _ in range(_FRESH)]
    held, count = (statistics.median(column) for column in zip(*fresh, strict=True))
    return Goal(f"memory a connection, at {count:,.0f}", 30, held / 1024, "KiB", most=True)


def _each_connection(ground: Ground, send: Generator) -> tuple[float, int]:
    """Return the bytes that each connection takes, and how many there were when that was looked at."""
    scenario = next(one for one in SCENARIOS if one.name == SLOW_2000)
    counts: list[int] = []
    with ours(ground) as one:
        resting = resident(one.pid)

        def held(pid: int) -> int:
            counts.append(connections(one.port))
            return resident(pid)

        run = run_once(one, scenario, send, scenario.least_seconds, held)
    return (run.memory - resting) / max(counts[0], 1), counts[0]


def _sessions(count: int) -> Iterator[Goal]:
    """Write many sessions, each kind into a Redis of its own."""
    for kind, new, number in (("guest", a_guest, count), ("customer", a_customer, count // _CUSTOMERS_OF)):
        with _own_redis() as url:
            found = _beyond_tokens(url, new, number)
        yield Goal(f"Redis beyond the tokens, each of {number:,} {kind} sessions", 600, found, "B", most=True)


@contextmanager
def _own_redis() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        with on_core(measured=False):
            redis = EmbeddedRedis.start(Path(folder, "redis"))
        try:
            yield redis.url
        finally:
            redis.stop()


async def _written(url: str, new: Callable[[], Session], count: int) -> int:
    """Write so many sessions; return how many bytes their tokens have."""
    async with OnRedis(url) as on_redis:

        async def write() -> int:
            session = new()
            await on_redis.store.create(new_ticket(), session)
            return token_bytes(session)

        tokens = 0
        for begun in range(0, count, _AT_ONCE):
            tokens += sum(await asyncio.gather(*(write() for _ in range(min(_AT_ONCE, count - begun)))))
        return tokens


def _beyond_tokens(url: str, new: Callable[[], Session], count: int) -> float:
    """Return by how many bytes of each session, its tokens aside, the server's memory grows."""
    asyncio.run(_written(url, new, _AT_ONCE))  # what the first scripts and connections take, they take once
    before = _used(url)
    tokens = asyncio.run(_written(url, new, count))
    return (_used(url) - before - tokens) / count


def _used(url: str) -> int:
    """Return the server's memory, with no connection open but this one."""
    with Redis.from_url(url) as client:
        return int(client.info("memory")["used_memory"])
