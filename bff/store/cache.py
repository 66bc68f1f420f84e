"""Sessions that this process has read, kept in memory: within bounds, each for the ticket that opened it alone.

It knows nothing of Redis. Whoever fills it says when a session was written (`drop`), and when writes may have been
missed (`clear`).
"""

import sys
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, fields, is_dataclass
from hmac import compare_digest
from typing import Final

from bff.security.secret import Secret
from bff.session import Session, Ticket
from bff.store.protocol import RARE_TOUCH_SECONDS, Touch

MOST_ENTRIES: Final = 20_000

_NO, _EXACT = Touch.NO, Touch.EXACT  # a member of an enum costs more to look up than a session

_ENTRY_BYTES: Final = 900
"""What an entry takes besides its session: its names, its places in three tables, and the session's credentials."""


@dataclass(frozen=True, slots=True)
class _Entry:
    """A session, and what it takes to get it.

    Attributes:
        ticket: what opened it.
        session: it.
        key: its name in the store.
        ends_at: from then on it has expired, unless it is used before.
        touch_at: from then on a use is to be written.
        size: an estimate of its bytes.
    """

    ticket: Ticket = field(repr=False)
    session: Session
    key: bytes
    ends_at: float
    touch_at: float
    size: int


class Reads:
    """Reads of one session that nothing has overtaken yet, and how many are under way."""

    __slots__ = ("under_way",)

    def __init__(self) -> None:
        self.under_way = 0


class SessionCache:
    """Keeps the sessions that were used last.

    Args:
        clock: seconds since the epoch.
        most_bytes: how much memory they may take, by estimate.
        most_entries: how many they may be.
    """

    def __init__(
        self, clock: Callable[[], float], *, most_bytes: int, most_entries: int = MOST_ENTRIES
    ) -> None:
        self._clock = clock
        self._most_bytes = most_bytes
        self._most_entries = most_entries
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._ids: dict[bytes, bytes] = {}
        self._reads: dict[bytes, Reads] = {}
        self._hits = 0
        self.bytes = 0
        """What the sessions take, by estimate."""

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, ticket: Ticket, touch: Touch) -> Session | None:
        """Return the session; None where the store is to be asked.

        That is also where this use is to be written: at once, or because the last one that was is a while ago.
        """
        entry = self._entries.get(ticket.id)
        if entry is None or touch is _EXACT:
            return None
        opened = entry.ticket
        if not compare_digest(opened.secret, ticket.secret) or opened.purpose is not ticket.purpose:
            return None
        if self._clock() >= (entry.ends_at if touch is _NO else entry.touch_at):
            return None
        self._entries.move_to_end(ticket.id)
        self._hits += 1
        return entry.session

    def take_hits(self) -> int:
        """Return how many sessions were found since this was last asked: cheaper than to count each in a metric."""
        hits, self._hits = self._hits, 0
        return hits

    def begin_read(self, key: bytes) -> Reads:
        """Note that the store is being asked for a session, and return what `end_read` wants of this read.

        Reads of a session that overlap share it: one that is read all the time must get into memory too.
        """
        reads = self._reads.get(key)
        if reads is None:
            reads = self._reads[key] = Reads()
        reads.under_way += 1
        return reads

    def end_read(self, key: bytes, reads: Reads) -> bool:
        """Return whether what was read may be kept: not where the session was written or kept meanwhile."""
        reads.under_way -= 1
        if self._reads.get(key) is not reads:
            return False
        if not reads.under_way:
            del self._reads[key]
        return True

    def keep(self, ticket: Ticket, session: Session, key: bytes) -> None:
        """Keep a session; those that were used longest ago make room for it."""
        self.drop(key)
        ends_at = session.idle_expires_at
        pause = min(RARE_TOUCH_SECONDS, session.idle_seconds / 10)
        touch_at = min(session.last_seen_at + pause, ends_at)
        entry = _Entry(ticket, session, key, ends_at, touch_at, _ENTRY_BYTES + _size(session))
        self._entries[ticket.id] = entry
        self._ids[key] = ticket.id
        self.bytes += entry.size
        while self.bytes > self._most_bytes or len(self._entries) > self._most_entries:
            _, oldest = self._entries.popitem(last=False)
            self._forget(oldest)

    def drop(self, key: bytes) -> None:
        """Forget a session that was written, and let nobody keep what is being read of it."""
        self._reads.pop(key, None)
        ticket_id = self._ids.get(key)
        if ticket_id is not None:
            self._forget(self._entries.pop(ticket_id))

    def clear(self) -> None:
        """Forget all sessions, and let nobody keep what is being read."""
        for table in (self._entries, self._ids, self._reads):
            table.clear()
        self.bytes = 0

    def _forget(self, entry: _Entry) -> None:
        del self._ids[entry.key]
        self.bytes -= entry.size


def _size(value: object) -> int:
    """Return how many bytes a session or a part of it takes; what several share counts for each.

    What it makes of its parts by itself, which shares them with it, is not counted here.
    """
    if isinstance(value, Secret):
        return sys.getsizeof(value) + sys.getsizeof(value.reveal())
    size = sys.getsizeof(value)
    if is_dataclass(value):
        size += sum(_size(getattr(value, each.name)) for each in fields(value) if each.init)
    elif isinstance(value, tuple):
        size += sum(map(_size, value))
    return size
