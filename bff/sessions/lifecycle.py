"""The life of a session: none, guest, customer, and the arrows between them.

::

    none ── a route needs it, POST /auth/anonymous ──> guest ── login ──> customer
    guest ── refused refresh ──> another guest
    guest, customer ── logout ──> none            customer ── refused refresh ──> none

Every arrow gives a new session id; the old one is dead for every write at once. A `RequestSession` is one request's
view of all this: it collects what the answer must tell the visitor's carrier, whether it is a success or an error.
"""

from typing import Final, assert_never

from bff.emporix.refusals import ValidationRefusal, ValidationRefused
from bff.emporix.token_answers import Validation
from bff.errors import (
    BadUpstreamAnswer,
    LoginRequired,
    NoSession,
    ReauthenticationRequired,
    SessionExpired,
    SessionRotated,
)
from bff.session import (
    EndReason,
    GuestContext,
    HeldSession,
    OtherSchema,
    Session,
    SessionKind,
    Ticket,
    Tombstone,
)
from bff.sessions.admission import Admission
from bff.sessions.anonymous import AnonymousSessions
from bff.sessions.audit import LOGIN, LOGOUT, REFUSED
from bff.sessions.endings import EndedHere, GuestReplaced, ended_error
from bff.sessions.ports import Ports
from bff.sessions.refresh import TokenRefresher
from bff.sessions.renewable import KeptGuests
from bff.sessions.request_session import RequestSession
from bff.sessions.token_saver import TokenSaver
from bff.store.protocol import RatedCall, Touch

_LOGOUT_TRIES: Final = 5
_WHY: Final = {EndReason.ENDED: LOGOUT, EndReason.SUPERSEDED: LOGIN, EndReason.EXPIRED: REFUSED}


class SessionLifecycle:
    """What any request may do with its session.

    Args:
        ports: the store and the upstream.
        anonymous: begins anonymous sessions.
        refresher: keeps sessions' own tokens fresh.
        guest_refresher: the same for the guests that customers' sessions keep.
        kept_guests: begins those.
        saver: revokes the tokens of an ended session.
    """

    def __init__(
        self,
        ports: Ports,
        anonymous: AnonymousSessions,
        refresher: TokenRefresher,
        guest_refresher: TokenRefresher,
        kept_guests: KeptGuests,
        saver: TokenSaver,
    ) -> None:
        self._ports = ports
        self._admission = Admission(ports)
        self._anonymous = anonymous
        self._refresher = refresher
        self._guest_refresher = guest_refresher
        self._kept_guests = kept_guests
        self._saver = saver

    async def load(
        self, request_session: RequestSession, *, safe: bool, touch: Touch = Touch.LAZY
    ) -> RequestSession:
        """Find the session that a request carries.

        Args:
            request_session: has the ticket; takes the session.
            safe: the request changes nothing, so that a guest that a login replaced may still be served (30 s).
            touch: whether this extends the idle lifetime.

        A session that has ended is only noted: whoever looks or begins is served as without one. The id of a guest
        whom upstream refused stands for the guest that took its place.

        Raises:
            SessionRotated: the id is one that a login has replaced, and it may not be served as the guest it was.
            StoreUnavailable: it cannot be read now, or not by this release.
        """
        ticket = request_session.carried
        found = None if ticket is None else await self._ports.store.peek(ticket, touch)
        if ticket is not None and isinstance(found, Session):
            if found.carrier is request_session.carrier:
                request_session.held = HeldSession(ticket, found)
        elif ticket is not None and isinstance(found, Tombstone):
            await self._load_ended(request_session, ticket, found, safe=safe)
        elif isinstance(found, OtherSchema):
            raise ended_error(found)
        request_session.known = True
        return request_session

    async def _load_ended(
        self, request_session: RequestSession, ticket: Ticket, found: Tombstone, *, safe: bool
    ) -> None:
        replacement = await self._replacement(request_session, found.successor)
        request_session.known = True
        if replacement is not None:
            request_session.update(replacement)
        elif found.reason is not EndReason.SUPERSEDED:
            request_session.ended = found
        elif safe and (guest := self._superseded_guest(found)) is not None:
            request_session.held, request_session.superseded = HeldSession(ticket, guest), True
        else:
            raise SessionRotated

    async def _replacement(
        self, request_session: RequestSession, successor: Ticket | None
    ) -> HeldSession | None:
        """Return the guest that took a refused one's place; None where it has ended since, as at a login."""
        found = None if successor is None else await self._ports.store.load_fresh(successor)
        if successor is None or not isinstance(found, Session) or found.kind is not SessionKind.ANONYMOUS:
            return None
        return HeldSession(successor, found) if found.carrier is request_session.carrier else None

    def _superseded_guest(self, found: Tombstone) -> Session | None:
        """Return the guest that a request which raced a login is served as, never the customer."""
        guest = found.guest
        if guest is None or guest.kind is not SessionKind.ANONYMOUS:
            return None
        return guest if guest.tokens.usable(self._ports.clock()) else None

    async def ensure_fresh(self, request_session: RequestSession) -> Session | None:
        """Refresh the request's session where its clocks ask for it, and return it."""
        session = self.at_hand(request_session)
        if session is None and request_session.held is not None:
            return await self._updated(request_session, request_session.held, refresh=False)
        return session

    def at_hand(self, request_session: RequestSession) -> Session | None:
        """Return the request's session, unless its clocks ask for a refresh."""
        session = request_session.session
        if session is None or request_session.superseded or not self._refresher.due(session):
            return session
        return None

    async def refresh(self, request_session: RequestSession) -> Session | None:
        """Refresh the request's session now, and return it; one that a login has replaced is a `SessionRotated`."""
        if request_session.held is None:
            return None
        return await self._updated(request_session, request_session.held, refresh=True)

    async def _updated(self, request_session: RequestSession, held: HeldSession, *, refresh: bool) -> Session:
        refresher = self._guest_refresher if request_session.beside_customer else self._refresher
        try:
            renewed = await (refresher.refresh(held) if refresh else refresher.ensure_fresh(held))
        except EndedHere as ended:
            request_session.end()
            if ended.guest is not None:
                request_session.update(ended.guest)
            raise SessionExpired from None
        except GuestReplaced as replaced:
            replacement = await self._replacement(request_session, replaced.successor)
            if replacement is None:
                raise
            renewed = replacement
        request_session.update(renewed)
        return _present(request_session)

    async def ensure_session(
        self, request_session: RequestSession, context: GuestContext | None = None
    ) -> Session:
        """Return the request's session with a good token, beginning a guest where there is none.

        Raises:
            NoSession: this request may begin none.
            TooManyRequests: this client has begun too many guests.
        """
        session = await self.ensure_fresh(request_session)
        if session is not None:
            return session
        if not request_session.may_begin:
            raise NoSession("this request begins no session")
        await self._admission.guest(request_session)
        start = self._anonymous.start(
            context or GuestContext(), request_session.carrier, request_session.user_agent
        )
        request_session.update(await self._ports.tasks.finish(start))
        return _present(request_session)

    async def ensure_guest(self, request_session: RequestSession, context: GuestContext) -> Session:
        """Return the request's session as a guest's, as `ensure_session` does; beside a customer one begins too."""
        held = request_session.held
        if held is not None and held.session.kind is SessionKind.CUSTOMER and held.session.kept_guest is None:
            await self._admission.guest(request_session)
            begin = self._kept_guests.begin(held, context)
            request_session.update(await self._ports.tasks.finish(begin))
        request_session.acts_as_guest = True
        return await self.ensure_session(request_session, context)

    async def ensure_customer(self, request_session: RequestSession) -> Session:
        """Return the request's customer session with a good token.

        Raises:
            LoginRequired: nobody is logged in.
        """
        if request_session.session is None or request_session.session.kind is not SessionKind.CUSTOMER:
            raise LoginRequired
        session = await self.ensure_fresh(request_session)
        assert session is not None
        return session

    async def refresh_on_request(self, request_session: RequestSession) -> Session:
        """Refresh because the visitor asks for it.

        Raises:
            NoSession: there is none.
            TooManyRequests: this client has asked too often.
            ReauthenticationRequired: the refresh token has ended although the access token has not.
        """
        session = request_session.session
        if session is None:
            raise NoSession
        await self._admission.call(request_session, RatedCall.REFRESH)
        now = self._ports.clock()
        if not session.tokens.renewable(now) and session.tokens.usable(now):
            if session.kind is SessionKind.CUSTOMER:
                raise ReauthenticationRequired
            return session
        return await self.refresh(request_session) or session

    async def validate(self, request_session: RequestSession) -> Validation:
        """Ask upstream about the session's token; a refused one is refreshed once before it counts.

        Raises:
            NoSession: there is none.
            SessionExpired: the token is not valid and cannot be refreshed.
        """
        session = await self.ensure_fresh(request_session)
        if session is None:
            raise NoSession
        found = await self._validation(session)
        if found is None:
            if not request_session.superseded:
                session = await self.refresh(request_session) or session
            found = self._guest_validation(session) or await self._validation(session)
        if found is None:
            await self._expire(request_session)
            raise SessionExpired
        return found

    async def _expire(self, request_session: RequestSession) -> None:
        """End a customer whose token upstream does not know; the guest that the session keeps goes on."""
        assert request_session.held is not None
        guest = await self._anonymous.resume(request_session.held)
        if guest is None:
            await self.end(request_session.held.ticket, request_session, EndReason.EXPIRED)
        else:
            request_session.update(guest)

    async def is_valid(self, session: Session) -> bool:
        """Ask upstream whether a session's access token is valid; raises what other upstream calls raise."""
        return await self._validation(session) is not None

    async def _validation(self, session: Session) -> Validation | None:
        """Ask upstream about a token; None where it does not know it."""
        try:
            return await self._ports.emporix.validate(session.tokens.access)
        except ValidationRefused as refused:
            match refused.kind:
                case ValidationRefusal.ACCESS_TOKEN:
                    return None
                case ValidationRefusal.UNKNOWN:
                    if (guest := self._guest_validation(session)) is not None:
                        return guest
                    raise BadUpstreamAnswer(log_detail=str(refused)) from None
                case _:
                    assert_never(refused.kind)

    def _guest_validation(self, session: Session) -> Validation | None:
        """Nobody says whether anonymous tokens validate upstream; one that the gateway knows or just made is valid."""
        if session.kind is SessionKind.CUSTOMER:
            return None
        return Validation(int(session.tokens.access_expires_at - self._ports.clock()), None, None, None)

    async def logout(self, request_session: RequestSession) -> None:
        """End the session that the request carries, whatever upstream says.

        Raises:
            SessionRotated: the id is one that a login has replaced.
        """
        held = request_session.held
        ticket = request_session.carried if held is None else held.ticket
        try:
            if ticket is not None:
                await self._ports.tasks.finish(self.end(ticket, request_session))
        except SessionRotated:
            request_session.known = True
            raise
        request_session.known = True

    async def end(
        self, ticket: Ticket, request_session: RequestSession, reason: EndReason = EndReason.ENDED
    ) -> None:
        """End a session here, then upstream; the answer clears the carrier where this call ended it.

        Raises:
            SessionRotated: the id is one that a login has replaced.
        """
        if await self.retire(ticket, reason):
            request_session.end()

    async def retire(self, ticket: Ticket, reason: EndReason) -> bool:
        """End a session here and revoke its tokens upstream; return whether this call ended it.

        Raises:
            SessionRotated: the id is one that a login has replaced.
        """
        store = self._ports.store
        for _ in range(_LOGOUT_TRIES):
            found = await store.load_fresh(ticket)
            if isinstance(found, Tombstone) and found.reason is EndReason.SUPERSEDED:
                raise SessionRotated
            if isinstance(found, OtherSchema):
                return await store.retire(ticket, reason)  # its tokens are for a release that reads them
            if not isinstance(found, Session):
                return False
            # Compared on its generation, so that the tokens revoked are the ones that the session had.
            if await store.retire(ticket, reason, generation=found.generation):
                self._ports.audit.ended(HeldSession(ticket, found), _WHY[reason])
                await self._saver.revoke(found)
                return True
        return await store.retire(ticket, reason)


def _present(request_session: RequestSession) -> Session:
    session = request_session.session
    assert session is not None
    return session
