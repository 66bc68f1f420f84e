"""What every upstream client does when something goes wrong: one failure, sent again or not, and no connection lost."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from bff.errors import BadUpstreamAnswer, BffError, UpstreamTimeout, UpstreamUnavailable
from bff.upstream.failures import Busy, ClosedUnanswered, MalformedBody, NoSuchStatus, NotConnected
from tests.contract.socket_upstream import Connection, Serve, answer
from tests.contract.upstream_clients import (
    CHUNKED,
    EVERY_CLIENT,
    IMPATIENT,
    ONE_CONNECTION,
    SENT_ONCE,
    Factory,
    answers_once_and_closes_at_the_next_request,
    between,
    closes,
    failure_of,
    get,
    greets,
    in_turn,
    resets,
    sends,
    stalls,
    stalls_in_the_body,
    whole,
)
from tests.live import free_port

pytestmark = [pytest.mark.anyio, EVERY_CLIENT]


async def test_a_port_where_nobody_listens_is_no_connection(factory: Factory) -> None:
    client = factory(f"http://127.0.0.1:{free_port()}", ONE_CONNECTION)
    assert type(await failure_of(get(client))) is NotConnected
    await client.aclose()


async def test_a_connection_that_is_not_made_in_time_is_unavailable(factory: Factory) -> None:
    with ExitStack() as open_sockets:
        full = open_sockets.enter_context(socket.socket())
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # nobody accepts them: the queue is full, and further ones get no answer
            waiting = open_sockets.enter_context(socket.socket())
            waiting.settimeout(0)
            waiting.connect_ex(full.getsockname())
        options = replace(ONE_CONNECTION, connect_seconds=0.2)
        client = factory(f"http://127.0.0.1:{full.getsockname()[1]}", options)
        assert type(await failure_of(get(client))) is UpstreamUnavailable
        await client.aclose()


async def test_a_request_that_finds_no_free_connection_in_time_is_unavailable(factory: Factory) -> None:
    async with between(factory, stalls_in_the_body, replace(ONE_CONNECTION, pool_seconds=0.2)) as (
        client,
        upstream,
    ):
        got = await client.open("GET", b"/x", [], None)
        assert type(await failure_of(get(client))) is Busy
        assert upstream.connections == 1
        await got.aclose()


@pytest.mark.parametrize(
    ("serve", "failure"),
    [
        (closes, ClosedUnanswered),
        (sends(b"HTTP/1.1 200 OK\r\nContent-Le"), ClosedUnanswered),
        (resets, UpstreamUnavailable),
        (stalls, UpstreamTimeout),
        (sends(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), BadUpstreamAnswer),
        (sends(b"HTTP/1.1 abc\r\n\r\n"), BadUpstreamAnswer),
        (sends(b"\x16\x03\x01\x02\x00\r\n\r\n"), BadUpstreamAnswer),
        (sends(answer(b"", status=b"600 Odd")), NoSuchStatus),
        (sends(answer(b"x" * 70_000, status=b"999 Odd")), NoSuchStatus),
    ],
    ids=[
        "closed",
        "closed in the head",
        "reset",
        "stall",
        "another protocol",
        "no status",
        "TLS",
        "600",
        "999",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_what_is_no_answer_is_one_failure_and_costs_no_connection(
    factory: Factory, serve: Serve, failure: type[BffError], method: str
) -> None:
    tries = (
        2 if method == "GET" and failure in {ClosedUnanswered, UpstreamUnavailable, BadUpstreamAnswer} else 1
    )
    options = IMPATIENT if failure is UpstreamTimeout else ONE_CONNECTION
    async with between(factory, in_turn(*[serve] * tries, greets), options) as (client, upstream):
        assert type(await failure_of(client.open(method, b"/x", [], None))) is failure
        assert len(upstream.heads) == tries
        assert await get(client) == b"hello"


@pytest.mark.parametrize(
    ("serve", "failure"),
    [
        (sends(answer(b"12345")[:-2]), UpstreamUnavailable),
        (sends(CHUNKED + b"3\r\n123\r\n"), UpstreamUnavailable),
        (stalls_in_the_body, UpstreamTimeout),
        (sends(CHUNKED + b"3\r\n123\r\nnot a length\r\n"), MalformedBody),
    ],
    ids=["cut off", "chunks without an end", "stall", "no chunks"],
)
async def test_a_body_that_breaks_off_is_one_failure_and_costs_no_connection(
    factory: Factory, serve: Serve, failure: type[BffError]
) -> None:
    options = IMPATIENT if failure is UpstreamTimeout else ONE_CONNECTION
    async with between(factory, in_turn(serve, greets), options) as (client, upstream):
        got = await client.open("GET", b"/x", [], None)
        chunks = got.chunks()
        assert await anext(chunks) == b"123"
        assert type(await failure_of(anext(chunks))) is failure
        await got.aclose()
        assert await get(client) == b"hello"
        assert len(upstream.heads) == 2, "a body that broke off is not asked for again"


@pytest.mark.parametrize("serve", [closes, resets, stalls, sends(b"nonsense\r\n\r\n"), stalls_in_the_body])
async def test_no_failure_refers_to_its_request(factory: Factory, serve: Serve) -> None:
    """Whoever prints an error prints what it refers to: its cause, its context and their attributes."""
    async with between(factory, serve, IMPATIENT) as (client, _):
        try:
            await whole(await client.open("GET", b"/x?t=t0ken", [(b"authorization", b"t0ken")], None))
        except BffError as error:
            failure: BaseException | None = error
        else:
            failure = None
    assert failure is not None
    while failure is not None:
        assert "t0ken" not in f"{failure!r} {vars(failure)}"
        assert not hasattr(failure, "request")
        failure = failure.__cause__ or failure.__context__


# What is sent again


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_safe_request_that_met_a_closing_connection_is_sent_again(
    factory: Factory, method: str
) -> None:
    serve = in_turn(answers_once_and_closes_at_the_next_request, greets)
    async with between(factory, serve) as (client, upstream):
        await get(client)
        got = await client.open(method, b"/y", [], None)
        assert got.status == 200
        await got.aclose()
        assert [head[0].split()[1] for head in upstream.heads] == [b"/x", b"/y", b"/y"]
        assert upstream.connections == 2


@pytest.mark.parametrize(
    ("method", "body"), [("POST", None), ("DELETE", None), ("GET", b"body"), ("PUT", b"body")]
)
async def test_a_request_that_may_have_done_something_is_sent_once(
    factory: Factory, method: str, body: bytes | None
) -> None:
    serve = in_turn(answers_once_and_closes_at_the_next_request, greets)
    async with between(factory, serve) as (client, upstream):
        await get(client)
        assert type(await failure_of(client.open(method, b"/y", [], body))) is ClosedUnanswered
        assert len(upstream.heads) == 2


async def test_where_a_get_may_change_things_it_is_sent_once(factory: Factory) -> None:
    serve = in_turn(answers_once_and_closes_at_the_next_request, greets)
    async with between(factory, serve, SENT_ONCE) as (client, upstream):
        await get(client)
        assert type(await failure_of(get(client))) is ClosedUnanswered
        assert len(upstream.heads) == 2


# Connections


async def test_an_answer_that_was_read_leaves_its_connection_for_the_next(factory: Factory) -> None:
    async with between(factory, greets) as (client, upstream):
        for _ in range(5):
            assert await get(client) == b"hello"
        assert upstream.connections == 1


async def test_an_answer_that_is_closed_early_costs_no_connection(factory: Factory) -> None:
    async def begins(connection: Connection) -> None:
        await connection.head()
        await connection.send(CHUNKED + b"5\r\nfirst\r\n")
        await connection.left()

    async with between(factory, in_turn(begins, begins, greets)) as (client, upstream):
        unread = await client.open("GET", b"/x", [], None)
        await unread.aclose()
        half_read = await client.open("GET", b"/x", [], None)
        assert await anext(half_read.chunks()) == b"first"
        await half_read.aclose()
        assert await get(client) == b"hello"
        assert upstream.connections == 3


async def test_a_caller_that_leaves_costs_no_connection(factory: Factory) -> None:
    asked = asyncio.Queue[None]()

    async def notes(connection: Connection) -> None:
        await connection.head()
        asked.put_nowait(None)
        await connection.left()

    async with between(factory, in_turn(*[notes] * 3, greets)) as (client, _):
        for _ in range(3):
            leaving = asyncio.create_task(get(client))
            await asked.get()
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
        assert await get(client) == b"hello"


async def test_a_body_that_fails_on_its_way_up_fails_as_itself_and_costs_no_connection(
    factory: Factory,
) -> None:
    class Left(Exception):
        """The client of the proxy left while its body was read."""

    async def body() -> AsyncIterator[bytes]:
        yield b"first"
        raise Left

    async with between(factory, in_turn(stalls, greets)) as (client, _):
        with pytest.raises(Left):
            await client.open("PUT", b"/x", [], body())
        assert await get(client) == b"hello"
