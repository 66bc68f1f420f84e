"""Connections to Redis that break while they are kept: the next command uses another one, and nobody notices."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis.asyncio.cluster import RedisCluster

from bff.errors import StoreUnavailable
from bff.security.secret import Secret
from bff.session import Session, Ticket
from bff.store.backend import Backend
from bff.store.connection import connect
from tests.contract.backends import PROGRAMS, serving, serving_cluster
from tests.contract.replicas import Replicas, begin
from tests.live import free_port
from tests.relay import Relay, relaying

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(not PROGRAMS, reason="needs a Redis server")]

Topology = Callable[[], AbstractAsyncContextManager[tuple[Replicas, Relay]]]

MANY = 24
RESETS = 40


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, object]]:
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def one_server() -> AsyncIterator[tuple[Replicas, Relay]]:
    with serving(next(iter(PROGRAMS))) as url:
        async with relaying(url) as relay, Replicas(relay.url) as replicas:
            yield replicas, relay


@asynccontextmanager
async def cluster() -> AsyncIterator[tuple[Replicas, Relay]]:
    """A cluster whose node says that it is where the relay listens."""
    port = free_port()
    with serving_cluster(next(iter(PROGRAMS)), "--cluster-announce-port", str(port)) as url:
        async with (
            relaying(f"redis://{urlsplit(url).netloc}", port) as relay,
            Replicas(f"redis+cluster://127.0.0.1:{port}") as replicas,
        ):
            yield replicas, relay


@pytest.mark.alone  # a machine that stalls for half a second breaks the other connections too
@pytest.mark.parametrize("topology", [one_server, cluster])
async def test_a_command_on_a_connection_that_has_just_broken_is_sent_on_another(topology: Topology) -> None:
    async with topology() as (replicas, _):
        client: Any = connect(Secret(replicas.url))
        async with aclosing(client):
            assert await client.set("key", b"1")
            for connection in kept_connections(client):
                connection._writer.transport.abort()
            assert await client.get("key") == b"1"


def kept_connections(client: Any) -> list[Any]:
    if isinstance(client, RedisCluster):
        return [one for node in client.get_nodes() for one in node._connections]
    return list(client.connection_pool._available_connections)


async def outcomes(backend: Backend, ticket: Ticket, over: asyncio.Event) -> Counter[str]:
    """Read a session and write it again until it is over; return what came of it."""
    found: Counter[str] = Counter()
    while not over.is_set():
        try:
            session = await backend.store.peek(ticket)
            assert isinstance(session, Session)
            assert await backend.store.replace(ticket, session) is not None
            found["written"] += 1
        except StoreUnavailable:
            found["unavailable"] += 1
    return found


@pytest.mark.parametrize("topology", [one_server, cluster])
async def test_a_storm_of_resets_is_an_unavailable_store_and_nothing_else(topology: Topology) -> None:
    async with topology() as (replicas, relay):
        backend, over = replicas.open(), asyncio.Event()
        tickets = [(await begin(backend))[0] for _ in range(MANY)]
        async with asyncio.TaskGroup() as group:
            working = [group.create_task(outcomes(backend, ticket, over)) for ticket in tickets]
            for _ in range(RESETS):
                await asyncio.sleep(0.03)
                relay.reset()
            over.set()
        assert sum((task.result() for task in working), Counter())["unavailable"] > 0, "nothing was reset"
        for ticket in tickets:
            assert isinstance(await backend.store.peek(ticket), Session)
