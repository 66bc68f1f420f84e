"""Keeping refreshed tokens: one that upstream issued must not be lost, and one that came too late is revoked.

Tokens that the store does not take are tried again and again in the background, whether anybody asks for the session or
not: another replica would renew with a refresh token that is spent, and end the session.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from bff.emporix.refusals import Refused
from bff.errors import (
    BadUpstreamAnswer,
    StoreUnavailable,
    TooManyRequests,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from bff.session import HeldSession, Session, SessionKind, Ticket
from bff.sessions.endings import ended_error
from bff.sessions.ports import Ports
from bff.store.protocol import Found

TRANSIENT: Final = (UpstreamUnavailable, UpstreamTimeout, BadUpstreamAnswer, TooManyRequests)
"""Failures of an upstream call that say nothing about the token it was made with."""

_SAVE_TRIES: Final = 3
_SAVE_PAUSE_SECONDS: Final = 0.2
_MOST_UNSAVED: Final = 10_000
_LONGEST_UNSAVED_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class _Unsaved:
    """A session as it was and with new tokens, the mark of all tries to write it, and since when they are tried.

    `since` is of the loop's time: a wall clock that jumps must not cost the tokens.
    """

    base: Session
    session: Session
    mark: bytes
    since: float


class TokenSaver:
    """Stores the tokens of a session that upstream has renewed; the caller holds the session's lock.

    Args:
        ports: the store and the upstream.
    """

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._unsaved: dict[Ticket, _Unsaved] = {}
        self._saving: asyncio.Task[None] | None = None

    async def save_pending(self, held: HeldSession) -> Session:
        """Store what an earlier refresh could not, and return the session as it then is."""
        unsaved = self._unsaved.get(held.ticket)
        if unsaved is None:
            return held.session
        saved = await self._saved(held.ticket, unsaved)
        return replace(saved, fence=held.session.fence)

    async def save(self, held: HeldSession, session: Session) -> Session:
        """Store new tokens; where the store does not answer, they are stored in the background as soon as it does.

        Args:
            held: the session as it was read under the lock.
            session: the same with new tokens.

        Returns:
            The session as it then is; where a later renewal has written, with that one's tokens.

        Raises:
            StoreUnavailable: the store does not answer.
            NoSession, SessionRotated, SessionExpired: the session ended meanwhile; the new tokens were revoked.
        """
        mark = self._ports.store.write_mark()
        return await self._saved(held.ticket, _Unsaved(held.session, session, mark, _now()))

    async def _saved(self, ticket: Ticket, unsaved: _Unsaved) -> Session:
        found = await self._replace(ticket, unsaved)
        if isinstance(found, Session):
            return found
        await self.revoke(unsaved.session)
        raise ended_error(found)

    async def _replace(self, ticket: Ticket, unsaved: _Unsaved) -> Found:
        for _ in range(_SAVE_TRIES - 1):
            with suppress(StoreUnavailable):
                return await self._replace_once(ticket, unsaved)
            await asyncio.sleep(_SAVE_PAUSE_SECONDS)
        try:
            return await self._replace_once(ticket, unsaved)
        except StoreUnavailable:
            self._save_later(ticket, unsaved)
            raise

    async def _replace_once(self, ticket: Ticket, unsaved: _Unsaved) -> Found:
        """Write, over what somebody else wrote first too, unless that is a later renewal; return what then stands.

        A session that stands keeps its tokens, whose they are: a revocation would end it upstream.
        """
        found: Found = await self._ports.store.replace(ticket, unsaved.session, mark=unsaved.mark)
        if found is None and isinstance(found := await self._ports.store.load_fresh(ticket), Session):
            found = await self._write_over(ticket, unsaved, found)
        self._unsaved.pop(ticket, None)
        return found

    async def _write_over(self, ticket: Ticket, unsaved: _Unsaved, found: Session) -> Session:
        """Write what the new tokens brought into what somebody else wrote first; return what then stands."""
        store, changed = self._ports.store, _changed(unsaved)
        session = replace(found, **changed, fence=unsaved.session.fence)
        saved = await store.replace(ticket, session, mark=unsaved.mark)
        if saved is None and all(getattr(found, name) == getattr(unsaved.base, name) for name in changed):
            # A later renewal was of the session's other tokens: a guest that is kept, or the customer beside it.
            saved = await store.replace(ticket, replace(session, fence=0), mark=unsaved.mark)
        return saved or found

    def _save_later(self, ticket: Ticket, unsaved: _Unsaved) -> None:
        """Keep tokens in memory and see to it that they are stored; one task does it for all sessions."""
        if len(self._unsaved) < _MOST_UNSAVED:
            self._unsaved[ticket] = unsaved
        if self._saving is None or self._saving.done():
            self._saving = self._ports.tasks.start(self._keep_saving())

    async def _keep_saving(self) -> None:
        """Store one after the other until nothing is left; a store that is still away is asked once in a round."""
        while self._unsaved:
            await asyncio.sleep(_SAVE_PAUSE_SECONDS)
            with suppress(StoreUnavailable):
                for ticket, unsaved in list(self._unsaved.items()):
                    await self._save_or_forget(ticket, unsaved)

    async def _save_or_forget(self, ticket: Ticket, unsaved: _Unsaved) -> None:
        if _now() >= unsaved.since + _LONGEST_UNSAVED_SECONDS:
            self._unsaved.pop(ticket, None)
        elif not isinstance(await self._replace_once(ticket, unsaved), Session):
            await self.revoke(unsaved.session)

    async def revoke(self, session: Session) -> None:
        """Revoke a customer's tokens upstream, best effort; anonymous ones just end."""
        if session.kind is SessionKind.CUSTOMER and session.tokens.usable(self._ports.clock()):
            with suppress(Refused, *TRANSIENT):
                await self._ports.emporix.logout(session.tokens.access)


def _now() -> float:
    return asyncio.get_running_loop().time()


def _changed(unsaved: _Unsaved) -> dict[str, Any]:
    """Return what the new tokens brought; the fencing number is not of the session's own."""
    new = {each.name: getattr(unsaved.session, each.name) for each in fields(Session) if each.compare}
    return {name: value for name, value in new.items() if value != getattr(unsaved.base, name)}
