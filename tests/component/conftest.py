"""The replica that most tests of a session's life drive."""

from collections.abc import AsyncIterator

import pytest

from tests.support import Replica, new_replica


@pytest.fixture
async def replica(redis_url: str) -> AsyncIterator[Replica]:
    """One replica of its own clock, keys and upstream, on the tests' Redis."""
    async with new_replica(redis_url) as one:
        yield one
