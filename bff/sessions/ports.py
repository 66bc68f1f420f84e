"""What the session engine needs: its policy and its ports, each one frozen value, wired once."""

from collections.abc import Callable
from dataclasses import dataclass

from bff.emporix.auth import EmporixAuth
from bff.emporix.carts import EmporixCarts
from bff.emporix.session_context import EmporixSessionContext
from bff.session import ID_BYTES, SECRET_BYTES, Lifetimes, Ticket
from bff.sessions.audit import Audit
from bff.sessions.tasks import Tasks
from bff.store.protocol import CustomerIndex, RateLimits, SessionLocks, SessionStore


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules that sessions follow. Durations are seconds.

    Attributes:
        guest: how long a guest may idle and last.
        customer: how long a customer may idle and last.
        refresh_skew: a token is renewed this long before it ends.
        site_code: the site whose guest cart is merged at login; None where each guest must name its own.
        keeps_guests: a customer's session keeps the guest that logged in.
        keeps_context: the site, currency, language and country that a guest has chosen outlast the login.
        shared_ticket: opens the record of the shared token; it follows from the newest server key of now.
    """

    guest: Lifetimes
    customer: Lifetimes
    refresh_skew: float
    site_code: str | None
    keeps_guests: bool
    keeps_context: bool
    shared_ticket: Callable[[], Ticket]


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside that the engine talks to.

    Attributes:
        store: keeps sessions.
        locks: one worker per session over all replicas.
        customers: knows a customer's other sessions.
        limits: counts logins and new guests.
        emporix: the upstream's auth calls.
        carts: the upstream's cart calls.
        contexts: the upstream's session contexts.
        audit: notes and counts who logs in, and which sessions begin and end.
        tasks: runs work that a leaving client must not cancel.
        clock: seconds since the epoch.
        monotonic: seconds since anything; no change of the wall clock moves it.
        random_bytes: the source of session ids and secrets.
    """

    store: SessionStore
    locks: SessionLocks
    customers: CustomerIndex
    limits: RateLimits
    emporix: EmporixAuth
    carts: EmporixCarts
    contexts: EmporixSessionContext
    audit: Audit
    tasks: Tasks
    clock: Callable[[], float]
    monotonic: Callable[[], float]
    random_bytes: Callable[[int], bytes]

    def new_ticket(self) -> Ticket:
        """Return a ticket that nobody has had."""
        return Ticket(self.random_bytes(ID_BYTES), self.random_bytes(SECRET_BYTES))
