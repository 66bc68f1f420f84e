"""The life of a session: none, guest, customer, and the arrows between them.

::

    none ── a route needs it, POST /auth/anonymous ──> guest ── login ──> customer
    guest ── refused renewal ──> another guest
    guest, customer ── logout ──> none            customer ── refused renewal ──> none

Every arrow gives a new session id; the old one is dead for every write at once. A `Visit` is one request's hold on
all this: it collects what the answer must tell the visitor's carrier, whether the answer is a success or not.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

from bff.emporix.answers import Issued, Refused, Validation
from bff.emporix.auth import EmporixAuth
from bff.errors import (
    AccountExists,
    BffError,
    Forbidden,
    InvalidCredentials,
    InvalidRequest,
    LoginRequired,
    NoSession,
    ReauthenticationRequired,
    SessionExpired,
    SessionRotated,
    StoreUnavailable,
    UpstreamUnavailable,
)
from bff.secret import Secret
from bff.sessions.credentials import Presented
from bff.sessions.guests import Guests, Held, SharedGuest
from bff.sessions.locks import Locks
from bff.sessions.models import Carrier, Grant, GuestContext, Lifetimes, Session, SessionKind, Ticket
from bff.sessions.renewal import ENDED, ROTATED, EndedHere, Renewer, gone
from bff.sessions.store import SessionStore, Tombstone
from bff.sessions.tasks import Tasks
from bff.telemetry import SESSIONS

_LOGOUT_TRIES: Final = 5

T = TypeVar("T")


class RateLimits(Protocol):
    """Counts what strangers may do only so often; raises `TooManyRequests`."""

    async def guest(self, client: str) -> None: ...

    async def login(self, client: str, account: str) -> None: ...


@dataclass(slots=True)
class Visit:
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
    held: Held | None = None
    frozen: bool = False
    issued: Held | None = None
    cleared: bool = False

    @property
    def session(self) -> Session | None:
        return None if self.held is None else self.held.session

    def update(self, held: Held) -> None:
        """Take the session as it is now; a new ticket is handed out with the answer."""
        if self.held is None or self.held.ticket != held.ticket:
            self.issued, self.cleared = held, False
        self.held = held

    def end(self) -> None:
        """Forget the session; the answer clears what the visitor carries."""
        self.held = self.issued = None
        self.cleared = True


class SessionManager:
    """The state machine above; everything that a request may do with its session.

    Args:
        store: where sessions are.
        emporix: the upstream's auth calls.
        guests: makes anonymous sessions.
        shared: the proxy's own anonymous token.
        renewer: keeps tokens fresh.
        locks: one worker per session over all replicas.
        tasks: runs what a leaving client must not cancel.
        limits: counts guests and logins.
        customers: how long a customer may idle and last.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: SessionStore,
        emporix: EmporixAuth,
        guests: Guests,
        shared: SharedGuest,
        renewer: Renewer,
        locks: Locks,
        tasks: Tasks,
        limits: RateLimits,
        *,
        customers: Lifetimes,
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
        self._customers = customers
        self._clock = clock

    async def visit(
        self,
        presented: Presented,
        *,
        client: str,
        user_agent: str | None,
        safe: bool,
        slide: bool = True,
        exact: bool = False,
    ) -> Visit:
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
        visit = Visit(presented.carrier, client, user_agent)
        if presented.ticket is None:
            return visit
        found = await self._store.load(presented.ticket, slide=slide, exact=exact)
        if isinstance(found, Tombstone):
            return self._as_it_was(visit, presented.ticket, found, safe=safe)
        if found is not None and found.carrier is presented.carrier:
            visit.held = Held(presented.ticket, found)
        return visit

    def _as_it_was(self, visit: Visit, ticket: Ticket, found: Tombstone, *, safe: bool) -> Visit:
        """Serve a safe request that raced a login as the guest that it was, never as the customer."""
        guest = found.guest
        if (
            not safe
            or guest is None
            or guest.kind is not SessionKind.ANONYMOUS
            or not guest.tokens.usable(self._clock())
        ):
            raise gone(found)
        visit.held, visit.frozen = Held(ticket, guest), True
        return visit

    async def fresh(self, visit: Visit, *, force: bool = False) -> Session | None:
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

    async def guest(self, visit: Visit, context: GuestContext | None = None) -> Session:
        """Return the visit's session with a good token, beginning a guest where there is none."""
        session = await self.fresh(visit)
        if session is None:
            await self._limits.guest(visit.client)
            start = self._guests.start(context or GuestContext(), visit.carrier, visit.user_agent)
            held = await self._tasks.finish(start)
            visit.update(held)
            session = held.session
        return session

    async def customer(self, visit: Visit) -> Session:
        """Return the visit's customer session with a good token.

        Raises:
            LoginRequired: nobody is logged in.
        """
        if visit.session is None or visit.session.kind is not SessionKind.CUSTOMER:
            raise LoginRequired
        session = await self.fresh(visit)
        assert session is not None
        return session

    async def shared_grant(self, *, refused: Secret | None = None) -> Grant:
        """Return the proxy's own anonymous token, had anew where upstream refused this one."""
        return Grant(access=await self._shared.token(refused=refused))

    async def signup(self, visit: Visit, body: Mapping[str, Any]) -> str:
        """Create a customer account with a guest's token and return the customer number."""

        async def create(bearer: Secret) -> str:
            return await self._emporix.signup(bearer, body)

        if visit.session is not None and visit.session.kind is SessionKind.CUSTOMER:
            ask = create((await self.shared_grant()).access)
        else:
            ask = self._with_guest(visit, create)
        try:
            return await self._tasks.finish(ask)
        except Refused as refused:
            raise _signup_refusal(refused) from None

    async def login(self, visit: Visit, email: str, password: Secret) -> Session:
        """Log in with this guest's token: a new session id, the same Emporix session.

        Raises:
            InvalidCredentials: upstream refused them; the guest and its cart stay as they were.
        """
        await self._limits.login(visit.client, email)

        async def obtain(bearer: Secret) -> Issued:
            return await self._emporix.login(bearer, email, password)

        try:
            return await self._tasks.finish(self._promote(visit, obtain, email))
        except Refused as refused:
            if refused.status == 403:
                raise Forbidden("this account may not log in") from None
            raise InvalidCredentials from None

    async def logout(self, presented: Presented, visit: Visit) -> None:
        """End the session here, whatever upstream says; the visit's answer clears the carrier if this ended it.

        Raises:
            SessionRotated: the id is one that a login has replaced.
        """
        if presented.ticket is not None:
            await self._tasks.finish(self._end(presented.ticket, visit))

    async def refresh(self, visit: Visit) -> Session:
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

    async def switch_legal_entity(self, visit: Visit, legal_entity_id: str | None) -> Session:
        """Switch the company, which is a renewal with that company and is serialised with the others.

        Raises:
            LoginRequired: nobody is logged in.
            Forbidden: upstream refused this company to this customer.
            ReauthenticationRequired: the refresh token has ended.
        """
        session = await self.customer(visit)
        if not session.tokens.renewable(self._clock()):
            raise ReauthenticationRequired
        try:
            return await self._tasks.finish(self._switch(visit, legal_entity_id))
        except Refused:
            raise Forbidden("this company is not one of the customer's") from None

    async def validate(self, visit: Visit) -> Validation:
        """Ask upstream about the session's token; a refused one is renewed once before it counts.

        Raises:
            NoSession: there is none.
            SessionExpired: the token is not valid and cannot be renewed.
        """
        session = await self.fresh(visit)
        if session is None:
            raise NoSession
        try:
            return await self._emporix.validate(session.tokens.access)
        except Refused:
            session = await self.fresh(visit, force=True)
        assert session is not None
        if session.kind is SessionKind.ANONYMOUS:
            # Nobody says whether anonymous tokens validate upstream; one that was just renewed is valid.
            remaining = int(session.tokens.access_expires_at - self._clock())
            return Validation(remaining, None, None, None)
        try:
            return await self._emporix.validate(session.tokens.access)
        except Refused:
            raise SessionExpired from None

    async def _with_guest(self, visit: Visit, ask: Callable[[Secret], Awaitable[T]]) -> T:
        """Ask something with a guest's token, and once more with a renewed one where the bearer was refused."""
        session = await self.guest(visit)
        try:
            return await ask(session.tokens.access)
        except Refused as refused:
            if not refused.bearer:
                raise
        renewed = await self.fresh(visit, force=True) or session
        return await ask(renewed.tokens.access)

    async def _promote(
        self, visit: Visit, obtain: Callable[[Secret], Awaitable[Issued]], email: str
    ) -> Session:
        """Make a customer of a guest, under the guest's lock; a customer that stood before is ended first."""
        if visit.held is not None and visit.held.session.kind is SessionKind.CUSTOMER:
            await self._end(visit.held.ticket, visit, ROTATED)
        for last in (False, True):
            await self.guest(visit)
            assert visit.held is not None
            ticket = visit.held.ticket
            async with self._locks.hold(ticket):
                found = await self._store.load(ticket, slide=False)
                if not isinstance(found, Session):
                    raise gone(found)
                try:
                    issued = await obtain(found.tokens.access)
                except Refused as refused:
                    if last or not refused.bearer:
                        raise
                else:
                    return await self._rotate(visit, Held(ticket, found), issued, email)
            await self.fresh(visit, force=True)
        raise AssertionError("unreachable")

    async def _rotate(self, visit: Visit, old: Held, issued: Issued, email: str) -> Session:
        """Give the customer a new id and retire the guest's, which stays readable as the guest for 30 seconds."""
        now = self._clock()
        session = Session(
            kind=SessionKind.CUSTOMER,
            carrier=old.session.carrier,
            tokens=issued.tokens,
            upstream_session_id=issued.session_id or old.session.upstream_session_id,
            created_at=now,
            expires_at=now + self._customers.absolute,
            idle_seconds=self._customers.idle,
            last_seen_at=now,
            version=old.session.version + 1,
            email=email,
            initial_password=issued.initial_password,
            context=old.session.context,
            user_agent=visit.user_agent,
        )
        ticket = self._guests.ticket()
        try:
            session = await self._store.create(ticket, session)
            done = await self._store.retire(
                old.ticket, ROTATED, generation=old.session.generation, keep_record=True
            )
        except StoreUnavailable:
            await self._renewer.revoke(session)
            raise
        if not done:
            # A logout came in between: what it ended must not come back as a customer.
            await self._store.delete(ticket)
            await self._renewer.revoke(session)
            raise NoSession
        SESSIONS.labels(session.kind, "begun").inc()
        visit.update(Held(ticket, session))
        return session

    async def _switch(self, visit: Visit, legal_entity_id: str | None) -> Session:
        assert visit.held is not None
        ticket = visit.held.ticket
        async with self._locks.hold(ticket):
            found = await self._store.load(ticket, slide=False)
            if not isinstance(found, Session):
                raise gone(found)
            tokens = await self._renewer.customer_tokens(found, legal_entity_id)
            switched = replace(
                found, tokens=tokens, legal_entity_id=legal_entity_id, version=found.version + 1
            )
            session = await self._renewer.save(ticket, switched)
        visit.update(Held(ticket, session))
        return session

    async def _end(self, ticket: Ticket, visit: Visit, reason: str = ENDED) -> None:
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


def _signup_refusal(refused: Refused) -> BffError:
    """Say what upstream had against a sign-up, in names of fields and never in values."""
    if refused.status == 409:
        return AccountExists()
    if refused.status == 403:
        return Forbidden()
    if refused.status == 401:
        return UpstreamUnavailable(log_detail="upstream refuses a guest's renewed token")
    fields = ", ".join(refused.fields)
    return InvalidRequest(
        f"Emporix refused these fields: {fields}" if fields else "Emporix refused the sign-up"
    )
