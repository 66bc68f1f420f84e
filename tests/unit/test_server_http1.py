"""Connections whose clients dawdle, and what is no request: each over a real socket."""

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
from bff.server.process import in_background, listening
from tests.unit.support import listens

pytestmark = pytest.mark.anyio

OK = b"HTTP/1.1 200 OK"
SOON = 0.3
LONG = 3600.0
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let nothing end a connection but what a test names."""
    for name in ("quiet", "head", "body", "reader", "linger"):
        monkeypatch.setattr(Http1Connection, f"{name}_seconds", LONG)


def soon(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    for name in names:
        monkeypatch.setattr(Http1Connection, f"{name}_seconds", SOON)


@dataclass
class Client:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, *parts: bytes) -> None:
        self.writer.write(b"".join(parts))

    @asynccontextmanager
    async def trickling(self, part: bytes) -> AsyncIterator[None]:
        """Send a part again and again until the block ends."""

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
        """Return everything until the server ends the connection."""
        async with asyncio.timeout(30):
            return await self.reader.read()

    async def answer(self) -> bytes:
        """Return one answer with a Content-Length."""
        async with asyncio.timeout(30):
            head = await self.reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            return head + await self.reader.readexactly(int(fields[b"content-length"]))


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
    """Reads a body to its end, or not, then answers with its length and the names of the header fields."""

    reads: bool = True
    delay: float = 0.0
    got: list[Message] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.sleep(self.delay)
        length = 0
        while self.reads:
            message = await receive()
            self.got.append(message)
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


def problem(answer: bytes) -> dict[str, Any]:
    """Return the members of the only answer, which is a problem, complete, and the connection's last."""
    head, _, body = answer.partition(b"\r\n\r\n")
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
async def test_a_head_that_does_not_end_is_a_timeout(monkeypatch: pytest.MonkeyPatch, start: bytes) -> None:
    soon(monkeypatch, "head")
    async with serving(Application()) as client:
        client.send(start)
        assert problem(await client.rest())["code"] == "request_timeout"


async def test_a_head_that_trickles_gets_no_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch, "head")
    async with serving(Application()) as client:
        client.send(POST)
        async with client.trickling(b"x: y\r\n"):
            answer = await client.answer()
    assert problem(answer)["status"] == 408


@pytest.mark.parametrize("sent", [b"", b"\r\n\r\n"])
async def test_a_connection_without_a_request_ends_without_a_word(
    monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    soon(monkeypatch, "quiet")
    async with serving(Application()) as client:
        client.send(sent)
        assert await client.rest() == b""


async def test_a_used_connection_ends_without_a_word_too(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch, "quiet")
    async with serving(Application()) as client:
        client.send(POST, b"content-length: 0\r\n\r\n")
        assert (await client.answer()).startswith(OK)
        assert await client.rest() == b""


async def test_an_empty_line_between_requests_buys_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch, "quiet")
    async with serving(Application()) as client:
        client.send(POST, b"content-length: 0\r\n\r\n")
        assert (await client.answer()).startswith(OK)
        client.send(b"\r\n")  # which ends uvicorn's own wait for the next request
        assert await client.rest() == b""


@pytest.mark.parametrize("framing", [b"content-length: 9", b"transfer-encoding: chunked"])
async def test_a_body_that_does_not_come_is_a_timeout(
    monkeypatch: pytest.MonkeyPatch, framing: bytes
) -> None:
    soon(monkeypatch, "body")
    app = Application()
    async with serving(app) as client:
        client.send(POST, framing, b"\r\n\r\n")
        assert problem(await client.rest())["code"] == "request_timeout"
    assert app.got[-1]["type"] == "http.disconnect"


async def test_a_body_that_trickles_is_a_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch, "body")
    async with serving(Application()) as client:
        client.send(POST, b"content-length: 1000\r\n\r\n")
        async with client.trickling(b"."):
            answer = await client.answer()
    assert problem(answer)["status"] == 408


async def test_a_body_that_keeps_the_pace_may_take_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch, "body")
    monkeypatch.setattr(Http1Connection, "body_rate", 10.0)
    async with serving(Application()) as client:
        client.send(POST, b"content-length: 250\r\n\r\n")
        for _ in range(25):
            client.send(b"." * 10)
            await asyncio.sleep(0.1)
        assert b'"length":250' in await client.answer()


async def test_time_in_which_nobody_reads_is_not_the_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch, "body")
    async with serving(Application(delay=2.5)) as client:
        client.send(POST, b"content-length: 1000000\r\n\r\n", b"." * 1_000_000)
        assert b'"length":1000000' in await client.answer()


async def test_a_client_that_was_not_told_to_continue_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch, "body")
    async with serving(Application(delay=2.5)) as client:
        client.send(POST, b"content-length: 2\r\nexpect: 100-continue\r\n\r\n")
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"ok")
        assert b'"length":2' in await client.answer()


async def test_an_answer_that_nobody_reads_ends_and_its_application_learns_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    soon(monkeypatch, "reader")
    left = asyncio.Event()

    async def endless(_scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            left.set()

        listener = asyncio.ensure_future(listen())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not left.is_set():
            await send({"type": "http.response.body", "body": b"." * 65_536, "more_body": True})
            await asyncio.sleep(0)
        await listener

    async with serving(endless) as client:
        client.send(POST, b"content-length: 0\r\n\r\n")
        assert await asyncio.wait_for(left.wait(), 30)


async def test_the_last_of_an_answer_is_not_kept_for_ever_either(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch, "reader")
    lost = asyncio.Event()
    ending = Http1Connection.connection_lost

    def connection_lost(self: Http1Connection, exc: Exception | None) -> None:
        ending(self, exc)
        lost.set()

    async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": b"." * 50_000_000})

    monkeypatch.setattr(Http1Connection, "connection_lost", connection_lost)
    async with serving(large) as client:
        client.send(POST, b"content-length: 0\r\n\r\n")
        assert await asyncio.wait_for(lost.wait(), 30)


async def test_the_rest_of_a_body_that_was_answered_early_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    soon(monkeypatch, "linger")
    async with serving(Application(reads=False)) as client:
        client.send(POST, b"content-length: 9\r\n\r\n.")
        assert (await client.rest()).count(b"HTTP/1.1 ") == 1


async def test_a_connection_goes_on_after_the_rest_of_a_body_that_was_answered_early() -> None:
    async with serving(Application(reads=False)) as client:
        client.send(POST, b"content-length: 3\r\n\r\n.")
        assert (await client.answer()).startswith(OK)
        client.send(b"..", POST, b"content-length: 0\r\n\r\n")
        assert (await client.answer()).startswith(OK)


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
async def test_what_is_no_request_gets_a_problem(sent: bytes) -> None:
    async with serving(Application()) as client:
        client.send(sent)
        client.writer.write_eof()
        assert problem(await client.rest())["code"] == "invalid_request"


async def test_a_refused_client_that_goes_on_sending_is_not_listened_to_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    soon(monkeypatch, "linger")
    async with serving(Application()) as client:
        client.send(b"hello\r\n\r\n")
        assert problem(await client.answer())["status"] == 400
        with pytest.raises(ConnectionError):  # noqa: PT012 - it ends at some write
            async with asyncio.timeout(30):
                while True:
                    client.send(POST, b"content-length: 0\r\n\r\n")
                    await client.writer.drain()
                    await asyncio.sleep(0.05)


async def test_an_answer_under_way_is_ended_before_what_follows_it_ends_the_connection() -> None:
    async with serving(Application(delay=0.5)) as client:
        client.send(POST, b"content-length: 0\r\n\r\n", b"hello\r\n\r\n")
        answer = await client.rest()
    assert answer.startswith(OK)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"}")


async def test_a_body_that_breaks_behind_an_answer_under_way_is_not_answered_within_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    soon(monkeypatch, "reader")
    app = Application(delay=0.2)
    async with serving(app) as client:
        client.send(POST, b"content-length: 0\r\n\r\n", POST, b"transfer-encoding: chunked\r\n\r\nz\r\n")
        answer = await client.rest()
    assert answer.startswith(OK)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"}")


async def test_an_answer_under_way_ends_with_the_body_that_it_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    soon(monkeypatch, "reader")
    told: list[Message] = []

    async def both(_scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        while not told or told[-1]["type"] != "http.disconnect":
            told.append(await receive())

    async with serving(both) as client:
        client.send(POST, b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        async with asyncio.timeout(30):
            await client.reader.readuntil(b"begun\r\n")
        client.send(b"z\r\n")
        assert await client.rest() == b""


async def test_no_more_requests_are_taken_ahead_of_their_answers_than_anybody_sends() -> None:
    async with serving(Application(delay=0.05)) as client:
        client.send((POST + b"content-length: 0\r\n\r\n") * 5_000)
        answer = await client.rest()
    assert 1 <= answer.count(OK) <= 40
    assert answer.count(b"HTTP/1.1 ") == answer.count(OK)
    assert answer.endswith(b"}")


async def test_an_upgrade_that_is_not_made_ends_the_connection() -> None:
    async with serving(Application()) as client:
        client.send(POST, b"connection: upgrade\r\nupgrade: h2c\r\n\r\n", POST, b"\r\n")
        answer = await client.rest()
    assert answer.startswith(OK)
    assert b"connection: close" in answer
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_an_http_1_0_client_is_not_told_to_continue() -> None:
    async with serving(Application()) as client:
        client.send(b"POST / HTTP/1.0\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nok")
        assert (await client.rest()).startswith(OK)


@pytest.mark.parametrize("line", [b"GET / HTTP/1.0\r\n", b"GET / HTTP/1.0\r\nconnection: keep-alive\r\n"])
async def test_an_http_1_0_client_gets_an_answer_without_a_length_up_to_the_connections_end(
    line: bytes,
) -> None:
    async def streaming(scope: Scope, receive: Receive, send: Send) -> None:
        await StreamingResponse(_parts())(scope, receive, send)

    async with serving(streaming) as client:
        client.send(line, b"\r\n")
        head, _, body = (await client.rest()).partition(b"\r\n\r\n")
    assert body == b"onetwo"
    assert b"connection: close" in head
    assert b"transfer-encoding" not in head


@pytest.mark.parametrize("ahead", [0, 1, 5])
async def test_an_application_that_answers_learns_that_its_client_left_whatever_was_asked_ahead(
    ahead: int,
) -> None:
    left = asyncio.Event()

    async def waiting(_scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        left.set()

    async with serving(waiting) as client:
        client.send((POST + b"content-length: 0\r\n\r\n") * (1 + ahead))
        await asyncio.sleep(0.1)
        client.writer.transport.abort()
        assert await asyncio.wait_for(left.wait(), 30)


async def test_what_follows_an_answer_under_way_does_not_shorten_it(monkeypatch: pytest.MonkeyPatch) -> None:
    soon(monkeypatch, "reader", "linger")
    async with serving(Application(delay=2.5)) as client:
        client.send(POST, b"content-length: 0\r\n\r\n", b"hello\r\n\r\n")
        assert (await client.rest()).startswith(OK)


async def test_a_trailer_behind_an_early_answer_is_bounded_and_gets_no_second_one() -> None:
    async with serving(Application(reads=False)) as client:
        client.send(POST, b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n")
        assert (await client.answer()).startswith(OK)
        client.send(b"0\r\nx: ", b"y" * 600_000)
        with suppress(ConnectionError):  # it may be cut while it is sent
            assert await client.rest() == b""


async def test_a_client_that_reads_slowly_and_steadily_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Http1Connection, "reader_seconds", 1.0)
    size = 1_000_000

    async def large(_scope: Scope, _receive: Receive, send: Send) -> None:
        fields = [(b"content-length", b"%d" % size), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b"." * size})

    with listening("127.0.0.1", 0) as listener, in_background(large, listener), socket.socket() as client:
        for one, buffer in ((listener, socket.SO_SNDBUF), (client, socket.SO_RCVBUF)):
            one.setsockopt(socket.SOL_SOCKET, buffer, 8192)  # or the system would take it all in at once
        await listens(listener.getsockname()[1])
        client.connect(listener.getsockname())
        client.settimeout(0)
        loop, got = asyncio.get_running_loop(), b""
        await loop.sock_sendall(client, POST + b"content-length: 0\r\n\r\n")
        while more := await loop.sock_recv(client, 16_384):
            got += more
            await asyncio.sleep(0.05)
    assert len(got) > size


@pytest.mark.parametrize("blanks", [b"", b" ", b"\t", b" \t  "])
async def test_blanks_around_a_value_are_no_part_of_it(blanks: bytes) -> None:
    async def telling(scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse([value.decode() for _, value in scope["headers"]])(scope, receive, send)

    async with serving(telling) as client:
        client.send(
            b"GET / HTTP/1.1\r\nhost: x\r\na:", blanks, b"b \tc", blanks, b"\r\nd:", blanks, b"\r\n\r\n"
        )
        assert (await client.answer()).endswith(b'["x","b \\tc",""]')


async def test_a_trailer_is_no_header_field() -> None:
    async with serving(Application()) as client:
        client.send(POST, b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nx-csrf: 1\r\n\r\n")
        answer = await client.answer()
    assert b'{"length":2,"names":["host","transfer-encoding"]}' in answer


@pytest.mark.parametrize("trailers", [[b"x: %s\r\n" % (b"y" * 60_000)] * 4, [b"x: ", b"y" * 600_000]])
async def test_trailers_are_bounded_like_a_head(trailers: list[bytes]) -> None:
    async with serving(Application()) as client:
        client.send(POST, b"transfer-encoding: chunked\r\n\r\n0\r\n", *trailers)
        assert problem(await client.rest())["status"] == 400
