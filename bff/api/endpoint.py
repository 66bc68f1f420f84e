"""`/api`: the proxied Emporix API. Parse, match, take a token, send, stream the answer back."""

import logging
from contextlib import suppress
from typing import Final

from starlette.types import Receive, Scope, Send

from bff.api.call import Call
from bff.api.delivery import Delivery
from bff.api.forwarder import Forwarder
from bff.api.merged_cart import CART_MERGE, is_merged_already, merged
from bff.api.paths import UpstreamPath, check_query, parse_path
from bff.api.request_body import ClientLeft, RequestBody
from bff.api.routes import RoutesInForce
from bff.api.token_kinds import call_credentials, renewed_credentials
from bff.errors import BffError, ReauthenticationRequired
from bff.memo import Memo
from bff.middleware.header_fields import HeaderFields
from bff.middleware.request_context import request_context
from bff.sessions import audit
from bff.sessions.engine import Engine
from bff.sessions.request_session import RequestSession
from bff.store.protocol import RatedCall
from bff.telemetry.logs import event
from bff.tokens import UpstreamCredentials
from bff.upstream.protocol import UpstreamAnswer

PREFIX: Final = b"/api"
PASSWORD_CHANGE: Final = "POST /customer/{tenant}/password/change"  # noqa: S105 - a route
RATED: Final = {
    PASSWORD_CHANGE: RatedCall.PASSWORD,
    "POST /customer/{tenant}/me/accounts/internal/email/change": RatedCall.PASSWORD,
    "POST /customer/{tenant}/me/accounts/internal/email/change/confirm": RatedCall.MAIL,
    "POST /customer/{tenant}/password/reset": RatedCall.MAIL,
    "POST /customer/{tenant}/password/reset/update": RatedCall.MAIL,
    "POST /customer/{tenant}/signup": RatedCall.SIGN_UP,
    "POST /customer/{tenant}/signup/optin/refresh_token": RatedCall.MAIL,
}
"""Routes with a rate limit of their own: they send mails, make accounts, or bring what could be guessed."""
_LONGEST_USUAL_PATH: Final = 256
_log = logging.getLogger(__name__)


class ApiEndpoint:
    """Everything below `/api/`.

    Args:
        engine: the sessions.
        routes: what a visitor can reach, and with whose token.
        forwarder: sends a call upstream.
        delivery: sends the answer back.
        max_body_bytes: the most that a request may bring.
    """

    def __init__(
        self,
        engine: Engine,
        routes: RoutesInForce,
        forwarder: Forwarder,
        delivery: Delivery,
        *,
        max_body_bytes: int,
    ) -> None:
        self._engine = engine
        self._routes = routes
        self._forwarder = forwarder
        self._delivery = delivery
        self._max_body_bytes = max_body_bytes
        self._paths = Memo[bytes, UpstreamPath](
            lambda raw: parse_path(raw, PREFIX), longest=_LONGEST_USUAL_PATH
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        context = request_context(scope)
        call = self._matched(scope, context.fields)
        route, session = call.route, context.session
        assert session is not None
        context.route = name = route.name
        if name in RATED:
            await self._engine.admission.call(session, RATED[name])
        body = RequestBody(call.fields, receive, self._max_body_bytes)
        try:
            if name == CART_MERGE and await is_merged_already(call, session.session, body):
                await merged()(scope, receive, send)
                return
            credentials = await call_credentials(
                route.token, session, self._engine, live_only=route.live_only
            )
            answer = await self._forwarder.send(call, credentials, body)
            if answer.status == 401:
                answer, credentials = await self._met(answer, call, session, credentials, body)
        except ClientLeft:
            return
        try:
            if name == PASSWORD_CHANGE and 200 <= answer.status < 300:
                await self._end_others(session)
            await self._delivery.deliver(call, answer, credentials, body, send)
        finally:
            if not answer.released:
                await answer.aclose()

    def _matched(self, scope: Scope, fields: HeaderFields) -> Call:
        path = self._paths[scope["raw_path"]]
        query: bytes = scope["query_string"]
        if query:
            check_query(query)
        route = self._routes.table.match(scope["method"], path.segments).route
        return Call(scope["method"], path, query, fields, route)

    async def _met(
        self,
        answer: UpstreamAnswer,
        call: Call,
        session: RequestSession,
        credentials: UpstreamCredentials,
        body: RequestBody,
    ) -> tuple[UpstreamAnswer, UpstreamCredentials]:
        """Meet a 401 with one refresh and, where the body can be sent again and the route allows it, one replay.

        Returns:
            The answer, and the credentials of the request that it answers.
        """
        try:
            await self._check_saas_token(call, session, credentials)
            renewed = await renewed_credentials(credentials, session, self._engine)
        except BaseException:
            await answer.aclose()
            raise
        if call.route.once or not body.replayable:
            return answer, credentials  # the next call goes with the new token
        await answer.aclose()
        answer = await self._forwarder.send(call, renewed, body)
        if answer.status == 401 and _needs_saas_token(call, renewed):
            await answer.aclose()  # the access token has just been renewed: it is the other one
            raise ReauthenticationRequired
        return answer, renewed

    async def _check_saas_token(
        self, call: Call, session: RequestSession, credentials: UpstreamCredentials
    ) -> None:
        """Find out whose fault a 401 is where the request cannot be sent again to tell.

        Raises:
            ReauthenticationRequired: the access token is valid, so that it is the saas token's.
        """
        if not call.route.once or session.session is None or not _needs_saas_token(call, credentials):
            return
        valid = False
        with suppress(BffError):  # an upstream that cannot say leaves it at its 401
            valid = await self._engine.lifecycle.is_valid(session.session)
        if valid:
            raise ReauthenticationRequired

    async def _end_others(self, session: RequestSession) -> None:
        """Whoever knew the old password may be logged in elsewhere (ASVS 7.4.3)."""
        try:
            ended = await self._engine.own_sessions.end_others(session, audit.PASSWORD_CHANGE)
        except BffError as error:
            event(_log, "others_not_ended", level=logging.ERROR, code=error.code)
        else:
            event(_log, "others_ended", reason="password change", ended=ended)


def _needs_saas_token(call: Call, credentials: UpstreamCredentials) -> bool:
    return call.route.saas_token == "required" and credentials.customer  # noqa: S105
