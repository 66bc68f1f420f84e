"""One of two replicas ends behind an nginx, which never asks `/readyz`: no request may fail."""

import asyncio
import os
import signal
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.front import needs_nginx, nginx_before
from tests.live import LiveProxy, Sandbox, environment
from tests.resilience.rolling import guest, shop
from tests.resilience.shoppers import client

LONG = bool(os.environ.get("BFF_TEST_LONG"))
"""Also with 64 clients, and ten restarts each: it takes minutes."""
ROUNDS = 10 if LONG else 2
LOADS = [8, 64] if LONG else [8]
BETWEEN = 8
"""Requests of each client between one restart and the next."""

pytestmark = needs_nginx


class Replicas:
    """Two replicas, of which one is restarted."""

    def __init__(self, environ: dict[str, str], *arguments: str) -> None:
        self._arguments = arguments
        self._environ = environ
        self.doomed, self.steady = self._begun(), self._begun()

    @property
    def ports(self) -> list[int]:
        return [self.doomed.port, self.steady.port]

    def restart(self) -> int:
        """End one replica as a deploy does and begin it anew; return its exit code."""
        code = self.doomed.stop(signal.SIGTERM)
        self.doomed.close()
        self.doomed = self._begun(self.doomed.port)
        return code

    def close(self) -> None:
        self.doomed.close()
        self.steady.close()

    def _begun(self, port: int | None = None) -> LiveProxy:
        return LiveProxy(self._environ, *self._arguments, port=port)


@pytest.fixture(params=[(), ("--workers", "2")], ids=["one worker", "two workers"])
def replicas(request: pytest.FixtureRequest, sandbox: Sandbox, redis_url: str) -> Iterator[Replicas]:
    environ = environment(sandbox, redis_url, BFF_DRAIN_SECONDS="1", BFF_TRUSTED_PROXIES="127.0.0.0/8")
    with ExitStack() as ending:
        running = Replicas(environ, *request.param)
        ending.callback(running.close)
        yield running


async def answers(url: str, replicas: Replicas, clients: int) -> tuple[Counter[str], list[int]]:
    """Shop with so many clients while one replica is restarted again and again."""
    statuses: Counter[str] = Counter()
    over, codes = asyncio.Event(), []
    async with client() as http:
        cookies = [await guest(http, url) for _ in range(clients)]
        shopping = [asyncio.ensure_future(shop(http, url, one, statuses, over)) for one in cookies]
        for _ in range(ROUNDS):
            served = statuses.total() + BETWEEN * clients
            while statuses.total() < served:  # noqa: ASYNC110 - many who count
                await asyncio.sleep(0.05)
            codes.append(await asyncio.to_thread(replicas.restart))
        over.set()
        await asyncio.gather(*shopping)
    return statuses, codes


@pytest.mark.parametrize("clients", LOADS)
def test_a_replica_that_ends_behind_nginx_fails_no_request(
    replicas: Replicas, tmp_path: Path, clients: int
) -> None:
    with nginx_before(replicas.ports, tmp_path) as url:
        statuses, codes = asyncio.run(answers(url, replicas, clients))
    assert set(statuses) == {"GET 200", "POST 200"}, statuses
    assert codes == [0] * ROUNDS
