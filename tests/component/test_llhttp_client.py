"""What the proxy's own upstream client does beyond the suite of every client, on both event loops."""

import asyncio
import gc
import os
import socket
import ssl
import subprocess
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.deadline import deadline_in
from bff.errors import BadUpstreamAnswer, BffError, InvalidRequest, UpstreamTimeout, UpstreamUnavailable
from bff.upstream import pool
from bff.upstream.answer_parser import AnswerParser
from bff.upstream.connection import Connection as OneConnection
from bff.upstream.exchange import Exchange
from bff.upstream.failures import ClosedUnanswered, NotConnected
from bff.upstream.llhttp_client import LlhttpClient
from bff.upstream.options import PROXIED_CALLS, ClientOptions
from bff.upstream.protocol import RequestContent, UpstreamClient
from tests.contract.socket_upstream import Connection, Serve, SocketUpstream, answer
from tests.contract.upstream_clients import (
    CHUNKED,
    ONE_CONNECTION,
    closes,
    failure_of,
    get,
    greets,
    in_turn,
    sends,
    stalls,
    whole,
)
from tests.contract.upstream_clients import between as between_any
from tests.support import until

pytestmark = pytest.mark.anyio
LARGE: Final = b"x" * (4 << 20)


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def between(
    serve: Serve, options: ClientOptions = ONE_CONNECTION
) -> AsyncIterator[tuple[UpstreamClient, SocketUpstream]]:
    async with between_any(LlhttpClient, serve, options) as both:
        yield both


async def post(client: UpstreamClient, body: RequestContent = b"x") -> bytes:
    return await whole(await client.open("POST", b"/x", [], body))


def goes_on_after(raw: bytes) -> Serve:
    """Send this for the first request, and answer whatever else comes on the connection."""

    async def serve(connection: Connection) -> None:
        await connection.head()
        await connection.send(raw)
        while True:
            await connection.answer(b"on the same connection")

    return serve


# Answers


@pytest.mark.parametrize("interim", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
async def test_interim_answers_are_passed_over(interim: bytes) -> None:
    hint = b"HTTP/1.1 " + interim + b"\r\nLink: </a>\r\n\r\n"
    async with between(sends(hint + hint + answer(b"final", b"X-One: 1"))) as (client, _):
        got = await client.open("GET", b"/x", [], None)
        assert (got.status, list(got.headers)[1:]) == (200, [(b"x-one", b"1")])
        assert await whole(got) == b"final"


@pytest.mark.parametrize(
    "raw",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: 1\r\n folded\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX A: 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A : 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: 1\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/3.7 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X-A: 1\r\n" * 9_000 + b"\r\n",
    ],
)
async def test_an_answer_that_could_be_read_in_two_ways_is_refused(raw: bytes) -> None:
    async with between(in_turn(sends(raw), sends(raw), greets)) as (client, _):
        assert isinstance(await failure_of(client.open("GET", b"/x", [], None)), BadUpstreamAnswer)
        assert await get(client) == b"hello"


async def test_a_body_that_came_with_its_head_is_taken_whole() -> None:
    async with between(in_turn(sends(answer(b"hello")), greets)) as (client, _):
        got = await client.open("GET", b"/x", [], None)
        assert got.whole() == b"hello"
        assert [chunk async for chunk in got.chunks()] == []
        await got.aclose()
        assert await get(client) == b"hello"


async def test_an_answer_that_came_whole_leaves_its_connection_to_the_next_call_before_it_is_read() -> None:
    async with between(greets) as (client, upstream):
        first, second = [await client.open("GET", b"/x", [], None) for _ in range(2)]
        assert upstream.connections == 1
        assert first.released
        assert [first.whole(), second.whole()] == [b"hello", b"hello"]
        await first.aclose()  # the connection is not this one's any more
        assert await get(client) == b"hello"
        assert upstream.connections == 1


async def test_a_body_that_is_not_all_here_is_not_whole() -> None:
    raw = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"
    async with between(sends(raw)) as (client, _):
        got = await client.open("GET", b"/x", [], None)
        assert got.whole() is None
        assert not got.released
        assert await anext(got.chunks()) == b"hello"
        await got.aclose()


async def test_trailers_are_not_passed_on() -> None:
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nSet-Cookie: a=b\r\n\r\n"
    async with between(sends(raw)) as (client, _):
        got = await client.open("GET", b"/x", [], None)
        assert await whole(got) == b"hello"
        assert got.headers == [(b"transfer-encoding", b"chunked")]


async def test_a_call_leaves_no_cycle_for_the_garbage_collector() -> None:
    async def serve(connection: Connection) -> None:
        while True:
            await connection.answer(b"ok")

    async with between(serve) as (client, _):
        assert (
            await whole(await client.open("GET", b"/x", [], None)) == b"ok"
        )  # its connection and parser stay
        gc.collect()
        gc.disable()
        try:
            for _ in range(20):
                assert await whole(await client.open("GET", b"/x", [], None)) == b"ok"
            gc.set_debug(gc.DEBUG_SAVEALL)
            gc.collect()
            left = {type(each) for each in gc.garbage if type(each).__module__.startswith("bff.")}
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
    assert not left


async def test_nothing_of_an_answer_is_in_the_next_one_on_its_connection() -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nSet-Cookie: a=b\r\n\r\n"
    )
    interim = b"HTTP/1.1 103 X\r\nLink: </a>\r\n\r\n"
    head = answer(b"hello", b"X-One: 1").removesuffix(b"hello")

    async def serve(connection: Connection) -> None:
        for raw in (chunked, interim + answer(b"a", b"X-Two: 2"), head, answer(b"b"), chunked, answer(b"c")):
            await connection.head()
            await connection.send(raw)

    async with between(serve) as (client, upstream):
        got = []
        for method in ("GET", "GET", "HEAD", "GET", "GET", "GET"):
            one = await client.open(method, b"/x", [], None)
            got.append((await whole(one), [name for name, _ in one.headers]))
        coding, length = [b"transfer-encoding"], [b"content-length"]
        assert got == [
            *((b"hello", coding), (b"a", [*length, b"x-two"]), (b"", [*length, b"x-one"])),
            *((b"b", length), (b"hello", coding), (b"c", length)),
        ]
        assert upstream.connections == 1


@pytest.mark.parametrize(
    "raw",
    [
        answer(b"hello") + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        answer(b"hello") + b"HTTP/1.1 204 No Content\r\n\r\n",
        answer(b"hello") + b"junk",
        answer(b"hello", b"Connection: close"),
        answer(b"hello").replace(b"1.1", b"1.0"),
    ],
    ids=["a second answer", "a second answer without a body", "junk", "close", "HTTP/1.0"],
)
async def test_a_connection_is_not_used_again_after_this_answer(raw: bytes) -> None:
    async with between(in_turn(goes_on_after(raw), greets)) as (client, upstream):
        assert [await get(client), await get(client)] == [b"hello", b"hello"]
        assert upstream.connections == 2


@pytest.mark.parametrize(("method", "status"), [("HEAD", b"200 OK"), ("GET", b"204 No Content")])
async def test_a_body_where_none_may_be_is_never_the_next_answer(method: str, status: bytes) -> None:
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
    raw = answer(evil, status=status)
    async with between(in_turn(goes_on_after(raw), greets)) as (client, upstream):
        assert await whole(await client.open(method, b"/x", [], None)) == b""
        assert await get(client) == b"hello"
        assert upstream.connections == 2


async def test_what_arrives_on_an_idle_connection_closes_it() -> None:
    idle, sent = asyncio.Event(), asyncio.Event()

    async def serve(connection: Connection) -> None:
        await connection.answer(b"hello")
        await idle.wait()
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
        sent.set()
        await connection.answer(b"on the same connection")

    async with between(in_turn(serve, greets)) as (client, upstream):
        assert await get(client) == b"hello"
        idle.set()
        await sent.wait()
        await asyncio.sleep(0.05)
        assert await get(client) == b"hello"
        assert upstream.connections == 2


async def test_a_reader_that_is_slow_stops_upstream() -> None:
    sent = 0

    async def serve(connection: Connection) -> None:
        nonlocal sent
        await connection.head()
        await connection.send(CHUNKED)
        while True:
            await connection.send(b"10000\r\n" + bytes(65536) + b"\r\n")
            sent += 65536

    async with between(serve) as (client, _):
        got = await client.open("GET", b"/x", [], None)
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.2)
        chunks = got.chunks()
        first = await anext(chunks)
        assert len(first) < 1 << 20
        async with asyncio.timeout(20):
            while sent == before:  # the system holds much of it too
                await anext(chunks)
        await got.aclose()


async def test_a_slow_reader_is_not_silence() -> None:
    async with between(sends(answer(LARGE)), replace(ONE_CONNECTION, read_seconds=0.2)) as (client, _):
        got = await client.open("GET", b"/x", [], None)
        chunks = got.chunks()
        await anext(chunks)
        await asyncio.sleep(0.6)
        assert sum([len(chunk) async for chunk in chunks]) > len(LARGE) // 2
        await got.aclose()


# Requests


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield bytes(65536)


@pytest.mark.parametrize("closing", [False, True])
async def test_an_answer_that_comes_before_the_whole_body_is_given_at_once(closing: bool) -> None:  # noqa: FBT001
    async def serve(connection: Connection) -> None:
        await connection.head()
        await connection.send(answer(b"too large", status=b"413 Content Too Large"))
        if closing:
            connection._writer.write_eof()
        await connection.left()

    async with between(in_turn(serve, greets)) as (client, upstream):
        got = await client.open("POST", b"/x", [], endless())
        assert (got.status, await whole(got)) == (413, b"too large")
        assert await get(client) == b"hello"
        assert upstream.connections == 2


async def test_the_rest_of_a_body_is_sent_while_the_answer_comes() -> None:
    going_on = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await going_on.wait()
        yield b"second"

    async def serve(connection: Connection) -> None:
        await connection.head()
        await connection.reader.readexactly(5)
        await connection.send(CHUNKED + b"5\r\nfirst\r\n")
        await connection.reader.readexactly(6)
        await connection.send(b"6\r\nsecond\r\n0\r\n\r\n")
        await connection.answer(b"reused")

    async with between(serve) as (client, upstream):
        got = await client.open("POST", b"/x", [(b"content-length", b"11")], body())
        chunks = got.chunks()
        assert await anext(chunks) == b"first"
        going_on.set()
        assert await anext(chunks) == b"second"
        await got.aclose()
        assert await get(client) == b"reused"
        assert upstream.connections == 1


class Left(Exception):
    """Whoever sent the body has left."""


async def test_a_body_that_breaks_off_is_the_readers_own_error_and_closes() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        raise Left

    async with between(in_turn(stalls, greets)) as (client, _):
        with pytest.raises(Left):
            await client.open("POST", b"/x", [], body())
        assert await get(client) == b"hello"


@pytest.mark.parametrize("length", [b"4", b"6"])
async def test_a_body_of_another_length_than_announced_closes(length: bytes) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"first"

    async with between(in_turn(stalls, greets)) as (client, _):
        call = client.open("POST", b"/x", [(b"content-length", length)], body())
        assert isinstance(await failure_of(call), UpstreamUnavailable)
        assert await get(client) == b"hello"


async def test_an_empty_part_does_not_end_a_body_in_chunks() -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"a"
        yield b""
        yield b"b"

    async def serve(connection: Connection) -> None:
        await connection.head()
        await connection.send(answer(await connection.reader.readuntil(b"0\r\n\r\n")))

    async with between(serve) as (client, _):
        assert await post(client, body()) == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"


async def test_an_upstream_that_does_not_read_is_a_timeout() -> None:
    options = replace(ONE_CONNECTION, write_seconds=0.2)

    async def serve(connection: Connection) -> None:
        await connection.head()
        await asyncio.sleep(20)

    async with between(in_turn(serve, greets), options) as (client, _):
        assert isinstance(await failure_of(client.open("POST", b"/x", [], endless())), UpstreamTimeout)
        assert await get(client) == b"hello"


@pytest.mark.parametrize(
    ("target", "field"),
    [
        (b"/x HTTP/1.1\r\nevil: 1", (b"a", b"b")),
        (b"/x y", (b"a", b"b")),
        (b"/x", (b"a", b"b\r\nevil: 1")),
        (b"/x", (b"a\r\nevil", b"1")),
        (b"/x", (b"a", b"b\nevil: 1")),
        (b"/x", (b"a", b"b\revil: 1")),
    ],
)
async def test_nothing_can_end_its_line(target: bytes, field: tuple[bytes, bytes]) -> None:
    async with between(greets) as (client, upstream):
        with pytest.raises(InvalidRequest):
            await client.open("GET", target, [field], None)
        assert upstream.heads == []


# Connections


async def test_what_must_be_sent_once_never_goes_on_a_connection_that_upstream_has_closed() -> None:
    """The kernel knows of it before the event loop does: nothing runs between the two requests."""
    ended = asyncio.Event()

    async def answers_once(connection: Connection) -> None:
        await connection.answer(b"hello")
        number = connection._writer.get_extra_info("socket").fileno()
        with socket.socket(fileno=os.dup(number)) as raw:
            raw.shutdown(socket.SHUT_RDWR)
        ended.set()

    async with between(in_turn(*[answers_once] * 3, greets)) as (client, upstream):
        for number in range(1, 4):
            assert await post(client) == b"hello"
            await ended.wait()
            ended.clear()
            assert upstream.connections == number


async def test_a_stale_connection_costs_a_safe_request_nothing() -> None:
    async def answers_once(connection: Connection) -> None:
        await connection.answer(b"hello")
        await connection.head()

    async with between(in_turn(answers_once, answers_once, greets)) as (client, upstream):
        for _ in range(4):
            assert await get(client) == b"hello"
        assert upstream.connections == 3


async def test_a_post_that_may_have_arrived_is_not_sent_again() -> None:
    async with between(in_turn(closes, greets)) as (client, upstream):
        assert isinstance(await failure_of(client.open("POST", b"/x", [], b"x")), ClosedUnanswered)
        assert len(upstream.heads) == 1


async def test_requests_that_wait_for_a_connection_get_it_in_their_order() -> None:
    async with between(greets) as (client, upstream):
        held = await client.open("GET", b"/held", [], None)
        waiting = []
        for number in range(5):
            waiting.append(asyncio.create_task(get(client, b"/%d" % number)))
            await asyncio.sleep(0)
        await whole(held)
        await asyncio.gather(*waiting)
        assert [head[0].split()[1] for head in upstream.heads] == [
            b"/held",
            *(b"/%d" % number for number in range(5)),
        ]
        assert upstream.connections == 1


async def test_one_who_waits_may_open_a_connection_when_one_has_ended() -> None:
    async with between(in_turn(stalls, greets)) as (client, _):
        first = asyncio.create_task(get(client))
        await asyncio.sleep(0.05)
        second = asyncio.create_task(get(client))
        await asyncio.sleep(0.05)
        first.cancel()
        assert await second == b"hello"


async def test_a_connection_that_comes_to_one_who_leaves_goes_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hand_over = pool.ConnectionPool._hand_over

    def hand_over_and_leave(self: pool.ConnectionPool, connection: Any) -> bool:
        taken = hand_over(self, connection)
        if taken:
            leaving.cancel()
        return taken

    go = asyncio.Event()

    async def serve(connection: Connection) -> None:
        while True:
            await connection.head()
            await go.wait()
            await connection.send(answer(b"hello"))

    async with between(serve) as (client, upstream):
        first = asyncio.create_task(get(client))
        await until(lambda: upstream.heads)
        leaving = asyncio.create_task(get(client))
        await asyncio.sleep(0)
        monkeypatch.setattr(pool.ConnectionPool, "_hand_over", hand_over_and_leave)
        go.set()
        assert await first == b"hello"
        with pytest.raises(asyncio.CancelledError):
            await leaving
        monkeypatch.undo()
        assert await get(client) == b"hello"
        assert upstream.connections == 1


async def test_a_connection_that_could_not_be_made_takes_no_place() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # without listening: nobody answers there
        client = LlhttpClient(f"http://127.0.0.1:{taken.getsockname()[1]}", ONE_CONNECTION)
        for _ in range(3):
            assert isinstance(await failure_of(get(client)), NotConnected)
        await client.aclose()


async def test_an_upload_takes_as_long_as_its_client_does() -> None:
    async def slow() -> AsyncIterator[bytes]:
        yield b"12"
        await asyncio.sleep(0.6)
        yield b"345"

    async def serve(connection: Connection) -> None:
        await connection.head()
        assert await connection.reader.readexactly(5) == b"12345"
        await asyncio.sleep(0.6)
        await connection.send(answer(b"taken"))

    async with between(serve, replace(ONE_CONNECTION, read_seconds=1)) as (client, _):
        with deadline_in(0.3):
            body = slow()
            got = await client.open("POST", b"/x", [(b"content-length", b"5")], body)
            assert await whole(got) == b"taken"


async def test_idle_connections_are_bounded_and_closed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "_IDLE_SECONDS", 0.2)
    left = 0

    async def serve(connection: Connection) -> None:
        nonlocal left
        try:
            while True:
                await connection.answer(b"hello")
        finally:
            left += 1

    async with between(serve, replace(PROXIED_CALLS, connections=6, idle_connections=2)) as (
        client,
        upstream,
    ):
        for got in await asyncio.gather(*(client.open("GET", b"/x", [], None) for _ in range(6))):
            await whole(got)
        await until(lambda: left == 4)
        await until(lambda: left == 6)
        assert await get(client) == b"hello"
        assert upstream.connections == 7


async def test_a_storm_of_cancellations_leaks_no_connection() -> None:
    async def serve(connection: Connection) -> None:
        while True:
            await connection.head()
            await asyncio.sleep(0.002)
            await connection.send(answer(b"hello"))

    async with between(serve, replace(ONE_CONNECTION, connections=3, idle_connections=3)) as (client, _):
        for round_number in range(30):
            calls = [asyncio.create_task(get(client)) for _ in range(12)]
            await asyncio.sleep(0.0005 * (round_number % 9))
            for call in calls[::2]:
                call.cancel()
            done = await asyncio.gather(*calls, return_exceptions=True)
            assert all(one == b"hello" or isinstance(one, asyncio.CancelledError) for one in done)
        held = [await client.open("GET", b"/x", [], None) for _ in range(3)]
        assert [await whole(one) for one in held] == [b"hello"] * 3


async def test_closing_the_client_answers_those_who_wait() -> None:
    async with between(stalls) as (client, _):
        calls = [asyncio.create_task(failure_of(get(client))) for _ in range(3)]
        await asyncio.sleep(0.05)
        await client.aclose()
        assert all(isinstance(one, UpstreamUnavailable) for one in await asyncio.gather(*calls))


async def test_an_ipv6_upstream() -> None:
    heads = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(answer(b"six", b"Connection: close"))
        writer.close()

    try:
        server = await asyncio.start_server(accept, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    port = server.sockets[0].getsockname()[1]
    client = LlhttpClient(f"http://[::1]:{port}", ONE_CONNECTION)
    assert await get(client) == b"six"
    assert b"\r\nhost: [::1]:%d\r\n" % port in heads[0]
    await client.aclose()
    server.close()


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `localhost`, with its key, in one file."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert, both = folder / "key", folder / "cert", folder / "both"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"),
            *("-keyout", str(key), "-out", str(cert)),
        ],
        check=True,
        capture_output=True,
    )
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


@asynccontextmanager
async def tls_upstream(certificate: Path) -> AsyncIterator[int]:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(answer(b"safe"))
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("host", "known", "works"),
    [("localhost", True, True), ("127.0.0.1", True, False), ("localhost", False, False)],
    ids=["its name", "another name", "an unknown issuer"],
)
async def test_the_certificate_must_be_trusted_and_name_the_host(
    certificate: Path,
    host: str,
    known: bool,  # noqa: FBT001
    works: bool,  # noqa: FBT001
) -> None:
    trust = ssl.create_default_context(cafile=certificate) if known else None
    async with tls_upstream(certificate) as port:
        client = LlhttpClient(f"https://{host}:{port}", ONE_CONNECTION, tls=trust)
        if works:
            assert [await get(client), await get(client)] == [b"safe", b"safe"]
        else:
            assert type(await failure_of(get(client))) is NotConnected
        await client.aclose()


async def test_a_closed_connection_is_gone_without_the_garbage_collector(certificate: Path) -> None:
    """Each holds a quarter of a megabyte for TLS, and the collector seldom looks at what is old."""
    async with tls_upstream(certificate) as port:
        trust = ssl.create_default_context(cafile=certificate)
        client = LlhttpClient(f"https://localhost:{port}", ONE_CONNECTION, tls=trust)
        gc.collect()  # those of other tests
        gc.disable()
        try:
            assert await get(client) == b"safe"
            (connection,) = [weakref.ref(one) for one in gc.get_objects() if isinstance(one, OneConnection)]
            await client.aclose()
            await until(lambda: connection() is None)
        finally:
            gc.enable()


# Odd bytes


class _Line:
    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None: ...

    def finish(self, exchange: Exchange) -> None: ...


_PIECES: Final = st.sampled_from(
    [
        *(
            b"HTTP/1.1 200 OK\r\n",
            b"HTTP/1.0 204 No\r\n",
            b"HTTP/1.1 103 X\r\n",
            b"HTTP/1.1 999 X\r\n",
            b"\r\n",
        ),
        *(b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Transfer-Encoding: chunked\r\n", b"hello"),
        *(
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"ffffffffffffffff\r\n",
            b"Connection: close\r\n",
            b"\n",
            b"\0",
            b": ",
        ),
    ]
)


@given(parts=st.lists(_PIECES | st.binary(max_size=8), max_size=12), head_only=st.booleans())
async def test_no_bytes_do_more_than_fail(parts: list[bytes], head_only: bool) -> None:  # noqa: FBT001
    """However they are cut, the same bytes are read as the same answer."""
    read = [await _read(cut, head_only=head_only) for cut in (parts, [b"".join(parts)], _single(parts))]
    assert read[0] == read[1] == read[2]


def _single(parts: list[bytes]) -> list[bytes]:
    whole_text = b"".join(parts)
    return [whole_text[at : at + 1] for at in range(len(whole_text))]


async def _read(parts: list[bytes], *, head_only: bool) -> object:
    exchange, parser = Exchange(_Line(), 20), AnswerParser()
    exchange.head_only = head_only
    parser.expect(exchange)
    for part in parts:
        parser.feed(part)
    exchange.lose(None)
    try:
        while not exchange.begun:
            await exchange.more()
        body = [chunk async for chunk in exchange.chunks()]
    except BffError as failure:
        return type(failure), exchange.status
    return exchange.status, exchange.headers, b"".join(body), exchange.complete
