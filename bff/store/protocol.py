"""What other rooms know of the store: small interfaces, which one file implements for each backend.

- A session that is not there is None; a store that cannot be reached raises `StoreUnavailable`. These are never the
  same. Every method that asks the store may raise it, unless its own text says otherwise.
- Times are seconds since the epoch as floats; durations are seconds.
- A *record name* is the hash of a session's id (`bff.session.Ticket`): it names the session and opens nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Final, Protocol

from bff.security.secret import Secret
from bff.session import Carrier, EndReason, HeldSession, OtherSchema, Session, Ticket, Tombstone

Found = Session | Tombstone | OtherSchema | None
"""What a store has for a ticket: the session, for 30 seconds after its end a tombstone, else None."""


RARE_TOUCH_SECONDS: Final = 60.0


class Touch(Enum):
    """Whether reading a session extends its idle lifetime."""

    NO = "no"
    LAZY = "lazy"
    """Yes, but a last-seen time that is only a moment old is left as it is."""
    RARE = "rare"
    """Yes, but a last-seen time that is less than `RARE_TOUCH_SECONDS` old is left as it is."""
    EXACT = "exact"
    """Yes, to the moment."""


class SessionStore(Protocol):
    """Keeps sessions. Every write names the generation that it read (compare-and-set)."""

    async def ping(self) -> None:
        """Return once the store has answered."""
        ...

    async def prove_write(self) -> None:
        """Return once the store has taken a write: one that is full or read-only answers and keeps nothing."""
        ...

    async def peek(self, ticket: Ticket, touch: Touch = Touch.LAZY) -> Found:
        """Read for the hot path; what other replicas did a moment ago may be missing."""
        ...

    async def load_fresh(self, ticket: Ticket) -> Found:
        """Read what the store has now, without extending the idle lifetime."""
        ...

    async def create(self, ticket: Ticket, session: Session) -> Session:
        """Write a new session and return it with its first generation.

        Raises:
            StoreUnavailable: also where the id is taken, which random ids never are.
        """
        ...

    def write_mark(self) -> bytes:
        """Return a mark for one write; a retry with the same mark recognises its own success. Asks nobody."""
        ...

    async def replace(self, ticket: Ticket, session: Session, *, mark: bytes | None = None) -> Session | None:
        """Write over the generation that `session` was read at; None where another write came first.

        A renewal names its fencing number too: None where a later renewal has written.

        Lifetimes stay as they were: a write is not a use.

        Args:
            ticket: which session.
            session: what to write.
            mark: the same for every try of one write; None for a write that is tried once.
        """
        ...

    async def supersede(self, old: HeldSession, ticket: Ticket, session: Session) -> Session | None:
        """Write a new session in place of another one, and return it with its first generation.

        The old one ends as `EndReason.SUPERSEDED`, with its record kept. Where it was written or ended since it was
        read, nothing happens: None.

        Args:
            old: the session that ends, at the generation that was read.
            ticket: what opens the new one.
            session: the new one.
        """
        ...

    async def retire(
        self,
        ticket: Ticket,
        reason: EndReason,
        *,
        generation: int | None = None,
        keep_record: bool = False,
        successor: Ticket | None = None,
    ) -> bool:
        """End a session and leave a tombstone; return whether this call ended it.

        Args:
            ticket: which session.
            reason: what later requests with this id learn.
            generation: end it only if nobody wrote since; None ends it whatever happened.
            keep_record: leave the session readable in its tombstone, for safe requests that were under way.
            successor: leave this ticket in the tombstone, for the holder of `ticket` alone to read.
        """
        ...

    async def retire_name(
        self, name: bytes, reason: EndReason, *, generation: int | None = None, keep_record: bool = False
    ) -> bool:
        """End a session that is known by its record name only, and has no successor; otherwise as `retire`."""
        ...

    async def last_seen(self, names: Sequence[bytes]) -> list[float | None]:
        """Return when each of these records' sessions was last seen; None for one that is not there any more."""
        ...

    async def names(self) -> list[bytes]:
        """Return the record names of all sessions of this tenant; for operators, because it looks at every key."""
        ...

    async def inspect(self, most: int = 100) -> list[dict[str, Any]]:
        """Return what anybody with access to the store would see of up to `most` keys, for people to look at."""
        ...

    async def delete(self, ticket: Ticket) -> None:
        """Remove a session whose id no visitor has received."""
        ...

    async def claim(self, name: bytes, seconds: float) -> bool:
        """Take a name once in `seconds`; return False where it was taken already."""
        ...

    async def pause(self, name: bytes, seconds: float) -> None:
        """Let all replicas know that what this name stands for is not to be tried for so long."""
        ...

    async def paused_for(self, *names: bytes) -> float:
        """Return how many seconds are left of the longest pause of these names; 0 where there is none."""
        ...


@dataclass(slots=True)
class LockedRead:
    """How a session was when its lock was acquired, or when waiting for the lock had become pointless.

    Attributes:
        found: what the store had.
        acquired: whether the lock is held; False where `unless` ended the waiting.
        renewal_open: an earlier renewal never came to a known end: upstream may have issued tokens to it that its
            replica has yet to store.
        ended: set by the holder that has ended the session, whose lock went with it.
    """

    found: Found
    acquired: bool
    renewal_open: bool = False
    ended: bool = False


class SessionLocks(Protocol):
    """One worker at a time per session, over all replicas."""

    def hold(
        self, ticket: Ticket, *, unless: Callable[[Found], bool] | None = None, renews: bool = False
    ) -> AbstractAsyncContextManager[LockedRead]:
        """Hold a session's lock for the block, and yield the session as it is in the store since.

        A lock that is free is taken at once. While it is not, each look at it also reads the session, and `unless`
        decides whether there is anything left to wait for. What `unless` raises ends the waiting too.

        Args:
            ticket: which session; it need not be there.
            unless: whether a session, as it was found, shows that another worker has done the work already; None
                waits in any case.
            renews: upstream is to be asked for tokens. A mark on the record says so until they are stored or their
                refusal is known, and the session comes with a fencing number, which its writes name.

        Raises:
            UpstreamUnavailable: another worker kept the lock for as long as one waits.
        """
        ...


@dataclass(frozen=True, slots=True)
class OwnSession:
    """One of a customer's sessions, as its owner may see it.

    Attributes:
        ref: what the customer calls it by; it opens nothing.
        name: its record name.
        created_at: when it began.
        last_seen_at: when it was last used.
        carrier: what its visitor carries it in.
        user_agent: what its visitor's client called itself at login, if anything.
        number: the customer number, where upstream gave one.
        address: the e-mail address as it was written at login, where it is known.
    """

    ref: str
    name: bytes
    created_at: float
    last_seen_at: float
    carrier: Carrier
    user_agent: str | None
    number: str | None
    address: str | None


class CustomerIndex(Protocol):
    """Knows which sessions one customer has, and ends them without being able to open them."""

    async def add(self, ticket: Ticket, session: Session) -> None:
        """Note a customer's session; a guest's is not noted."""
        ...

    async def own(self, ticket: Ticket, session: Session) -> list[OwnSession]:
        """Return all sessions of this session's customer, newest first, this one among them; none for a guest."""
        ...

    async def by_email(self, email: str) -> list[OwnSession]:
        """Return the sessions of whoever logged in with this address, newest first.

        They may be several customers': an address may have passed from one to another.
        """
        ...

    async def by_number(self, number: str) -> list[OwnSession]:
        """Return the sessions of the customer who has this number, newest first."""
        ...

    async def end(self, entry: OwnSession, reason: EndReason) -> bool:
        """End one session; return whether this call ended it."""
        ...

    async def end_others(self, ticket: Ticket, session: Session, reason: EndReason) -> list[OwnSession]:
        """End all of a customer's sessions but this one, and return which those were."""
        ...


class RatedCall(StrEnum):
    """What else a client address may do only so often; each is counted apart."""

    SIGN_UP = "sign-up"
    MAIL = "mail"
    """Asks for a mail, such as one to reset a password, or brings what was in one."""
    PASSWORD = "password"  # noqa: S105 - the name of a count
    """Brings the customer's password, which could be a guess."""
    REFRESH = "refresh"


class RateLimits(Protocol):
    """Counts what a client may do only so often.

    Every method returns whether it could count: False where the store failed, which lets through, because a limit
    guards the upstream and nothing else. None raises `StoreUnavailable`.

    Every method raises `TooManyRequests`, with the seconds to wait, where a limit is used up.
    """

    async def guest(self, client: str) -> bool:
        """Count one new guest of a client address."""
        ...

    async def sign_on(self, client: str) -> bool:
        """Count one login from a client address, whatever it logs in with; before the account is counted."""
        ...

    async def account(self, client: str, account: str) -> bool:
        """Count one login to an account: for the account and the client together, then for the account alone.

        The account alone has so high a limit that no single client reaches it: strangers must not lock a customer out.
        """
        ...

    async def call(self, call: RatedCall, client: str) -> bool:
        """Count one call of a client address."""
        ...


class Unready(Protocol):
    """Says in the log why the store is not ready, once for each reason."""

    def look(self) -> None:
        """Begin to look."""
        ...

    def probed(self, *, ready: bool) -> None:
        """Take the outcome of a probe, and look where that says something new."""
        ...


class Census(Protocol):
    """Shows in the metrics about how many sessions there are."""

    def begin(self) -> None:
        """Begin to show it."""
        ...


@dataclass(frozen=True, slots=True)
class Backend:
    """A store, and what comes with it, over the same connections.

    Attributes:
        store: keeps sessions.
        locks: one worker per session over all replicas.
        customers: knows a customer's sessions.
        limits: counts logins and new guests.
        use_url: goes over to another URL as soon as that works; until then, the connections stay as they are.
        unready: says in the log why the store is not ready.
        census: shows in the metrics about how many sessions there are.
        aclose: closes all connections; what is used after it may open new ones.
    """

    store: SessionStore
    locks: SessionLocks
    customers: CustomerIndex
    limits: RateLimits
    use_url: Callable[[Secret], None]
    unready: Unready
    census: Census
    aclose: Callable[[], Awaitable[None]]
