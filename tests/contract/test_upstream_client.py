"""What every upstream client sends, what it gives back, and what it must not do."""

import asyncio
import gzip
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from bff.upstream.failures import ClosedUnanswered
from bff.upstream.protocol import UpstreamClient
from tests.contract.socket_upstream import Connection, answer
from tests.contract.upstream_clients import (
    CHUNKED,
    EVERY_CLIENT,
    SENT_ONCE,
    Factory,
    answers_once_and_closes_at_the_next_request,
    between,
    failure_of,
    get,
    greets,
    sends,
    whole,
)
from tests.live import free_port

pytestmark = [pytest.mark.anyio, EVERY_CLIENT]


# What is sent


async def test_a_request_arrives_byte_for_byte_with_nothing_but_its_host_added(factory: Factory) -> None:
    target = b"/a%2Fb/..;v=1//c/%C3%BC?x=%zz&y=a;b&z=+%20&&"
    headers = [(b"X-One", b"1"), (b"x-two", b"caf\xe9"), (b"X-One", b"2")]
    async with between(factory, greets) as (client, upstream):
        await whole(await client.open("GET", target, headers, None))
        assert upstream.heads == [
            [
                b"GET " + target + b" HTTP/1.1",
                b"host: 127.0.0.1:%d" % upstream.port,
                b"X-One: 1",
                b"x-two: caf\xe9",
                b"X-One: 2",
            ]
        ]


async def test_a_body_of_bytes_is_sent_with_its_length(factory: Factory) -> None:
    bodies = []

    async def takes(connection: Connection) -> None:
        await connection.head()
        bodies.append(await connection.reader.readexactly(5))
        await connection.send(answer(b""))

    async with between(factory, takes) as (client, upstream):
        await whole(await client.open("POST", b"/x", [], b"a\r\n\0b"))
        assert bodies == [b"a\r\n\0b"]
        assert [line.lower() for line in upstream.heads[0][2:]] == [b"content-length: 5"]


async def test_a_post_without_a_body_says_so(factory: Factory) -> None:
    async with between(factory, greets) as (client, upstream):
        await whole(await client.open("POST", b"/x", [], None))
        assert [line.lower() for line in upstream.heads[0][2:]] == [b"content-length: 0"]


async def test_a_body_is_streamed_up_chunk_by_chunk(factory: Factory) -> None:
    arrived = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        await arrived.wait()
        yield b"second"

    async def takes(connection: Connection) -> None:
        await connection.head()
        assert await connection.reader.readuntil(b"first\r\n") == b"5\r\nfirst\r\n"
        arrived.set()
        assert await connection.reader.readuntil(b"0\r\n\r\n") == b"6\r\nsecond\r\n0\r\n\r\n"
        await connection.send(answer(b"both"))

    async with between(factory, takes) as (client, upstream):
        assert await whole(await client.open("PUT", b"/x", [], body())) == b"both"
        assert [line.lower() for line in upstream.heads[0][2:]] == [b"transfer-encoding: chunked"]


async def test_a_streamed_body_may_announce_its_length(factory: Factory) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"abc"
        yield b"de"

    async def takes(connection: Connection) -> None:
        await connection.head()
        await connection.send(answer(await connection.reader.readexactly(5)))

    async with between(factory, takes) as (client, upstream):
        assert await whole(await client.open("PUT", b"/x", [(b"content-length", b"5")], body())) == b"abcde"
        assert upstream.heads[0][2:] == [b"content-length: 5"]


# What comes back


async def test_an_answer_comes_as_it_is(factory: Factory) -> None:
    packed = gzip.compress(b"plain", mtime=0)
    fields = (
        b"Content-Encoding: gzip",
        b"X-One: 1",
        b"Set-Cookie: a=b",
        b"X-One: caf\xe9",
        b"Set-Cookie: c=d",
    )

    async def serve(connection: Connection) -> None:
        await connection.answer(packed, *fields, status=b"418 Odd")

    async with between(factory, serve) as (client, _):
        got = await client.open("GET", b"/x", [], None)
        assert got.status == 418
        assert [(name.lower(), value) for name, value in got.headers] == [
            (b"content-length", b"%d" % len(packed)),
            (b"content-encoding", b"gzip"),
            (b"x-one", b"1"),
            (b"set-cookie", b"a=b"),
            (b"x-one", b"caf\xe9"),
            (b"set-cookie", b"c=d"),
        ]
        assert await whole(got) == packed


@pytest.mark.parametrize("framing", [answer(b""), CHUNKED])
async def test_an_answer_is_streamed_down_chunk_by_chunk(factory: Factory, framing: bytes) -> None:
    arrived = asyncio.Event()
    parts = (b"5\r\nfirst\r\n", b"6\r\nsecond\r\n0\r\n\r\n") if framing == CHUNKED else (b"first", b"second")
    head = framing if framing == CHUNKED else framing.replace(b"Length: 0", b"Length: 11")

    async def serve(connection: Connection) -> None:
        await connection.head()
        await connection.send(head + parts[0])
        await arrived.wait()
        await connection.send(parts[1])

    async with between(factory, serve) as (client, _):
        got = await client.open("GET", b"/x", [], None)
        chunks = got.chunks()
        assert await anext(chunks) == b"first"
        arrived.set()
        assert [chunk async for chunk in chunks] == [b"second"]
        await got.aclose()


async def test_a_head_is_there_before_any_body(factory: Factory) -> None:
    opened = asyncio.Event()

    async def serve(connection: Connection) -> None:
        await connection.head()
        await connection.send(answer(b"body")[:-4])
        await opened.wait()
        await connection.send(b"body")

    async with between(factory, serve) as (client, _):
        got = await client.open("GET", b"/x", [], None)
        opened.set()
        assert await whole(got) == b"body"


@pytest.mark.parametrize(("method", "status"), [("HEAD", b"200 OK"), ("GET", b"304 Not Modified")])
async def test_an_answer_without_a_body_may_tell_the_length_of_another(
    factory: Factory, method: str, status: bytes
) -> None:
    async def serve(connection: Connection) -> None:
        while True:
            await connection.head()
            await connection.send(answer(b"", status=status).replace(b"Length: 0", b"Length: 4096"))

    async with between(factory, serve) as (client, upstream):
        for _ in range(2):
            assert await whole(await client.open(method, b"/x", [], None)) == b""
        assert upstream.connections == 1


async def test_a_body_without_a_length_ends_with_its_connection(factory: Factory) -> None:
    async with between(factory, sends(b"HTTP/1.1 200 OK\r\n\r\nall of it")) as (client, _):
        assert await get(client) == b"all of it"


# What a client must not do


async def test_no_cookie_is_kept_for_the_next_request(factory: Factory) -> None:
    async def serve(connection: Connection) -> None:
        while True:
            await connection.answer(b"", b"Set-Cookie: visitor=1; Path=/")

    async with between(factory, serve) as (client, upstream):
        for _ in range(3):
            await get(client)
        assert len(upstream.heads) == 3
        assert all(len(head) == 2 for head in upstream.heads), "the request line and the host"


class Steps:
    """Counts the lines that Python runs; instructions are not counted alike by every release of it."""

    def __init__(self) -> None:
        self.taken = 0

    def __call__(self, _frame: FrameType, event: str, _argument: Any) -> "Steps":
        self.taken += event == "line"
        return self


@contextmanager
def counting_steps() -> Iterator[Steps]:
    """Count steps instead of time, which depends on what else the machine does."""
    before, steps = sys.gettrace(), Steps()
    sys.settrace(steps)
    try:
        yield steps
    finally:
        sys.settrace(before)


async def test_the_work_for_a_request_does_not_grow_faster_than_its_fields(factory: Factory) -> None:
    async def serve(connection: Connection) -> None:
        while True:
            await connection.answer(b"", b"Set-Cookie: visitor=1; Path=/")

    async def steps_for(client: UpstreamClient, fields: int) -> int:
        headers = [(b"x-%d" % number, b"") for number in range(fields)]
        with counting_steps() as steps:
            await whole(await client.open("GET", b"/x", headers, None))
        return steps.taken

    async with between(factory, serve) as (client, _):
        await get(client)
        some, four_times = await steps_for(client, 100), await steps_for(client, 400)
    assert 0 < four_times < 8 * some


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_redirect_is_followed(factory: Factory, status: int) -> None:
    async def serve(connection: Connection) -> None:
        await connection.answer(b"", b"Location: /elsewhere", status=b"%d Moved" % status)

    async with between(factory, serve) as (client, upstream):
        got = await client.open("GET", b"/x", [], None)
        assert (got.status, await whole(got)) == (status, b"")
        assert len(upstream.heads) == 1


async def test_proxies_of_the_environment_are_ignored(
    factory: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, nobody)
        monkeypatch.setenv(name.lower(), nobody)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with between(factory, greets) as (client, upstream):
        assert await get(client) == b"hello"
        assert upstream.connections == 1


async def test_credentials_of_a_netrc_file_are_ignored(
    factory: Factory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password somepassword\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with between(factory, greets) as (client, upstream):
        await get(client)
        assert len(upstream.heads[0]) == 2, "the request line and the host"


async def test_nothing_of_a_request_is_logged_even_at_debug(
    factory: Factory, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with between(factory, answers_once_and_closes_at_the_next_request, SENT_ONCE) as (client, _):
        headers = [(b"authorization", b"Bearer t0ken-h")]
        await whole(await client.open("GET", b"/secret-path?refreshToken=t0ken-q", headers, None))
        assert type(await failure_of(get(client, b"/secret-path?refreshToken=t0ken-q"))) is ClosedUnanswered
    for word in ("t0ken", "secret-path", "refreshToken"):
        assert word not in caplog.text
