"""The client for token calls: one answer read whole, within one deadline, and nothing kept or told."""

import asyncio
import gzip
import logging
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, nullcontext

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bff.errors import BadUpstreamAnswer, BffError, UpstreamTimeout, UpstreamUnavailable
from bff.server.listening import listening
from bff.server.process import in_background
from bff.telemetry.metrics import REGISTRY
from bff.upstream.failures import MalformedBody
from bff.upstream.httpx_client import HttpxClient
from bff.upstream.options import TOKEN_CALLS
from bff.upstream.protocol import Header, WholeAnswer
from bff.upstream.token_calls import _LARGEST_ANSWER_BYTES, DEADLINE_SECONDS, TokenCallClient, _decoder
from tests.live import free_port
from tests.support import listens

pytestmark = pytest.mark.anyio

Handle = Callable[[Request], Awaitable[Response]]


class Stub:
    """An upstream that answers as the test says and remembers what it was asked."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.seen: list[Request] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.seen.append(request)
        await (await self._handle(request))(scope, receive, send)


class Failing:
    """A network that fails so many times before it works."""

    def __init__(self, error: Exception, times: int) -> None:
        self._error = error
        self._times = times
        self.tries = 0

    async def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.tries += 1
        if self.tries <= self._times:
            raise self._error
        return httpx2.Response(200, stream=httpx2.ByteStream(b"{}"), request=request)

    async def answer(self) -> WholeAnswer:
        """Make one call over this network."""
        client = over("http://upstream.test")
        with pytest.MonkeyPatch.context() as patching:
            patching.setattr(httpx2.AsyncHTTPTransport, "handle_async_request", self.handle)
            try:
                return await client.call("test", "GET", "/x")
            finally:
                await client.aclose()


def over(url: str, *, deadline: float = DEADLINE_SECONDS) -> TokenCallClient:
    return TokenCallClient(HttpxClient(url, TOKEN_CALLS), deadline=deadline)


async def ok(_request: Request) -> Response:
    return JSONResponse({"ok": True}, headers={"set-cookie": "upstream=visitor-1; Path=/"})


@asynccontextmanager
async def calling(
    handle: Handle = ok, *, deadline: float = 10.0
) -> AsyncIterator[tuple[TokenCallClient, Stub]]:
    """Serve a stub on a real socket and yield a client of it."""
    stub = Stub(handle)
    with listening("127.0.0.1", 0) as listener, in_background(stub, listener):
        await listens(listener.getsockname()[1])
        client = over(f"http://127.0.0.1:{listener.getsockname()[1]}", deadline=deadline)
        try:
            yield client, stub
        finally:
            await client.aclose()


async def raw_answer(reply: bytes) -> WholeAnswer:
    """Return what the client makes of these bytes from a socket."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = over(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    try:
        return await client.call("test", "GET", "/x")
    finally:
        await client.aclose()
        server.close()
        await server.wait_closed()


async def test_an_answer_is_read_whole_with_status_and_headers() -> None:
    async with calling() as (client, stub):
        answer = await client.call("test", "POST", "/a", query={"t": "a+b&c=/ü"}, json={"p": "ß"})
    assert (answer.status, answer.body) == (200, b'{"ok":true}')
    assert answer.headers["content-type"] == "application/json"
    assert stub.seen[0].query_params["t"] == "a+b&c=/ü"
    assert stub.seen[0].headers["accept"] == "application/json"


async def test_no_upstream_cookie_is_handed_to_the_next_call() -> None:
    async with calling() as (client, stub):
        for _ in range(3):
            answer = await client.call("test", "GET", "/x")
            assert "set-cookie" in answer.headers
    assert len(stub.seen) == 3
    assert all("cookie" not in request.headers for request in stub.seen)


async def test_the_librarys_own_client_hands_a_cookie_to_the_next_call() -> None:
    """The same calls over it carry the cookie: the test above can fail."""
    transport = httpx2.ASGITransport(stub := Stub(ok))
    async with httpx2.AsyncClient(transport=transport, base_url="http://upstream.test") as client:
        await client.get("/x")
        await client.get("/x")
    assert "cookie" in stub.seen[-1].headers


async def test_connecting_is_tried_twice() -> None:
    network = Failing(httpx2.ConnectError("refused"), 1)
    assert (await network.answer()).status == 200
    assert network.tries == 2
    network = Failing(httpx2.ConnectError("refused"), 5)
    with pytest.raises(UpstreamUnavailable):
        await network.answer()
    assert network.tries == 2


@pytest.mark.parametrize(
    "error",
    [
        httpx2.ReadError("x"),
        httpx2.WriteError("x"),
        httpx2.RemoteProtocolError("x"),
        httpx2.ReadTimeout("x"),
        httpx2.WriteTimeout("x"),
        httpx2.CloseError("x"),
    ],
)
async def test_what_may_have_arrived_is_sent_once(error: Exception) -> None:
    network = Failing(error, 1)
    with pytest.raises((UpstreamUnavailable, UpstreamTimeout, BadUpstreamAnswer)):
        await network.answer()
    assert network.tries == 1


@pytest.mark.parametrize("error", [httpx2.ConnectTimeout("x"), httpx2.PoolTimeout("x")])
async def test_no_connection_in_time_is_unavailable(error: Exception) -> None:
    with pytest.raises(UpstreamUnavailable):
        await Failing(error, 9).answer()


async def test_a_port_where_nobody_listens_is_unavailable() -> None:
    client = over(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UpstreamUnavailable) as caught:
        await client.call("test", "GET", "/x", query={"accessToken": "t0ken"})
    await client.aclose()
    assert "t0ken" not in f"{caught.value!r} {caught.value.log_detail}"
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


async def test_the_deadline_covers_a_server_that_never_answers() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = over(f"http://127.0.0.1:{silent.getsockname()[1]}", deadline=0.2)
        with pytest.raises(UpstreamTimeout):
            await client.call("test", "GET", "/x")
        await client.aclose()


async def test_the_deadline_covers_an_answer_that_drips() -> None:
    """Each chunk comes in time; only the whole does not."""
    left = asyncio.Event()

    async def drip() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b" "
                await asyncio.sleep(0.02)
        finally:
            left.set()

    async def dripping(_request: Request) -> Response:
        return StreamingResponse(drip())

    async with calling(dripping, deadline=0.5) as (client, _):
        with pytest.raises(UpstreamTimeout):
            await client.call("test", "GET", "/x")
        async with asyncio.timeout(20):
            await left.wait()


async def test_a_call_may_have_a_shorter_deadline_of_its_own() -> None:
    asked, go = asyncio.Event(), asyncio.Event()

    async def waiting(_request: Request) -> Response:
        asked.set()
        await go.wait()
        return JSONResponse({})

    async with calling(waiting) as (client, _):
        call = asyncio.create_task(client.call("test", "GET", "/x", deadline=0.5))
        await asked.wait()
        await asyncio.wait([call], timeout=5)
        go.set()
        with pytest.raises(UpstreamTimeout):
            await call


async def test_an_answer_too_large_for_a_token_call_is_bad() -> None:
    async def sized(request: Request) -> Response:
        return Response(b"x" * int(request.query_params["n"]))

    async with calling(sized) as (client, _):
        answer = await client.call("test", "GET", "/x", query={"n": str(1 << 20)})
        assert len(answer.body) == 1 << 20
        with pytest.raises(BadUpstreamAnswer):
            await client.call("test", "GET", "/x", query={"n": str((1 << 20) + 1)})


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"])
async def test_an_answer_that_breaks_off_is_unavailable(reply: bytes) -> None:
    with pytest.raises(UpstreamUnavailable):
        await raw_answer(reply)


async def test_a_body_in_an_encoding_that_it_is_not_in_is_bad() -> None:
    with pytest.raises(BadUpstreamAnswer):
        await raw_answer(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nabcd")


@pytest.mark.parametrize("coding", ["gzip", "GZIP", "x-gzip", "deflate"])
async def test_an_answer_that_is_compressed_without_being_asked_is_read(coding: str) -> None:
    packed = zlib.compress(b"plain") if coding == "deflate" else gzip.compress(b"plain")

    async def compressed(_request: Request) -> Response:
        return Response(packed, headers={"content-encoding": coding})

    async with calling(compressed) as (client, stub):
        assert (await client.call("test", "GET", "/x")).body == b"plain"
    assert stub.seen[0].headers["accept-encoding"] == "identity"


async def test_an_answer_is_no_larger_unpacked_than_it_may_be() -> None:
    async def packed(request: Request) -> Response:
        body = gzip.compress(b"x" * int(request.query_params["n"]))
        return Response(body, headers={"content-encoding": "gzip"})

    async with calling(packed) as (client, _):
        assert len((await client.call("test", "GET", "/x", query={"n": str(1 << 20)})).body) == 1 << 20
        with pytest.raises(BadUpstreamAnswer):
            await client.call("test", "GET", "/x", query={"n": str((1 << 20) + 1)})


async def test_headers_of_one_name_are_one_list_and_names_are_in_lower_case() -> None:
    answer = await raw_answer(b"HTTP/1.1 200 OK\r\nX-One: 1\r\ncontent-length: 0\r\nx-ONE: 2\r\n\r\n")
    assert answer.headers == {"x-one": "1, 2", "content-length": "0"}


async def test_a_status_that_http_does_not_have_is_unavailable() -> None:
    with pytest.raises(UpstreamUnavailable):
        await raw_answer(b"HTTP/1.1 700 Odd\r\ncontent-length: 0\r\n\r\n")


async def test_what_is_not_http_is_a_bad_answer() -> None:
    with pytest.raises(BadUpstreamAnswer):
        await raw_answer(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


class Tracked:
    """An answer that comes in these chunks, and knows whether it was closed."""

    status = 200
    released = False
    headers: Sequence[Header] = ()

    def __init__(self, *chunks: bytes | Exception | None) -> None:
        self._chunks = chunks
        self.closed = False

    def whole(self) -> bytes | None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk if chunk is not None else await asyncio.get_running_loop().create_future()

    async def aclose(self) -> None:
        self.closed = True

    async def open(self, *_request: object) -> "Tracked":
        """Be the client too."""
        return self


@pytest.mark.parametrize(
    ("chunks", "outcome"),
    [
        ((b"a", b"b"), None),
        ((b"x" * (1 << 20), b"x"), BadUpstreamAnswer),
        ((b"a", UpstreamUnavailable()), UpstreamUnavailable),
        ((b"a", MalformedBody()), BadUpstreamAnswer),
        ((b"a", None), UpstreamTimeout),
    ],
    ids=["whole", "too large", "broken off", "malformed", "late"],
)
async def test_every_answer_is_closed_however_it_ends(
    chunks: tuple[bytes | Exception | None, ...], outcome: type[BffError] | None
) -> None:
    answer = Tracked(*chunks)
    client = TokenCallClient(answer, deadline=0.2 if outcome is UpstreamTimeout else 30)
    with pytest.raises(outcome) if outcome else nullcontext():
        assert (await client.call("test", "GET", "/x")).body == b"ab"
    assert answer.closed


async def test_no_address_or_token_is_logged_even_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with calling() as (client, _):
        await client.call("test", "GET", "/secret-path", query={"refreshToken": "t0ken-q"},
                          headers={"authorization": "Bearer t0ken-h"})  # fmt: skip
    client = over(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UpstreamUnavailable):
        await client.call("test", "GET", "/secret-path", query={"refreshToken": "t0ken-q"})
    await client.aclose()
    for word in ("t0ken", "secret-path", "refreshToken"):
        assert word not in caplog.text


@pytest.mark.parametrize(("status", "outcome"), [(200, "2xx"), (401, "4xx"), (503, "5xx")])
async def test_calls_are_counted_by_name_and_outcome(status: int, outcome: str) -> None:
    async def say(_request: Request) -> Response:
        return Response(status_code=status)

    def count(outcome: str) -> float:
        labels = {"area": "token calls", "call": "counted", "outcome": outcome}
        return REGISTRY.get_sample_value("bff_upstream_calls_total", labels) or 0.0

    before, lost = count(outcome), count("no answer")
    async with calling(say) as (client, _):
        await client.call("counted", "GET", "/x")
    client = over(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UpstreamUnavailable):
        await client.call("counted", "GET", "/x")
    await client.aclose()
    assert (count(outcome), count("no answer")) == (before + 1, lost + 1)


def test_a_body_that_grows_is_unpacked_to_the_limit_and_no_further() -> None:
    packed = gzip.compress(b"x" * (8 << 20))
    assert len(_decoder("gzip")(packed)) == _LARGEST_ANSWER_BYTES + 1
