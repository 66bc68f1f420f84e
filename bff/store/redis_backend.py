"""The Redis backend: one client, and everything that goes through it."""

import logging

from redis.asyncio import Redis

from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.store.cache import SessionCache
from bff.store.cached_store import CachedSessionStore
from bff.store.connection import connect
from bff.store.customer_index import RedisCustomerIndex
from bff.store.invalidations import InvalidationFeed
from bff.store.locks import RedisSessionLocks
from bff.store.options import Sources, StoreOptions
from bff.store.protocol import Backend, SessionStore
from bff.store.rate_limits import RedisRateLimits, SharedRedisStorage
from bff.store.record import SealedRecords
from bff.store.redis_keys import RedisKeys
from bff.store.redis_reader import RedisSessionReader
from bff.store.redis_store import AnyRedis, RedisSessionStore
from bff.store.tracked_server import TrackedServer
from bff.telemetry.logs import event
from bff.telemetry.metrics import SESSION_CACHE

_log = logging.getLogger(__name__)


def open_redis_backend(url: Secret, ring: KeyRing, options: StoreOptions, sources: Sources) -> Backend:
    """Return the backend of a Redis URL (see `bff.store.connection.connect`); nothing is connected yet.

    Raises:
        ValueError: the URL is none of Redis.
    """
    redis, keys, records = connect(url), RedisKeys(options.tenant), SealedRecords(ring)
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
        SharedRedisStorage(redis),
        options.tenant,
        options.rates,
        clock=clock,
    )

    async def aclose() -> None:
        if cached is not None:
            await cached.feed.aclose()
        await locks.aclose()
        await redis.aclose()

    return Backend(store, locks, customers, limits, aclose)


def _cached(
    store: RedisSessionStore, redis: AnyRedis, keys: RedisKeys, options: StoreOptions, sources: Sources
) -> CachedSessionStore | None:
    """Return the store with a cache; None without one: where it is off, and over a cluster."""
    if not options.cache.most_bytes:
        return None
    if not isinstance(redis, Redis):
        SESSION_CACHE.labels("cluster").inc()
        event(_log, "session_cache_off", reason="cluster")
        return None
    cache = SessionCache(sources.clock, most_bytes=options.cache.most_bytes)
    feed = InvalidationFeed(
        TrackedServer(redis),
        keys.everything.removesuffix("*"),
        cache,
        monotonic=sources.monotonic,
        beat=options.cache.beat,
    )
    return CachedSessionStore(store, cache, feed, keys)
