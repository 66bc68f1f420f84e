"""Three replicas of the session engine, a model of Redis and one of Emporix, on one loop and from one seed."""

import contextvars
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random  # noqa: TID251 - from a seed
from typing import Any, Final

from bff.emporix.auth import EmporixAuth
from bff.emporix.carts import EmporixCarts
from bff.emporix.session_context import EmporixSessionContext
from bff.security.keyring import KeyRing
from bff.session import Lifetimes as SessionLifetimes
from bff.session import RecordPurpose, Ticket
from bff.sessions.audit import Audit
from bff.sessions.engine import Engine
from bff.sessions.ports import Policy, Ports
from bff.sessions.tasks import Tasks
from bff.store.customer_index import RedisCustomerIndex
from bff.store.locks import RedisSessionLocks
from bff.store.options import LockTimes
from bff.store.protocol import Found, LockedRead, RatedCall
from bff.store.redis_keys import RedisKeys
from bff.store.redis_reader import RedisSessionReader
from bff.store.redis_store import RedisSessionStore
from bff.upstream.token_calls import TokenCallClient
from tests.simulation import emporix_client, redis_client
from tests.simulation.choices import Choices
from tests.simulation.emporix_client import EmporixClient
from tests.simulation.emporix_server import EmporixServer, Lifetimes
from tests.simulation.ledger import Ledger, WatchedRecords
from tests.simulation.line import Line
from tests.simulation.loop import VirtualLoop
from tests.simulation.redis_client import RedisClient
from tests.simulation.redis_server import RedisServer
from tests.simulation.replica import Replica
from tests.values import TENANT

REPLICAS: Final = 3
DAY: Final = 86_400.0
_RING: Final = KeyRing([("k1", bytes(32))], TENANT, Random(0).randbytes)
_SHARED: Final = Ticket(b"s" * 16, b"s" * 32, RecordPurpose.SHARED_TOKEN)


class World:
    """Everything of one run.

    Args:
        seed: decides all chances.
        lock_times: of the session locks.
        on_trace: takes a line for each thing that happens.
    """

    def __init__(
        self, seed: int, *, lock_times: LockTimes | None = None, on_trace: Callable[[str], None] | None = None
    ) -> None:
        self.choices = Choices(seed)
        self.loop = VirtualLoop(self.choices.pick)
        self.lock_times = lock_times or LockTimes()
        self._on_trace = on_trace
        lifetimes = Lifetimes(access=self.choices.between(20.0, 200.0), refresh=DAY)
        self.emporix = EmporixServer(self.loop, self.choices, lifetimes)
        self.ledger = Ledger(self.loop, self.emporix, _SHARED, LockTimes().lease, self.trace)
        self.redis = RedisServer(self.loop, self.ledger.changed)
        self.policy = Policy(
            guest=SessionLifetimes(DAY, 7 * DAY),
            customer=SessionLifetimes(DAY, 7 * DAY),
            refresh_skew=self.choices.between(1.0, 60.0),
            site_code=None,
            keeps_guests=self.choices.chance(0.3),
            keeps_context=True,
            shared_ticket=lambda: _SHARED,
        )
        self.records = WatchedRecords(_RING, self.ledger)
        self.lives: list[Replica] = []
        self.replicas: list[tuple[Replica, Engine] | None] = [self._begun(slot) for slot in range(REPLICAS)]
        self.loop.on_advance = self._check

    def trace(self, what: str) -> None:
        if self._on_trace is not None:
            self._on_trace(f"{self.loop.time():9.3f}  {what}")

    def _check(self) -> None:
        self.ledger.check_locks(self.redis.get)
        self.ledger.check()

    def _begun(self, slot: int) -> tuple[Replica, Engine]:
        """Start a replica, which knows nothing of its earlier lives."""
        lives = sum(life.name.startswith(f"replica {slot}") for life in self.lives)
        replica = Replica(f"replica {slot}.{lives}", self.loop, lambda _: self._ended(slot), self.trace)
        self.lives.append(replica)
        return replica, Engine(self.policy, self._ports(replica))

    def _ended(self, slot: int) -> None:
        self.replicas[slot] = None
        pause = self.choices.between(0.5, 10.0)
        self.loop.call_later(pause, self._restart, slot, context=contextvars.Context())

    def _restart(self, slot: int) -> None:
        self.replicas[slot] = self._begun(slot)
        self.trace(f"{self.lives[-1]} begins")

    def _ports(self, replica: Replica) -> Ports:
        """Return a replica's ports: the store's real parts over a model of Redis, Emporix' real calls over another."""
        choices, clock, bytes_of = self.choices, replica.clock, self.choices.random_bytes
        redis: Any = RedisClient(
            self.redis, Line(replica, redis_client.HABITS, choices, self.loop, self.trace)
        )
        upstream = EmporixClient(
            self.emporix,
            Line(replica, emporix_client.HABITS, choices, self.loop, self.trace),
            self.ledger.calling,
            self.loop.time,
        )
        keys, calls = RedisKeys(TENANT), TokenCallClient(upstream)
        store = RedisSessionStore(redis, self.records, keys, clock=clock, random_bytes=bytes_of)
        locks = WatchedLocks(
            redis,
            RedisSessionReader(self.records, clock),
            keys,
            self.lock_times,
            monotonic=self.loop.time,
            random_bytes=bytes_of,
        )
        locks.ledger, locks.replica = self.ledger, replica
        return Ports(
            store=store,
            locks=locks,
            customers=RedisCustomerIndex(redis, store, _RING, keys, lifetime=DAY),
            limits=Unlimited(),
            emporix=EmporixAuth(calls, tenant=TENANT, client_id="shop", clock=clock),
            carts=EmporixCarts(calls, tenant=TENANT),
            contexts=EmporixSessionContext(calls, tenant=TENANT),
            audit=Audit(_RING),
            tasks=Tasks(),
            clock=clock,
            monotonic=self.loop.time,
            random_bytes=bytes_of,
        )

    def end(self) -> None:
        """Cancel all that is left of the run, in every life of every replica."""
        self.loop.on_advance = lambda: None
        self.choices.calm = True
        for replica in self.lives:
            replica.revive()
        self.loop.run(self.loop.cancel_all())


class WatchedLocks(RedisSessionLocks):
    """Session locks that show the ledger who holds them."""

    ledger: Ledger
    replica: Replica

    @asynccontextmanager
    async def hold(
        self, ticket: Ticket, *, unless: Callable[[Found], bool] | None = None, renews: bool = False
    ) -> AsyncIterator[LockedRead]:
        async with super().hold(ticket, unless=unless, renews=renews) as read:
            if not read.acquired:
                yield read
                return
            self.ledger.entered(ticket, self.replica)
            try:
                yield read
            finally:
                self.ledger.left(ticket, self.replica)


class Unlimited:
    """Rate limits that nobody reaches."""

    async def guest(self, _client: str) -> bool:
        return True

    async def sign_on(self, _client: str) -> bool:
        return True

    async def account(self, _client: str, _account: str) -> bool:
        return True

    async def call(self, _call: RatedCall, _client: str) -> bool:
        return True
