"""Single sign-on: `/auth/sso/NAME` out to the identity provider, `…/callback` back in, `…/code` for apps.

The first two are top-level navigations and exempt from the X-CSRF header: the first changes nothing but a cookie of its
own, the second needs a state that this browser began (RFC 6749 §10.12) and is used once.
"""

from collections.abc import Mapping
from html import escape
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from bff.auth.handling import Handling, Reply
from bff.auth.json_body import json_object, optional_text, text
from bff.auth.login_state import LIFETIME_SECONDS, LoginState, LoginStates, Provider
from bff.auth.return_to import ReturnTo, with_error
from bff.auth.views import session_view
from bff.errors import (
    BffError,
    CsrfFailed,
    InvalidRequest,
    NoSession,
    NotFound,
    SessionExpired,
    SessionRotated,
)
from bff.middleware.problem_details import problem_response
from bff.middleware.session_layer import SessionLayer, begins_nothing
from bff.security.secret import Secret
from bff.session import CarriedTicket, Carrier
from bff.sessions.login import CustomerLogin
from bff.sessions.request_session import RequestSession

_LONGEST_CODE: Final = 4096
_ELSEWHERE: Final = frozenset({"cross-site", "same-site"})
STATE_INVALID: Final = "login_state_invalid"
PROVIDER_ERROR: Final = "provider_error"
ACCESS_DENIED: Final = "access_denied"


class SsoEndpoints:
    """The handlers of single sign-on.

    Args:
        sign_on: makes customers of guests.
        door: lets requests in.
        states: the attempts that are under way.
        providers: the identity providers by name.
        return_to: where browsers may be sent.
        public_origin: where the provider sends them back to.
    """

    def __init__(
        self,
        sign_on: CustomerLogin,
        door: SessionLayer,
        states: LoginStates,
        providers: Mapping[str, Provider],
        return_to: ReturnTo,
        *,
        public_origin: str,
    ) -> None:
        self._sign_on = sign_on
        self._door = door
        self._handling = Handling(door)
        self._states = states
        self._providers = providers
        self._return_to = return_to
        self._public_origin = public_origin

    def routes(self) -> list[Route]:
        """Return the routes of single sign-on."""
        return [
            Route("/auth/sso/{name}", self.start, methods=["GET"]),
            Route("/auth/sso/{name}/callback", self.callback, methods=["GET"]),
            self._handling.route("POST", "/auth/sso/{name}/code", self.code),
        ]

    async def start(self, request: Request) -> Response:
        """Send the browser to the identity provider with state and PKCE."""
        try:
            name = request.path_params["name"]
            provider = self._provider(name)
            if request.headers.get("sec-fetch-dest", "document") != "document":
                raise CsrfFailed("a sign-on begins with a top-level navigation")
            if begins_nothing(request.method, request.scope["headers"]):
                raise CsrfFailed("a sign-on begins when a visitor goes there")
            target = self._return_to.accepted(_once(request, "return_to") or "/")
            presented = self._door.navigates(request.scope)
            if presented.ticket is None and request.headers.get("sec-fetch-site") in _ELSEWHERE:
                return _bounced(request)
            attempt = self._states.begin(name, provider.config, target, presented.ticket)
        except BffError as error:
            return problem_response(error)
        response = _redirect(_authorize(provider, attempt, self._redirect_uri(name)))
        response.raw_headers.extend(self._states.cookies(attempt, request.scope["headers"]))
        return response

    async def callback(self, request: Request) -> Response:
        """Finish a sign-on; whatever goes wrong is a redirect with a code."""
        name = request.path_params["name"]
        try:
            self._provider(name)
            state = _once(request, "state") or ""
            code, refusal = _once(request, "code"), _once(request, "error")
            presented = self._door.navigates(request.scope)
        except BffError as error:
            return problem_response(error)
        attempt = self._states.find(name, state, request.scope["headers"])
        if attempt is None:
            return _redirect(with_error("/", STATE_INVALID))
        response = await self._finished(request, attempt, presented, code or "", refusal)
        response.raw_headers.append(self._states.forget(state))
        return response

    async def code(self, request: Request, visit: RequestSession) -> Reply:
        """Finish a sign-on that an app ran itself."""
        self._provider(request.path_params["name"])
        body = await json_object(request)
        code, redirect_uri = text(body, "code", most=_LONGEST_CODE), text(body, "redirectUri")
        verifier = optional_text(body, "codeVerifier")
        session = await self._sign_on.social_login(
            visit,
            code=code,
            redirect_uri=redirect_uri,
            verifier=None if verifier is None else Secret(verifier),
        )
        return 200, session_view(session)

    async def _finished(
        self, request: Request, attempt: LoginState, presented: CarriedTicket, code: str, refusal: str | None
    ) -> Response:
        visit: RequestSession | None = None
        try:
            if not await self._sign_on.claim(attempt.state, LIFETIME_SECONDS):
                return _redirect(with_error(attempt.return_to, STATE_INVALID))
            if refusal is not None or not 0 < len(code) <= _LONGEST_CODE:
                failure = ACCESS_DENIED if refusal == ACCESS_DENIED else PROVIDER_ERROR
                return _redirect(with_error(attempt.return_to, failure))
            visit = await self._visit(request, attempt, presented)
            await self._sign_on.social_login(
                visit, code=code, redirect_uri=self._redirect_uri(attempt.provider), verifier=attempt.verifier
            )
            response = _redirect(attempt.return_to)
        except BffError as error:
            response = _redirect(with_error(attempt.return_to, error.code))
            if presented.ticket is None:
                # The browser kept a SameSite=Strict cookie at home, if it has one: a failure must not replace it.
                return response
        if visit is not None:
            response.raw_headers.extend(self._door.leave(visit))
        return response

    async def _visit(self, request: Request, attempt: LoginState, presented: CarriedTicket) -> RequestSession:
        """Go on with the session that the browser carries, or with the guest that began; or with a new one."""
        ticket = presented.ticket or attempt.ticket
        try:
            return await self._door.enter(request.scope, CarriedTicket(Carrier.COOKIE, ticket), safe=False)
        except (NoSession, SessionExpired, SessionRotated):
            return await self._door.enter(request.scope, CarriedTicket(Carrier.COOKIE), safe=False)

    def _provider(self, name: str) -> Provider:
        provider = self._providers.get(name)
        if provider is None:
            raise NotFound("there is no identity provider of this name")
        return provider

    def _redirect_uri(self, name: str) -> str:
        return f"{self._public_origin}/auth/sso/{name}/callback"


def _authorize(provider: Provider, attempt: LoginState, redirect_uri: str) -> str:
    query = {
        "response_type": "code",
        "client_id": provider.client_id,
        "redirect_uri": redirect_uri,
        "state": attempt.state,
        "code_challenge": attempt.challenge,
        "code_challenge_method": "S256",
    }
    if provider.scope is not None:
        query["scope"] = provider.scope
    joint = "&" if "?" in provider.authorize_url else "?"
    return provider.authorize_url + joint + urlencode(query)


def _bounced(request: Request) -> Response:
    """Send the browser here once more, from here: only then does it bring a SameSite=Strict cookie along."""
    address = escape(f"{request.url.path}?{request.url.query}&from=here".replace("?&", "?"), quote=True)
    page = f'<!doctype html><title>Signing on</title><meta http-equiv="refresh" content="0;url={address}">'
    return HTMLResponse(page, headers={"cache-control": "no-store"})


def _once(request: Request, name: str) -> str | None:
    values = request.query_params.getlist(name)
    if len(values) > 1:
        raise InvalidRequest(f"'{name}' is given twice")
    return values[0] if values else None


def _redirect(target: str) -> Response:
    response = RedirectResponse(target, 302)
    response.headers["location"] = target
    response.headers["cache-control"] = "no-store"
    return response
