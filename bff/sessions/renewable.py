"""What of a session is refreshed: its own tokens, or those of the guest that a customer's session keeps.

Both are refreshed by the same rules, see `bff.sessions.refresh`. They differ in whom upstream is asked for, and in what
comes of the session where it refuses.
"""

import logging
from dataclasses import replace
from typing import Protocol, assert_never

from bff.emporix.refusals import RefreshRefused
from bff.session import (
    EndReason,
    GuestContext,
    HeldSession,
    KeptGuest,
    Session,
    SessionKind,
    as_guest,
    next_version,
)
from bff.sessions.anonymous import AnonymousSessions, anonymous_login
from bff.sessions.audit import REFUSED
from bff.sessions.endings import EndedHere, ended_error
from bff.sessions.ports import Ports
from bff.sessions.shared_token import SharedToken
from bff.sessions.token_saver import TokenSaver
from bff.telemetry.logs import event

_log = logging.getLogger(__name__)


class Renewable(Protocol):
    """One set of tokens of a session."""

    def owner(self, session: Session) -> Session:
        """Return the session as the one whom these tokens belong to."""
        ...

    async def renewed(self, session: Session) -> Session:
        """Ask upstream for the next tokens, and return the session with them in their place."""
        ...

    async def ended(self, held: HeldSession) -> HeldSession:
        """Return what takes their place where upstream refuses; the caller holds the session's lock.

        Raises:
            EndedHere, SessionExpired, SessionRotated: nothing does.
        """
        ...


class OwnTokens:
    """The tokens of the guest or customer whom a session belongs to.

    Args:
        ports: the store and the upstream.
        anonymous: begins another guest for one whose refresh was refused.
        shared_token: the bearer of customers' refreshes.
    """

    def __init__(self, ports: Ports, anonymous: AnonymousSessions, shared_token: SharedToken) -> None:
        self._ports = ports
        self._anonymous = anonymous
        self._shared_token = shared_token

    def owner(self, session: Session) -> Session:
        """Return the session."""
        return session

    async def renewed(self, session: Session) -> Session:
        """Ask for a customer's or a guest's next tokens."""
        match session.kind:
            case SessionKind.CUSTOMER:
                return await self._renewed_customer(session)
            case SessionKind.ANONYMOUS:
                return replace(session, tokens=await self._ports.emporix.anonymous_refresh(session))
            case _:
                assert_never(session.kind)

    async def _renewed_customer(self, session: Session) -> Session:
        """Ask for a customer's next tokens; a company that may have been what was refused is left, once."""
        refresh = self._ports.emporix.customer_refresh
        try:
            return replace(session, tokens=await refresh(session, self._shared_token))
        except RefreshRefused as refused:
            if session.legal_entity_id is None or not refused.company_doubtful:
                raise
        version = next_version(self._ports.clock(), session.version)
        private = replace(session, legal_entity_id=None, version=version)
        renewed = replace(private, tokens=await refresh(private, self._shared_token))
        event(_log, "company_lost", level=logging.WARNING)
        return renewed

    async def ended(self, held: HeldSession) -> HeldSession:
        """End a customer; make another guest out of a guest."""
        session = held.session
        if session.kind is SessionKind.CUSTOMER:
            return await self._expired(held)
        fresh = await self._anonymous.start(
            session.context, session.carrier, session.user_agent, older_version=session.version
        )
        if await self._ports.store.retire(
            held.ticket, EndReason.SUPERSEDED, generation=session.generation, successor=fresh.ticket
        ):
            self._ports.audit.ended(held, REFUSED)
            return fresh
        await self._ports.store.delete(fresh.ticket)
        return await self._overtaken(held)

    async def _expired(self, held: HeldSession) -> HeldSession:
        """End a customer; the guest that the session keeps goes on, with an id of its own.

        Raises:
            EndedHere: always, but for a session that was written meanwhile.
        """
        guest = await self._anonymous.resume(held)
        if guest is None and not await self._retired(held):
            return await self._overtaken(held)
        self._ports.audit.ended(held, REFUSED)
        raise EndedHere(guest)

    async def _overtaken(self, held: HeldSession) -> HeldSession:
        """Return a session that was written while its renewal was refused: an earlier renewal's tokens came late."""
        found = await self._ports.store.load_fresh(held.ticket)
        if not isinstance(found, Session):
            raise ended_error(found)
        return HeldSession(held.ticket, found)

    async def _retired(self, held: HeldSession) -> bool:
        return await self._ports.store.retire(
            held.ticket, EndReason.EXPIRED, generation=held.session.generation
        )


class KeptGuests:
    """The guests that customers' sessions keep.

    Args:
        ports: the locks and the upstream.
        saver: stores them.
    """

    def __init__(self, ports: Ports, saver: TokenSaver) -> None:
        self._ports = ports
        self._saver = saver

    def owner(self, session: Session) -> Session:
        """Return the session as its guest's."""
        return as_guest(session)

    async def renewed(self, session: Session) -> Session:
        """Ask for the next tokens of the session's guest."""
        assert session.kept_guest is not None
        tokens = await self._ports.emporix.anonymous_refresh(as_guest(session))
        return replace(session, kept_guest=replace(session.kept_guest, tokens=tokens))

    async def ended(self, held: HeldSession) -> HeldSession:
        """Begin another guest beside the customer."""
        return await self._begun(held, as_guest(held.session).context)

    async def begin(self, held: HeldSession, context: GuestContext) -> HeldSession:
        """Begin a guest beside a customer whose session keeps none yet.

        Raises:
            NoSession, SessionRotated, SessionExpired: the session has ended.
        """
        async with self._ports.locks.hold(held.ticket) as lock:
            found = lock.found
            if not isinstance(found, Session):
                raise ended_error(found)
            found = await self._saver.save_pending(HeldSession(held.ticket, found))
            if found.kept_guest is not None:
                return HeldSession(held.ticket, found)
            return await self._begun(HeldSession(held.ticket, found), context)

    async def _begun(self, held: HeldSession, context: GuestContext) -> HeldSession:
        issued = await anonymous_login(self._ports.emporix, context)
        assert issued.session_id is not None
        guest = KeptGuest(issued.tokens, issued.session_id, self._ports.clock(), context)
        return HeldSession(held.ticket, await self._saver.save(held, replace(held.session, kept_guest=guest)))
