"""Plain sockets on both sides of the proxy, where a client library or a framework would tidy what is sent."""

import http.client
import json
import re
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import pytest

from tests.live import TENANT, LiveProxy, Sandbox, environment

PRODUCT_ECHO = f"/product/{TENANT}/products/__echo__"
CART_ECHO = f"/cart/{TENANT}/carts/__echo__"
ANONYMOUS_LOGIN = "/customerlogin/auth/anonymous/login"
ANONYMOUS_REFRESH = "/customerlogin/auth/anonymous/refresh"
CUSTOMER_REFRESH = f"/customer/{TENANT}/refreshauthtoken"
PATIENCE = 30.0


@dataclass(frozen=True)
class Answer:
    """What came back, header fields as they were."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def json(self) -> Any:
        return json.loads(self.body)


def dial(proxy: LiveProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)


def head(proxy: LiveProxy, line: bytes | str, fields: Iterable[bytes | str] = ()) -> bytes:
    """Return a request's head as it is put on the wire, with the CSRF header of a storefront's page."""
    lines = [line, f"Host: 127.0.0.1:{proxy.port}", "X-CSRF: 1", *fields]
    return b"\r\n".join(one.encode("latin-1") if isinstance(one, str) else one for one in lines) + b"\r\n\r\n"


def answer_on(connection: socket.socket, method: str = "GET") -> Answer:
    response = http.client.HTTPResponse(connection, method=method)
    response.begin()
    return Answer(response.status, response.getheaders(), response.read())


def send(proxy: LiveProxy, method: str, target: str, *fields: bytes | str, body: bytes = b"") -> Answer:
    """Send one request byte by byte as given; a body gets its Content-Length."""
    framing = [f"Content-Length: {len(body)}"] if body else []
    with dial(proxy) as connection:
        connection.sendall(head(proxy, f"{method} {target} HTTP/1.1", [*fields, *framing]) + body)
        return answer_on(connection, method)


def chunked(*parts: bytes, last: bool = True) -> bytes:
    whole = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
    return whole + (b"0\r\n\r\n" if last else b"")


class Watch:
    """What the sandbox sees from now on."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._since = int(sandbox.control("GET", "/log?since=999999999")["next"])

    def records(self) -> list[dict[str, Any]]:
        return self._sandbox.log_since(self._since)

    def of(self, path: str, method: str | None = None) -> list[dict[str, Any]]:
        return [one for one in self.records() if one["path"] == path and method in {None, one["method"]}]


@dataclass(frozen=True)
class Incoming:
    """A request as it reached the upstream's socket."""

    line: bytes
    fields: list[tuple[bytes, bytes]]
    early: bytes

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.fields if key.lower() == name]


Script = Callable[[socket.socket, Incoming], None]


def reply(status: str, *fields: str, body: bytes = b"", length: bool = True) -> bytes:
    sized = [f"Content-Length: {len(body)}"] if length else []
    lines = [f"HTTP/1.1 {status}", "Connection: close", *sized, *fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Upstream:
    """An upstream that keeps every head as it came over the wire, and answers what a test scripts.

    It hands out anonymous tokens by itself, unless `tokens` says otherwise. Each connection serves one request.
    """

    def __init__(self) -> None:
        self.seen: list[Incoming] = []
        self.script: Script = lambda connection, _: connection.sendall(reply("200 OK", body=b"{}"))
        self.tokens: Script = lambda connection, _: connection.sendall(_tokens())
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def answers(self, whole: bytes) -> None:
        """Answer every further request so."""
        self.seen.clear()
        self.script = lambda connection, _: connection.sendall(whole)

    def close(self) -> None:
        if self._listener.fileno() < 0:
            return
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(PATIENCE)
            try:
                incoming = _incoming(connection)
                if incoming is None:
                    return
                if b"/customerlogin/" in incoming.line:
                    self.tokens(connection, incoming)
                    return
                self.seen.append(incoming)
                self.script(connection, incoming)
            except OSError:
                return


def _incoming(connection: socket.socket) -> Incoming | None:
    raw = b""
    while b"\r\n\r\n" not in raw:
        more = connection.recv(65536)
        if not more:
            return None
        raw += more
    top, _, early = raw.partition(b"\r\n\r\n")
    line, *rest = top.split(b"\r\n")
    pairs = [re.split(rb": ?", one, maxsplit=1) for one in rest]
    return Incoming(line, [(name, value) for name, value in pairs], early)


def _tokens() -> bytes:
    body = {
        "access_token": "a" * 28,
        "expires_in": 3599,
        "refresh_token": "r" * 32,
        "refresh_token_expires_in": 86399,
        "sessionId": "0ca2ab22-7bd6-4c1e-8ee1-c1a8ad0b1f8d",
    }
    return reply("200 OK", "Content-Type: application/json", body=json.dumps(body).encode())


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """An upstream that answers what a test scripts."""
    with Upstream() as one:
        yield one


@pytest.fixture(scope="module")
def wired(upstream: Upstream, sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    """A proxy in front of the scripted upstream."""
    with LiveProxy(environment(sandbox_process, redis_url, BFF_UPSTREAM_URL=upstream.url)) as proxy:
        yield proxy
