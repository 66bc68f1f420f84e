"""Every upstream client, and the upstreams that they are tried against. A new client is one line in `CLIENTS`."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import count
from typing import Final

import pytest

from bff.errors import BffError
from bff.upstream.bulkhead import Bulkhead, service_of
from bff.upstream.httpx_client import HttpxClient
from bff.upstream.llhttp_client import LlhttpClient
from bff.upstream.options import PROXIED_CALLS, ClientOptions, Shares
from bff.upstream.protocol import UpstreamAnswer, UpstreamClient
from bff.upstream.upload_share import UploadShare
from tests.contract.socket_upstream import Connection, Serve, SocketUpstream, answer, serving

Factory = Callable[[str, ClientOptions], UpstreamClient]


def one_place(options: ClientOptions) -> Shares:
    return Shares(connections=1, of_one_part=1, kept=0, few=1, queue=10, wait_seconds=options.pool_seconds)


CLIENTS: Final[dict[str, Factory]] = {
    "httpx2": HttpxClient,
    "llhttp": LlhttpClient,
    "upload share": lambda url, options: UploadShare(LlhttpClient(url, options), most=1, wait_seconds=20),
    "bulkhead": lambda url, options: Bulkhead(
        LlhttpClient(url, options), one_place(options), service_of, area="api"
    ),
}
EVERY_CLIENT: Final = pytest.mark.parametrize("factory", CLIENTS.values(), ids=CLIENTS)

ONE_CONNECTION: Final = replace(
    PROXIED_CALLS, connections=1, idle_connections=1, connect_seconds=20, pool_seconds=20, read_seconds=20
)
"""A connection that is not given back is noticed at once: there is no other."""

SENT_ONCE: Final = replace(ONE_CONNECTION, resend_safe=False)
IMPATIENT: Final = replace(ONE_CONNECTION, read_seconds=1)
CHUNKED: Final = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@asynccontextmanager
async def between(
    factory: Factory, serve: Serve, options: ClientOptions = ONE_CONNECTION
) -> AsyncIterator[tuple[UpstreamClient, SocketUpstream]]:
    """Serve on a socket and yield a client of it."""
    async with serving(serve) as upstream, asyncio.timeout(30):
        client = factory(upstream.url, options)
        try:
            yield client, upstream
        finally:
            await client.aclose()


async def whole(answer: UpstreamAnswer) -> bytes:
    try:
        return b"".join([chunk async for chunk in answer.chunks()])
    finally:
        await answer.aclose()


async def get(client: UpstreamClient, target: bytes = b"/x") -> bytes:
    return await whole(await client.open("GET", target, [], None))


async def greets(connection: Connection) -> None:
    """Answer every request on a connection."""
    while True:
        await connection.answer(b"hello")


def in_turn(*turns: Serve) -> Serve:
    """Serve the first connection so, the next one so, and the last of these from then on."""
    numbers = count()

    async def serve(connection: Connection) -> None:
        await turns[min(next(numbers), len(turns) - 1)](connection)

    return serve


async def closes(connection: Connection) -> None:
    await connection.head()


async def resets(connection: Connection) -> None:
    await connection.head()
    connection.reset()


def sends(raw: bytes) -> Serve:
    async def serve(connection: Connection) -> None:
        await connection.head()
        await connection.send(raw)

    return serve


async def stalls(connection: Connection) -> None:
    await connection.head()
    await connection.left()


async def stalls_in_the_body(connection: Connection) -> None:
    await connection.head()
    await connection.send(answer(b"12345")[:-2])
    await connection.left()


async def answers_once_and_closes_at_the_next_request(connection: Connection) -> None:
    await connection.answer(b"hello")
    await connection.head()


async def failure_of(call: Awaitable[object]) -> BffError:
    with pytest.raises(BffError) as caught:
        await call
    return caught.value
