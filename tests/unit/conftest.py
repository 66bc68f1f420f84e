"""The engine that most tests of a session's life drive."""

from collections.abc import AsyncIterator

import pytest

from tests.unit.support import Engine, engine


@pytest.fixture
async def replica(redis_url: str) -> AsyncIterator[Engine]:
    """One replica of its own clock, keys and upstream, on the tests' Redis."""
    async with engine(redis_url) as one:
        yield one
