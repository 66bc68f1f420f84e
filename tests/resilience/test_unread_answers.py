"""Clients that ask for large answers and do not read them leave others their connections and their answers."""

import http.client
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest

from bff.upstream.options import PROXIED_SHARES, TOKEN_CALLS
from tests.integration.visitors import PRODUCTS, eventually
from tests.integration.wire import PATIENCE, PRODUCT_ECHO, head
from tests.live import LiveProxy, Sandbox, environment

READERS: Final = PROXIED_SHARES.of_one_part + 100
ADDRESSES: Final = 12
"""So many that each stays within what one client may have under way."""
LARGE: Final = 8 << 20
ORDINARY: Final = 30
MEBIBYTE: Final = 1 << 20


@pytest.fixture
def proxy(sandbox: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    with LiveProxy(environment(sandbox, redis_url, BFF_TRUSTED_PROXIES="127.0.0.0/8")) as one:
        yield one


def guests(proxy: LiveProxy, count: int) -> list[str]:
    """Begin so many sessions; return their cookies."""
    cookies = []
    for _ in range(count):
        with proxy.browser() as browser:
            assert browser.post("/auth/anonymous").status_code == 201
            cookies.append("; ".join(f"{name}={value}" for name, value in browser.cookies.items()))
    return cookies


def asked(proxy: LiveProxy, cookie: str, address: str) -> socket.socket:
    """Ask for a large answer on a connection that takes in little of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(PATIENCE)
    connection.connect(("127.0.0.1", proxy.port))
    line = f"GET /api{PRODUCT_ECHO}?bytes={LARGE} HTTP/1.1"
    connection.sendall(head(proxy, line, [f"Cookie: {cookie}", f"X-Forwarded-For: {address}"]))
    return connection


def is_whole(connection: socket.socket) -> bool:
    """Read an answer to where it ends, and say whether all of it came."""
    response = http.client.HTTPResponse(connection)
    try:
        response.begin()
        size = sum(len(part) for part in iter(lambda: response.read(MEBIBYTE), b""))
    except (OSError, http.client.HTTPException):
        return False
    return response.status == 200 and size == LARGE


def resident(proxy: LiveProxy) -> int:
    status = Path(f"/proc/{proxy.process.pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def connections_to(port: int) -> int:
    """Count the established connections to a port of this machine."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(remote.endswith(f":{port:04X}") and state == "01" for _, _, remote, state, *_ in lines)


@pytest.mark.alone
@pytest.mark.own_client
def test_clients_that_do_not_read_leave_others_their_answers(proxy: LiveProxy, sandbox: Sandbox) -> None:
    cookies, before = guests(proxy, ADDRESSES), resident(proxy)
    with ExitStack() as ending:
        readers = [
            ending.enter_context(asked(proxy, cookies[one % ADDRESSES], f"198.51.100.{one % ADDRESSES}"))
            for one in range(READERS)
        ]
        upstream = urlsplit(sandbox.url).port or 0
        eventually(lambda: connections_to(upstream) >= PROXIED_SHARES.of_one_part)
        with proxy.browser(**{"X-Forwarded-For": "203.0.113.9"}) as browser:
            answers = [browser.get(PRODUCTS).status_code for _ in range(ORDINARY)]
            assert answers == [200] * ORDINARY
            assert browser.post("/auth/anonymous").is_success
            assert browser.get("/auth/session").status_code == 200
        most = PROXIED_SHARES.of_one_part + TOKEN_CALLS.connections
        assert connections_to(upstream) <= most
        assert resident(proxy) - before < READERS * MEBIBYTE
        assert any(not is_whole(one) for one in readers), "who makes room can tell that it is not all"
        assert any(is_whole(one) for one in reversed(readers)), "who reads at last has the whole answer"
