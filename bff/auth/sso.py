"""Single sign-on: `/auth/sso` lists the providers, `…/NAME` goes out, `…/callback` comes back, `…/code` is for apps.

Out and back are top-level navigations and exempt from the X-CSRF header: out changes nothing but a cookie of its own,
back needs a state that this browser began (RFC 6749 §10.12) and is used once.
"""

from collections.abc import Mapping
from dataclasses import replace
from html import escape
from typing import Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from bff.auth.answers import DEFAULT, Answer, json_endpoint
from bff.auth.json_body import json_object, optional_text, text
from bff.auth.login_state import LIFETIME_SECONDS, LoginState, LoginStates, Provider
from bff.auth.query import single
from bff.auth.return_to import ReturnTo, with_error
from bff.auth.views import session_view
from bff.errors import BffError, CsrfFailed, NotFound, SessionRotated
from bff.middleware.origin_check import Proof
from bff.middleware.request_context import request_session
from bff.middleware.routing import Endpoint
from bff.middleware.session_layer import Rules
from bff.security.secret import Secret
from bff.session import Carrier
from bff.sessions.engine import Engine
from bff.sessions.request_session import RequestSession

NAVIGATIONS: Final = "/auth/sso/"
STATE_INVALID: Final = "login_state_invalid"
PROVIDER_ERROR: Final = "provider_error"
ACCESS_DENIED: Final = "access_denied"

_LONGEST_CODE: Final = 4096
_ELSEWHERE: Final = frozenset({"cross-site", "same-site"})
_NAVIGATION: Final = Rules(proof=Proof.NAVIGATION, load=False)


class SsoEndpoints:
    """The handlers of single sign-on.

    Args:
        engine: the sessions.
        states: the attempts that are under way.
        providers: the identity providers by name.
        return_to: where browsers may be sent.
        public_origin: where the provider sends them back to.
    """

    def __init__(
        self,
        engine: Engine,
        states: LoginStates,
        providers: Mapping[str, Provider],
        return_to: ReturnTo,
        *,
        public_origin: str,
    ) -> None:
        self._engine = engine
        self._states = states
        self._providers = providers
        self._return_to = return_to
        self._public_origin = public_origin

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints of single sign-on with their rules."""
        callback = Route("/auth/sso/{name}/callback", self.callback, methods=["GET"])
        return [
            json_endpoint("GET", "/auth/sso", self.providers),
            Endpoint(Route("/auth/sso/{name}", self.start, methods=["GET"]), _NAVIGATION),
            Endpoint(callback, _NAVIGATION),
            json_endpoint("POST", "/auth/sso/{name}/code", self.code, replace(DEFAULT, needs_session=False)),
        ]

    async def providers(self, _request: Request, session: RequestSession) -> Answer:
        """List the identity providers; apps, which run the redirect themselves, learn how."""
        if session.carrier is Carrier.COOKIE:
            return 200, [{"name": name} for name in self._providers]
        return 200, [_provider_view(name, provider) for name, provider in self._providers.items()]

    async def start(self, request: Request) -> Response:
        """Send the browser to the identity provider with state and PKCE."""
        name = request.path_params["name"]
        provider = self._provider(name)
        if request.headers.get("sec-fetch-dest", "document") != "document":
            raise CsrfFailed("a sign-on begins with a top-level navigation", cause="navigation")
        session = request_session(request.scope)
        if not session.may_begin:
            raise CsrfFailed("a sign-on begins when a visitor goes there", cause="navigation")
        target = self._return_to.accepted(single(request, "return_to") or "/")
        if session.carried is None and request.headers.get("sec-fetch-site") in _ELSEWHERE:
            return _bounced(request)
        attempt = self._states.begin(name, provider.config, target, session.carried)
        response = _redirect(_authorize(provider, attempt, self._redirect_uri(name)))
        response.raw_headers.extend(self._states.cookies(attempt, request.scope["headers"]))
        return response

    async def callback(self, request: Request) -> Response:
        """Finish a sign-on; whatever goes wrong is a redirect with a code."""
        name = request.path_params["name"]
        self._provider(name)
        state = single(request, "state") or ""
        code, refusal = single(request, "code"), single(request, "error")
        attempt = self._states.find(name, state, request.scope["headers"])
        if attempt is None:
            return _redirect(with_error("/", STATE_INVALID))
        target = await self._finished(request_session(request.scope), attempt, code or "", refusal)
        response = _redirect(target)
        response.raw_headers.append(self._states.forget(state))
        return response

    async def code(self, request: Request, session: RequestSession) -> Answer:
        """Finish a sign-on that an app ran itself."""
        self._provider(request.path_params["name"])
        await self._engine.admission.sign_on(session)
        body = await json_object(request)
        code, redirect_uri = text(body, "code", most=_LONGEST_CODE), text(body, "redirectUri")
        verifier = optional_text(body, "codeVerifier")
        customer = await self._engine.login.social_login(
            session,
            code=code,
            redirect_uri=redirect_uri,
            verifier=None if verifier is None else Secret(verifier),
        )
        return 200, session_view(customer)

    async def _finished(
        self, session: RequestSession, attempt: LoginState, code: str, refusal: str | None
    ) -> str:
        """Log the customer in and return where the browser goes."""
        # A browser keeps a SameSite=Strict cookie at home here, if it has one: a failure must not replace it.
        without_cookie = session.carried is None
        try:
            if not await self._engine.login.claim(attempt.state, LIFETIME_SECONDS):
                return with_error(attempt.return_to, STATE_INVALID)
            if refusal is not None or not 0 < len(code) <= _LONGEST_CODE:
                failure = ACCESS_DENIED if refusal == ACCESS_DENIED else PROVIDER_ERROR
                return with_error(attempt.return_to, failure)
            await self._load(session, attempt)
            await self._engine.login.social_login(
                session,
                code=code,
                redirect_uri=self._redirect_uri(attempt.provider),
                verifier=attempt.verifier,
            )
        except BffError as error:
            if without_cookie:
                session.keep_carrier()
            return with_error(attempt.return_to, error.code)
        return attempt.return_to

    async def _load(self, session: RequestSession, attempt: LoginState) -> None:
        """Go on with the session that the browser carries, or with the guest that began, or with a new one."""
        browser_carries = session.carried is not None
        session.carried = session.carried or attempt.ticket
        try:
            await self._engine.lifecycle.load(session, safe=False)
        except SessionRotated:
            if browser_carries:  # what a login has replaced begins nothing: that login's cookie is on its way
                raise

    def _provider(self, name: str) -> Provider:
        provider = self._providers.get(name)
        if provider is None:
            raise NotFound("there is no identity provider of this name")
        return provider

    def _redirect_uri(self, name: str) -> str:
        return f"{self._public_origin}/auth/sso/{name}/callback"


def _provider_view(name: str, provider: Provider) -> dict[str, str]:
    """Render what an authorization request of an app needs (RFC 6749 §4.1.1); nothing of it is secret."""
    view = {"name": name, "authorizeUrl": provider.authorize_url, "clientId": provider.client_id}
    return view if provider.scope is None else view | {"scope": provider.scope}


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


def _redirect(target: str) -> Response:
    response = RedirectResponse(target, 302)
    response.headers["location"] = target
    response.headers["cache-control"] = "no-store"
    return response
