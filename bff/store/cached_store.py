"""A session store whose hot-path reads are answered from memory while that is known to be true.

What is kept in memory is dropped by the writes of this process as soon as they are done, and by those of others as
soon as the server says so (`bff.store.invalidations`). While the server says nothing, every read asks the store.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from bff.session import EndReason, HeldSession, Session, Ticket
from bff.store.cache import SessionCache
from bff.store.invalidations import InvalidationFeed
from bff.store.protocol import Found, SessionStore, Touch
from bff.store.redis_keys import RedisKeys
from bff.telemetry.metrics import SESSION_READS

_LAZY, _RARE = Touch.LAZY, Touch.RARE
_MISSED: Final = SESSION_READS.labels("missed")
_OFF: Final = SESSION_READS.labels("off")


class CachedSessionStore:
    """Reads through a cache; see the module.

    Args:
        store: keeps the sessions.
        cache: has those that were read last.
        feed: drops from the cache what was written.
        keys: names the keys that the feed speaks of.
    """

    def __init__(
        self, store: SessionStore, cache: SessionCache, feed: InvalidationFeed, keys: RedisKeys
    ) -> None:
        self._store = store
        self._cache = cache
        self._keys = keys
        self.feed = feed

    async def peek(self, ticket: Ticket, touch: Touch = Touch.LAZY) -> Found:
        """Return what is in memory, else what the store has; only a session that stands is kept.

        A use is written so rarely that most requests need not: a written session is to be read again.
        """
        touch = _RARE if touch is _LAZY else touch
        if not self.feed.current():
            self.feed.start()
            _OFF.inc()
            return await self._store.peek(ticket, touch)
        session = self._cache.find(ticket, touch)
        return session or await self._read(ticket, touch)

    async def _read(self, ticket: Ticket, touch: Touch) -> Found:
        """Ask the store, and keep what it has unless a write has overtaken the read."""
        _MISSED.inc()
        key = self._key(ticket.record_name)
        read, found = self._cache.begin_read(key), None
        try:
            found = await self._store.peek(ticket, touch)
        finally:
            if self._cache.end_read(key, read) and isinstance(found, Session):
                self._cache.keep(ticket, found, key)
        return found

    def follow(self, feed: InvalidationFeed) -> InvalidationFeed:
        """Take another feed, forget every session, and return the old feed, which nobody listens to any more."""
        old, self.feed = self.feed, feed
        self.forget()
        return old

    def forget(self) -> None:
        """Forget every session that is in memory."""
        self._cache.clear()

    def _key(self, name: bytes) -> bytes:
        return self._keys.session(name).encode()

    @contextmanager
    def _dropping(self, *names: bytes) -> Iterator[None]:
        """Drop what the block writes, also where it fails: the write may have happened."""
        try:
            yield
        finally:
            for name in names:
                self._cache.drop(self._key(name))

    async def replace(self, ticket: Ticket, session: Session, *, mark: bytes | None = None) -> Session | None:
        """Write over a generation; see `SessionStore`."""
        with self._dropping(ticket.record_name):
            return await self._store.replace(ticket, session, mark=mark)

    async def supersede(self, old: HeldSession, ticket: Ticket, session: Session) -> Session | None:
        """Write a new session in place of another one; see `SessionStore`."""
        with self._dropping(old.ticket.record_name):
            return await self._store.supersede(old, ticket, session)

    async def retire(
        self,
        ticket: Ticket,
        reason: EndReason,
        *,
        generation: int | None = None,
        keep_record: bool = False,
        successor: Ticket | None = None,
    ) -> bool:
        """End a session and leave a tombstone; see `SessionStore`."""
        with self._dropping(ticket.record_name):
            return await self._store.retire(
                ticket, reason, generation=generation, keep_record=keep_record, successor=successor
            )

    async def retire_name(
        self, name: bytes, reason: EndReason, *, generation: int | None = None, keep_record: bool = False
    ) -> bool:
        """End a session that is known by its record name only; see `SessionStore`."""
        with self._dropping(name):
            return await self._store.retire_name(name, reason, generation=generation, keep_record=keep_record)

    async def delete(self, ticket: Ticket) -> None:
        """Remove a session whose id no visitor has received."""
        with self._dropping(ticket.record_name):
            await self._store.delete(ticket)

    async def load_fresh(self, ticket: Ticket) -> Found:
        """Return what the store has now."""
        return await self._store.load_fresh(ticket)

    async def create(self, ticket: Ticket, session: Session) -> Session:
        """Write a new session; it is kept once it is read."""
        return await self._store.create(ticket, session)

    def write_mark(self) -> bytes:
        """Return a mark for one write."""
        return self._store.write_mark()

    async def ping(self) -> None:
        """Ask whether the store answers."""
        await self._store.ping()

    async def prove_write(self) -> None:
        """Ask whether the store takes writes."""
        await self._store.prove_write()

    async def last_seen(self, names: Sequence[bytes]) -> list[float | None]:
        """Return when each of these records' sessions was last seen, as it is written."""
        return await self._store.last_seen(names)

    async def names(self) -> list[bytes]:
        """Return the record names of all sessions."""
        return await self._store.names()

    async def inspect(self, most: int = 100) -> list[dict[str, Any]]:
        """Return what anybody with access to the store would see."""
        return await self._store.inspect(most)

    async def claim(self, name: bytes, seconds: float) -> bool:
        """Take a name once in `seconds`."""
        return await self._store.claim(name, seconds)

    async def pause(self, name: bytes, seconds: float) -> None:
        """Let all replicas know what is not to be tried for so long."""
        await self._store.pause(name, seconds)

    async def paused_for(self, *names: bytes) -> float:
        """Return what is left of the longest pause."""
        return await self._store.paused_for(*names)
