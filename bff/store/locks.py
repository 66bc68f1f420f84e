"""Session locks in Redis: one worker at a time per session, over all replicas."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any, Final

from bff.errors import BffError, NotAsked, StoreUnavailable
from bff.session import Session, Ticket
from bff.store import redis_scripts as scripts
from bff.store.options import LockTimes
from bff.store.protocol import Found, LockedRead
from bff.store.redis_failures import unavailable_on_failure
from bff.store.redis_keys import RedisKeys
from bff.store.redis_reader import RedisSessionReader, milliseconds
from bff.store.replaceable import AnyRedis
from bff.telemetry.metrics import RENEWAL_LOCK_SECONDS

_POLL_SECONDS: Final = 0.05
_ACQUIRED, _SHARED, _GAVE_UP = (
    RENEWAL_LOCK_SECONDS.labels(outcome).observe for outcome in ("acquired", "shared", "gave up")
)
_EXTENSIONS_A_LEASE: Final = 4
"""So that a lock outlasts one that fails and is late."""


class RedisSessionLocks:
    """Takes a session's Redis lock, reads the session with it, and gives it back.

    Args:
        redis: where the sessions are.
        reader: reads the session that comes with its lock.
        keys: names the keys.
        times: how long a lock lasts without its holder, and how long one waits for it.
        monotonic: seconds, for waiting.
        random_bytes: the source of owners' marks, and of the pauses of those who wait, so that not all ask at once.
    """

    def __init__(
        self,
        redis: AnyRedis,
        reader: RedisSessionReader,
        keys: RedisKeys,
        times: LockTimes,
        *,
        monotonic: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        client: Any = redis
        self._lock = client.register_script(scripts.LOCK)
        self._extend = client.register_script(scripts.EXTEND)
        self._unlock = client.register_script(scripts.UNLOCK)
        self._reader = reader
        self._keys = keys
        self._times = times
        self._monotonic = monotonic
        self._random_bytes = random_bytes
        self._late: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def hold(
        self, ticket: Ticket, *, unless: Callable[[Found], bool] | None = None, renews: bool = False
    ) -> AsyncIterator[LockedRead]:
        """Hold the lock for the block; see `SessionLocks`."""
        owner = self._random_bytes(16)
        read = await self._awaited(ticket, owner, unless, renews=renews)
        if not read.acquired:
            yield read
            return
        extending = asyncio.create_task(self._keep(ticket, owner))
        fence = read.found.fence if isinstance(read.found, Session) else 0
        store_failed = False
        try:
            yield read
        except (BffError, asyncio.CancelledError) as exc:
            fence = 0  # upstream may have issued tokens that are not stored
            store_failed = isinstance(exc, StoreUnavailable)
            raise
        finally:
            extending.cancel()
            if not read.ended:
                giving_back = self._give_back(ticket, owner, fence)
                if store_failed:
                    self._later(giving_back)  # a visitor who waited for the store once does not wait again
                else:
                    await giving_back

    async def aclose(self) -> None:
        """Wait for locks that are still to be given back."""
        if self._late:
            await asyncio.wait(self._late)

    async def _give_back(self, ticket: Ticket, owner: bytes, fence: int) -> None:
        with suppress(StoreUnavailable):  # it ends by itself
            await self.unlock(ticket, owner, fence)

    def _later(self, giving_back: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(giving_back)
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _awaited(
        self, ticket: Ticket, owner: bytes, unless: Callable[[Found], bool] | None, *, renews: bool
    ) -> LockedRead:
        """Try for the lock until it is there, waiting has become pointless, or the time is over."""
        began = self._monotonic()
        while True:
            read = await self.try_lock(ticket, owner, renews=renews)
            if read.acquired or (unless is not None and unless(read.found)):
                if renews:
                    (_ACQUIRED if read.acquired else _SHARED)(self._monotonic() - began)
                return read
            waited = self._monotonic() - began
            if waited >= self._times.wait:
                if renews:
                    _GAVE_UP(waited)
                raise NotAsked("another request is busy with this session", retry_after=1)
            await asyncio.sleep(self._pause())

    async def try_lock(self, ticket: Ticket, owner: bytes, *, renews: bool = False) -> LockedRead:
        """Take the lock if it is free, and read the session in any case.

        Args:
            ticket: which session.
            owner: 16 random bytes; who holds the lock with this mark holds it still.
            renews: open the write-ahead mark and take a fencing number.
        """
        name = ticket.record_name
        async with unavailable_on_failure("lock"):
            acquired, fence, open_before, reply = await self._lock(
                keys=[self._keys.session(name), self._keys.lock(name)],
                args=[self._reader.now(), owner, milliseconds(self._times.lease), int(renews)],
            )
        found = self._reader.read(ticket, reply)
        if isinstance(found, Session):
            found = replace(found, fence=fence)
        return LockedRead(found, bool(acquired), bool(open_before))

    async def _keep(self, ticket: Ticket, owner: bytes) -> None:
        """Extend the lock again and again, until it is somebody else's."""
        held = True
        while held:
            await asyncio.sleep(self._times.lease / _EXTENSIONS_A_LEASE)
            with suppress(StoreUnavailable):
                held = await self.extend(ticket, owner)

    async def extend(self, ticket: Ticket, owner: bytes) -> bool:
        """Let the lock last for another lease; return False where it is not this owner's any more."""
        async with unavailable_on_failure("extend"):
            keys, lease = [self._keys.lock(ticket.record_name)], milliseconds(self._times.lease)
            return bool(await self._extend(keys=keys, args=[owner, lease]))

    async def unlock(self, ticket: Ticket, owner: bytes, fence: int = 0) -> None:
        """Give the lock back if it is still this owner's, and close the mark of the renewal with this number."""
        name = ticket.record_name
        async with unavailable_on_failure("unlock"):
            await self._unlock(keys=[self._keys.lock(name), self._keys.session(name)], args=[owner, fence])

    def _pause(self) -> float:
        """Return how long to wait between two looks: half to one and a half times the usual."""
        return _POLL_SECONDS * (0.5 + self._random_bytes(1)[0] / 256)
