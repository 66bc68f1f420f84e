"""The Redis backend: one client, and everything that goes through it."""

import logging
from collections.abc import Awaitable
from dataclasses import replace

from redis.asyncio import Redis

from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.store.cache import SessionCache
from bff.store.cached_store import CachedSessionStore
from bff.store.census import SessionCensus
from bff.store.connection import connect, is_cluster_url
from bff.store.customer_index import RedisCustomerIndex
from bff.store.diagnosis import connection_mistake
from bff.store.invalidations import InvalidationFeed
from bff.store.locks import RedisSessionLocks
from bff.store.options import CacheOptions, Sources, StoreOptions
from bff.store.protocol import Backend, SessionStore
from bff.store.rate_limits import RedisRateLimits
from bff.store.record import SealedRecords
from bff.store.redis_keys import RedisKeys
from bff.store.redis_reader import RedisSessionReader
from bff.store.redis_store import RedisSessionStore
from bff.store.replaceable import ReplaceableRedis, is_cluster
from bff.store.trial import rights_mistake
from bff.store.unready import UnreadyReport
from bff.store.url_change import UrlChange
from bff.telemetry.logs import event
from bff.telemetry.metrics import SESSION_CACHE

_log = logging.getLogger(__name__)


def open_redis_backend(url: Secret, ring: KeyRing, options: StoreOptions, sources: Sources) -> Backend:
    """Return the backend of a Redis URL (see `bff.store.connection.connect`); nothing is connected yet.

    Raises:
        ValueError: the URL is none of Redis.
    """
    redis, keys, records = ReplaceableRedis(connect(url)), RedisKeys(options.tenant), SealedRecords(ring)
    clock, random_bytes = sources.clock, sources.random_bytes
    plain = RedisSessionStore(
        redis, records, keys, clock=clock, random_bytes=random_bytes, schema=options.schema
    )
    cached = _cached(plain, redis, keys, options, sources)
    if cached is not None:
        ring.on_replace(cached.forget)  # a session that no key opens any more must not be served from memory
    store: SessionStore = cached or plain
    locks = RedisSessionLocks(
        redis,
        RedisSessionReader(records, clock),
        keys,
        options.lock_times,
        monotonic=sources.monotonic,
        random_bytes=random_bytes,
    )
    customers = RedisCustomerIndex(redis, store, ring, keys, lifetime=options.index_lifetime)
    limits = RedisRateLimits(
        redis,
        options.tenant,
        options.rates,
        clock=clock,
    )
    server = _Server(url, redis, cached, ring, options, sources)

    census = SessionCensus(redis, keys)

    async def aclose() -> None:
        await census.aclose()
        await locks.aclose()
        await plain.aclose()
        await server.aclose()

    return Backend(store, locks, customers, limits, server.url_change, server.unready, census, aclose)


class _Server:
    """Where the commands of a backend go to, and what its cache hears of.

    Args:
        url: where the client connects to.
        redis: the client.
        cached: the store, where it has a cache.
        ring: the server's keys.
        options: those of the backend.
        sources: those of the backend.
    """

    def __init__(
        self,
        url: Secret,
        redis: ReplaceableRedis,
        cached: CachedSessionStore | None,
        ring: KeyRing,
        options: StoreOptions,
        sources: Sources,
    ) -> None:
        self._url = url
        self._redis = redis
        self._cached = cached
        self._ring = ring
        self._options = options
        self._sources = sources
        self.url_change = UrlChange(self._mistake, self._change)
        self.unready = UnreadyReport(lambda: self._mistake(self._url))

    async def _mistake(self, url: Secret) -> str | None:
        """Return why this URL cannot be used; tried with a backend of its own."""
        if is_cluster_url(url) is not is_cluster(self._redis):
            return "of another kind takes a restart"
        if mistake := await connection_mistake(url):
            return mistake
        trial = open_redis_backend(
            url, self._ring, replace(self._options, cache=CacheOptions()), self._sources
        )
        try:
            return await rights_mistake(trial, self._sources.clock())
        finally:
            await trial.aclose()

    def _change(self, url: Secret) -> Awaitable[None]:
        """Use another server, or the same one otherwise, from now on: what is in memory may be of the old one."""
        self._url, client = url, connect(url)
        commands_ended = self._redis.replace(client)
        if self._cached is None or not isinstance(client, Redis):
            return commands_ended
        old = self._cached.follow(self._cached.feed.over(client))
        return _both(old.aclose(), commands_ended)

    async def aclose(self) -> None:
        """Close all connections."""
        await self.unready.aclose()
        await self.url_change.aclose()
        if self._cached is not None:
            await self._cached.feed.aclose()
        await self._redis.aclose()


async def _both(first: Awaitable[None], second: Awaitable[None]) -> None:
    try:
        await first
    finally:
        await second


def _cached(
    store: RedisSessionStore,
    redis: ReplaceableRedis,
    keys: RedisKeys,
    options: StoreOptions,
    sources: Sources,
) -> CachedSessionStore | None:
    """Return the store with a cache; None without one: where it is off, and over a cluster."""
    if not options.cache.most_bytes:
        return None
    if not isinstance(redis.client, Redis):
        SESSION_CACHE.labels("cluster").inc()
        event(_log, "session_cache_off", reason="cluster")
        return None
    cache = SessionCache(sources.clock, most_bytes=options.cache.most_bytes)
    feed = InvalidationFeed(
        redis.client,
        keys.everything.removesuffix("*"),
        cache,
        monotonic=sources.monotonic,
        beat=options.cache.beat,
    )
    return CachedSessionStore(store, cache, feed, keys)
