"""Renewals: one at a time per session over all replicas, stored before anyone is answered.

First an in-process single flight, then a Redis lock that outlives the upstream deadline, then another look at the
record; the work is a task of its own. Losers take the winner's result, or go on with a token that is still
good, or are told to come again. Only upstream's definite no ends a session.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Final

from bff.emporix.answers import Refused
from bff.emporix.auth import EmporixAuth
from bff.errors import (
    BadUpstreamAnswer,
    BffError,
    NoSession,
    SessionExpired,
    SessionRotated,
    StoreUnavailable,
    TooManyRequests,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from bff.session import EXPIRED, ROTATED, HeldSession, Session, SessionKind, Ticket, Tombstone
from bff.sessions.anonymous import AnonymousSessions
from bff.sessions.shared_token import SharedToken
from bff.sessions.tasks import Tasks
from bff.store.locks import Locks
from bff.store.redis_store import RedisSessionStore
from bff.telemetry.metrics import RENEWALS, SESSIONS
from bff.tokens import TokenSet

TRANSIENT: Final = (UpstreamUnavailable, UpstreamTimeout, BadUpstreamAnswer, TooManyRequests)

# A 404 or a 405 is what a gateway says while upstream is being deployed, not what it says of a token.
_DEFINITE: Final = frozenset({400, 401, 403})

# Reasons that tombstones carry.

# How long a request with a token that is still good waits for a better one.
_PATIENCE_SECONDS: Final = 2.0
_SAVE_TRIES: Final = 3
_SAVE_PAUSE_SECONDS: Final = 0.2
_MOST_UNSAVED: Final = 10_000


class EndedHere(SessionExpired):
    """This very renewal ended the session, so its answer is the one that clears the cookie."""


def ended_error(found: Tombstone | None) -> BffError:
    """Return what a request with a dead session's id is told."""
    reasons: dict[str, type[BffError]] = {ROTATED: SessionRotated, EXPIRED: SessionExpired}
    return reasons.get(found.reason, NoSession)() if found is not None else NoSession()


class TokenRefresher:
    """Keeps the tokens of visitors' sessions fresh.

    Args:
        store: where sessions are.
        emporix: the upstream's auth calls.
        guests: makes another guest out of one whose renewal was refused.
        shared: the proxy's own anonymous token, the bearer of customers' renewals.
        locks: one worker per session over all replicas.
        tasks: runs the work that a leaving client must not cancel.
        skew: seconds before its end at which a token is renewed.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        store: RedisSessionStore,
        emporix: EmporixAuth,
        guests: AnonymousSessions,
        shared: SharedToken,
        locks: Locks,
        tasks: Tasks,
        *,
        skew: float,
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._emporix = emporix
        self._guests = guests
        self._shared = shared
        self._locks = locks
        self._tasks = tasks
        self._skew = skew
        self._clock = clock
        self._flights: dict[bytes, asyncio.Task[HeldSession]] = {}
        self._unsaved: dict[bytes, Session] = {}

    async def fresh(self, held: HeldSession, *, force: bool = False) -> HeldSession:
        """Return the session with a token that may be sent; a refused guest comes back as another guest.

        Args:
            held: the session as it was read.
            force: renew although its clocks do not ask for it; another request's renewal since counts.

        Raises:
            EndedHere, SessionExpired: upstream refused to renew a customer.
            NoSession, SessionRotated: the session ended meanwhile.
            UpstreamUnavailable: there is no good token and none can be had now.
            StoreUnavailable: the same, for want of the store.
        """
        now, tokens = self._clock(), held.session.tokens
        if not force and not tokens.due(now, self._skew):
            return held
        still_good = not force and tokens.usable(now)
        try:
            return await self._joined(held, _PATIENCE_SECONDS if still_good else None)
        except (*TRANSIENT, StoreUnavailable, TimeoutError) as exc:
            if still_good and tokens.usable(self._clock()):
                return held
            raise _unavailable(exc) from None

    async def renew_held(self, held: HeldSession) -> Session:
        """Renew under the session's lock, which the caller holds, and store before returning.

        Raises:
            Refused: upstream's definite no.
            NoSession, SessionRotated, SessionExpired: the session ended meanwhile; what came was revoked.
        """
        session = held.session
        settled = await self.settled(held)
        if settled is not session:
            return settled
        return await self.save(held.ticket, replace(session, tokens=await self._ask(session)))

    async def settled(self, held: HeldSession) -> Session:
        """Store what an earlier renewal could not; return the session as it then is. The caller holds the lock."""
        unsaved = self._unsaved.pop(held.ticket.id, None)
        if unsaved is None or unsaved.generation != held.session.generation:
            return held.session
        return await self.save(held.ticket, unsaved)

    async def customer_tokens(self, session: Session, legal_entity_id: str | None) -> TokenSet:
        """Ask for a customer's new tokens: with the shared anonymous bearer first, the customer's own on a 401.

        Upstream contradicts itself on whose bearer is right; where it refuses both, and refused the first as a
        bearer, the shared token may have been the one at fault and is had anew.
        """
        refresh = session.tokens.refresh
        if refresh is None or not session.tokens.renewable(self._clock()):
            raise Refused(401)
        bearer = await self._shared.token()
        ask = self._emporix.customer_refresh
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
                bearer = await self._shared.token(refused=bearer)
                issued = await ask(bearer, refresh, legal_entity_id)
        return issued.tokens.following(session.tokens)

    async def save(self, ticket: Ticket, session: Session) -> Session:
        """Store new tokens; they are kept in memory for the next try where the store does not answer.

        Raises:
            StoreUnavailable: the store does not answer.
            NoSession, SessionRotated, SessionExpired: the session ended meanwhile; the new tokens were revoked.
        """
        saved = await self._replace(ticket, session)
        if saved is not None:
            return saved
        await self.revoke(session)
        found = await self._store.load(ticket, slide=False)
        raise ended_error(found if isinstance(found, Tombstone) else None)

    async def _replace(self, ticket: Ticket, session: Session) -> Session | None:
        mark = self._store.mark()
        for _ in range(_SAVE_TRIES - 1):
            with suppress(StoreUnavailable):
                return await self._store.replace(ticket, session, mark=mark)
            await asyncio.sleep(_SAVE_PAUSE_SECONDS)
        try:
            return await self._store.replace(ticket, session, mark=mark)
        except StoreUnavailable:
            if len(self._unsaved) < _MOST_UNSAVED:
                self._unsaved[ticket.id] = session
            raise

    async def revoke(self, session: Session) -> None:
        """Revoke a customer's tokens upstream, best effort; anonymous ones just end."""
        if session.kind is SessionKind.CUSTOMER and session.tokens.usable(self._clock()):
            with suppress(Refused, *TRANSIENT):
                await self._emporix.logout(session.tokens.access)

    async def _joined(self, held: HeldSession, patience: float | None) -> HeldSession:
        """Wait for the one renewal of this session in this process, beginning it if there is none."""
        key = held.ticket.id
        flight = self._flights.get(key)
        mine = flight is None
        if flight is None:
            flight = self._flights[key] = self._tasks.start(self._renewal(held))
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

        def renewed(found: Session) -> bool:
            return found.generation != held.session.generation and not self._due(found)

        async def winners() -> Session | None:
            found = await self._live(held.ticket)
            return found if renewed(found) else None

        async with self._locks.hold(held.ticket, unless=winners) as theirs:
            current = theirs or await self._live(held.ticket)
            if not renewed(current):
                return await self._counted(HeldSession(held.ticket, current))
        RENEWALS.labels(current.kind, "shared").inc()
        return HeldSession(held.ticket, current)

    async def _live(self, ticket: Ticket) -> Session:
        found = await self._store.load(ticket, slide=False)
        if not isinstance(found, Session):
            raise ended_error(found)
        return found

    async def _counted(self, held: HeldSession) -> HeldSession:
        outcome = "failed"
        try:
            renewed = HeldSession(held.ticket, await self.renew_held(held))
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
            if await self._store.retire(held.ticket, EXPIRED, generation=session.generation):
                SESSIONS.labels(session.kind, "expired").inc()
                raise EndedHere
            raise SessionExpired
        fresh = await self._guests.start(
            session.context, session.carrier, session.user_agent, older_version=session.version
        )
        if await self._store.retire(held.ticket, ROTATED, generation=session.generation):
            return fresh
        await self._store.delete(fresh.ticket)
        raise SessionRotated

    async def _ask(self, session: Session) -> TokenSet:
        if session.kind is SessionKind.CUSTOMER:
            return await self.customer_tokens(session, session.legal_entity_id)
        refresh = session.tokens.refresh
        if refresh is None or not session.tokens.renewable(self._clock()):
            raise Refused(401)
        return (await self._emporix.anonymous_refresh(refresh)).tokens.following(session.tokens)

    def _due(self, session: Session) -> bool:
        return session.tokens.due(self._clock(), self._skew)


def _unavailable(exc: Exception) -> BffError:
    """Every way in which a token cannot be had now is one 503."""
    if isinstance(exc, StoreUnavailable | UpstreamUnavailable):
        return exc
    retry_after = exc.retry_after if isinstance(exc, BffError) else None
    return UpstreamUnavailable(log_detail=type(exc).__name__, retry_after=retry_after)
