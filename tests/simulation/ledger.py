"""The books of one run: what was stored, asked and answered, and the invariants that all of it must keep."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from bff.security.keyring import KeyRing
from bff.session import EndReason, Session, SessionKind, Ticket
from bff.sessions.request_session import RequestSession
from bff.store.record import SealedRecords
from bff.store.redis_keys import RedisKeys
from tests.simulation.emporix_server import Chain, EmporixServer
from tests.simulation.loop import VirtualLoop
from tests.simulation.redis_server import Value
from tests.simulation.replica import Replica
from tests.values import TENANT

LOCK_SECONDS: Final = 5.0
"""The longest that a lock may outlive its holder."""
LATE_SECONDS: Final = 6.5
"""How late a command may arrive that its sender has given up."""
SAVING_SECONDS: Final = 1.5
"""A replica that can reach the store has stored its new tokens after this time."""


class Invariant(StrEnum):
    """What always holds."""

    ONE_REFRESH = "one refresh at a time"
    NO_OLDER_TOKEN = "no older token is put back"
    NO_REVIVAL = "what has ended stays so"
    NOBODY_CROSSED = "nobody gets another's tokens"
    NOTHING_LOST = "no session is lost that upstream would keep"
    NO_STRAY_LOCK = "no lock outlives its holder for long"
    STORED_FIRST = "tokens are stored before anyone is answered"
    GUEST_GOES_ON = "a refused guest goes on as one other guest"
    NO_SURPRISE = "errors are the documented ones"
    IT_HEALS = "once nothing is wrong any more, everybody is served"


class Violation(Exception):
    """An invariant does not hold."""

    def __init__(self, invariant: Invariant, what: str) -> None:
        super().__init__(f"{invariant}: {what}")
        self.invariant = invariant


@dataclass(slots=True)
class Wish:
    """What may end sessions because somebody asked for it.

    Attributes:
        under_way: how many such requests are.
        until: when the last of what is over has had its effect.
    """

    under_way: int = 0
    until: float = -1.0

    def begin(self) -> None:
        self.under_way += 1

    def end(self, until: float) -> None:
        self.under_way -= 1
        self.until = max(self.until, until)

    def stands(self, now: float) -> bool:
        return self.under_way > 0 or now <= self.until


@dataclass(slots=True)
class Visitor:
    """Somebody who shops, perhaps on one of several devices.

    Attributes:
        name: for people.
        email: whom the visitor logs in as.
        ticket: what the browser has.
        ending: the logouts that were asked for.
        rotating: the logins, which give sessions new ids.
    """

    name: str
    email: str
    ticket: Ticket | None = None
    ending: Wish = field(default_factory=Wish)
    rotating: Wish = field(default_factory=Wish)


@dataclass(slots=True)
class Record:
    """A session as it was last written."""

    session: Session
    chain: Chain


@dataclass(slots=True)
class Flight:
    """A call with a refresh token that is under way."""

    replica: Replica
    since: float


@dataclass(slots=True)
class Hold:
    """Who holds a lock, or held it last.

    Attributes:
        replica: the holder.
        count: how many of its tasks do.
        left_at: when the last of them left.
    """

    replica: Replica
    count: int = 0
    left_at: float = 0.0


@dataclass(slots=True)
class Ledger:
    """Takes note of everything, and says which invariant does not hold.

    Attributes:
        loop: whose time it is.
        emporix: whose tokens are whose.
        shared: opens the record of the shared token.
        lease: how long a lock lasts without its holder.
        trace: takes what happens, for people to read.
    """

    loop: VirtualLoop
    emporix: EmporixServer
    shared: Ticket
    lease: float
    trace: Callable[[str], None]
    visitors: dict[str, Visitor] = field(default_factory=dict)
    violations: list[Violation] = field(default_factory=list)
    customers_ending: defaultdict[str | None, Wish] = field(default_factory=lambda: defaultdict(Wish))
    records: dict[bytes, Record] = field(default_factory=dict)
    ended: set[bytes] = field(default_factory=set)
    issued: set[bytes] = field(default_factory=set)
    sealed: dict[bytes, Session] = field(default_factory=dict)
    stored_tokens: set[str] = field(default_factory=set)
    flights: dict[Chain, list[Flight]] = field(default_factory=dict)
    holds: dict[bytes, dict[Replica, Hold]] = field(default_factory=dict)
    locks: dict[bytes, float] = field(default_factory=dict)
    _keys: RedisKeys = field(default_factory=lambda: RedisKeys(TENANT))

    def violate(self, invariant: Invariant, what: str) -> None:
        self.violations.append(Violation(invariant, what))

    def check(self) -> None:
        """Raise the first violation."""
        if self.violations:
            raise self.violations[0]

    # What is stored

    def changed(self, key: bytes, old: Value | None, new: Value | None) -> None:
        """Take note of a change in Redis."""
        if key.endswith(b":lock"):
            self._lock_changed(key, new)
        elif self._keys.is_session(key):
            name = self._keys.record_name(key)
            if name != self.shared.record_name:
                self._session_changed(name, old, new)

    def _session_changed(self, name: bytes, old: Value | None, new: Value | None) -> None:
        was, now = _live(old), _live(new)
        if now is not None:
            session = self.sealed[_record(now)]
            if was is None and name in self.ended & self.issued:
                # One whose id nobody has received may come back: by a late command, and to nobody's use.
                self.violate(Invariant.NO_REVIVAL, "a record that had ended is back")
            if was is not None:
                self._check_age(self.sealed[_record(was)], session)
            self._stored(name, session)
            if was is None or _record(was) != _record(now):
                self.trace(f"Redis: {name.hex()[:6]} has {session.tokens.access.reveal()}")
        elif was is not None:
            tombstone = new if isinstance(new, dict) else {}
            self.ended.add(name)
            self.trace(f"Redis: {name.hex()[:6]} ends, {tombstone.get(b't', b'deleted').decode()}")
            self._check_end(name, tombstone)

    def _stored(self, name: bytes, session: Session) -> None:
        access = session.tokens.access.reveal()
        self.stored_tokens.add(access)
        if session.kept_guest is not None:
            self.stored_tokens.add(session.kept_guest.tokens.access.reveal())
        self.records[name] = Record(session, self.emporix.access[access].chain)

    def _check_age(self, old: Session, new: Session) -> None:
        pairs = [(old.tokens, new.tokens)]
        if old.kept_guest is not None and new.kept_guest is not None:
            pairs.append((old.kept_guest.tokens, new.kept_guest.tokens))
        for before, after in pairs:
            access = self.emporix.access
            if access[after.access.reveal()].number < access[before.access.reveal()].number:
                self.violate(
                    Invariant.NO_OLDER_TOKEN, f"{after.access.reveal()} over {before.access.reveal()}"
                )

    def _check_end(self, name: bytes, tombstone: dict[bytes, bytes]) -> None:
        record, now = self.records[name], self.loop.time()
        visitor = self.visitors[record.chain.visitor]
        reason = tombstone.get(b"t", b"").decode()
        if reason == EndReason.ENDED:
            if not visitor.ending.stands(now) and not self.customers_ending[record.chain.customer].stands(
                now
            ):
                self.violate(Invariant.NOTHING_LOST, f"{visitor.name}'s session was ended by nobody")
        elif reason == EndReason.SUPERSEDED and b"n" not in tombstone and visitor.rotating.stands(now):
            pass
        elif reason == EndReason.SUPERSEDED and b"n" not in tombstone and record.session.kept_guest is None:
            self.violate(Invariant.GUEST_GOES_ON, f"{visitor.name}'s guest has no successor")
        elif reason:
            self._check_loss(visitor, record, reason)
        elif name in self.issued:
            self.violate(Invariant.NOTHING_LOST, f"{visitor.name}'s record was deleted")

    def _check_loss(self, visitor: Visitor, record: Record, reason: str) -> None:
        """Check that upstream would not keep a session, and that nobody has tokens that it would."""
        chain, now = record.chain, self.loop.time()
        if chain.ended:
            return
        refresh = record.session.tokens.refresh
        assert refresh is not None
        if self.emporix.works(refresh.reveal()):
            self.violate(Invariant.NOTHING_LOST, f"{visitor.name}'s session is {reason}, its tokens are good")
        for replica, received_at in chain.received.items():
            assert isinstance(replica, Replica)
            saving = now - max(received_at, replica.disturbed_at)
            if replica.running and saving > SAVING_SECONDS and self.emporix.works(chain.refresh):
                self.violate(
                    Invariant.NOTHING_LOST,
                    f"{visitor.name}'s session is {reason}, {replica} has its new tokens",
                )

    # Locks

    def _lock_changed(self, key: bytes, new: Value | None) -> None:
        if new is None:
            self.locks.pop(key, None)
        else:
            self.locks[key] = self.loop.time()

    def entered(self, ticket: Ticket, replica: Replica) -> None:
        """Take note of a task that has a session's lock."""
        key = self._keys.lock(ticket.record_name).encode()
        self.holds.setdefault(key, {}).setdefault(replica, Hold(replica)).count += 1

    def left(self, ticket: Ticket, replica: Replica) -> None:
        """Take note of a task that gives a session's lock back."""
        hold = self.holds[self._keys.lock(ticket.record_name).encode()][replica]
        hold.count -= 1
        hold.left_at = self.loop.time()

    def check_locks(self, get: Any) -> None:
        """Check every lock for a holder that lives, or did a moment ago."""
        for key in list(self.locks):
            if get(key) is None:
                del self.locks[key]
            elif (since := self._unheld_since(key)) + LOCK_SECONDS + LATE_SECONDS < self.loop.time():
                self.violate(Invariant.NO_STRAY_LOCK, f"nobody has held it since {since:.2f}")

    def _unheld_since(self, key: bytes) -> float:
        """Return the latest time at which somebody who lived held a lock; the far future while somebody does."""
        latest = self.locks[key]
        for hold in self.holds.get(key, {}).values():
            replica = hold.replica
            if replica.running and hold.count:
                return float("inf")
            stopped = replica.stopped_at if hold.count else hold.left_at
            latest = max(latest, stopped)
        return latest

    # Upstream

    @contextmanager
    def calling(self, refresh: str, replica: object) -> Iterator[None]:
        """Take note of a call with a refresh token while it lasts."""
        assert isinstance(replica, Replica)
        token = self.emporix.refresh[refresh]
        flights = self.flights.setdefault(token.chain, [])
        for other in flights:
            undisturbed = other.replica.disturbed_at < other.since - self.lease
            if other.replica.running and undisturbed:
                self.violate(Invariant.ONE_REFRESH, f"{replica} and {other.replica} refresh at once")
        flight = Flight(replica, self.loop.time())
        flights.append(flight)
        try:
            yield
        finally:
            flights.remove(flight)

    # Answers

    def answered(self, visitor: Visitor, request_session: RequestSession, ended_before: set[bytes]) -> None:
        """Check what a request has become."""
        session, held = request_session.session, request_session.held
        if session is None or held is None:
            return
        if held.ticket.record_name in ended_before and not request_session.superseded:
            self.violate(Invariant.NO_REVIVAL, f"{visitor.name} is served with a session that had ended")
        access = session.tokens.access.reveal()
        chain = self.emporix.access[access].chain
        customer = None if session.kind is SessionKind.ANONYMOUS else f"customer-{visitor.email}"
        own = chain.visitor == visitor.name and chain.customer == customer
        if not own or session.upstream_session_id.reveal() != chain.session_id:
            self.violate(Invariant.NOBODY_CROSSED, f"{visitor.name} got {access} of {chain.visitor}")
        if session.customer_id not in {None, customer}:
            self.violate(Invariant.NOBODY_CROSSED, f"{visitor.name} is {session.customer_id}")
        if access not in self.stored_tokens:
            self.violate(Invariant.STORED_FIRST, f"{visitor.name} got {access}")


class WatchedRecords(SealedRecords):
    """Seals and opens records, and shows the ledger what is in them.

    Args:
        ring: the server's keys.
        ledger: takes note.
    """

    def __init__(self, ring: KeyRing, ledger: Ledger) -> None:
        super().__init__(ring)
        self._ledger = ledger

    def seal(self, session: Session, ticket: Ticket, schema: int) -> bytes:
        sealed = super().seal(session, ticket, schema)
        self._ledger.sealed[sealed] = session
        return sealed


def _record(live: dict[bytes, bytes]) -> bytes:
    """Return the sealed record, which is in pieces."""
    pieces = sorted((int(field), piece) for field, piece in live.items() if field.isdigit())
    return b"".join(piece for _, piece in pieces)


def _live(value: Value | None) -> dict[bytes, bytes] | None:
    return value if isinstance(value, dict) and b"v" in value and b"t" not in value else None
