"""Anonymous sessions: those of visitors, and the one that the proxy keeps for itself."""

from collections.abc import Callable
from dataclasses import replace

from bff.emporix.answers import Issued, Refused
from bff.emporix.auth import EmporixAuth
from bff.errors import BadUpstreamAnswer
from bff.session import (
    ID_BYTES,
    SECRET_BYTES,
    Carrier,
    GuestContext,
    HeldSession,
    Lifetimes,
    Session,
    SessionKind,
    Ticket,
    next_version,
)
from bff.store.redis_store import RedisSessionStore
from bff.telemetry.metrics import SESSIONS


class AnonymousSessions:
    """Makes anonymous sessions for visitors.

    Args:
        store: where they are kept.
        emporix: the upstream's auth calls.
        lifetimes: how long a guest may idle and last.
        clock: seconds since the epoch.
        random_bytes: the source of session ids and secrets.
    """

    def __init__(
        self,
        store: RedisSessionStore,
        emporix: EmporixAuth,
        lifetimes: Lifetimes,
        *,
        clock: Callable[[], float],
        random_bytes: Callable[[int], bytes],
    ) -> None:
        self._store = store
        self._emporix = emporix
        self._lifetimes = lifetimes
        self._clock = clock
        self._random_bytes = random_bytes

    def ticket(self) -> Ticket:
        """Return a ticket that nobody has had."""
        return Ticket(self._random_bytes(ID_BYTES), self._random_bytes(SECRET_BYTES))

    async def start(
        self, context: GuestContext, carrier: Carrier, user_agent: str | None, *, older_version: int = 0
    ) -> HeldSession:
        """Ask upstream for an anonymous session and keep it under a new ticket."""
        issued = await anonymous_login(self._emporix, context)
        now = self._clock()
        session = guest_session(issued, carrier, self._lifetimes, now, context=context)
        ticket = self.ticket()
        session = replace(session, user_agent=user_agent, version=next_version(now, older_version))
        held = HeldSession(ticket, await self._store.create(ticket, session))
        SESSIONS.labels(session.kind, "begun").inc()
        return held


async def anonymous_login(emporix: EmporixAuth, context: GuestContext) -> Issued:
    """Begin an anonymous session; a refusal can only mean a wrong tenant or client id, no visitor's fault."""
    try:
        return await emporix.anonymous_login(context)
    except Refused as refused:
        raise BadUpstreamAnswer(
            log_detail=f"upstream refuses anonymous logins with {refused.status}: check BFF_TENANT, BFF_CLIENT_ID"
        ) from None


def guest_session(
    issued: Issued,
    carrier: Carrier,
    lifetimes: Lifetimes,
    now: float,
    *,
    context: GuestContext | None = None,
) -> Session:
    """Return a new anonymous session that begins now."""
    assert issued.session_id is not None
    return Session(
        kind=SessionKind.ANONYMOUS,
        carrier=carrier,
        tokens=issued.tokens,
        upstream_session_id=issued.session_id,
        created_at=now,
        expires_at=now + lifetimes.absolute,
        idle_seconds=lifetimes.idle,
        last_seen_at=now,
        context=context or GuestContext(),
    )
