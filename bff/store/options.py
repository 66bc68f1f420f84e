"""What a backend of the store is opened with."""

from collections.abc import Callable
from dataclasses import dataclass

from bff.security.keyring import RandomBytes

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
class StoreOptions:
    """What a backend must know besides its address and the server's keys.

    Attributes:
        tenant: part of every key.
        index_lifetime: seconds that a customer's index outlives the last login by.
        login_rate: how many logins in how many seconds, per account and per client address.
        guest_rate: how many new guests in how many seconds, per client address.
        lock_times: how long a session's lock lasts and is waited for.
    """

    tenant: str
    index_lifetime: float
    login_rate: tuple[int, int]
    guest_rate: tuple[int, int]
    lock_times: LockTimes = LockTimes()


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
