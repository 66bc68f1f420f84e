"""Keeping refreshed tokens: one that upstream issued must not be lost, and one that came too late is revoked."""

import asyncio
from contextlib import suppress
from typing import Final

from bff.emporix.refusals import Refused
from bff.errors import (
    BadUpstreamAnswer,
    StoreUnavailable,
    TooManyRequests,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from bff.session import HeldSession, Session, SessionKind, Ticket, Tombstone
from bff.sessions.endings import ended_error
from bff.sessions.ports import Ports

TRANSIENT: Final = (UpstreamUnavailable, UpstreamTimeout, BadUpstreamAnswer, TooManyRequests)
"""Failures of an upstream call that say nothing about the token it was made with."""

_SAVE_TRIES: Final = 3
_SAVE_PAUSE_SECONDS: Final = 0.2
_MOST_UNSAVED: Final = 10_000


class TokenSaver:
    """Stores the tokens of a session that upstream has renewed; the caller holds the session's lock.

    Args:
        ports: the store and the upstream.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._unsaved: dict[bytes, Session] = {}

    async def save_pending(self, held: HeldSession) -> Session:
        """Store what an earlier refresh could not, and return the session as it then is."""
        unsaved = self._unsaved.pop(held.ticket.id, None)
        if unsaved is None or unsaved.generation != held.session.generation:
            return held.session
        return await self.save(held.ticket, unsaved)

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
        found = await self._ports.store.load_fresh(ticket)
        raise ended_error(found if isinstance(found, Tombstone) else None)

    async def _replace(self, ticket: Ticket, session: Session) -> Session | None:
        mark = self._ports.store.write_mark()
        for _ in range(_SAVE_TRIES - 1):
            with suppress(StoreUnavailable):
                return await self._ports.store.replace(ticket, session, mark=mark)
            await asyncio.sleep(_SAVE_PAUSE_SECONDS)
        try:
            return await self._ports.store.replace(ticket, session, mark=mark)
        except StoreUnavailable:
            if len(self._unsaved) < _MOST_UNSAVED:
                self._unsaved[ticket.id] = session
            raise

    async def revoke(self, session: Session) -> None:
        """Revoke a customer's tokens upstream, best effort; anonymous ones just end."""
        if session.kind is SessionKind.CUSTOMER and session.tokens.usable(self._ports.clock()):
            with suppress(Refused, *TRANSIENT):
                await self._ports.emporix.logout(session.tokens.access)
