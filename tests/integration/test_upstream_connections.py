"""A connection to upstream whose answer is not wanted any more is closed, or the pool of them runs out."""

import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.integration.visitors import PRODUCTS, problem
from tests.integration.wire import PATIENCE, Incoming, Upstream, reply
from tests.live import LiveProxy

# More than the proxy keeps for token calls: an answer that is left open takes one of them for ever.
MORE_THAN_THE_POOL = 60


@dataclass
class Unfinished:
    """Answers with a head and the beginning of a body, and learns whether the proxy ends the connection."""

    status: str
    begun: bytes = b"{"
    ended: threading.Event = field(default_factory=threading.Event)

    def serve(self, connection: socket.socket, _incoming: Incoming) -> None:
        connection.sendall(reply(self.status, "Content-Length: 9000000", body=self.begun, length=False))
        try:
            if connection.recv(1) == b"":
                self.ended.set()
        except ConnectionError:
            self.ended.set()


@pytest.fixture
def scripted(upstream: Upstream) -> Iterator[Upstream]:
    """The scripted upstream, which hands out good tokens again after the test."""
    tokens = upstream.tokens
    yield upstream
    upstream.tokens = tokens


def test_a_refused_answer_is_closed_where_no_other_token_can_be_had(
    wired: LiveProxy, scripted: Upstream
) -> None:
    refused = Unfinished("401 Unauthorized")
    with wired.browser() as browser:
        assert browser.get(PRODUCTS).status_code == 200
        scripted.script = refused.serve
        scripted.tokens = lambda connection, _: connection.sendall(reply("503 Service Unavailable"))
        problem(browser.get(PRODUCTS), 503, "upstream_unavailable")
        assert refused.ended.wait(PATIENCE)


@pytest.mark.parametrize("status", ["600 Beyond", "999 Beyond"])
def test_an_answer_with_a_status_that_is_none_is_closed(
    wired: LiveProxy, scripted: Upstream, status: str
) -> None:
    odd = Unfinished(status)
    scripted.script = odd.serve
    with wired.browser() as browser:
        problem(browser.get(PRODUCTS), 502, "bad_upstream_answer")
        assert odd.ended.wait(PATIENCE)


def test_a_token_answer_that_is_too_large_is_closed(wired: LiveProxy, scripted: Upstream) -> None:
    large = Unfinished("200 OK", begun=b"{" * (2 << 20))
    good, scripted.tokens = scripted.tokens, large.serve
    with wired.browser() as browser:
        for _ in range(MORE_THAN_THE_POOL):
            problem(browser.post("/auth/anonymous"), 502, "bad_upstream_answer")
        assert large.ended.wait(PATIENCE)
        scripted.tokens = good
        assert browser.post("/auth/anonymous").status_code == 201
