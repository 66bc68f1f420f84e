"""One request's hold on a session."""

from dataclasses import dataclass
from typing import Protocol

from bff.session import Carrier, HeldSession, Session


class RateLimits(Protocol):
    """Counts what strangers may do only so often; raises `TooManyRequests`."""

    async def guest(self, client: str) -> None: ...

    async def login(self, client: str, account: str) -> None: ...

    async def sign_on(self, client: str) -> None: ...


@dataclass(slots=True)
class RequestSession:
    """One request's session, and what its answer says to the carrier.

    Attributes:
        carrier: cookie or header.
        client: the caller's network address, for rate limits.
        user_agent: for the customer's list of sessions.
        held: the session, if there is one.
        frozen: the session is a rotated guest's: it may be read with, and nothing about it may change.
        issued: a new ticket to hand out.
        cleared: the carrier is to forget its ticket.
    """

    carrier: Carrier
    client: str
    user_agent: str | None
    held: HeldSession | None = None
    frozen: bool = False
    issued: HeldSession | None = None
    cleared: bool = False

    @property
    def session(self) -> Session | None:
        return None if self.held is None else self.held.session

    def update(self, held: HeldSession) -> None:
        """Take the session as it is now; a new ticket is handed out with the answer."""
        if self.held is None or self.held.ticket != held.ticket:
            self.issued, self.cleared = held, False
        self.held = held

    def end(self) -> None:
        """Forget the session; the answer clears what the visitor carries."""
        self.held = self.issued = None
        self.cleared = True
