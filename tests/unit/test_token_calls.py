"""The client for token calls: one answer read whole, within one deadline, and nothing kept or told."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import httpx2
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bff.errors import BadUpstreamAnswer, UpstreamTimeout, UpstreamUnavailable
from bff.server.process import in_background, listening
from bff.telemetry.metrics import REGISTRY
from bff.upstream.protocol import Answer
from bff.upstream.token_calls import TokenCallClient, no_cookies
from tests.live import free_port
from tests.unit.support import listens

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


class Failing(httpx2.AsyncBaseTransport):
    """A network that fails so many times before it works."""

    def __init__(self, error: Exception, times: int) -> None:
        self._error = error
        self._times = times
        self.tries = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.tries += 1
        if self.tries <= self._times:
            raise self._error
        return httpx2.Response(200, json={}, request=request)


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
        client = TokenCallClient(f"http://127.0.0.1:{listener.getsockname()[1]}", deadline=deadline)
        try:
            yield client, stub
        finally:
            await client.aclose()


async def over(transport: httpx2.AsyncBaseTransport) -> Answer:
    client = TokenCallClient("http://upstream.test", transport=transport)
    try:
        return await client.call("test", "GET", "/x")
    finally:
        await client.aclose()


async def raw_answer(reply: bytes) -> Answer:
    """Return what the client makes of these bytes from a socket."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = TokenCallClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
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


async def test_the_jar_that_keeps_nothing_is_no_default_jar() -> None:
    """The same calls with the library's own jar would carry the cookie: the test above can fail."""
    transport = httpx2.ASGITransport(stub := Stub(ok))
    for jar, carried in ((None, True), (no_cookies(), False)):
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://upstream.test", cookies=jar
        ) as client:
            await client.get("/x")
            await client.get("/x")
        assert ("cookie" in stub.seen[-1].headers) is carried


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(status: int) -> None:
    async def elsewhere(_request: Request) -> Response:
        return RedirectResponse("/elsewhere", status)

    async with calling(elsewhere) as (client, stub):
        assert (await client.call("test", "GET", "/x")).status == status
    assert [request.url.path for request in stub.seen] == ["/x"]


async def test_proxies_of_the_environment_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, nobody)
        monkeypatch.setenv(name.lower(), nobody)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with calling() as (client, stub):
        assert (await client.call("test", "GET", "/x")).status == 200
    assert len(stub.seen) == 1


async def test_credentials_of_a_netrc_file_are_ignored(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    netrc = tmp_path_factory.mktemp("netrc") / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password somepassword\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with calling() as (client, stub):
        await client.call("test", "GET", "/x")
    assert "authorization" not in stub.seen[0].headers


async def test_connecting_is_tried_twice() -> None:
    network = Failing(httpx2.ConnectError("refused"), 1)
    assert (await over(network)).status == 200
    assert network.tries == 2
    network = Failing(httpx2.ConnectError("refused"), 5)
    with pytest.raises(UpstreamUnavailable):
        await over(network)
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
        await over(network)
    assert network.tries == 1


@pytest.mark.parametrize("error", [httpx2.ConnectTimeout("x"), httpx2.PoolTimeout("x")])
async def test_no_connection_in_time_is_unavailable(error: Exception) -> None:
    with pytest.raises(UpstreamUnavailable):
        await over(Failing(error, 9))


async def test_a_port_where_nobody_listens_is_unavailable() -> None:
    client = TokenCallClient(f"http://127.0.0.1:{free_port()}")
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
        client = TokenCallClient(f"http://127.0.0.1:{silent.getsockname()[1]}", deadline=0.2)
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
        with pytest.raises(UpstreamTimeout):
            await client.call("test", "GET", "/x", deadline=0.1)
        async with asyncio.timeout(20):
            await left.wait()


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


async def test_what_is_not_http_is_a_bad_answer() -> None:
    with pytest.raises(BadUpstreamAnswer):
        await raw_answer(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")


async def test_no_address_or_token_is_logged_even_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with calling() as (client, _):
        await client.call("test", "GET", "/secret-path", query={"refreshToken": "t0ken-q"},
                          headers={"authorization": "Bearer t0ken-h"})  # fmt: skip
    client = TokenCallClient(f"http://127.0.0.1:{free_port()}")
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
        labels = {"call": "counted", "outcome": outcome}
        return REGISTRY.get_sample_value("bff_upstream_calls_total", labels) or 0.0

    before, lost = count(outcome), count("no answer")
    async with calling(say) as (client, _):
        await client.call("counted", "GET", "/x")
    client = TokenCallClient(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(UpstreamUnavailable):
        await client.call("counted", "GET", "/x")
    await client.aclose()
    assert (count(outcome), count("no answer")) == (before + 1, lost + 1)
