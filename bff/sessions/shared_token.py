"""The shared token: one anonymous token that the proxy keeps for itself, the same for all replicas."""

import asyncio
from dataclasses import replace
from typing import Final

from bff.deadline import seconds_left
from bff.emporix.refusals import RefreshRefused, RefreshTokenEnded
from bff.errors import BffError, UpstreamUnavailable
from bff.security.secret import Secret
from bff.session import Carrier, GuestContext, Lifetimes, Session, Ticket
from bff.sessions.anonymous import anonymous_login, guest_session
from bff.sessions.backoff import Backoff
from bff.sessions.ports import Policy, Ports
from bff.store.protocol import Found
from bff.tokens import UpstreamCredentials

_LONGEST_WAIT_SECONDS: Final = 5.0


class SharedToken:
    """Keeps the shared token fresh, one renewal at a time over all replicas, and with a pause after a failed one.

    Its ticket follows from the newest server key, so that every replica finds the same record. No request can present
    it, even with the keys in hand: its record has a carrier and a purpose of its own. It serves reads of public
    things and is the bearer of customers' refreshes; it never has a cart.

    Args:
        policy: its ticket, its lifetime and its site.
        ports: the store, the locks and the upstream.
    """

    def __init__(self, policy: Policy, ports: Ports) -> None:
        self._ports = ports
        self._ticket = policy.shared_ticket  # of the newest key, which may be replaced
        self._context = GuestContext(site_code=policy.site_code)
        self._lifetimes = Lifetimes(idle=policy.guest.absolute, absolute=policy.guest.absolute)
        self._skew = policy.refresh_skew
        self._backoff = Backoff(policy.shared_ticket().record_name, ports)
        self._session: Session | None = None
        self._credentials: UpstreamCredentials | None = None
        self._flight: asyncio.Task[Session] | None = None

    async def credentials(self, *, refused: Secret | None = None) -> UpstreamCredentials:
        """Return what a request with the shared token is sent with; see `token`."""
        access = await self.token(refused=refused)
        if self._credentials is None or self._credentials.access is not access:
            self._credentials = UpstreamCredentials(access=access, shared=True)
        return self._credentials

    async def token(self, *, refused: Secret | None = None) -> Secret:
        """Return the access token.

        Args:
            refused: an access token that upstream has just refused; it is replaced where it is still the current one.

        Raises:
            UpstreamUnavailable, UpstreamTimeout, BadUpstreamAnswer: there is none to be had now.
            StoreUnavailable: the store does not answer.
        """
        session = self._session
        if session is None or not self._usable(session, refused):
            if self._flight is None or self._flight.done():
                self._flight = self._ports.tasks.start(self._obtain(refused))
            try:
                session = await self._awaited(self._flight)
            except BffError:
                if session is None or not session.tokens.usable(self._ports.clock()) or refused is not None:
                    raise
        return session.tokens.access

    async def _awaited(self, flight: asyncio.Task[Session]) -> Session:
        """Wait for a renewal, but not for ever: it goes on without this request."""
        try:
            async with asyncio.timeout(seconds_left(_LONGEST_WAIT_SECONDS)):
                return await asyncio.shield(flight)
        except TimeoutError:
            raise UpstreamUnavailable(log_detail="the shared token takes long") from None

    def _usable(self, session: Session, refused: Secret | None) -> bool:
        now = self._ports.clock()
        fresh = now < session.expires_at and not session.tokens.due(now, self._skew)
        return fresh and session.tokens.access != refused

    async def _obtain(self, refused: Secret | None) -> Session:
        def stored(found: Found) -> bool:
            return isinstance(found, Session) and self._usable(found, refused)

        ticket = self._ticket()
        found = await self._ports.store.load_fresh(ticket)
        if not stored(found):
            self._backoff.check()
            async with self._ports.locks.hold(ticket, unless=stored) as lock:
                found = lock.found
                if lock.acquired and not stored(found):
                    found = await self._renewed(ticket, found)
        assert isinstance(found, Session)
        self._session = found
        return found

    async def _renewed(self, ticket: Ticket, found: Found) -> Session:
        """Renew what is stored, or begin anew, unless that failed a moment ago; runs under the lock."""
        await self._backoff.check_all()
        try:
            session = await self._asked(ticket, found)
        except BffError as error:
            raise await self._backoff.failed(error) from None
        self._backoff.succeeded()
        return session

    async def _asked(self, ticket: Ticket, found: Found) -> Session:
        ports = self._ports
        if isinstance(found, Session) and (kept := await self._refreshed(ticket, found)) is not None:
            return kept
        # Also where none was found: a record that this release cannot read is in the way of a new one.
        await ports.store.delete(ticket)
        issued = await anonymous_login(ports.emporix, self._context)
        session = guest_session(issued, Carrier.PROXY, self._lifetimes, ports.clock())
        return await ports.store.create(ticket, session)

    async def _refreshed(self, ticket: Ticket, session: Session) -> Session | None:
        """Return the session with refreshed tokens, or None where they cannot be refreshed."""
        try:
            tokens = await self._ports.emporix.anonymous_refresh(session)
        except (RefreshRefused, RefreshTokenEnded):
            return None
        return await self._ports.store.replace(ticket, replace(session, tokens=tokens))
