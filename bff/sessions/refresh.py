"""Refreshing: one at a time per session over all replicas, stored before anyone is answered.

First an in-process single flight, then a Redis lock that outlives the upstream deadline, then another look at the
record; the work is a task of its own. Losers take the winner's result, or go on with a token that is still
good, or get a 503. Only upstream's definite no ends a session.
"""

import asyncio
from dataclasses import replace
from typing import Final

from bff.emporix.answers import Refused
from bff.errors import (
    BadUpstreamAnswer,
    BffError,
    SessionExpired,
    SessionRotated,
    StoreUnavailable,
    UpstreamUnavailable,
)
from bff.session import EndReason, HeldSession, Session, SessionKind
from bff.sessions.anonymous import AnonymousSessions
from bff.sessions.endings import EndedHere, ended_error
from bff.sessions.ports import Policy, Ports
from bff.sessions.shared_token import SharedToken
from bff.sessions.token_saver import TRANSIENT, TokenSaver
from bff.store.protocol import Found
from bff.telemetry.metrics import RENEWALS, SESSIONS
from bff.tokens import TokenSet

# A 404 or a 405 is what a gateway says while upstream is being deployed, not what it says of a token.
_DEFINITE: Final = frozenset({400, 401, 403})

# How long a request with a token that is still good waits for a better one.
_PATIENCE_SECONDS: Final = 2.0


class TokenRefresher:
    """Keeps the tokens of visitors' sessions fresh.

    Args:
        policy: how long before its end a token is refreshed.
        ports: the store, the locks and the upstream.
        anonymous: begins another guest for one whose refresh was refused.
        shared_token: the bearer of customers' refreshes.
        saver: stores what upstream has issued.
    """

    def __init__(
        self,
        policy: Policy,
        ports: Ports,
        anonymous: AnonymousSessions,
        shared_token: SharedToken,
        saver: TokenSaver,
    ) -> None:
        self._skew = policy.refresh_skew
        self._ports = ports
        self._anonymous = anonymous
        self._shared_token = shared_token
        self._saver = saver
        self._flights: dict[bytes, asyncio.Task[HeldSession]] = {}

    async def ensure_fresh(self, held: HeldSession) -> HeldSession:
        """Return the session with a token that may be sent, refreshed first where its clocks ask for it.

        A guest whose refresh was refused comes back as another guest.

        Raises:
            EndedHere, SessionExpired: upstream refused to refresh a customer.
            NoSession, SessionRotated: the session ended meanwhile.
            UpstreamUnavailable: there is no good token and none can be had now.
            StoreUnavailable: the same, for want of the store.
        """
        now, tokens = self._ports.clock(), held.session.tokens
        if not tokens.due(now, self._skew):
            return held
        if not tokens.usable(now):
            return await self.refresh(held)
        try:
            return await self._joined(held, _PATIENCE_SECONDS)
        except (*TRANSIENT, StoreUnavailable, TimeoutError) as exc:
            if tokens.usable(self._ports.clock()):
                return held
            raise _unavailable(exc) from None

    async def refresh(self, held: HeldSession) -> HeldSession:
        """Refresh although the clocks do not ask for it; another request's refresh since counts. Raises as above."""
        try:
            return await self._joined(held, None)
        except (*TRANSIENT, StoreUnavailable, TimeoutError) as exc:
            raise _unavailable(exc) from None

    async def refresh_locked(self, held: HeldSession) -> Session:
        """Refresh under the session's lock, which the caller holds, and store before returning.

        Raises:
            Refused: upstream's definite no.
            NoSession, SessionRotated, SessionExpired: the session ended meanwhile; the new tokens were revoked.
        """
        session = held.session
        saved = await self._saver.save_pending(held)
        if saved is not session:
            return saved
        return await self._saver.save(held.ticket, replace(session, tokens=await self._ask(session)))

    async def customer_tokens(self, session: Session, legal_entity_id: str | None) -> TokenSet:
        """Ask for a customer's new tokens: with the shared anonymous bearer first, the customer's own on a 401.

        Upstream contradicts itself on whose bearer is right; where it refuses both, and refused the first as a
        bearer, the shared token may have been the one at fault and is had anew.
        """
        refresh = session.tokens.refresh
        if refresh is None or not session.tokens.renewable(self._ports.clock()):
            raise Refused(401)
        bearer = await self._shared_token.token()
        ask = self._ports.emporix.customer_refresh
        try:
            issued = await ask(bearer, refresh, legal_entity_id)
        except Refused as first:
            if first.status != 401:
                raise
            try:
                issued = await ask(session.tokens.access, refresh, legal_entity_id)
            except Refused as second:
                if second.status != 401 or not first.bearer:
                    raise
                bearer = await self._shared_token.token(refused=bearer)
                issued = await ask(bearer, refresh, legal_entity_id)
        return issued.tokens.following(session.tokens)

    async def _joined(self, held: HeldSession, patience: float | None) -> HeldSession:
        """Wait for the one renewal of this session in this process, beginning it if there is none."""
        key = held.ticket.id
        flight = self._flights.get(key)
        mine = flight is None
        if flight is None:
            flight = self._flights[key] = self._ports.tasks.start(self._renewal(held))
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        try:
            async with asyncio.timeout(patience):
                return await asyncio.shield(flight)
        except EndedHere:
            if mine:
                raise
            raise SessionExpired from None

    async def _renewal(self, held: HeldSession) -> HeldSession:
        """The work of one renewal: lock, look again, ask, store."""

        def renewed(found: Found) -> bool:
            current = _live(found)
            return current.generation != held.session.generation and not self._due(current)

        async with self._ports.locks.hold(held.ticket, unless=renewed) as lock:
            current = _live(lock.found)
            if lock.acquired and not renewed(current):
                return await self._counted(HeldSession(held.ticket, current))
        RENEWALS.labels(current.kind, "shared").inc()
        return HeldSession(held.ticket, current)

    async def _counted(self, held: HeldSession) -> HeldSession:
        outcome = "failed"
        try:
            renewed = HeldSession(held.ticket, await self.refresh_locked(held))
            outcome = "renewed"
        except Refused as refused:
            if refused.misconfigured or refused.status not in _DEFINITE:
                raise BadUpstreamAnswer(log_detail=f"a renewal answered {refused.status}") from None
            outcome = "refused"
            renewed = await self._refused(held)
        finally:
            RENEWALS.labels(held.session.kind, outcome).inc()
        return renewed

    async def _refused(self, held: HeldSession) -> HeldSession:
        """End a customer; make another guest out of a guest."""
        session = held.session
        if session.kind is SessionKind.CUSTOMER:
            if await self._ports.store.retire(held.ticket, EndReason.EXPIRED, generation=session.generation):
                SESSIONS.labels(session.kind, "expired").inc()
                raise EndedHere
            raise SessionExpired
        fresh = await self._anonymous.start(
            session.context, session.carrier, session.user_agent, older_version=session.version
        )
        if await self._ports.store.retire(held.ticket, EndReason.SUPERSEDED, generation=session.generation):
            return fresh
        await self._ports.store.delete(fresh.ticket)
        raise SessionRotated

    async def _ask(self, session: Session) -> TokenSet:
        if session.kind is SessionKind.CUSTOMER:
            return await self.customer_tokens(session, session.legal_entity_id)
        refresh = session.tokens.refresh
        if refresh is None or not session.tokens.renewable(self._ports.clock()):
            raise Refused(401)
        return (await self._ports.emporix.anonymous_refresh(refresh)).tokens.following(session.tokens)

    def _due(self, session: Session) -> bool:
        return session.tokens.due(self._ports.clock(), self._skew)


def _live(found: Found) -> Session:
    """Return the session that was found; raise what its end means to the visitor where it is not there."""
    if not isinstance(found, Session):
        raise ended_error(found)
    return found


def _unavailable(exc: Exception) -> BffError:
    """Every way in which a token cannot be had now is one 503."""
    if isinstance(exc, StoreUnavailable | UpstreamUnavailable):
        return exc
    retry_after = exc.retry_after if isinstance(exc, BffError) else None
    return UpstreamUnavailable(log_detail=type(exc).__name__, retry_after=retry_after)
