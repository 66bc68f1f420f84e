"""The context that a guest has chosen: over a login, and where a drop-in client asks for another one.

A drop-in client asks in an anonymous login. Where its guest stands already, the guest, the cart and the Emporix session
stay; the site, currency, language and country change. Best effort: a guest whose context could not be changed is still
a guest, and the next such login tries again.
"""

import asyncio
import logging
from dataclasses import astuple, replace
from typing import Final

from bff.emporix.refusals import ContextRefused, RefreshTokenEnded, Refused
from bff.emporix.session_context import EmporixSessionContext
from bff.errors import BffError
from bff.security.secret import Secret
from bff.session import GuestContext, HeldSession, Session, SessionKind, as_guest
from bff.sessions.endings import ended_error
from bff.sessions.ports import Ports
from bff.sessions.request_session import RequestSession
from bff.sessions.token_saver import TokenSaver
from bff.telemetry.logs import event
from bff.tokens import TokenSet

_log = logging.getLogger(__name__)


KEEP_SECONDS: Final = 3.0
"""A login must not depend on a context."""
READ_SECONDS: Final = 1.0
"""The same for what is read before it."""


async def chosen_context(contexts: EmporixSessionContext, guest: Session) -> GuestContext:
    """Return what a guest was begun with, with the values that it has now: a storefront changes them by itself.

    What it was not begun with is left out: nothing tells a shopper's choice from a default of the tenant's. Best
    effort: it runs before the login, which sets the customer's preferences.
    """
    if guest.context == GuestContext():
        return guest.context
    try:
        async with asyncio.timeout(READ_SECONDS):
            now = await contexts.shown(guest.tokens.access)
    except (BffError, Refused, TimeoutError) as exc:
        if not (isinstance(exc, ContextRefused) and exc.none_yet):
            event(_log, "context_not_read", level=logging.WARNING, reason=type(exc).__name__)
        return guest.context
    return _as_now(guest.context, now)


async def keep_context(contexts: EmporixSessionContext, customer: Session) -> None:
    """Give a customer's Emporix session back what the guest had chosen; the login sets the customer's preferences [CM].

    Best effort: it runs after the session is stored and before carts are merged, which fail in another currency.
    """
    if customer.context == GuestContext():
        return
    try:
        async with asyncio.timeout(KEEP_SECONDS):
            await change_context(contexts, customer.tokens.access, customer.context)
    except (BffError, Refused, TimeoutError) as exc:
        event(_log, "context_not_applied", level=logging.WARNING, reason=type(exc).__name__)


async def change_context(contexts: EmporixSessionContext, access: Secret, wanted: GuestContext) -> bool:
    """Change what differs, once more where somebody else changed it meanwhile; False where there is no context yet."""
    for last in (False, True):
        try:
            await contexts.change(access, wanted)
        except ContextRefused as refused:
            if refused.stale and not last:
                continue
            if not refused.none_yet:
                raise
            return False
        break
    return True


class GuestContexts:
    """Changes the context of guests.

    Args:
        ports: the locks and the upstream.
        saver: stores what a guest has asked for.
    """

    def __init__(self, ports: Ports, saver: TokenSaver) -> None:
        self._ports = ports
        self._saver = saver

    async def apply(self, request_session: RequestSession, asked: GuestContext) -> None:
        """Change what differs in the context of the request's guest, which has a good token."""
        guest = request_session.session
        assert guest is not None
        if request_session.beside_customer:
            # Since the login, only a new wish changes what the customer has.
            asked = _without(asked, guest.context)
        if asked == GuestContext():
            return
        try:
            await self._ports.tasks.finish(self._applied(request_session, guest, asked))
        except (BffError, Refused, RefreshTokenEnded) as exc:
            event(_log, "context_not_applied", level=logging.WARNING, reason=type(exc).__name__)

    async def _applied(self, request_session: RequestSession, guest: Session, asked: GuestContext) -> None:
        wanted = _overlaid(guest.context, asked)
        exists = await change_context(self._ports.contexts, guest.tokens.access, asked)
        if not exists or wanted != guest.context:
            await self._stored(request_session, wanted, seed=not exists)

    async def _stored(self, request_session: RequestSession, context: GuestContext, *, seed: bool) -> None:
        """Note the context; where upstream has none yet, a refresh leaves there what it will begin with."""
        assert request_session.held is not None
        ticket = request_session.held.ticket
        async with self._ports.locks.hold(ticket, renews=seed) as lock:
            if not isinstance(lock.found, Session):
                raise ended_error(lock.found)
            found = await self._saver.save_pending(HeldSession(ticket, lock.found))
            guest = as_guest(found)
            tokens = guest.tokens
            if seed:
                tokens = await self._ports.emporix.anonymous_refresh(guest, context)
            saved = await self._saver.save(HeldSession(ticket, found), _changed(found, tokens, context))
        request_session.update(HeldSession(ticket, saved))


def _changed(session: Session, tokens: TokenSet, context: GuestContext) -> Session:
    if session.kind is SessionKind.ANONYMOUS:
        return replace(session, tokens=tokens, context=context)
    assert session.kept_guest is not None
    return replace(session, kept_guest=replace(session.kept_guest, tokens=tokens, context=context))


def _as_now(begun: GuestContext, now: GuestContext) -> GuestContext:
    pairs = zip(astuple(begun), astuple(now), strict=True)
    return GuestContext(*(None if old is None else value or old for old, value in pairs))


def _without(asked: GuestContext, known: GuestContext) -> GuestContext:
    pairs = zip(astuple(asked), astuple(known), strict=True)
    return GuestContext(*(None if value == old else value for value, old in pairs))


def _overlaid(context: GuestContext, asked: GuestContext) -> GuestContext:
    pairs = zip(astuple(asked), astuple(context), strict=True)
    return GuestContext(*(old if value is None else value for value, old in pairs))
