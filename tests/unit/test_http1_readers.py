"""How long a connection is kept: for a client that reads, and for one that may ask again while the server ends."""

import asyncio

import pytest
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from bff.server import http1
from bff.server.draining import DRAINING, Draining
from bff.server.http1 import Http1Connection
from bff.server.process import configured
from tests.frozen_time import FrozenLoop, advance, settle

pytestmark = pytest.mark.anyio

LARGE = 1_000_000


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": FrozenLoop}


async def answering(_scope: Scope, _receive: Receive, send: Send) -> None:
    """Send the first of a large answer, and the rest once there is room for it."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for more in (True, False):
        await send({"type": "http.response.body", "body": b"." * LARGE, "more_body": more})


class Outgoing(asyncio.Transport):
    """A transport whose buffer a test empties, as a client does that reads."""

    def __init__(self) -> None:
        super().__init__()
        self.connection = Http1Connection(
            configured(answering, lifespan="off"), ServerState(), {}, asyncio.get_running_loop()
        )
        self.unread = 0
        self.ended = False
        self.connection.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.unread += len(data)
        if self.unread >= LARGE:
            self.connection.pause_writing()

    def get_write_buffer_size(self) -> int:
        return self.unread

    def is_closing(self) -> bool:
        return self.ended

    def abort(self) -> None:
        self.ended = True
        self.connection.connection_lost(None)

    def close(self) -> None:
        self.ended = True


async def seconds_until_ended(*, taken: int, most: int) -> int | None:
    """Let a client take so many bytes of its answer a second; return after how many seconds it was ended."""
    client = Outgoing()
    client.connection.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
    await settle()
    assert client.unread > LARGE
    for second in range(1, most + 1):
        advance(1)
        client.unread -= taken
        client.connection.sweep()
        if client.ended:
            return second
    client.abort()
    await settle()
    return None


@pytest.mark.parametrize("taken", [0, 1, 100])
async def test_a_client_that_reads_next_to_nothing_is_ended_though_it_never_stops_reading(taken: int) -> None:
    ended = await seconds_until_ended(taken=taken, most=200)
    assert ended is not None
    allowed = Http1Connection.reader_seconds / (1 - taken / Http1Connection.body_rate)
    assert allowed <= ended <= allowed + 2


async def test_a_client_that_keeps_the_pace_is_waited_for() -> None:
    pace = int(Http1Connection.body_rate) + 1
    assert await seconds_until_ended(taken=pace, most=1000) is None


async def test_idle_connections_are_kept_while_a_balancer_uses_one_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http1, "_has_input", lambda _transport: False)
    for name, value in vars(Draining()).items():
        monkeypatch.setattr(DRAINING, name, value)
    one, other, last = Outgoing(), Outgoing(), Outgoing()
    DRAINING.begin(30)
    for client in (one, other, last):
        client.connection.shutdown()
    for client in (one, other):
        advance(0.9 * Http1Connection.spare_seconds)
        client.connection.data_received(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        last.connection.sweep()
        assert not last.ended
    advance(1.1 * Http1Connection.spare_seconds)
    last.connection.sweep()
    assert last.ended
    one.abort()
    other.abort()
    await settle()
