"""What all tests share: one Redis, one sandbox upstream and one proxy per test process, all of them real."""

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bff.config.embedded_redis import EmbeddedRedis, locate_server
from tests.fuzz import profiles
from tests.live import TENANT, LiveProxy, Sandbox, environment

profiles.load()
pytest_plugins = ["tests.alone"]


def pytest_xdist_auto_num_workers() -> int:
    """Run three test processes on two cores: much of a test's time is waited for."""
    return max(1, 3 * (os.cpu_count() or 1) // 2)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over the thousands of tests: nothing of them ends before the run does."""
    gc.collect()
    gc.freeze()


def pytest_report_header() -> str:
    """Say which Redis the tests run on."""
    given = os.environ.get("BFF_TEST_REDIS_URL")
    if given:
        return "redis: BFF_TEST_REDIS_URL"
    server = locate_server()
    return f"redis: {server.kind if server else 'fakeredis, for want of a server'}"


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis of the tests' own, on the server that `embedded:` would use, unless one is given."""
    given = os.environ.get("BFF_TEST_REDIS_URL")
    if given:
        yield given
        return
    with EmbeddedRedis.start(Path(tmp_path_factory.mktemp("redis"))) as redis:
        yield redis.url


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Sandbox]:
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Iterator[Sandbox]:
    """The sandbox upstream; its knobs and faults are put back after the test."""
    knobs = sandbox_process.control("GET", "/knobs")
    yield sandbox_process
    sandbox_process.control("DELETE", "/faults")
    sandbox_process.control("PATCH", "/knobs", knobs)


@pytest.fixture(scope="session")
def proxy_process(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    with LiveProxy(environment(sandbox_process, redis_url), fork=False) as proxy:
        yield proxy


@pytest.fixture
def proxy(proxy_process: LiveProxy, sandbox: Sandbox) -> LiveProxy:
    """A proxy in front of the sandbox, with default lifetimes.

    Whatever an earlier test did to the tokens upstream, the proxy's own one is good again: a read of something public
    sees to that, so that no test counts what another one caused.
    """
    with proxy_process.browser() as nobody:
        nobody.get(f"/api/site/{TENANT}/sites")
    return proxy_process
