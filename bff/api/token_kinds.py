"""The kinds of token that a route may ask for: which flags each takes, and whose token it is.

Every function matches all kinds, so that a new one fails the type check until each of them handles it.
"""

from enum import StrEnum
from typing import Final, assert_never

from bff.errors import NoSession, SessionRotated
from bff.session import SessionKind
from bff.sessions.endings import reject_ended
from bff.sessions.engine import Engine
from bff.sessions.request_session import RequestSession
from bff.tokens import UpstreamCredentials

SESSION_FLAGS: Final = frozenset({"saas-token", "saas-token-optional", "session-id", "chat-session"})
"""Flags that need a session."""
BROWSER_CACHE: Final = "browser-cache"
_COMMON_FLAGS: Final = frozenset({"live-only", "once"})
FLAGS: Final = SESSION_FLAGS | _COMMON_FLAGS | {BROWSER_CACHE}


class TokenKind(StrEnum):
    """Whose token a route takes."""

    PUBLIC = "public"
    """The session's where one stands, else the shared token: reads that cost a visitor no session."""
    SESSION = "session"
    """The customer's if logged in, else the guest's; a guest begins where there is none."""
    ANONYMOUS = "anonymous"
    """The guest's; for a customer the shared token."""
    CUSTOMER = "customer"
    """The customer's; a guest must log in first."""


def allowed_flags(kind: TokenKind) -> frozenset[str]:
    """Return the flags that a route with this kind of token may have."""
    match kind:
        case TokenKind.PUBLIC:
            return _COMMON_FLAGS | {BROWSER_CACHE}
        case TokenKind.ANONYMOUS:
            return _COMMON_FLAGS
        case TokenKind.SESSION | TokenKind.CUSTOMER:
            return _COMMON_FLAGS | SESSION_FLAGS
        case _:
            assert_never(kind)


async def call_credentials(
    kind: TokenKind, session: RequestSession, engine: Engine, *, live_only: bool
) -> UpstreamCredentials:
    """Return what a call is sent with.

    Args:
        kind: whose token the call's route takes.
        session: the session of the request.
        engine: refreshes tokens, and begins guests.
        live_only: the route reads the session itself, so a superseded one does not serve.

    Raises:
        LoginRequired: the route is for customers, and nobody is logged in.
        NoSession, SessionExpired: the call needs a session, and has ended or may not begin one.
        SessionRotated: a login has replaced the session, and this route needs it as it is now.
        BffError: a token cannot be had now.
    """
    match kind:
        case TokenKind.PUBLIC:
            # A superseded guest's own token may have ended with the login; public reads need none of its own.
            if session.session is None or session.superseded:
                return await engine.shared_token.credentials()
        case TokenKind.ANONYMOUS:
            reject_ended(session)
            if session.session is not None and session.session.kind is SessionKind.CUSTOMER:
                return await engine.shared_token.credentials()
        case TokenKind.CUSTOMER:
            reject_ended(session)
            return (await engine.lifecycle.ensure_customer(session)).credentials
        case TokenKind.SESSION:
            reject_ended(session)
        case _:
            assert_never(kind)
    if session.superseded and live_only:
        raise SessionRotated
    lifecycle = engine.lifecycle
    return (lifecycle.at_hand(session) or await lifecycle.ensure_session(session)).credentials


async def renewed_credentials(
    refused: UpstreamCredentials, session: RequestSession, engine: Engine
) -> UpstreamCredentials:
    """Return other credentials in place of those that upstream has refused; raises as `call_credentials` does."""
    if refused.shared:
        return await engine.shared_token.credentials(refused=refused.access)
    current = session.session
    if current is None or current.tokens.access == refused.access:
        current = await engine.lifecycle.refresh(session)
    if current is None:
        raise NoSession
    return current.credentials
