"""Values that tests of several rooms are made of: a clock that the test moves, keys, tickets, tokens, a session."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.session import Carrier, Session, SessionKind, Ticket
from bff.tokens import TokenSet
from bff.upstream.breaker import Breakers

TENANT = "acmeshop"
NOW = 1_800_000_000.0


class Clock:
    """Seconds since the epoch, which only the test moves.

    Attributes:
        at: what it says, where nobody has set it.
        jumped: by how much it was set; no time passes with that.
    """

    def __init__(self, at: float = NOW) -> None:
        self.at = at
        self.jumped = 0.0

    def __call__(self) -> float:
        return self.at + self.jumped

    def monotonic(self) -> float:
        """Return seconds that pass, and nothing else."""
        return self.at


def new_breakers(monotonic: Callable[[], float] = lambda: 0.0) -> Breakers:
    """Return breakers that pause for as long as they may."""
    return Breakers(monotonic=monotonic, random_bytes=lambda count: b"\xff" * count)


def new_ring(*kids: str, tenant: str = TENANT) -> KeyRing:
    """Return a ring of fresh keys."""
    keys = [(kid, secrets.token_bytes(32)) for kid in kids or ("k1",)]
    return KeyRing(keys, tenant, secrets.token_bytes)


def new_ticket() -> Ticket:
    """Return a ticket that opens no session yet."""
    return Ticket(secrets.token_bytes(16), secrets.token_bytes(32))


def tokens(**changes: Any) -> TokenSet:
    """Return a token set that was issued now: an hour of access, a day of refresh."""
    whole = TokenSet(
        access=Secret("access-" + secrets.token_hex(8)),
        access_expires_at=NOW + 3600,
        issued_at=NOW,
        refresh=Secret("refresh-" + secrets.token_hex(8)),
        refresh_expires_at=NOW + 86_400,
    )
    return replace(whole, **changes)


def a_session(**changes: Any) -> Session:
    """Return a guest that began now: a day of idling, a week in all."""
    whole = Session(
        kind=SessionKind.ANONYMOUS,
        carrier=Carrier.COOKIE,
        tokens=tokens(),
        upstream_session_id=Secret("emporix-" + secrets.token_hex(8)),
        created_at=NOW,
        expires_at=NOW + 604_800,
        idle_seconds=86_400,
        last_seen_at=NOW,
    )
    return replace(whole, **changes)
