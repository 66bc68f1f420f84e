"""Many commands at once wait for a connection, whatever serves them: a crowd is not a store that is away."""

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from bff.security.secret import Secret
from bff.store.connection import POOL_SIZE, connect
from bff.store.redis_failures import unavailable_on_failure
from tests.contract.backends import PROGRAMS, serving, serving_cluster
from tests.resilience.servers import RedisServer

pytestmark = pytest.mark.anyio

CROWD = 5 * POOL_SIZE
SERVER = next(iter(PROGRAMS))


@pytest.fixture(scope="module", params=["single", "sentinel", "cluster"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with ExitStack() as ending:
        if request.param == "cluster":
            yield ending.enter_context(serving_cluster(SERVER))
            return
        url = ending.enter_context(serving(SERVER))
        yield url if request.param == "single" else _watched(url, ending)


def _watched(url: str, ending: ExitStack) -> str:
    """Let a Sentinel watch this server, and return the address of both."""
    configuration = (
        Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="bff-sentinel-"))) / "sentinel.conf"
    )
    configuration.write_text(f"sentinel monitor shop 127.0.0.1 {urlsplit(url).port} 1\n", "utf-8")
    sentinel = RedisServer(PROGRAMS[SERVER], str(configuration), "--sentinel")
    ending.callback(sentinel.close)
    return f"redis+sentinel://127.0.0.1:{sentinel.port}/shop"


@pytest.mark.alone  # all of it is to be served within the store's deadline
async def test_a_crowd_of_commands_and_pipelines_is_served_by_a_bounded_number_of_connections(
    url: str,
) -> None:
    client: Any = connect(Secret(url))

    async def write(number: int) -> None:
        async with unavailable_on_failure("test"):
            await client.set(f"one{number}", b"x")

    async def read(number: int) -> list[bytes]:
        async with unavailable_on_failure("test"), client.pipeline(transaction=False) as pipeline:
            pipeline.get(f"one{number}")
            return list(await pipeline.execute())

    try:
        await write(
            0
        )  # whoever comes first finds the cluster's nodes, and the others come one after the other then
        await asyncio.gather(*(write(number) for number in range(CROWD)))
        assert await asyncio.gather(*(read(number) for number in range(CROWD))) == [[b"x"]] * CROWD
        served = await client.info("stats")
        assert int(served["total_connections_received"]) <= POOL_SIZE + 10  # of tests, Sentinels and nodes
    finally:
        await client.aclose()


@pytest.mark.parametrize("url", ["cluster"], indirect=True)
async def test_pipelines_that_send_again_what_was_redirected_do_not_wait_for_each_other(url: str) -> None:
    client: Any = connect(Secret(url))

    async def redirected() -> bytes:
        """Send a command in the turn of a pipeline, as one does that was redirected."""
        async with unavailable_on_failure("test"), client.pipelines:
            return bytes(await client.echo(b"x", target_nodes=client.get_default_node()))

    try:
        await client.initialize()
        assert await asyncio.gather(*(redirected() for _ in range(CROWD))) == [b"x"] * CROWD
    finally:
        await client.aclose()
