"""Session locks in Redis: whose they are, how long they last, and what a failing Redis does to them."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest

from bff.errors import StoreUnavailable, UpstreamTimeout
from bff.session import Session, Ticket
from bff.store.backend import LockTimes
from bff.store.locks import RedisSessionLocks
from tests.contract.on_redis import OnRedis
from tests.contract.replicas import Replicas, begin
from tests.relay import relaying
from tests.support import until
from tests.values import new_ticket

pytestmark = pytest.mark.anyio


@pytest.fixture
async def on_redis(redis_url: str) -> AsyncIterator[OnRedis]:
    async with OnRedis(redis_url) as one:
        yield one


def locks_of(replicas: Replicas, times: LockTimes) -> RedisSessionLocks:
    locks = replicas.open(lock_times=times).locks
    assert isinstance(locks, RedisSessionLocks)
    return locks


async def test_only_its_owner_gives_a_lock_back(on_redis: OnRedis) -> None:
    ticket, owner, other = new_ticket(), secrets.token_bytes(16), secrets.token_bytes(16)
    locks = locks_of(on_redis, LockTimes(lease=60))
    assert (await locks.try_lock(ticket, owner)).acquired
    assert not (await on_redis.locks.try_lock(ticket, other)).acquired
    await locks.unlock(ticket, other)
    assert not (await locks.try_lock(ticket, other)).acquired
    assert 30_000 < await on_redis.redis.pttl(on_redis.key(ticket) + ":lock") <= 60_000
    await locks.unlock(ticket, owner)
    assert (await locks.try_lock(ticket, other)).acquired


async def test_a_lock_that_nobody_gives_back_ends_by_itself(on_redis: OnRedis) -> None:
    ticket, late, next_owner = new_ticket(), secrets.token_bytes(16), secrets.token_bytes(16)
    assert (await locks_of(on_redis, LockTimes(lease=0.2)).try_lock(ticket, late)).acquired
    async with asyncio.timeout(20):
        while not (await on_redis.locks.try_lock(ticket, next_owner)).acquired:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.02)
    await on_redis.locks.unlock(ticket, late)
    assert await on_redis.is_locked(ticket), "a late owner took somebody else's lock away"


async def test_an_owner_that_asks_again_has_its_lock_still_and_no_longer(on_redis: OnRedis) -> None:
    ticket, owner = new_ticket(), secrets.token_bytes(16)
    assert (await on_redis.locks.try_lock(ticket, owner)).acquired
    await on_redis.redis.pexpire(on_redis.key(ticket) + ":lock", 1000)
    assert (await on_redis.locks.try_lock(ticket, owner)).acquired
    assert 0 < await on_redis.redis.pttl(on_redis.key(ticket) + ":lock") <= 1000


async def test_a_living_holder_keeps_its_lock_for_longer_than_a_lease(on_redis: OnRedis) -> None:
    ticket, other, times = new_ticket(), secrets.token_bytes(16), LockTimes(lease=1.0)
    async with locks_of(on_redis, times).hold(ticket):
        for _ in range(12):
            await asyncio.sleep(times.lease / 4)
            assert not (await on_redis.locks.try_lock(ticket, other)).acquired


async def test_who_waited_for_a_dead_store_does_not_wait_for_the_lock_to_be_given_back(
    on_redis: OnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, lives = new_ticket(), asyncio.Event()
    unlock = on_redis.locks.unlock

    async def once_it_lives(*args: Any) -> None:
        await lives.wait()
        await unlock(*args)

    monkeypatch.setattr(on_redis.locks, "unlock", once_it_lives)
    async with asyncio.timeout(20):
        with pytest.raises(StoreUnavailable):
            async with on_redis.locks.hold(ticket):
                raise StoreUnavailable
        assert await on_redis.is_locked(ticket)
        lives.set()
        await on_redis.locks.aclose()
    assert not await on_redis.is_locked(ticket)


async def test_a_lock_outlasts_a_redis_that_fails_for_a_moment(on_redis: OnRedis) -> None:
    async with relaying(on_redis.url) as relay:
        ticket, times = new_ticket(), LockTimes(lease=8.0)
        locks = on_redis.open(url=relay.url, lock_times=times).locks
        async with locks.hold(ticket):
            relay.reset()
            await asyncio.sleep(times.lease / 4 + 0.5)
            left = await on_redis.redis.pttl(on_redis.key(ticket) + ":lock")
    assert left > 6_500, "nobody extended it"


async def test_a_lock_goes_on_being_extended_where_that_failed_once(
    on_redis: OnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, locks, tried = new_ticket(), locks_of(on_redis, LockTimes(lease=1.0)), list[Ticket]()
    extend = locks.extend

    async def fails_once(ticket: Ticket, owner: bytes) -> bool:
        tried.append(ticket)
        if len(tried) == 1:
            raise StoreUnavailable
        return await extend(ticket, owner)

    monkeypatch.setattr(locks, "extend", fails_once)
    async with locks.hold(ticket):
        await until(lambda: len(tried) > 2)
        assert await on_redis.is_locked(ticket)


async def test_an_owner_that_lost_its_lock_extends_nobodys(on_redis: OnRedis) -> None:
    ticket, late, next_owner = new_ticket(), secrets.token_bytes(16), secrets.token_bytes(16)
    assert (await on_redis.locks.try_lock(ticket, next_owner)).acquired
    await on_redis.redis.pexpire(on_redis.key(ticket) + ":lock", 1000)
    assert not await on_redis.locks.extend(ticket, late)
    assert await on_redis.redis.pttl(on_redis.key(ticket) + ":lock") <= 1000
    assert await on_redis.locks.extend(ticket, next_owner)
    assert await on_redis.redis.pttl(on_redis.key(ticket) + ":lock") > 1000


async def test_a_dead_holder_blocks_nobody_for_long_and_who_waits_is_answered_soon() -> None:
    times = LockTimes()
    assert 3 <= times.lease <= 5
    assert 2 < times.wait < 3, "a request with a good token has gone on with it before"


async def test_a_store_that_fails_at_the_end_does_not_spoil_the_work(on_redis: OnRedis) -> None:
    async with relaying(on_redis.url) as relay:
        ticket = new_ticket()
        async with on_redis.open(url=relay.url).locks.hold(ticket):
            relay.deaf = True
        relay.deaf = False
        assert await on_redis.is_locked(ticket), "the store had not failed"


async def test_a_store_that_fails_at_the_beginning_is_said(on_redis: OnRedis) -> None:
    async with relaying(on_redis.url) as relay:
        relay.deaf = True
        with pytest.raises(StoreUnavailable):
            async with on_redis.open(url=relay.url).locks.hold(new_ticket()):
                raise AssertionError
        relay.deaf = False


async def test_waiters_do_not_all_look_at_once(on_redis: OnRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 40:
            raise asyncio.CancelledError

    ticket = new_ticket()
    assert (await on_redis.locks.try_lock(ticket, secrets.token_bytes(16))).acquired
    monkeypatch.setattr("bff.store.locks.asyncio.sleep", noted)
    with pytest.raises(asyncio.CancelledError):
        async with on_redis.locks.hold(ticket):
            raise AssertionError
    assert len(set(pauses)) > 10
    assert 0.025 <= min(pauses) < max(pauses) < 0.075


# Renewals: a fencing number, and a mark before upstream is asked


async def renewal(on_redis: OnRedis, ticket: Ticket) -> tuple[Session, bool]:
    """Take the lock for a renewal that loses it; return the session, and whether an earlier mark was open."""
    read = await on_redis.locks.try_lock(ticket, secrets.token_bytes(16), renews=True)
    await on_redis.redis.delete(on_redis.key(ticket) + ":lock")
    assert read.acquired
    assert isinstance(read.found, Session)
    return read.found, read.renewal_open


async def written(on_redis: OnRedis, ticket: Ticket, session: Session, over: Session) -> Session | None:
    return await on_redis.store.replace(ticket, replace(session, generation=over.generation))


async def test_every_renewal_gets_a_greater_number(on_redis: OnRedis) -> None:
    ticket, session = await begin(on_redis.backend)
    assert session.fence == 0
    assert [(await renewal(on_redis, ticket))[0].fence for _ in range(3)] == [1, 2, 3]
    async with on_redis.locks.hold(ticket) as lock:
        assert isinstance(lock.found, Session)
        assert lock.found.fence == 0, "what renews nothing has none"


async def test_a_renewal_that_lost_its_lock_writes_nothing_after_a_later_one(on_redis: OnRedis) -> None:
    ticket, session = await begin(on_redis.backend)
    (early, _), (late, _) = await renewal(on_redis, ticket), await renewal(on_redis, ticket)
    newest = await written(on_redis, ticket, late, session)
    assert newest is not None
    assert await written(on_redis, ticket, early, newest) is None
    assert await on_redis.store.load_fresh(ticket) == newest
    assert await written(on_redis, ticket, late, newest) is not None


async def test_a_renewal_that_lost_its_lock_writes_before_a_later_one(on_redis: OnRedis) -> None:
    """Upstream may have spent the refresh token for its tokens; the later one writes over them, and not they again."""
    ticket, session = await begin(on_redis.backend)
    await renewal(on_redis, ticket)  # its replica was killed
    (early, _), (late, _) = await renewal(on_redis, ticket), await renewal(on_redis, ticket)
    first = await written(on_redis, ticket, early, session)
    assert first is not None
    assert (await renewal(on_redis, ticket))[1], "the later one still asks upstream"
    second = await written(on_redis, ticket, late, first)
    assert second is not None
    assert await written(on_redis, ticket, early, second) is None


async def test_the_mark_of_a_renewal_is_closed_by_its_write(on_redis: OnRedis) -> None:
    ticket, session = await begin(on_redis.backend)
    assert not (await renewal(on_redis, ticket))[1]
    again, renewal_open = await renewal(on_redis, ticket)
    assert renewal_open
    assert await written(on_redis, ticket, again, session) is not None
    assert not (await renewal(on_redis, ticket))[1]


@pytest.mark.parametrize(
    ("error", "stays"),
    [
        (None, False),
        (ValueError, False),
        (UpstreamTimeout, True),
        (StoreUnavailable, True),
        (asyncio.CancelledError, True),
    ],
)
async def test_the_mark_stays_where_nobody_knows_what_upstream_did(
    on_redis: OnRedis,
    error: type[BaseException] | None,
    stays: bool,  # noqa: FBT001
) -> None:
    ticket, _ = await begin(on_redis.backend)
    with pytest.raises(error) if error else nullcontext():
        async with on_redis.locks.hold(ticket, renews=True) as lock:
            assert not lock.renewal_open
            if error is not None:
                raise error
    await on_redis.locks.aclose()
    assert (await renewal(on_redis, ticket))[1] is stays


async def test_a_renewal_of_nothing_leaves_no_key(on_redis: OnRedis) -> None:
    ticket, _ = await begin(on_redis.backend)
    await on_redis.store.delete(ticket)
    async with on_redis.locks.hold(ticket, renews=True) as lock:
        assert lock.found is None
    assert await on_redis.redis.exists(on_redis.key(ticket)) == 0
