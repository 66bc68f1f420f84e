"""The proxy's own anonymous token, shared by all replicas."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

from bff.emporix.answers import Refused
from bff.emporix.auth import EmporixAuth
from bff.errors import BffError
from bff.security.keyring import KeyedDigest
from bff.security.secret import Secret
from bff.session import ID_BYTES, SECRET_BYTES, Carrier, GuestContext, Lifetimes, Session, Ticket
from bff.sessions.anonymous import anonymous_login, guest_session
from bff.sessions.tasks import Tasks
from bff.store.locks import Locks
from bff.store.redis_store import RedisSessionStore


class SharedToken:
    """The one anonymous session that the proxy keeps for itself, the same for all replicas.

    Its ticket follows from the newest server key, so that every replica finds the same record and nobody else
    can. It serves reads of public things and is the bearer of customers' renewals; it never has a cart.
    """

    def __init__(
        self,
        store: RedisSessionStore,
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
