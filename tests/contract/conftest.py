"""The backends under test, each opened as the proxy opens it."""

from collections.abc import AsyncIterator, Iterator

import pytest

from bff.store.backend import Backend
from tests.contract.backends import CACHED, FACTORIES, REDIS_SERVERS, serving
from tests.contract.on_redis import OnRedis
from tests.contract.replicas import Replicas
from tests.values import Clock


def pytest_report_header() -> str:
    """Say which backends the store's contract is held to."""
    return f"store contract: {', '.join(FACTORIES)}"


@pytest.fixture(scope="module", params=FACTORIES)
def backend_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with FACTORIES[request.param]() as url:
        yield url


@pytest.fixture
def cached(request: pytest.FixtureRequest, backend_url: str) -> bool:
    """Whether the backend under test keeps in memory what it has read."""
    return request.node.callspec.params["backend_url"] in CACHED


@pytest.fixture
async def replicas(backend_url: str, cached: bool) -> AsyncIterator[Replicas]:  # noqa: FBT001
    async with Replicas(backend_url, cached=cached) as all_of_them:
        yield all_of_them


@pytest.fixture
def backend(replicas: Replicas) -> Backend:
    """One replica's backend."""
    return replicas.open()


@pytest.fixture
def clock(replicas: Replicas) -> Clock:
    """The clock of all replicas."""
    return replicas.clock


@pytest.fixture(scope="module", params=REDIS_SERVERS)
def server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    with serving(request.param) as url:
        yield url


@pytest.fixture
async def on_redis(server_url: str) -> AsyncIterator[OnRedis]:
    async with OnRedis(server_url) as one:
        yield one
