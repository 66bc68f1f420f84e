"""What a backend of the store is opened with."""

from collections.abc import Callable
from dataclasses import dataclass

from bff.security.keyring import RandomBytes
from bff.store.record import SCHEMA

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class LockTimes:
    """How long a session's lock lasts, and how long one waits for it, in seconds.

    Attributes:
        lease: a lock whose holder is alive is extended; after its end, the lock ends so much later.
        wait: after this a waiter gives up.
    """

    lease: float = 3.5
    wait: float = 2.5


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """What is kept in memory of the sessions that were read.

    Attributes:
        most_bytes: how much memory they may take; 0 keeps none.
        beat: seconds between two proofs that nothing was missed.
    """

    most_bytes: int = 0
    beat: float = 0.25


Rate = tuple[int, int]
"""How many in how many seconds."""


@dataclass(frozen=True, slots=True)
class Rates:
    """How often a client address may do what costs upstream something, or guesses.

    Attributes:
        login: logins; what an account may be tried follows from it.
        guest: new guests.
        account: sign-ups, calls that send a mail, and calls that bring a password; each counted apart.
        refresh: refreshes that a visitor asks for.
    """

    login: Rate
    guest: Rate
    account: Rate
    refresh: Rate


@dataclass(frozen=True, slots=True)
class StoreOptions:
    """What a backend must know besides its address and the server's keys.

    Attributes:
        tenant: part of every key.
        index_lifetime: seconds that a customer's index outlives the last login by.
        rates: the rate limits.
        lock_times: how long a session's lock is held and waited for.
        cache: whether sessions that were read are kept in memory.
        schema: what new sessions are written in (see `bff.store.record`).
    """

    tenant: str
    index_lifetime: float
    rates: Rates
    lock_times: LockTimes = LockTimes()
    cache: CacheOptions = CacheOptions()
    schema: int = SCHEMA


@dataclass(frozen=True, slots=True)
class Sources:
    """Where time and randomness come from.

    Attributes:
        clock: seconds since the epoch.
        monotonic: seconds, for waiting.
        random_bytes: as many random bytes as are asked for, of which nonces and marks are made.
    """

    clock: Clock
    monotonic: Clock
    random_bytes: RandomBytes
