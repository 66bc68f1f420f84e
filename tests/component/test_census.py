"""How many sessions there are is estimated from a sample of the keys, and what cannot be told is not said."""

import asyncio
import math
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from redis.asyncio import Redis

from bff.security.secret import Secret
from bff.store import census
from bff.store.census import SessionCensus
from bff.store.connection import connect
from bff.store.redis_keys import RedisKeys
from bff.store.replaceable import ReplaceableRedis
from bff.telemetry.metrics import REGISTRY, SESSIONS_LIVE
from tests.resilience import servers
from tests.support import new_replica, until

pytestmark = pytest.mark.anyio

KEYS = RedisKeys("acmeshop")
NOBODY = Secret("redis+cluster://127.0.0.1:1")


@dataclass
class Alone:
    """A server that has nothing but what a test puts there."""

    url: str
    admin: Redis

    async def put(self, sessions: int, others: int = 0) -> None:
        for _ in range(sessions):
            await self.admin.hset(KEYS.session(secrets.token_bytes(16)), "g", "1")
        for _ in range(others):
            await self.admin.set(KEYS.claim(secrets.token_bytes(16)), "1")

    async def run(self, *command: str) -> None:
        """Send a command as it stands."""
        await self.admin.execute_command(*command)  # type: ignore[no-untyped-call]

    async def refused(self) -> int:
        """Return how many commands the server has refused for want of a right."""
        return int((await self.admin.info("errorstats")).get("errorstat_NOPERM", {}).get("count", 0))


@pytest.fixture(scope="module")
def server_url() -> Iterator[str]:
    program = servers.program()
    assert program
    with servers.single(program) as server:
        yield server.url


@pytest.fixture
async def alone(server_url: str) -> AsyncIterator[Alone]:
    admin = Redis.from_url(server_url)
    await admin.flushall()
    yield Alone(server_url, admin)
    await admin.aclose()


@pytest.fixture
async def taken(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[SessionCensus]:
    monkeypatch.setattr(census, "PAUSE_SECONDS", 0.0)
    async with connect(Secret(alone.url)) as redis:
        one = SessionCensus(ReplaceableRedis(redis), KEYS)
        yield one
        await one.aclose()


def shown() -> float:
    value = REGISTRY.get_sample_value("bff_sessions_live_estimate")
    assert value is not None
    return value


def failures() -> float:
    name = "bff_redis_errors_total"
    return sum(REGISTRY.get_sample_value(name, {"operation": "census", "error": error}) or 0.0 for error in
               ("timeout", "connection", "refused", "other"))  # fmt: skip


async def test_where_all_keys_are_sessions_it_is_their_number(alone: Alone, taken: SessionCensus) -> None:
    assert await taken.estimate() == 0
    await alone.put(40)
    assert await taken.estimate() == 40


async def test_what_is_no_session_of_this_tenant_is_left_out(alone: Alone, taken: SessionCensus) -> None:
    await alone.put(0, others=20)
    await alone.admin.hset(RedisKeys("another").session(b"1"), "g", "1")
    assert await taken.estimate() == 0


async def test_the_share_of_sessions_is_that_of_the_sample(alone: Alone, taken: SessionCensus) -> None:
    """A sample of 300 is off by half of the truth less often than once in ten to the sixteenth."""
    await alone.put(100, others=100)
    estimate = await taken.estimate()
    assert estimate is not None
    assert 50 < estimate < 150


async def test_it_is_shown_again_and_again(alone: Alone, taken: SessionCensus) -> None:
    taken.begin()
    assert math.isnan(shown())
    await until(lambda: shown() == 0)
    await alone.put(7)
    await until(lambda: shown() == 7)


async def test_of_a_cluster_nothing_is_said_and_nothing_asked() -> None:
    """Nobody listens there."""
    assert await SessionCensus(ReplaceableRedis(connect(NOBODY)), KEYS).estimate() is None


@pytest.mark.parametrize("lacking", ["-randomkey", "-dbsize"])
async def test_a_user_without_the_right_is_asked_once_and_no_failure_is_counted(
    alone: Alone, lacking: str
) -> None:
    await alone.put(7)
    await alone.run("ACL", "SETUSER", "weak", "reset", "on", ">one", "~*", "+@all", lacking)
    before = failures()
    async with connect(Secret(alone.url.replace("//", "//weak:one@"))) as redis:
        one = SessionCensus(ReplaceableRedis(redis), KEYS)
        assert await one.estimate() is None
        refused = await alone.refused()
        assert refused > 0
        assert await one.estimate() is None
    assert await alone.refused() == refused
    assert failures() == before


async def test_redis_that_does_not_answer_leaves_no_old_number_and_is_asked_again(
    alone: Alone, taken: SessionCensus
) -> None:
    await alone.put(7)
    taken.begin()
    await until(lambda: shown() == 7)
    await alone.run("CLIENT", "PAUSE", "2000", "ALL")
    await until(lambda: math.isnan(shown()))
    await until(lambda: shown() == 7)


async def test_a_replica_begins_with_it_and_ends_it(alone: Alone, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "PAUSE_SECONDS", 0.0)
    SESSIONS_LIVE.set(-1)
    async with new_replica(alone.url) as replica, replica.proxy._closing(replica.proxy):
        await alone.put(3)
        await until(lambda: shown() == 3)
        before = asyncio.all_tasks()
    assert len(asyncio.all_tasks()) < len(before)
