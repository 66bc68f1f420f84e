"""What the sessions room asks of its store, as small interfaces. One file implements each of them for one backend.

A store that cannot be reached raises `StoreUnavailable`, which is never the same as a session that is not there.
"""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

from bff.security.secret import Secret
from bff.session import Carrier, EndReason, Session, Ticket, Tombstone

T = TypeVar("T")


class Touch(Enum):
    """Whether reading a session extends its idle lifetime."""

    NO = "no"
    LAZY = "lazy"
    """Yes, but a last-seen time that is only a moment old is left as it is."""
    EXACT = "exact"
    """Yes, to the moment."""


class SessionStore(Protocol):
    """Keeps sessions. Every write names the generation that it read (compare-and-set)."""

    async def ping(self) -> None:
        """Return when the store answers."""
        ...

    async def peek(self, ticket: Ticket, touch: Touch = Touch.LAZY) -> Session | Tombstone | None:
        """Read for the hot path; a short time behind other replicas is allowed."""
        ...

    async def load_fresh(self, ticket: Ticket) -> Session | Tombstone | None:
        """Read what the store has now, for a decision that is taken under the session's lock."""
        ...

    async def create(self, ticket: Ticket, session: Session) -> Session:
        """Write a new session and return it with its first generation."""
        ...

    def write_mark(self) -> bytes:
        """Return a mark for one write: a retry with the same mark recognises its own success."""
        ...

    async def replace(self, ticket: Ticket, session: Session, *, mark: bytes | None = None) -> Session | None:
        """Write over the generation that `session` was read at; None where another write came first."""
        ...

    async def retire(
        self, ticket: Ticket, reason: EndReason, *, generation: int | None = None, keep_record: bool = False
    ) -> bool:
        """End a session and leave a tombstone; return whether this call ended it."""
        ...

    async def retire_name(
        self, name: bytes, reason: EndReason, *, generation: int | None = None, keep_record: bool = False
    ) -> bool:
        """End a session that is known by its record's name only; otherwise as `retire`."""
        ...

    async def names(self) -> list[bytes]:
        """Return the names of all sessions of this tenant; for operators, it looks at every key."""
        ...

    async def inspect(self, most: int = 100) -> list[dict[str, Any]]:
        """Return what anybody with access to the store would see of up to `most` keys, for people to look at."""
        ...

    async def delete(self, ticket: Ticket) -> None:
        """Remove a session whose id no visitor has received."""
        ...

    async def claim(self, name: bytes, seconds: float) -> bool:
        """Take a name once in `seconds`; False where it was taken already."""
        ...


class SessionLocks(Protocol):
    """One worker at a time per session, over all replicas."""

    def hold(
        self, ticket: Ticket, *, unless: Callable[[], Awaitable[T | None]] | None = None
    ) -> AbstractAsyncContextManager[T | None]:
        """Hold the lock for the block and yield None, or stop waiting and yield what `unless` found.

        Raises:
            UpstreamUnavailable: another worker kept the lock for as long as one waits.
        """
        ...


@dataclass(frozen=True, slots=True)
class OwnSession:
    """One of a customer's sessions, as its owner may see it. Times are seconds since the epoch."""

    ref: str
    name: bytes
    created_at: float
    last_seen_at: float
    carrier: Carrier
    user_agent: str | None
    number: str | None


class CustomerIndex(Protocol):
    """Knows which sessions one customer has, and ends them without being able to open them."""

    async def add(self, ticket: Ticket, session: Session) -> None:
        """Note a customer's session."""
        ...

    async def own(self, ticket: Ticket, session: Session) -> list[OwnSession]:
        """Return a customer's sessions, newest first, this one among them."""
        ...

    async def of(self, *owners: Secret) -> list[OwnSession]:
        """Return the sessions of these owners, newest first."""
        ...

    async def end(self, entry: OwnSession, reason: EndReason) -> bool:
        """End one session; return whether this call ended it."""
        ...

    async def end_others(self, ticket: Ticket, session: Session, reason: EndReason) -> int:
        """End all of a customer's sessions but this one, and return how many that were."""
        ...


class RateLimits(Protocol):
    """Counts what a client may do only so often; raises `TooManyRequests`. Open where its store is silent."""

    async def guest(self, client: str) -> None:
        """Count one new guest of a client address."""
        ...

    async def login(self, client: str, account: str) -> None:
        """Count one login of an account from a client address."""
        ...

    async def sign_on(self, client: str) -> None:
        """Count one login that names no account."""
        ...
