"""The life of a session: none, guest, customer, and the arrows between them.

::

    none ── a route needs it, POST /auth/anonymous ──> guest ── login ──> customer
    guest ── refused renewal ──> another guest
    guest, customer ── logout ──> none            customer ── refused renewal ──> none

Every arrow gives a new session id; the old one is dead for every write at once. A `RequestSession` is one request's
view of all this: it collects what the answer must tell the visitor's carrier, whether it is a success or an error.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from bff.emporix.answers import Refused, Validation
from bff.emporix.auth import EmporixAuth
from bff.errors import (
    BadUpstreamAnswer,
    Forbidden,
    LoginRequired,
    NoSession,
    NotFound,
    ReauthenticationRequired,
    SessionExpired,
    SessionRotated,
)
from bff.security.secret import Secret
from bff.session import (
    ENDED,
    EXPIRED,
    ROTATED,
    CarriedTicket,
    GuestContext,
    HeldSession,
    Session,
    SessionKind,
    Ticket,
    Tombstone,
    next_version,
    record_name,
)
from bff.sessions.anonymous import AnonymousSessions
from bff.sessions.refresh import EndedHere, TokenRefresher, ended_error
from bff.sessions.request_session import RateLimits, RequestSession
from bff.sessions.shared_token import SharedToken
from bff.sessions.tasks import Tasks
from bff.store.customer_index import OwnSession, RedisCustomerIndex
from bff.store.locks import Locks
from bff.store.redis_store import RedisSessionStore
from bff.telemetry.metrics import SESSIONS
from bff.tokens import UpstreamCredentials

_LOGOUT_TRIES: Final = 5


class SessionLifecycle:
    """The state machine above; everything that a request may do with its session.

    Args:
        store: where sessions are.
        emporix: the upstream's auth calls.
        guests: makes anonymous sessions.
        shared: the proxy's own anonymous token.
        renewer: keeps tokens fresh.
        locks: one worker per session over all replicas.
        tasks: runs what a leaving client must not cancel.
        limits: counts guests.
        index: knows a customer's other sessions.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: RedisSessionStore,
        emporix: EmporixAuth,
        guests: AnonymousSessions,
        shared: SharedToken,
        renewer: TokenRefresher,
        locks: Locks,
        tasks: Tasks,
        limits: RateLimits,
        index: RedisCustomerIndex,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._emporix = emporix
        self._guests = guests
        self._shared = shared
        self._renewer = renewer
        self._locks = locks
        self._tasks = tasks
        self._limits = limits
        self._index = index
        self._clock = clock

    async def visit(
        self,
        presented: CarriedTicket,
        *,
        client: str,
        user_agent: str | None,
        safe: bool,
        slide: bool = True,
        exact: bool = False,
    ) -> RequestSession:
        """Find the session of a request.

        Args:
            presented: what the request carries.
            client: the caller's network address.
            user_agent: kept with a session that begins here.
            safe: the method is GET or HEAD, so that a rotated guest may still be served (for 30 seconds).
            slide: extend the idle lifetime.
            exact: extend it to the moment, however recently that was done.

        Raises:
            NoSession, SessionExpired, SessionRotated: the session that is carried is no more.
        """
        visit = RequestSession(presented.carrier, client, user_agent)
        if presented.ticket is None:
            return visit
        found = await self._store.load(presented.ticket, slide=slide, exact=exact)
        if isinstance(found, Tombstone):
            return self._as_it_was(visit, presented.ticket, found, safe=safe)
        if found is not None and found.carrier is presented.carrier:
            visit.held = HeldSession(presented.ticket, found)
        return visit

    def _as_it_was(
        self, visit: RequestSession, ticket: Ticket, found: Tombstone, *, safe: bool
    ) -> RequestSession:
        """Serve a safe request that raced a login as the guest that it was, never as the customer."""
        guest = found.guest
        if (
            not safe
            or guest is None
            or guest.kind is not SessionKind.ANONYMOUS
            or not guest.tokens.usable(self._clock())
        ):
            raise ended_error(found)
        visit.held, visit.frozen = HeldSession(ticket, guest), True
        return visit

    async def fresh(self, visit: RequestSession, *, force: bool = False) -> Session | None:
        """Renew the visit's session where its clocks ask for it, or at once, and return it."""
        if visit.held is None or (visit.frozen and not force):
            return visit.session
        if visit.frozen:
            raise SessionRotated
        try:
            visit.update(await self._renewer.fresh(visit.held, force=force))
        except EndedHere:
            visit.end()
            raise SessionExpired from None
        return visit.session

    async def guest(self, visit: RequestSession, context: GuestContext | None = None) -> Session:
        """Return the visit's session with a good token, beginning a guest where there is none."""
        session = await self.fresh(visit)
        if session is None:
            # A store that does not answer must not cost upstream a session that nobody can keep.
            await self._store.ping()
            await self._limits.guest(visit.client)
            start = self._guests.start(context or GuestContext(), visit.carrier, visit.user_agent)
            held = await self._tasks.finish(start)
            visit.update(held)
            session = held.session
        return session

    async def customer(self, visit: RequestSession) -> Session:
        """Return the visit's customer session with a good token.

        Raises:
            LoginRequired: nobody is logged in.
        """
        if visit.session is None or visit.session.kind is not SessionKind.CUSTOMER:
            raise LoginRequired
        session = await self.fresh(visit)
        assert session is not None
        return session

    async def shared_credentials(self, *, refused: Secret | None = None) -> UpstreamCredentials:
        """Return the proxy's own anonymous token, had anew where upstream refused this one."""
        return UpstreamCredentials(access=await self._shared.token(refused=refused))

    async def logout(self, presented: CarriedTicket, visit: RequestSession) -> None:
        """End the session here, whatever upstream says; the visit's answer clears the carrier if this ended it.

        Raises:
            SessionRotated: the id is one that a login has replaced.
        """
        if presented.ticket is not None:
            await self._tasks.finish(self.end(presented.ticket, visit))

    async def end_now(self, visit: RequestSession) -> None:
        """End the visit's own session, as a logout does."""
        if visit.held is not None:
            await self._tasks.finish(self.end(visit.held.ticket, visit))

    async def refresh(self, visit: RequestSession) -> Session:
        """Renew the tokens now.

        Raises:
            NoSession: there is none.
            ReauthenticationRequired: the refresh token has ended although the access token has not.
        """
        session = visit.session
        if session is None:
            raise NoSession
        now = self._clock()
        if not session.tokens.renewable(now) and session.tokens.usable(now):
            if session.kind is SessionKind.CUSTOMER:
                raise ReauthenticationRequired
            return session
        return await self.fresh(visit, force=True) or session

    async def switch_legal_entity(self, visit: RequestSession, legal_entity_id: str | None) -> Session:
        """Switch the company, which is a renewal with that company and is serialised with the others.

        Raises:
            LoginRequired: nobody is logged in.
            Forbidden: upstream refused this company to this customer.
            SessionExpired: upstream refuses any renewal.
            ReauthenticationRequired: the refresh token has ended.
        """
        session = await self.customer(visit)
        if not session.tokens.renewable(self._clock()):
            raise ReauthenticationRequired
        try:
            return await self._tasks.finish(self._switch(visit, legal_entity_id))
        except Refused as refused:
            if refused.status in {400, 401}:
                # The company or the refresh token: nobody documents which answer means what, a plain renewal tells.
                await self.fresh(visit, force=True)
            raise Forbidden("this company is not one of the customer's") from None

    async def validate(self, visit: RequestSession) -> Validation:
        """Ask upstream about the session's token; a refused one is renewed once before it counts.

        Raises:
            NoSession: there is none.
            SessionExpired: the token is not valid and cannot be renewed.
        """
        session = await self.fresh(visit)
        if session is None:
            raise NoSession
        found = await self._asked(session)
        if found is None:
            if not visit.frozen:
                session = await self.fresh(visit, force=True) or session
            found = self._renewed_guest(session) or await self._asked(session)
        if found is None:
            assert visit.held is not None
            await self.end(visit.held.ticket, visit, EXPIRED)
            raise SessionExpired
        return found

    async def _asked(self, session: Session) -> Validation | None:
        """Ask upstream about a token; None where the gateway does not know it."""
        try:
            return await self._emporix.validate(session.tokens.access)
        except Refused as refused:
            if refused.status == 401:
                return None
            if session.kind is SessionKind.ANONYMOUS:
                return self._renewed_guest(session)
            raise BadUpstreamAnswer(log_detail=f"a validation answered {refused.status}") from None

    def _renewed_guest(self, session: Session) -> Validation | None:
        """Nobody says whether anonymous tokens validate upstream; one that the gateway knows or just made is valid."""
        if session.kind is SessionKind.CUSTOMER:
            return None
        return Validation(int(session.tokens.access_expires_at - self._clock()), None, None, None)

    async def _switch(self, visit: RequestSession, legal_entity_id: str | None) -> Session:
        assert visit.held is not None
        ticket = visit.held.ticket
        async with self._locks.hold(ticket):
            found = await self._store.load(ticket, slide=False)
            if not isinstance(found, Session):
                raise ended_error(found)
            found = await self._renewer.settled(HeldSession(ticket, found))
            tokens = await self._renewer.customer_tokens(found, legal_entity_id)
            switched = replace(
                found,
                tokens=tokens,
                legal_entity_id=legal_entity_id,
                version=next_version(self._clock(), found.version),
            )
            session = await self._renewer.save(ticket, switched)
        visit.update(HeldSession(ticket, session))
        return session

    async def own_sessions(self, visit: RequestSession) -> tuple[Ticket, list[OwnSession]]:
        """Return the customer's own sessions, newest first, and which ticket is this visit's.

        Raises:
            LoginRequired: nobody is logged in.
        """
        held = self._customers_own(visit)
        return held.ticket, await self._index.own(held.ticket, held.session)

    async def end_own(self, visit: RequestSession, ref: str) -> None:
        """End one of the customer's own sessions; its own one as a logout does.

        Raises:
            LoginRequired: nobody is logged in.
            NotFound: the customer has no session of this ref.
        """
        held = self._customers_own(visit)
        entries = await self._index.own(held.ticket, held.session)
        entry = next((entry for entry in entries if entry.ref == ref), None)
        if entry is None:
            raise NotFound
        if entry.name == record_name(held.ticket):
            await self.end_now(visit)
        else:
            await self._index.end(entry, ENDED)

    async def end_others(self, visit: RequestSession) -> int:
        """End all of the customer's sessions but this one, and return how many that were.

        Their tokens cannot be revoked upstream: only their own visitors' secrets open them.

        Raises:
            LoginRequired: nobody is logged in.
        """
        held = self._customers_own(visit)
        return await self._index.end_others(held.ticket, held.session, ENDED)

    def _customers_own(self, visit: RequestSession) -> HeldSession:
        if visit.held is None or visit.held.session.kind is not SessionKind.CUSTOMER:
            raise LoginRequired
        return visit.held

    async def end(self, ticket: Ticket, visit: RequestSession, reason: str = ENDED) -> None:
        """End a session here, then upstream; the visit's answer clears the carrier if this call ended it.

        Raises:
            SessionRotated: the id is one that a login has replaced.
        """
        for _ in range(_LOGOUT_TRIES):
            found = await self._store.load(ticket, slide=False)
            if isinstance(found, Tombstone) and found.reason == ROTATED:
                raise SessionRotated
            if not isinstance(found, Session):
                return
            # Compared on its generation, so that the tokens revoked are the ones that the session had.
            if await self._store.retire(ticket, reason, generation=found.generation):
                SESSIONS.labels(found.kind, "ended").inc()
                visit.end()
                await self._renewer.revoke(found)
                return
        if await self._store.retire(ticket, reason):
            visit.end()
