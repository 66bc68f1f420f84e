"""One backend behind all of the store's interfaces, chosen by its URL."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.store.connection import connect
from bff.store.customer_index import RedisCustomerIndex
from bff.store.locks import Locks
from bff.store.protocol import CustomerIndex, RateLimits, SessionLocks, SessionStore
from bff.store.rate_limits import RedisRateLimits, rate_limit_storage
from bff.store.redis_store import RedisSessionStore

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What a backend must know besides its address.

    Attributes:
        tenant: part of every key.
        index_lifetime: seconds that a customer's index outlives the last login by.
        login_rate: how many logins in how many seconds, per account and per client address.
        guest_rate: how many new guests in how many seconds, per client address.
    """

    tenant: str
    index_lifetime: float
    login_rate: tuple[int, int]
    guest_rate: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Backend:
    """A store, its locks, its index of customers and its rate limits; `aclose` closes them all."""

    store: SessionStore
    locks: SessionLocks
    customers: CustomerIndex
    limits: RateLimits
    aclose: Callable[[], Awaitable[None]]


def open_backend(
    url: Secret,
    ring: KeyRing,
    options: StoreOptions,
    *,
    clock: Clock,
    monotonic: Clock,
    random_bytes: Callable[[int], bytes],
) -> Backend:
    """Return the backend of a URL; nothing is connected yet.

    Args:
        url: see `bff.store.connection.connect`.
        ring: the server's keys.
        options: the tenant, lifetimes and rates.
        clock: seconds since the epoch.
        monotonic: seconds, for waiting.
        random_bytes: the source of nonces and write marks.

    Raises:
        ValueError: the URL is none of a known backend.
    """
    redis = connect(url)
    store = RedisSessionStore(
        redis, ring.record_sealer(), options.tenant, clock=clock, random_bytes=random_bytes
    )
    return Backend(
        store,
        Locks(store, clock=monotonic, jitter=secrets.SystemRandom().random),
        RedisCustomerIndex(redis, store, ring, options.tenant, lifetime=options.index_lifetime, clock=clock),
        RedisRateLimits(
            rate_limit_storage(redis, url),
            options.tenant,
            login=options.login_rate,
            guest=options.guest_rate,
            clock=clock,
        ),
        redis.aclose,
    )
