"""Replicas of one proxy over one backend: what one of them writes, the others find."""

import asyncio
import secrets
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from typing import Any, Self

from bff.errors import StoreUnavailable, UpstreamUnavailable
from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.session import Session, Ticket
from bff.store.backend import Backend, LockTimes, Rates, Sources, StoreOptions, open_backend
from bff.store.cached_store import CachedSessionStore
from bff.store.invalidations import InvalidationFeed
from bff.store.options import CacheOptions
from bff.store.options import Clock as Seconds
from bff.store.protocol import Found, Touch
from bff.store.record import SCHEMA
from tests.values import Clock, a_session, new_ring, new_ticket

RATE_SECONDS = 600
LOGINS = 3
GUESTS = LOGINS  # equal, so that only their names keep the two counts apart
CALLS = 4
REFRESHES = 5
INDEX_SECONDS = 7_776_000
CONNECTING_TRIES = 20
CACHE_BYTES = 1 << 24
BEAT_SECONDS = 0.005


async def caught_up(feed: InvalidationFeed, monotonic: Seconds = time.monotonic) -> None:
    """Wait until everything is known of that was written before this call."""
    feed.start()
    called_at = monotonic()
    async with asyncio.timeout(30):
        while feed.proven_at < called_at:  # noqa: ASYNC110 - a proof tells nobody
            await asyncio.sleep(BEAT_SECONDS)


class CaughtUp:
    """A cached store of which every read knows what was written before it, so that tests need not wait."""

    def __init__(self, store: CachedSessionStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def peek(self, ticket: Ticket, touch: Touch = Touch.LAZY) -> Found:
        await caught_up(self._store.feed)
        return await self._store.peek(ticket, touch)


class Replicas:
    """Opens backends of one tenant that nobody else has, and closes them in the end.

    Args:
        url: where the backend is.
        ring: the keys of all of them, unless one is opened with its own.
        cached: they keep in memory what they have read, and each read waits until all earlier writes are known of.
        tenant: whose sessions they keep, where another process has them too.
    """

    def __init__(
        self, url: str, ring: KeyRing | None = None, *, cached: bool = False, tenant: str | None = None
    ) -> None:
        self.url = url
        self.cached = cached
        self.tenant = tenant or "t" + secrets.token_hex(5)
        self.ring = ring or new_ring(tenant=self.tenant)
        self.clock = Clock()
        self._ending = AsyncExitStack()

    def open(
        self,
        *,
        url: str | None = None,
        ring: KeyRing | None = None,
        clock: Seconds | None = None,
        monotonic: Seconds = time.monotonic,
        lock_times: LockTimes | None = None,
        schema: int = SCHEMA,
    ) -> Backend:
        """Open the backend of one replica, which may have its own address, keys, clocks, patience and schema."""
        options = StoreOptions(
            tenant=self.tenant,
            index_lifetime=INDEX_SECONDS,
            rates=Rates(
                login=(LOGINS, RATE_SECONDS),
                guest=(GUESTS, RATE_SECONDS),
                account=(CALLS, RATE_SECONDS),
                refresh=(REFRESHES, RATE_SECONDS),
            ),
            lock_times=lock_times or LockTimes(),
            cache=CacheOptions(most_bytes=CACHE_BYTES if self.cached else 0, beat=BEAT_SECONDS),
            schema=schema,
        )
        sources = Sources(clock or self.clock, monotonic, secrets.token_bytes)
        backend = open_backend(Secret(url or self.url), ring or self.ring, options, sources)
        self._ending.push_async_callback(backend.aclose)
        if not isinstance(backend.store, CachedSessionStore):
            return backend
        return replace(backend, store=CaughtUp(backend.store))

    async def connected(self, count: int, *, clock: Seconds | None = None) -> list[Backend]:
        """Open so many replicas and connect each: what races afterwards is their commands, not how they connect."""
        opened = [self.open(clock=clock) for _ in range(count)]
        for backend in opened:
            await _connect(backend)
        return opened

    async def is_locked(self, ticket: Ticket) -> bool:
        """Say whether somebody holds a session's lock, by trying for it once."""
        impatient = self.open(lock_times=LockTimes(wait=0))
        try:
            async with impatient.locks.hold(ticket):
                return False
        except UpstreamUnavailable:
            return True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._ending.aclose()


async def _connect(backend: Backend) -> None:
    """Find the topology of the backend's server, also on a machine that is too busy for the proxy's deadlines."""
    for _ in range(CONNECTING_TRIES):
        with suppress(StoreUnavailable):
            return await backend.store.ping()
    raise AssertionError("the backend cannot be connected to")


async def begin(backend: Backend, **changes: Any) -> tuple[Ticket, Session]:
    """Create a session and return it with what opens it."""
    ticket = new_ticket()
    return ticket, await backend.store.create(ticket, a_session(**changes))
