"""Slow clients, and clients with too many concurrent requests, over plain sockets."""

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.visitors import eventually, problem
from tests.integration.wire import answer_on, dial, head
from tests.live import LiveProxy, Sandbox, environment

FROM_A, FROM_B = "X-Forwarded-For: 198.51.100.7", "X-Forwarded-For: 198.51.100.8"


@pytest.fixture(scope="module")
def narrow_process(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    settings = environment(
        sandbox_process, redis_url, BFF_CLIENT_STREAMS="2", BFF_TRUSTED_PROXIES="127.0.0.0/8"
    )
    with LiveProxy(settings) as proxy:
        yield proxy


@pytest.fixture
def narrow(narrow_process: LiveProxy, sandbox: Sandbox) -> LiveProxy:
    """A proxy that allows two concurrent requests per client."""
    return narrow_process


def begin(proxy: LiveProxy, *fields: str) -> socket.socket:
    """Send a request except for the end of its body."""
    connection = dial(proxy)
    framing = ("Content-Type: application/json", "Content-Length: 2")
    connection.sendall(head(proxy, "POST /auth/login HTTP/1.1", [*fields, *framing]) + b"{")
    return connection


def status_of(proxy: LiveProxy, *fields: str) -> int:
    with proxy.browser(**dict(field.split(": ") for field in fields)) as browser:
        return browser.get("/auth/session").status_code


def test_concurrent_requests_are_limited_per_client(narrow: LiveProxy) -> None:
    with begin(narrow, FROM_A) as first, begin(narrow, FROM_A):
        eventually(lambda: status_of(narrow, FROM_A) == 429)
        with narrow.browser(**{"X-Forwarded-For": FROM_A.partition(": ")[2]}) as browser:
            answer = browser.get("/auth/session", headers={"Origin": narrow.url})
            problem(answer, 429, "too_many_requests")
            assert answer.headers["retry-after"] == "1"
            assert answer.headers["access-control-allow-origin"] == narrow.url
            assert browser.get("/livez").status_code == 200
        assert status_of(narrow, FROM_B) == 200
        first.sendall(b"}")
        assert answer_on(first, "POST").status < 500
        eventually(lambda: status_of(narrow, FROM_A) == 200)


def test_what_is_above_the_limit_waits_for_its_turn(narrow: LiveProxy) -> None:
    """An office behind one address: 16 more where 2 may be under way and are."""
    address = "X-Forwarded-For: 198.51.100.9"
    with ExitStack() as stack:
        first = [stack.enter_context(begin(narrow, address)) for _ in range(2)]
        connections = [stack.enter_context(dial(narrow)) for _ in range(16)]
        for connection in connections:
            connection.sendall(head(narrow, "GET /auth/session HTTP/1.1", [address]))
        for connection in first:
            connection.sendall(b"}")
        assert [answer_on(connection).status for connection in connections] == [200] * 16


def test_two_hundred_visitors_behind_one_address_are_all_served(proxy: LiveProxy) -> None:
    with ExitStack() as stack:
        connections = [stack.enter_context(dial(proxy)) for _ in range(200)]
        for connection in connections:
            connection.sendall(head(proxy, "GET /auth/session HTTP/1.1", []))
        assert [answer_on(connection).status for connection in connections] == [200] * 200


def test_incomplete_head_gets_a_response_and_the_connection_is_closed(proxy: LiveProxy) -> None:
    with dial(proxy) as connection:
        connection.sendall(b"GET /auth/session HTTP/1.1\r\nHost: x\r\n")
        answer = answer_on(connection)
        assert answer.status == 408
        assert answer.all("content-type") == ["application/problem+json"]
        assert answer.json()["code"] == "request_timeout"
        assert connection.recv(1) == b""
    refused = [json.loads(line) for line in proxy.log.splitlines() if "request_refused" in line]
    assert answer.json()["requestId"] in {line["requestId"] for line in refused}


def test_response_to_a_malformed_request_has_the_security_headers(
    sandbox_process: Sandbox, redis_url: str
) -> None:
    with LiveProxy(
        environment(sandbox_process, redis_url, BFF_PUBLIC_ORIGIN="https://shop.example")
    ) as proxy:
        with dial(proxy) as connection:
            connection.sendall(b"hello\r\n\r\n")
            malformed = answer_on(connection)
        with proxy.browser() as browser:
            ordinary = browser.get("/auth/session")
    assert (malformed.status, malformed.json()["code"]) == (400, "invalid_request")
    for name in ("x-content-type-options", "content-security-policy", "strict-transport-security"):
        assert malformed.all(name) == [ordinary.headers[name]]
