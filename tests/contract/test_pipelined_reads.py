"""Reads over one connection: each gets its own answer, and what goes wrong with the connection goes wrong soon."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bff.deadline import deadline_in
from bff.errors import StoreUnavailable
from bff.security.secret import Secret
from bff.session import Session, Tombstone
from bff.store import pipelined_reads, replaceable
from bff.store.connection import TIMEOUT_SECONDS, connect
from bff.store.pipelined_reads import PipelinedReads
from bff.store.protocol import Touch
from bff.store.replaceable import ReplaceableRedis
from bff.telemetry.metrics import REGISTRY
from tests.contract.backends import PROGRAMS, serving
from tests.contract.replicas import Replicas, begin
from tests.relay import Relay, relaying
from tests.values import new_ticket

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not PROGRAMS, reason="needs a Redis that can be stopped")]

ECHO = "return {KEYS[1], ARGV[1], ARGV[2]}"
PATIENCE_SECONDS = 30


@pytest.fixture(scope="module", params=PROGRAMS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with serving(request.param) as one:
        yield one


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    """Both loops: after a standstill, one runs timers first, and the other reads first."""
    return "asyncio", {"use_uvloop": request.param}


class Reader:
    """Reads from a server that knows the script.

    Args:
        url: the server.
        through: where it is reached.
        script: what is run.
    """

    def __init__(self, url: str, through: str | None, script: str) -> None:
        self.admin: Any = connect(Secret(url))
        self.redis = ReplaceableRedis(connect(Secret(through or url)))
        self.reads = PipelinedReads(self.redis, script)

    async def read(self, number: int = 0) -> "asyncio.Future[Any]":
        """Send a read, as soon as there is a connection."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (reply := self.reads.read(b"key", b"%d" % number, b"")) is None:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        return reply

    async def clients(self) -> int:
        """Return how many connections the server has."""
        return int((await self.admin.info("clients"))["connected_clients"])

    async def aclose(self) -> None:
        await self.reads.aclose()
        await self.redis.aclose()
        await self.admin.aclose()


@asynccontextmanager
async def reading(url: str, through: str | None = None, script: str = ECHO) -> AsyncIterator[Reader]:
    reader = Reader(url, through, script)
    try:
        await reader.admin.script_load(script)
        yield reader
    finally:
        await reader.aclose()


@pytest.fixture
async def reader(url: str) -> AsyncIterator[Reader]:
    async with reading(url) as one:
        yield one


@pytest.fixture
async def relayed(url: str) -> AsyncIterator[tuple[Reader, Relay]]:
    async with relaying(url) as relay, reading(url, relay.url) as one:
        yield one, relay


async def test_each_read_gets_its_own_answer_also_after_one_whose_reader_left(reader: Reader) -> None:
    replies = [await reader.read(number) for number in range(300)]
    for left in replies[::3]:
        left.cancel()
    for number, reply in enumerate(replies):
        if number % 3:
            assert await reply == [b"key", b"%d" % number, b""]


async def test_a_script_that_the_server_has_forgotten_fails_alone(reader: Reader) -> None:
    assert await (await reader.read())
    await reader.admin.script_flush()
    for refused in [await reader.read(), await reader.read()]:
        with pytest.raises(NoScriptError):
            await refused
    await reader.admin.script_load(ECHO)
    reply = reader.reads.read(b"key", b"1", b"")
    assert reply is not None, "the connection was given up"
    assert await reply == [b"key", b"1", b""]


async def test_a_refused_read_fails_alone(url: str) -> None:
    async with reading(url, script="return redis.error_reply('ERR ' .. ARGV[1])") as reader:
        replies = [await reader.read(number) for number in range(2)]
        for reply in replies:
            with pytest.raises(ResponseError) as failed:
                await reply
            assert not isinstance(failed.value, NoScriptError)


async def test_reads_on_a_connection_that_ends_fail_and_another_one_is_made(
    relayed: tuple[Reader, Relay],
) -> None:
    reader, relay = relayed
    assert await (await reader.read())
    relay.deaf = True
    replies = [await reader.read() for _ in range(3)]
    assert relay.reset() == 1
    for reply in replies:
        with pytest.raises(RedisConnectionError):
            await reply
    assert reader.reads.read(b"key", b"0", b"") is None
    relay.deaf = False
    assert await (await reader.read())


@pytest.mark.parametrize("turns", range(4))
async def test_a_read_on_a_connection_that_broke_a_moment_ago_fails_or_is_not_sent(
    relayed: tuple[Reader, Relay], turns: int
) -> None:
    reader, relay = relayed
    assert await (await reader.read())
    relay.reset()
    stream = reader.reads._stream
    assert stream is not None
    stream.transport.abort()
    for _ in range(turns):
        await asyncio.sleep(0)
    reply = reader.reads.read(b"key", b"0", b"")
    if reply is not None:
        with pytest.raises(RedisConnectionError):
            await reply


async def test_reads_of_a_silent_server_fail_and_its_late_answers_are_nobodys(
    relayed: tuple[Reader, Relay],
) -> None:
    reader, relay = relayed
    assert await (await reader.read())
    relay.delay = 2.0
    reply = await reader.read(1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(RedisTimeoutError):
            await reply
    relay.delay = 0.0
    assert (await (await reader.read(2)))[1] == b"2"


async def test_a_process_that_stood_still_does_not_take_the_server_for_silent(reader: Reader) -> None:
    assert await (await reader.read())
    waiting = await reader.read(1)
    await asyncio.sleep(0)
    time.sleep(0.9)  # noqa: ASYNC251 - that is what is tried
    assert (await waiting)[1] == b"1"
    reply = reader.reads.read(b"key", b"2", b"")
    assert reply is not None, "the connection was given up"
    assert (await reply)[1] == b"2"


async def test_an_answer_to_no_question_ends_the_connection(reader: Reader) -> None:
    first = await reader.read()
    await first
    stream = reader.reads._stream
    assert stream is not None
    stream.data_received(b"+OK\r\n")
    assert reader.reads.read(b"key", b"0", b"") is None
    assert await (await reader.read())


async def test_what_is_no_redis_ends_the_connection(reader: Reader) -> None:
    reply = await reader.read()
    stream = reader.reads._stream
    assert stream is not None
    stream.data_received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(RedisConnectionError):
        await reply


async def test_another_client_is_read_from_as_soon_as_it_is_there(
    reader: Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaceable, "_LAST_SECONDS", 0.0)
    monkeypatch.setattr(pipelined_reads, "_RECONNECT_SECONDS", 0.0)
    waiting = await reader.read()
    with serving(next(iter(PROGRAMS))) as elsewhere:
        client: Any = connect(Secret(elsewhere))
        closed = reader.redis.replace(client)
        with pytest.raises(RedisConnectionError):
            await waiting
        assert reader.reads.read(b"key", b"0", b"") is None
        await closed
        with pytest.raises(ResponseError):  # the other server does not know the script
            await (await reader.read())
        await reader.aclose()


async def test_a_client_that_comes_while_the_connection_is_made_is_read_from(
    relayed: tuple[Reader, Relay], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaceable, "_LAST_SECONDS", 0.0)
    reader, relay = relayed
    relay.delay = 0.1
    with serving(next(iter(PROGRAMS))) as elsewhere:
        client: Any = connect(Secret(elsewhere))
        assert reader.reads.read(b"key", b"0", b"") is None
        await asyncio.sleep(0.05)
        await reader.redis.replace(client)
        with pytest.raises(NoScriptError):  # which the first server knows
            await (await reader.read())
        await reader.aclose()


async def test_a_server_that_sentinel_replaced_is_read_from_no_more(reader: Reader) -> None:
    waiting = await reader.read()
    pool: Any = reader.redis.connection_pool
    pool.master_address = ("192.0.2.1", 6379)
    assert reader.reads.read(b"key", b"0", b"") is None
    with pytest.raises(RedisConnectionError):
        await waiting


async def test_sessions_are_read_without_a_connection_of_the_pool(url: str) -> None:
    async with Replicas(url) as replicas, reading(url) as reader:
        backend = replicas.open()
        sessions = [await begin(backend) for _ in range(200)]
        ticket, session = sessions[0]
        assert await backend.store.load_fresh(ticket) == session  # the server knows the script
        await connected(backend.store)
        before = await reader.admin.info("stats")
        read = await asyncio.gather(*(backend.store.peek(ticket, Touch.NO) for ticket, _ in sessions))
        after = await reader.admin.info("stats")
        assert read == [session for _, session in sessions]
        assert await backend.store.peek(new_ticket()) is None
        made = "total_connections_received"
        assert after[made] == before[made]


def failures(kind: str) -> float:
    """Return how many reads have failed so."""
    labels = {"operation": "load", "error": kind}
    return REGISTRY.get_sample_value("bff_redis_errors_total", labels) or 0.0


async def connected(store: Any) -> None:
    """Wait until sessions are read over a connection of their own."""
    pipelined = store._reads._pipelined
    async with asyncio.timeout(PATIENCE_SECONDS):
        while pipelined._current() is None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("cause", ["forgotten", "reset", "silent"])
async def test_a_session_that_cannot_be_read_at_once_is_read_through_the_client(
    url: str, cause: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    async with relaying(url) as relay, Replicas(relay.url) as replicas, reading(url) as reader:
        backend: Any = replicas.open()
        ticket, session = await begin(backend)
        await backend.store.load_fresh(ticket)
        await connected(backend.store)
        refused = failures("refused")
        match cause:
            case "forgotten":
                await reader.admin.script_flush()
            case "reset":
                relay.reset()
            case "silent":
                stream = backend.store._reads._pipelined._stream
                stream.transport.pause_reading()
        assert await backend.store.peek(ticket, Touch.NO) == session
        assert failures("refused") == refused, "a script that is sent again is no failure"
        assert await backend.store.retire(ticket, "ended")
        assert isinstance(await backend.store.peek(ticket), Tombstone)
    assert not caplog.records


async def test_a_use_is_written_by_a_read(url: str) -> None:
    async with Replicas(url) as replicas:
        backend = replicas.open()
        ticket, session = await begin(backend)
        await backend.store.load_fresh(ticket)
        await connected(backend.store)
        replicas.clock.at += 5
        touched = await backend.store.peek(ticket)
        assert isinstance(touched, Session)
        assert touched.last_seen_at == session.last_seen_at + 5


async def test_a_request_with_little_time_left_asks_nothing_that_may_take_longer(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Replicas(url) as replicas:
        backend: Any = replicas.open()
        ticket, _ = await begin(backend)
        await backend.store.load_fresh(ticket)
        await connected(backend.store)
        asked: list[object] = []
        monkeypatch.setattr(backend.store._reads._pipelined, "read", lambda *read: asked.append(read))
        with deadline_in(TIMEOUT_SECONDS * 0.9), suppress(StoreUnavailable):
            await backend.store.peek(ticket, Touch.NO)
        assert asked == []


async def test_the_connection_ends_with_the_backend(url: str) -> None:
    async with Replicas(url) as replicas, reading(url) as reader:
        before = await reader.clients()
        backend = replicas.open()
        await begin(backend)
        await connected(backend.store)
        assert await reader.clients() > before
        await backend.aclose()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await reader.clients() > before:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
