"""One request's view of its session."""

from dataclasses import dataclass, field

from bff.session import Carrier, HeldSession, Session, SessionKind, Ticket, Tombstone, as_guest


@dataclass(slots=True)
class RequestSession:
    """One request's session, and what its answer tells the visitor's carrier.

    Attributes:
        carrier: cookie or header.
        client: the client's network address, for rate limits.
        user_agent: for the customer's list of sessions.
        carried: the ticket that the request carries, whether or not a session stands behind it.
        may_begin: the request may begin a guest where there is no session.
        held: the session, where one was loaded or begun.
        ended: what is left of the session that is carried, where it ended a moment ago.
        acts_as_guest: a drop-in client calls with the guest's placeholder, so that a customer's session serves as the
            guest that it keeps.
        merges_carts: the client merges carts by itself.
        superseded: a login has replaced this guest; it may be read with, and nothing about it may change.
        issued: a new ticket for the visitor.
        cleared: the visitor's carrier is to forget its ticket.
        known: whether the request has a session has been found out; False where the store could not tell.
        counted: the rate limits that have counted this request.
    """

    carrier: Carrier
    client: str
    user_agent: str | None
    carried: Ticket | None = None
    may_begin: bool = True
    held: HeldSession | None = None
    ended: Tombstone | None = None
    acts_as_guest: bool = False
    merges_carts: bool = False
    superseded: bool = False
    issued: HeldSession | None = None
    cleared: bool = False
    known: bool = False
    counted: set[str] = field(default_factory=set)

    @property
    def session(self) -> Session | None:
        """The session as the request acts: a customer's, or the guest's."""
        if self.held is None:
            return None
        return as_guest(self.held.session) if self.acts_as_guest else self.held.session

    @property
    def beside_customer(self) -> bool:
        """Whether the request acts as the guest whom a customer's session keeps."""
        return self.acts_as_guest and self.held is not None and self.held.session.kind is SessionKind.CUSTOMER

    def update(self, held: HeldSession) -> None:
        """Take the session as it is now; the answer hands out a ticket that is new."""
        if self.held is None or self.held.ticket != held.ticket:
            self.issued, self.cleared = held, False
        self.held, self.known = held, True

    def end(self) -> None:
        """Drop the session; the answer clears what the visitor carries."""
        self.held = self.issued = None
        self.cleared = True

    def keep_carrier(self) -> None:
        """Let the answer change nothing about what the visitor carries."""
        self.issued, self.cleared = None, False
