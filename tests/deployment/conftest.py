"""A Redis for these tests, which they may kill, fill and freeze."""

from collections.abc import Iterator

import pytest

from tests.contract.backends import PROGRAMS
from tests.resilience.servers import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    one = RedisServer(next(iter(PROGRAMS.values())))
    yield one
    one.close()


@pytest.fixture
def redis(server: RedisServer) -> Iterator[RedisServer]:
    """The server as it is at first, whatever a test does to it."""
    yield server
    if not server.running:
        server.start()
    with server.client() as client:
        client.execute_command("CLIENT", "UNPAUSE")
        client.config_set("maxmemory", "0")
        client.execute_command("ACL", "SETUSER", "default", "+@all")
