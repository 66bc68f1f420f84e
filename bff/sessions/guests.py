"""Anonymous sessions: those of visitors, and the one that the proxy keeps for itself."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from bff.crypto import KeyedDigest
from bff.emporix.answers import Issued, Refused
from bff.emporix.auth import EmporixAuth
from bff.errors import BadUpstreamAnswer, BffError
from bff.secret import Secret
from bff.sessions.locks import Locks
from bff.sessions.models import (
    ID_BYTES,
    SECRET_BYTES,
    Carrier,
    GuestContext,
    Lifetimes,
    Session,
    SessionKind,
    Ticket,
    next_version,
)
from bff.sessions.store import SessionStore
from bff.sessions.tasks import Tasks
from bff.telemetry import SESSIONS


@dataclass(frozen=True, slots=True)
class Held:
    """A session together with the ticket that opens it."""

    ticket: Ticket
    session: Session


class Guests:
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
        store: SessionStore,
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
    ) -> Held:
        """Ask upstream for an anonymous session and keep it under a new ticket."""
        issued = await anonymous_login(self._emporix, context)
        now = self._clock()
        session = guest_session(issued, carrier, self._lifetimes, now, context=context)
        ticket = self.ticket()
        session = replace(session, user_agent=user_agent, version=next_version(now, older_version))
        held = Held(ticket, await self._store.create(ticket, session))
        SESSIONS.labels(session.kind, "begun").inc()
        return held


class SharedGuest:
    """The one anonymous session that the proxy keeps for itself, the same for all replicas.

    Its ticket follows from the newest server key, so that every replica finds the same record and nobody else
    can. It serves reads of public things and is the bearer of customers' renewals; it never has a cart.
    """

    def __init__(
        self,
        store: SessionStore,
        emporix: EmporixAuth,
        locks: Locks,
        tasks: Tasks,
        digest: KeyedDigest,
        *,
        lifetime: float,
        skew: float,
        site_code: str | None,
        clock: Callable[[], float],
    ) -> None:
        self._context = GuestContext(site_code=site_code)
        self._store = store
        self._emporix = emporix
        self._locks = locks
        self._tasks = tasks
        secret = digest.newest(b"shared guest's secret")[:SECRET_BYTES]
        self._ticket = Ticket(digest.newest(b"shared guest's id")[:ID_BYTES], secret)
        self._lifetimes = Lifetimes(idle=lifetime, absolute=lifetime)
        self._skew = skew
        self._clock = clock
        self._session: Session | None = None
        self._flight: asyncio.Task[Session] | None = None

    async def token(self, *, refused: Secret | None = None) -> Secret:
        """Return the access token; a `refused` one is one that upstream does not take any more."""
        session = self._session
        if session is None or not self._good(session, refused):
            if self._flight is None or self._flight.done():
                self._flight = self._tasks.start(self._obtain(refused))
            try:
                session = await asyncio.shield(self._flight)
            except BffError:
                if session is None or not session.tokens.usable(self._clock()) or refused is not None:
                    raise
        return session.tokens.access

    def _good(self, session: Session, refused: Secret | None) -> bool:
        now = self._clock()
        fresh = now < session.expires_at and not session.tokens.due(now, self._skew)
        return fresh and session.tokens.access != refused

    async def _obtain(self, refused: Secret | None) -> Session:
        async def stored() -> Session | None:
            found = await self._store.load(self._ticket, slide=False)
            return found if isinstance(found, Session) and self._good(found, refused) else None

        session = await stored()
        if session is None:
            async with self._locks.hold(self._ticket, unless=stored) as winners:
                session = winners or await self._renewed(refused)
        self._session = session
        return session

    async def _renewed(self, refused: Secret | None) -> Session:
        """Renew what is stored, unless somebody just did, or begin anew; runs under the lock."""
        found = await self._store.load(self._ticket, slide=False)
        if isinstance(found, Session):
            if self._good(found, refused):
                return found
            if (kept := await self._refreshed(found)) is not None:
                return kept
        if found is not None:
            await self._store.delete(self._ticket)
        issued = await anonymous_login(self._emporix, self._context)
        session = guest_session(issued, Carrier.HEADER, self._lifetimes, self._clock())
        return await self._store.create(self._ticket, session)

    async def _refreshed(self, session: Session) -> Session | None:
        refresh = session.tokens.refresh
        if refresh is None or not session.tokens.renewable(self._clock()):
            return None
        try:
            issued = await self._emporix.anonymous_refresh(refresh)
        except Refused:
            return None
        tokens = issued.tokens.following(session.tokens)
        return await self._store.replace(self._ticket, replace(session, tokens=tokens))


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
