"""`/api`: the proxied Emporix API as plain ASGI. Knock, enter, match, forward."""

import logging
from typing import Final

from starlette.types import Receive, Scope, Send

from bff.api.forwarder import Call, Forwarder
from bff.api.paths import check_query, parse_path
from bff.api.routes import Route, RouteTable, TokenKind
from bff.auth.drop_in import DropIn
from bff.errors import BffError, NoSession, SessionRotated
from bff.middleware.problem_details import problem_response
from bff.middleware.session_layer import Header, SessionLayer, begins_nothing
from bff.session import SessionKind, credentials_of
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.request_session import RequestSession
from bff.telemetry.logs import event
from bff.tokens import UpstreamCredentials

PREFIX: Final = b"/api"
PASSWORD_CHANGE: Final = "POST /customer/{tenant}/password/change"  # noqa: S105 - a route
_log = logging.getLogger(__name__)


class ApiEndpoint:
    """Everything below `/api/`.

    Args:
        door: lets every request in.
        manager: the sessions.
        routes: what a visitor can reach, and with whose token.
        forwarder: sends it on.
        drop_in: answers upstream's own auth paths, where that is switched on.
    """

    def __init__(
        self,
        door: SessionLayer,
        manager: SessionLifecycle,
        routes: RouteTable,
        forwarder: Forwarder,
        drop_in: DropIn | None,
    ) -> None:
        self._drop_in = drop_in
        self._door = door
        self._manager = manager
        self._routes = routes
        self._forwarder = forwarder

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        visit: RequestSession | None = None
        try:
            if self._drop_in is not None and (handler := self._drop_in.handler(scope)) is not None:
                await self._drop_in(handler, scope, receive, send)
                return
            presented = self._door.knock(scope)
            visit = await self._door.enter(scope, presented)
            call = self._call(scope)
            authority = _Authority(self._door, self._manager, visit, call)
            await self._forwarder.forward(call, authority, receive, send)
        except BffError as error:
            response = problem_response(error)
            if visit is not None:
                response.raw_headers.extend(self._door.said(visit))
            await response(scope, receive, send)

    def _call(self, scope: Scope) -> Call:
        path = parse_path(scope["raw_path"], PREFIX)
        query: bytes = scope["query_string"]
        check_query(query)
        route = self._routes.match(scope["method"], path.segments).route
        scope["bff.route"] = route.name
        return Call(scope["method"], path, query, scope["headers"], route)


class _Authority:
    """Gives one call its token, as its route says."""

    __slots__ = ("_call", "_door", "_manager", "_shared", "_visit")

    def __init__(
        self, door: SessionLayer, manager: SessionLifecycle, visit: RequestSession, call: Call
    ) -> None:
        self._door = door
        self._manager = manager
        self._visit = visit
        self._call = call
        self._shared = _shared(call.route, visit)

    async def grant(self) -> UpstreamCredentials:
        if self._shared:
            return await self._manager.shared_credentials()
        if self._call.route.token is TokenKind.CUSTOMER:
            return credentials_of(await self._manager.customer(self._visit))
        if self._visit.session is None and begins_nothing(self._call.method, self._call.headers):
            raise NoSession("this request begins no session")
        if self._visit.frozen and self._call.route.live_only:
            raise SessionRotated
        return credentials_of(await self._manager.guest(self._visit))

    async def renewed(self, refused: UpstreamCredentials) -> UpstreamCredentials:
        if self._shared:
            return await self._manager.shared_credentials(refused=refused.access)
        session = self._visit.session
        if session is None or session.tokens.access == refused.access:
            session = await self._manager.fresh(self._visit, force=True)
        if session is None:
            raise NoSession
        return credentials_of(session)

    async def answered(self, status: int) -> list[Header]:
        if self._call.route.name == PASSWORD_CHANGE and 200 <= status < 300:
            await self._end_others()
        return self._door.said(self._visit)

    async def _end_others(self) -> None:
        """Whoever knew the old password may be logged in elsewhere (ASVS 7.4.3)."""
        try:
            ended = await self._manager.end_others(self._visit)
        except BffError as error:
            event(_log, "others_not_ended", level=logging.ERROR, code=error.code)
        else:
            event(_log, "others_ended", reason="password change", ended=ended)


def _shared(route: Route, visit: RequestSession) -> bool:
    """Say whether the proxy's own token serves: reads without a session, anonymous calls of customers."""
    if route.token is TokenKind.PUBLIC:
        # A rotated guest's own token may have ended with the login; what is public needs none of its own.
        return visit.session is None or visit.frozen
    if route.token is TokenKind.ANONYMOUS:
        return visit.session is not None and visit.session.kind is SessionKind.CUSTOMER
    return False
