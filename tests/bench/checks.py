"""What must hold of the proxy that is measured, or its figures mean nothing."""

import socket
import time
from contextlib import suppress

import httpx2

from tests.bench.ground import Contender
from tests.bench.load import Load
from tests.bench.usage import connections, cpu_seconds
from tests.bench.wire import PRODUCTS

_BUSY_SECONDS = 20
_QUIET_SECONDS = 0.3
_IDLE_CPU_SECONDS = 0.05
"""What a proxy without requests may take in that time; it is counted in hundredths of a second."""


class NotAsUsed(Exception):
    """The proxy is not the one that users run."""


def check_features(contender: Contender) -> None:
    """Ask for what the proxy must refuse, and for what every answer must have."""
    assert contender.proxy is not None
    visitor = contender.visitors["guest"][0]
    with httpx2.Client(base_url=contender.proxy.url, trust_env=False) as client:
        path = f"/api{PRODUCTS}"
        good = client.get(path, headers=visitor)
        bare = client.get(path, headers={"Cookie": visitor["Cookie"]})
        foreign = client.get(path, headers=visitor | {"Origin": "https://evil.example"})
        unknown = client.get("/api/nowhere", headers=visitor)
    found = [good.status_code, bare.status_code, foreign.status_code, unknown.status_code]
    if found != [200, 403, 403, 403]:
        raise NotAsUsed(f"expected 200 and three refusals, got {found}")
    wanted = {"x-request-id", "x-session-version", "content-security-policy", "x-content-type-options"}
    if not wanted <= set(good.headers):
        raise NotAsUsed("an answer has not every field of the proxy")


def until_idle(contender: Contender) -> None:
    """Wait until a server has done with everything asked so far; some go on with what nobody waits for."""
    until = time.monotonic() + _BUSY_SECONDS
    while time.monotonic() < until:
        _answered(contender.port)  # what came before it has had its turn: late on a busy machine
        lines, spent = logged(contender), cpu_seconds(contender.pid)
        time.sleep(_QUIET_SECONDS)
        _answered(contender.port)
        idle = cpu_seconds(contender.pid) - spent < _IDLE_CPU_SECONDS and not connections(contender.port)
        if idle and logged(contender) == lines:
            return


def _answered(port: int) -> None:
    """Wait for any answer on a connection of its own; the proxy logs nothing of this path."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), _BUSY_SECONDS) as probe:
        probe.sendall(b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        while probe.recv(1 << 16):
            pass


def logged(contender: Contender) -> int:
    """Return how many requests the proxy has logged by now; 0 of others."""
    return 0 if contender.log is None else contender.log.count()


def check_log(contender: Contender, before: int, load: Load, most_unfinished: int) -> None:
    """Require a log line for every request; what this load or one before it left unfinished may have one too."""
    if contender.log is None:
        return
    lines = logged(contender) - before
    if not load.requests <= lines <= load.requests + most_unfinished:
        raise NotAsUsed(f"{load.requests} requests, but {lines} log lines")
