"""The Redis backend: one client, and everything that goes through it."""

from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.store.connection import connect
from bff.store.customer_index import RedisCustomerIndex
from bff.store.locks import RedisSessionLocks
from bff.store.options import Sources, StoreOptions
from bff.store.protocol import Backend
from bff.store.rate_limits import RedisRateLimits, SharedRedisStorage
from bff.store.record import SealedRecords
from bff.store.redis_keys import RedisKeys
from bff.store.redis_reader import RedisSessionReader
from bff.store.redis_store import RedisSessionStore


def open_redis_backend(url: Secret, ring: KeyRing, options: StoreOptions, sources: Sources) -> Backend:
    """Return the backend of a Redis URL (see `bff.store.connection.connect`); nothing is connected yet.

    Raises:
        ValueError: the URL is none of Redis.
    """
    redis, keys, records = connect(url), RedisKeys(options.tenant), SealedRecords(ring)
    clock, random_bytes = sources.clock, sources.random_bytes
    store = RedisSessionStore(
        redis, records, keys, clock=clock, random_bytes=random_bytes, schema=options.schema
    )
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
    return Backend(store, locks, customers, limits, redis.aclose)
