"""Refreshing: one at a time per session over all replicas, stored before anyone is answered.

First an in-process single flight, then a Redis lock that its living holder extends, another look at the record, and a
mark on it that upstream is being asked; the work is a task of its own. Losers take the winner's result, or go on with a
token that is still good, or get a 503. A session ends only where upstream refuses its refresh token, or where that has
ended by its clock.
"""

import asyncio
from typing import Final, assert_never

from bff.deadline import seconds_left
from bff.emporix.refusals import RefreshRefusal, RefreshRefused, RefreshTokenEnded
from bff.errors import (
    BadUpstreamAnswer,
    BffError,
    SessionExpired,
    StoreUnavailable,
    UpstreamUnavailable,
)
from bff.session import HeldSession, Session
from bff.sessions.backoff import RenewalBackoff
from bff.sessions.endings import EndedHere, ended_error
from bff.sessions.ports import Policy, Ports
from bff.sessions.renewable import Renewable
from bff.sessions.token_saver import TRANSIENT, TokenSaver
from bff.store.protocol import Found
from bff.telemetry.metrics import RENEWALS
from bff.telemetry.spans import step
from bff.tokens import TokenSet

# How long a request with a token that is still good waits for a better one, and one without; the renewal goes on.
_PATIENCE_SECONDS: Final = 2.0
_LONGEST_WAIT_SECONDS: Final = 5.0

# How often somebody whose refresh was refused looks for tokens that another replica has yet to store. With the lease
# of a killed one it is under six seconds until an end.
_LOOKS: Final = 15
_LOOK_PAUSE_SECONDS: Final = 0.1


class TokenRefresher:
    """Keeps one set of tokens of visitors' sessions fresh.

    Args:
        policy: how long before its end a token is refreshed.
        ports: the store and the locks.
        renewable: which tokens.
        saver: stores what upstream has issued.
    """

    def __init__(self, policy: Policy, ports: Ports, renewable: Renewable, saver: TokenSaver) -> None:
        self._skew = policy.refresh_skew
        self._ports = ports
        self._renewable = renewable
        self._saver = saver
        self._backoff = RenewalBackoff(policy, ports)
        self._flights: dict[bytes, asyncio.Task[HeldSession]] = {}

    async def ensure_fresh(self, held: HeldSession) -> HeldSession:
        """Return the session with a token that may be sent, refreshed first where its clocks ask for it.

        A guest whose refresh was refused comes back as another guest.

        Raises:
            EndedHere, SessionExpired: upstream refused to refresh a customer, or the refresh token has ended.
            NoSession, SessionRotated: the session ended meanwhile.
            UpstreamUnavailable: there is no good token and none can be had now.
            StoreUnavailable: the same, for want of the store.
        """
        now, tokens = self._ports.clock(), self._tokens(held.session)
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
            return await self._joined(held, _LONGEST_WAIT_SECONDS)
        except (*TRANSIENT, StoreUnavailable, TimeoutError) as exc:
            raise _unavailable(exc) from None

    async def refresh_locked(self, held: HeldSession) -> Session:
        """Refresh under the session's lock, which the caller holds for a renewal, and store before returning.

        Raises:
            RefreshRefused: upstream said no.
            RefreshTokenEnded: upstream was not asked.
            NoSession, SessionRotated, SessionExpired: the session ended meanwhile; the new tokens were revoked.
        """
        session = await self._saver.save_pending(held)
        if self._tokens(session) != self._tokens(held.session):
            return session
        return await self._saver.save(
            HeldSession(held.ticket, session), await self._renewable.renewed(session)
        )

    async def _joined(self, held: HeldSession, patience: float) -> HeldSession:
        """Wait for the one renewal of this session in this process; it is in the trace of whoever begins it."""
        with step("session refresh"):
            return await self._shared(held, patience)

    async def _shared(self, held: HeldSession, patience: float) -> HeldSession:
        """Wait for the one renewal of this session, beginning it if there is none."""
        key = held.ticket.id
        flight = self._flights.get(key)
        mine = flight is None
        if flight is None:
            flight = self._flights[key] = self._ports.tasks.start(self._backed_off(held))
            flight.add_done_callback(lambda _: self._flights.pop(key, None))
        try:
            async with asyncio.timeout(seconds_left(patience)):
                return await asyncio.shield(flight)
        except EndedHere:
            if mine:
                raise
            raise SessionExpired from None

    async def _backed_off(self, held: HeldSession) -> HeldSession:
        """Renew, unless that failed a moment ago."""
        async with self._backoff.asking(held.ticket, self._renewable.owner(held.session).kind):
            return await self._renewal(held)

    async def _renewal(self, held: HeldSession) -> HeldSession:
        """The work of one renewal: lock, look again, ask, store."""

        def renewed(found: Found) -> bool:
            current = _live(found)
            return self._tokens(current) != self._tokens(held.session) and not self.due(current)

        async with self._ports.locks.hold(held.ticket, unless=renewed, renews=True) as lock:
            current = _live(lock.found)
            if lock.acquired and not renewed(current):
                return await self._counted(HeldSession(held.ticket, current), renewal_open=lock.renewal_open)
        RENEWALS.labels(self._renewable.owner(current).kind, "shared").inc()
        return HeldSession(held.ticket, current)

    async def _counted(self, held: HeldSession, *, renewal_open: bool) -> HeldSession:
        outcome = "failed"
        try:
            renewed = HeldSession(held.ticket, await self.refresh_locked(held))
            outcome = "renewed"
        except RefreshTokenEnded:
            outcome = "expired"
            renewed = await self._ended(held, renewal_open=renewal_open)
        except RefreshRefused as refused:
            match refused.kind:
                case RefreshRefusal.REFRESH_TOKEN:
                    outcome = "refused"
                    renewed = await self._ended(held, renewal_open=renewal_open)
                case RefreshRefusal.MISCONFIGURED | RefreshRefusal.UNKNOWN:
                    raise BadUpstreamAnswer(log_detail=str(refused)) from None
                case _:
                    assert_never(refused.kind)
        finally:
            RENEWALS.labels(self._renewable.owner(held.session).kind, outcome).inc()
        return renewed

    async def _ended(self, held: HeldSession, *, renewal_open: bool) -> HeldSession:
        """End what upstream refuses, unless another replica has newer tokens and has yet to store them."""
        if renewal_open:
            for _ in range(_LOOKS):
                await asyncio.sleep(_LOOK_PAUSE_SECONDS)
                current = _live(await self._ports.store.load_fresh(held.ticket))
                if self._tokens(current) != self._tokens(held.session):
                    return HeldSession(held.ticket, current)
        return await self._renewable.ended(held)

    def _tokens(self, session: Session) -> TokenSet:
        return self._renewable.owner(session).tokens

    def due(self, session: Session) -> bool:
        """Return whether the session's clocks ask for a refresh."""
        return self._tokens(session).due(self._ports.clock(), self._skew)


def _live(found: Found) -> Session:
    """Return the session that was found; raise what its end means to the visitor where it is not there."""
    if not isinstance(found, Session):
        raise ended_error(found)
    return found


def _unavailable(exc: Exception) -> BffError:
    """Every way in which a token cannot be had now is one 503; a throttled call is one already."""
    if isinstance(exc, StoreUnavailable | UpstreamUnavailable):
        return exc
    return UpstreamUnavailable(log_detail=type(exc).__name__)
