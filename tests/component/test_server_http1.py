"""Slow clients and malformed requests, over real sockets."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
from starlette.responses import JSONResponse, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from bff.server.http1 import Http1Connection
from bff.server.listening import listening
from bff.server.process import SweepingServer, in_background
from tests.support import listens

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK"
SWEEP = 0.1
SHORT = 0.3
LATER = 1.0  # several sweeps after a short timeout
LONG = 3600.0
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(autouse=True)
def long_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every timeout long, except those that a test shortens, and notice soon that one is over."""
    monkeypatch.setattr(SweepingServer, "sweep_seconds", SWEEP)
    for name in ("quiet", "head", "body", "reader", "linger"):
        monkeypatch.setattr(Http1Connection, f"{name}_seconds", LONG)


def shorten(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(Http1Connection, f"{name}_seconds", SHORT)


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    @asynccontextmanager
    async def trickling(self, part: bytes) -> AsyncIterator[None]:
        """Send `part` again and again until the block ends."""

        async def trickle() -> None:
            while True:
                self.send(part)
                await asyncio.sleep(0.05)

        task = asyncio.create_task(trickle())
        try:
            yield
        finally:
            task.cancel()

    async def rest(self) -> bytes:
        """Return everything until the server closes the connection."""
        async with asyncio.timeout(30):
            return await self.reader.read()

    async def response(self) -> bytes:
        """Return one response that has a Content-Length."""
        async with asyncio.timeout(30):
            head = await self.reader.readuntil(b"\r\n\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            return head + await self.reader.readexactly(int(headers[b"content-length"]))


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[Client]:
    with listening("127.0.0.1", 0) as listener, in_background(app, listener):
        await listens(listener.getsockname()[1])
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        try:
            yield Client(reader, writer)
        finally:
            writer.close()


@dataclass
class Application:
    """Reads the body if `reads` is set, then responds with its length and the names of the request headers."""

    reads: bool = True
    delay: float = 0.0
    received: list[Message] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(self.delay)
        length = 0
        while self.reads:
            message = await receive()
            self.received.append(message)
            if message["type"] == "http.disconnect":
                return
            length += len(message["body"])
            if not message["more_body"]:
                break
        names = [name.decode() for name, _ in scope["headers"]]
        await JSONResponse({"length": length, "names": names})(scope, receive, send)


async def _parts() -> AsyncIterator[bytes]:
    for part in (b"one", b"", b"two"):
        yield part


def problem(received: bytes) -> dict[str, Any]:
    """Check that `received` is one complete problem response that closes the connection; return its members."""
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    members: dict[str, Any] = json.loads(body)
    assert b"content-type: application/problem+json" in lines
    assert b"cache-control: no-store" in lines
    assert b"connection: close" in lines
    assert b"x-content-type-options: nosniff" in lines
    assert f"x-request-id: {members['requestId']}".encode() in lines
    assert lines[0].startswith(f"http/1.1 {members['status']} ".encode())
    return members


@pytest.mark.parametrize("start", [b"G", b"GET / HTTP/1.1\r\n", POST + b"x: y\r\n"])
async def test_incomplete_head_times_out(monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    shorten(monkeypatch, "head")
    async with serving(Application()) as client:
        client.send(start)
        assert problem(await client.rest())["code"] == "request_timeout"


async def test_slowly_sent_head_gets_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, "head")
    async with serving(Application()) as client:
        client.send(POST)
        async with client.trickling(b"x: y\r\n"):
            response = await client.response()
    assert problem(response)["status"] == 408


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
async def test_idle_connection_is_closed_without_a_response(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    shorten(monkeypatch, "quiet")
    async with serving(Application()) as client:
        client.send(sent)
        assert await client.rest() == b""


async def test_idle_connection_is_closed_without_a_response_after_a_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, "quiet")
    async with serving(Application()) as client:
        client.send(POST, b"content-length: 0\r\n\r\n")
        assert (await client.response()).startswith(OK)
        assert await client.rest() == b""


async def test_empty_line_between_requests_does_not_extend_the_idle_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, "quiet")
    async with serving(Application()) as client:
        client.send(POST, b"content-length: 0\r\n\r\n")
        assert (await client.response()).startswith(OK)
        client.send(b"\r\n")  # stops uvicorn's own keep-alive timer
        assert await client.rest() == b""


@pytest.mark.parametrize("framing", [b"content-length: 9", b"transfer-encoding: chunked"])
async def test_missing_body_times_out(monkeypatch: pytest.MonkeyPatch, framing: bytes) -> None:
    shorten(monkeypatch, "body")
    app = Application()
    async with serving(app) as client:
        client.send(POST, framing, b"\r\n\r\n")
        assert problem(await client.rest())["code"] == "request_timeout"
    assert app.received[-1]["type"] == "http.disconnect"


async def test_slowly_sent_body_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, "body")
    async with serving(Application()) as client:
        client.send(POST, b"content-length: 1000\r\n\r\n")
        async with client.trickling(b"."):
            response = await client.response()
    assert problem(response)["status"] == 408


async def test_body_at_the_minimum_rate_may_take_longer_than_the_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, "body")
    monkeypatch.setattr(Http1Connection, "body_rate", 10.0)
    async with serving(Application()) as client:
        client.send(POST, b"content-length: 250\r\n\r\n")
        for _ in range(25):
            client.send(b"." * 10)
            await asyncio.sleep(0.05)
        assert b'"length":250' in await client.response()


async def test_body_timeout_stops_while_the_application_does_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, "body")
    async with serving(Application(delay=LATER)) as client:
        client.send(POST, b"content-length: 1000000\r\n\r\n", b"." * 1_000_000)
        assert b'"length":1000000' in await client.response()


async def test_body_timeout_does_not_run_before_100_continue(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, "body")
    async with serving(Application(delay=LATER)) as client:
        client.send(POST, b"content-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"ok")
        assert b'"length":2' in await client.response()


async def test_client_that_does_not_read_is_disconnected_and_the_application_is_notified(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, "reader")
    disconnected = asyncio.Event()

    async def endless(_scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            disconnected.set()

        listener = asyncio.ensure_future(listen())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not disconnected.is_set():
            await send({"type": "http.response.body", "body": b"." * 65_536, "more_body": True})
            await asyncio.sleep(0)
        await listener

    async with serving(endless) as client:
        client.send(POST, b"content-length: 0\r\n\r\n")
        assert await asyncio.wait_for(disconnected.wait(), 30)


async def test_client_that_does_not_read_the_end_of_a_response_is_disconnected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, "reader")
    lost = asyncio.Event()
    original = Http1Connection.connection_lost

    def connection_lost(self: Http1Connection, exc: Exception | None) -> None:
        original(self, exc)
        lost.set()

    async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"." * 50_000_000})

    monkeypatch.setattr(Http1Connection, "connection_lost", connection_lost)
    async with serving(large) as client:
        client.send(POST, b"content-length: 0\r\n\r\n")
        assert await asyncio.wait_for(lost.wait(), 30)


async def test_rest_of_a_body_after_an_early_response_has_a_timeout(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, "linger")
    async with serving(Application(reads=False)) as client:
        client.send(POST, b"content-length: 9\r\n\r\n.")
        assert (await client.rest()).count(b"HTTP/1.1 ") == 1


async def test_connection_is_reused_after_an_early_response_and_the_rest_of_the_body() -> None:
    async with serving(Application(reads=False)) as client:
        client.send(POST, b"content-length: 3\r\n\r\n.")
        assert (await client.response()).startswith(OK)
        client.send(b"..", POST, b"content-length: 0\r\n\r\n")
        assert (await client.response()).startswith(OK)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00",  # TLS
        b"hello\r\n\r\n",
        b"GET / HTTP/1.1\r\nno field\r\n\r\n",
        POST + b"content-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\na: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\nhost: x\r\n\r\n",
        b"GET / HTTP/2.0\r\nhost: x\r\n\r\n",
        b"GET /\r\n\r\n",
        POST + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        POST
        + b"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: 9\r\n\r\nGET / HTTP/1.1\r\nhost: x\r\n\r\n",
        POST + b"transfer-encoding: chunked\r\n\r\nz\r\n",
        b"GET / HTTP/1.1\r\n" + b"x: %s\r\n" % (b"y" * 60_000) * 3 + b"\r\n",
        b"GET / HTTP/1.1\r\nx: " + b"y" * 600_000,
        b"GET /%s" % (b"y" * 600_000),
        b"GET /%s HTTP/1.1\r\n" % (b"y" * 140_000),
    ],
)
async def test_malformed_request_gets_a_problem_response(sent: bytes) -> None:
    async with serving(Application()) as client:
        client.send(sent)
        client.writer.write_eof()
        assert problem(await client.rest())["code"] == "invalid_request"


async def test_refused_client_that_keeps_sending_is_disconnected_after_the_linger_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, "linger")
    async with serving(Application()) as client:
        client.send(b"hello\r\n\r\n")
        assert problem(await client.response())["status"] == 400
        with pytest.raises(ConnectionError):  # noqa: PT012 - any of the writes may fail
            async with asyncio.timeout(30):
                while True:
                    client.send(POST, b"content-length: 0\r\n\r\n")
                    await client.writer.drain()
                    await asyncio.sleep(0.05)


async def test_response_is_completed_before_a_malformed_pipelined_request_closes_the_connection() -> None:
    async with serving(Application(delay=0.5)) as client:
        client.send(POST, b"content-length: 0\r\n\r\n", b"hello\r\n\r\n")
        response = await client.rest()
    assert response.startswith(OK)
    assert response.count(b"HTTP/1.1 ") == 1
    assert response.endswith(b"}")


async def test_malformed_body_of_a_pipelined_request_adds_nothing_to_the_response_before_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, "reader")
    app = Application(delay=0.2)
    async with serving(app) as client:
        client.send(POST, b"content-length: 0\r\n\r\n", POST, b"transfer-encoding: chunked\r\n\r\nz\r\n")
        response = await client.rest()
    assert response.startswith(OK)
    assert response.count(b"HTTP/1.1 ") == 1
    assert response.endswith(b"}")


async def test_malformed_body_ends_the_response_that_was_already_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, "reader")
    received: list[Message] = []

    async def both(_scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while not received or received[-1]["type"] != "http.disconnect":
            received.append(await receive())

    async with serving(both) as client:
        client.send(POST, b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        async with asyncio.timeout(30):
            await client.reader.readuntil(b"begun\r\n")
        client.send(b"z\r\n")
        assert await client.rest() == b""


async def test_number_of_pipelined_requests_is_limited() -> None:
    async with serving(Application(delay=0.05)) as client:
        client.send((POST + b"content-length: 0\r\n\r\n") * 5_000)
        response = await client.rest()
    assert 1 <= response.count(OK) <= 40
    assert response.count(b"HTTP/1.1 ") == response.count(OK)
    assert response.endswith(b"}")


async def test_each_of_several_requests_in_one_packet_has_its_own_fields() -> None:
    async def fields(scope: Scope, receive: Receive, send: Send) -> None:
        body = (await receive()).get("body", b"").decode()
        named = {name.decode(): value.decode() for name, value in scope["headers"]}
        await JSONResponse({**named, "body": body})(scope, receive, send)

    async with serving(fields) as client:
        for _ in range(2):  # the second time they have been seen before
            client.send(POST, b"X-First: 1\r\nContent-Length: 2\r\n\r\nok")
            client.send(POST, b"content-length: 0\r\n\r\n", b"GET ")
            answers = [await client.response() for _ in range(2)]
            client.send(b"/ HTTP/1.1\r\nhost: y\r\n\r\n")
            answers.append(await client.response())
            assert [json.loads(answer.partition(b"\r\n\r\n")[2]) for answer in answers] == [
                {"host": "x", "x-first": "1", "content-length": "2", "body": "ok"},
                {"host": "x", "content-length": "0", "body": ""},
                {"host": "y", "body": ""},
            ]


async def test_upgrade_request_gets_a_normal_response_and_closes_the_connection() -> None:
    async with serving(Application()) as client:
        client.send(POST, b"connection: upgrade\r\nupgrade: h2c\r\n\r\n", POST, b"\r\n")
        response = await client.rest()
    assert response.startswith(OK)
    assert b"connection: close" in response
    assert response.count(b"HTTP/1.1 ") == 1


async def test_http_1_0_client_gets_no_100_continue() -> None:
    async with serving(Application()) as client:
        client.send(b"POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nok")
        assert (await client.rest()).startswith(OK)


@pytest.mark.parametrize("line", [b"GET / HTTP/1.0\r\n", b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n"])
async def test_http_1_0_response_without_a_length_ends_with_the_connection(line: bytes) -> None:
    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(_parts())(scope, receive, send)

    async with serving(streaming) as client:
        client.send(line, b"\r\n")
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert body == b"onetwo"
    assert b"connection: close" in head
    assert b"transfer-encoding" not in head


async def test_http_1_0_response_that_is_not_whole_does_not_look_so() -> None:
    async def breaking(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})

    async with serving(breaking) as client:
        client.send(b"GET / HTTP/1.0\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            await client.rest()


async def test_response_that_breaks_off_unread_is_not_kept() -> None:
    begun, over = asyncio.Event(), asyncio.Event()

    async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(1 << 24), "more_body": True})
        begun.set()
        await over.wait()

    async def read_to_the_end() -> None:
        while await loop.sock_recv(client, 1 << 20):
            pass

    with listening("127.0.0.1", 0) as listener, in_background(large, listener), socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        await listens(listener.getsockname()[1])
        client.connect(listener.getsockname())
        client.settimeout(0)
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(client, POST + b"content-length: 0\r\n\r\n")
        await begun.wait()
        over.set()
        with pytest.raises(ConnectionResetError):
            await read_to_the_end()


@pytest.mark.parametrize("ahead", [0, 1, 5])
async def test_application_is_notified_of_a_disconnect_with_any_number_of_pipelined_requests(
    ahead: int,
) -> None:
    disconnected = asyncio.Event()

    async def waiting(_scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        disconnected.set()

    async with serving(waiting) as client:
        client.send((POST + b"content-length: 0\r\n\r\n") * (1 + ahead))
        await asyncio.sleep(0.1)
        client.writer.transport.abort()
        assert await asyncio.wait_for(disconnected.wait(), 30)


async def test_malformed_pipelined_request_does_not_cut_a_slow_response_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shorten(monkeypatch, "reader", "linger")
    async with serving(Application(delay=LATER)) as client:
        client.send(POST, b"content-length: 0\r\n\r\n", b"hello\r\n\r\n")
        assert (await client.rest()).startswith(OK)


async def test_long_trailer_after_an_early_response_gets_no_second_response() -> None:
    async with serving(Application(reads=False)) as client:
        client.send(POST, b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        assert (await client.response()).startswith(OK)
        client.send(b"0\r\nx: ", b"y" * 600_000)
        with suppress(ConnectionError):  # the server may close the connection while the client sends
            assert await client.rest() == b""


async def test_client_that_reads_slowly_and_steadily_gets_the_whole_response(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Http1Connection, "reader_seconds", 1.0)
    size = 1_000_000

    async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
        fields = [(b"content-length", b"%d" % size), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"." * size})

    with listening("127.0.0.1", 0) as listener, in_background(large, listener), socket.socket() as client:
        for one, buffer in ((listener, socket.SO_SNDBUF), (client, socket.SO_RCVBUF)):
            one.setsockopt(socket.SOL_SOCKET, buffer, 8192)  # otherwise the system would buffer all of it
        await listens(listener.getsockname()[1])
        client.connect(listener.getsockname())
        client.settimeout(0)
        loop, got = asyncio.get_running_loop(), b""
        await loop.sock_sendall(client, POST + b"content-length: 0\r\n\r\n")
        while more := await loop.sock_recv(client, 16_384):
            got += more
            await asyncio.sleep(0.015)
    assert len(got) > size


@pytest.mark.parametrize("blanks", [b"", b" ", b"\t", b" \t  "])
async def test_blanks_around_a_header_value_are_stripped(blanks: bytes) -> None:
    async def header_values(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse([value.decode() for _, value in scope["headers"]])(scope, receive, send)

    async with serving(header_values) as client:
        client.send(
            b"GET / HTTP/1.1\r\nhost: x\r\na:", blanks, b"b \tc", blanks, b"\r\nd:", blanks, b"\r\n\r\n"
        )
        assert (await client.response()).endswith(b'["x","b \\tc",""]')


async def test_trailer_field_is_not_passed_as_a_header() -> None:
    async with serving(Application()) as client:
        client.send(POST, b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-csrf: 1\r\n\r\n")
        response = await client.response()
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert b'"names":["host"]}' in await client.response()
    assert b'{"length":2,"names":["host","transfer-encoding"]}' in response


@pytest.mark.parametrize("trailers", [[b"x: %s\r\n" % (b"y" * 60_000)] * 4, [b"x: ", b"y" * 600_000]])
async def test_size_of_trailers_is_limited_like_that_of_a_head(trailers: list[bytes]) -> None:
    async with serving(Application()) as client:
        client.send(POST, b"transfer-encoding: chunked\r\n\r\n0\r\n", *trailers)
        assert problem(await client.rest())["status"] == 400


@pytest.mark.parametrize(("fields", "status"), [(100, 200), (101, 400)])
async def test_number_of_header_fields_is_limited(fields: int, status: int) -> None:
    empty = b"".join(b"x-%d:\r\n" % number for number in range(fields - 1))
    async with serving(Application()) as client:
        client.send(b"GET / HTTP/1.1\r\nhost: x\r\n", empty, b"\r\n")
        response = await client.response()
    if status == 200:
        assert response.startswith(OK)
    else:
        assert (problem(response)["code"], problem(response)["status"]) == ("invalid_request", 400)


async def test_trailers_count_as_fields_of_their_request() -> None:
    async with serving(Application()) as client:
        client.send(POST, b"transfer-encoding: chunked\r\n\r\n0\r\n", b"x:\r\n" * 99, b"\r\n")
        assert problem(await client.rest())["status"] == 400


async def test_every_request_of_a_connection_may_have_as_many_fields() -> None:
    async with serving(Application()) as client:
        for _ in range(2):
            client.send(b"GET / HTTP/1.1\r\nhost: x\r\n", b"x:\r\n" * 99, b"\r\n")
            assert (await client.response()).startswith(OK)


@pytest.mark.parametrize(
    "line",
    [
        b"GET / RTSP/1.1",
        b"GET / RTSP/1.0",
        b"POST  /a?b  RTSP/1.1",
        b"OPTIONS /a RTSP/1.1",
        b"DESCRIBE / RTSP/1.1",
        b"SOURCE / ICE/1.1",
        b"GET / HTTP/2.0",
        b"GET / HTTP/0.9",
    ],
)
@pytest.mark.parametrize("pieces", [1, 1000])
async def test_no_other_protocol_is_spoken(line: bytes, pieces: int) -> None:
    app = Application()
    async with serving(app) as client:
        head = line + b"\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
        size = max(1, len(head) // pieces)
        for start in range(0, len(head), size):
            client.send(head[start : start + size])
            await asyncio.sleep(0)
        assert problem(await client.rest())["code"] == "invalid_request"
    assert app.received == []


async def test_another_protocol_behind_a_request_is_refused_too() -> None:
    async with serving(Application()) as client:
        client.send(POST, b"content-length: 2\r\n\r\nok", b"GET /second RTSP/1.1\r\nhost: x\r\n\r\n")
        response = await client.rest()
    assert response.count(OK) == 1
    assert response.count(b"HTTP/1.1 ") == 1


async def test_a_request_that_tells_of_another_protocol_is_served() -> None:
    body = b"DESCRIBE /there RTSP/1.1\r\nGET /here RTSP/1.1, or not\r\n"
    async with serving(Application()) as client:
        client.send(b"POST /here HTTP/1.1\r\nhost: x\r\nx-seen: /elsewhere RTSP/1.1\r\n")
        client.send(b"content-length: %d\r\n\r\n" % len(body), body)
        assert (await client.response()).startswith(OK)
