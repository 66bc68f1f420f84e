"""A store with a cache: what this process writes is never read as it was before, whatever the server says of it."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from bff.errors import StoreUnavailable
from bff.session import EndReason, HeldSession, Session, SessionKind, Ticket, Tombstone
from bff.store.cache import SessionCache
from bff.store.cached_store import CachedSessionStore
from bff.store.customer_index import RedisCustomerIndex
from bff.store.invalidations import InvalidationFeed
from bff.store.protocol import Found, SessionStore, Touch
from bff.store.redis_keys import RedisKeys
from tests.contract.on_redis import OnRedis
from tests.contract.replicas import INDEX_SECONDS, begin
from tests.values import NOW, a_session, new_ticket

pytestmark = pytest.mark.anyio


class SilentFeed:
    """Says that nothing was missed, and never that something was written."""

    def current(self) -> bool:
        return True


@dataclass
class Gated:
    """A store whose reads and writes, once they are done, come back only where the gate is open."""

    store: SessionStore
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def peek(self, ticket: Ticket, touch: Touch = Touch.LAZY) -> Found:
        found = await self.store.peek(ticket, touch)
        self.done.set()
        await self.gate.wait()
        return found


@dataclass
class Cached:
    """A cached store over a Redis of which the server says nothing."""

    on_redis: OnRedis
    cache: SessionCache
    store: CachedSessionStore
    gated: Gated

    async def begin(self, **changes: Any) -> tuple[Ticket, Session]:
        """Create a session and read it, so that it is in memory."""
        ticket, session = await begin(self.on_redis.backend, **changes)
        assert await self.store.peek(ticket) == session
        assert self.cache.find(ticket, Touch.RARE) == session
        return ticket, session


@pytest.fixture
def cached(on_redis: OnRedis) -> Cached:
    cache, gated = SessionCache(on_redis.clock, most_bytes=1 << 20), Gated(on_redis.store)
    gated.gate.set()
    feed, keys = cast("InvalidationFeed", SilentFeed()), RedisKeys(on_redis.tenant)
    return Cached(on_redis, cache, CachedSessionStore(cast("SessionStore", gated), cache, feed, keys), gated)


async def test_a_session_is_read_from_memory_until_it_is_written(cached: Cached) -> None:
    ticket, session = await cached.begin()
    assert await cached.on_redis.store.replace(ticket, replace(session, version=9))
    assert await cached.store.peek(ticket) == session
    assert await cached.store.load_fresh(ticket) != session


Write = Callable[[SessionStore, HeldSession], Awaitable[object]]
WRITES: dict[str, Write] = {
    "replace": lambda store, held: store.replace(held.ticket, replace(held.session, version=9)),
    "supersede": lambda store, held: store.supersede(held, new_ticket(), a_session()),
    "retire": lambda store, held: store.retire(held.ticket, EndReason.ENDED),
    "retire by name": lambda store, held: store.retire_name(held.ticket.record_name, EndReason.ENDED),
    "delete": lambda store, held: store.delete(held.ticket),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_what_this_process_writes_it_reads(cached: Cached, write: Write) -> None:
    ticket, session = await cached.begin()
    await write(cached.store, HeldSession(ticket, session))
    found = await cached.store.peek(ticket)
    assert found != session
    assert found == await cached.store.load_fresh(ticket)


async def test_a_customers_own_end_of_another_session_is_read_at_once(cached: Cached) -> None:
    on_redis = cached.on_redis
    index = RedisCustomerIndex(
        on_redis.redis, cached.store, on_redis.ring, RedisKeys(on_redis.tenant), lifetime=INDEX_SECONDS
    )
    held = [await cached.begin(kind=SessionKind.CUSTOMER, customer_id="C1") for _ in range(2)]
    for ticket, session in held:
        await index.add(ticket, session)
    (first, session), (second, _) = held
    assert len(await index.end_others(first, session, EndReason.ENDED)) == 1
    assert isinstance(await cached.store.peek(second), Tombstone)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
async def test_a_write_that_failed_may_have_happened(
    cached: Cached, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, session = await cached.begin()

    async def failing(*_: object, **__: object) -> None:
        await cached.on_redis.store.retire(ticket, EndReason.ENDED)
        raise StoreUnavailable

    for name in ("replace", "supersede", "retire", "retire_name", "delete"):
        monkeypatch.setattr(cached.gated, name, failing, raising=False)
    with pytest.raises(StoreUnavailable):
        await write(cached.store, HeldSession(ticket, session))
    assert isinstance(await cached.store.peek(ticket), Tombstone)


async def test_a_read_that_a_write_overtook_is_not_kept(cached: Cached) -> None:
    ticket, session = await begin(cached.on_redis.backend)
    cached.gated.gate.clear()
    late = asyncio.create_task(cached.store.peek(ticket))
    await cached.gated.done.wait()
    await cached.store.retire(ticket, EndReason.ENDED)
    cached.gated.gate.set()
    assert await late == session
    assert isinstance(await cached.store.peek(ticket), Tombstone)


async def test_a_read_that_fails_or_is_cancelled_leaves_nothing(
    cached: Cached, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticket, session = await begin(cached.on_redis.backend)
    cached.gated.gate.clear()
    leaving = asyncio.create_task(cached.store.peek(ticket))
    await cached.gated.done.wait()
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert not cached.cache._reads
    cached.gated.gate.set()
    assert await cached.store.peek(ticket) == session


async def test_only_a_session_that_stands_is_kept(cached: Cached) -> None:
    ticket, _ = await begin(cached.on_redis.backend)
    stranger = Ticket(ticket.id, secrets.token_bytes(32))
    assert await cached.store.peek(stranger) is None
    assert await cached.store.peek(new_ticket()) is None
    await cached.store.retire(ticket, EndReason.ENDED)
    assert isinstance(await cached.store.peek(ticket), Tombstone)
    assert len(cached.cache) == 0


async def test_a_stranger_with_the_id_neither_reads_a_session_nor_drops_it(cached: Cached) -> None:
    ticket, session = await cached.begin()
    assert await cached.store.peek(Ticket(ticket.id, secrets.token_bytes(32))) is None
    assert cached.cache.find(ticket, Touch.RARE) == session


async def test_a_use_is_written_once_a_minute(cached: Cached) -> None:
    ticket, _ = await cached.begin()
    name, seen = ticket.record_name, []
    for after in (1, 59.9, 60, 61, 119.9, 120):
        cached.on_redis.clock.at = NOW + after
        if after in (59.9, 119.9):  # neither is one that was dropped written sooner
            cached.cache.clear()
        await cached.store.peek(ticket)
        seen += await cached.store.last_seen([name])
    assert seen == [NOW, NOW, NOW + 60, NOW + 60, NOW + 60, NOW + 120]
