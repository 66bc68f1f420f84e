"""Drop-in mode: Emporix' own auth paths under `/api`, in its own shapes, with nothing in them that opens anything.

An existing storefront or SDK keeps calling what it calls; every token that it gets is one constant, and every session
id an alias. Its `Authorization` header, which holds that constant, is the proof that a page of the storefront
sent the request: no other site can set it without a preflight.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from bff.auth.aliases import Aliases
from bff.auth.json_body import json_object, text
from bff.errors import BffError, InvalidRequest, LoginRequired, NoSession
from bff.middleware.problem_details import note
from bff.middleware.session_layer import SessionLayer, begins_nothing
from bff.security.secret import Secret
from bff.session import GuestContext, Session
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.login import CustomerLogin
from bff.sessions.request_session import RequestSession

PLACEHOLDER: Final = "kept-by-the-proxy"

Reply = tuple[int, dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class _Ask:
    """One call of a drop-in client."""

    request: Request
    visit: RequestSession
    token: str = field(repr=False)

    def query(self, name: str) -> str | None:
        values = self.request.query_params.getlist(name)
        if len(values) > 1:
            raise InvalidRequest(f"'{name}' is given twice")
        return values[0] if values and values[0] else None


_Handler = Callable[[_Ask], Awaitable[Reply]]


class DropIn:
    """Answers upstream's auth paths.

    Args:
        manager: the sessions.
        sign_on: makes customers of guests.
        door: lets requests in, and sees their answers out.
        aliases: stands in for session ids.
        tenant: the only one that is answered.
        clock: seconds since the epoch.
    """

    def __init__(
        self,
        manager: SessionLifecycle,
        sign_on: CustomerLogin,
        door: SessionLayer,
        aliases: Aliases,
        *,
        tenant: str,
        clock: Callable[[], float],
    ) -> None:
        self._manager = manager
        self._sign_on = sign_on
        self._door = door
        self._aliases = aliases
        self._tenant = tenant
        self._clock = clock
        self._anonymous = "/api/customerlogin/auth/anonymous/"
        self._customer = f"/api/customer/{tenant}/"
        self._handlers: Mapping[tuple[str, str], _Handler] = {
            ("GET", self._anonymous + "login"): self.anonymous_login,
            ("GET", self._anonymous + "refresh"): self.anonymous_refresh,
            ("POST", self._customer + "login"): self.login,
            ("GET", self._customer + "logout"): self.logout,
            ("GET", self._customer + "refreshauthtoken"): self.refresh,
            ("GET", self._customer + "validateauthtoken"): self.validate,
            ("POST", self._customer + "socialLogin"): self.social_login,
            ("POST", self._customer + "exchangeauthtoken"): self.exchange,
        }

    def handler(self, scope: Scope) -> _Handler | None:
        """Return what answers this request, or None where it is an ordinary one."""
        path = scope["raw_path"].decode("latin-1")
        method: str = scope["method"]
        optin = self._customer + "signup/optin/"
        if method == "GET" and path.startswith(optin) and "/" not in path[len(optin) :]:
            return self.opt_in
        return self._handlers.get((method, path))

    async def __call__(self, handler: _Handler, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request in, answer it in upstream's shape, whatever comes of it, and see the answer out.

        Raises:
            CsrfFailed, InvalidRequest, OriginNotAllowed: it does not prove where it comes from, which is no matter
                of upstream's and is told in the proxy's own shape.
        """
        scope["bff.route"] = f"drop-in {handler.__name__}"
        visit: RequestSession | None = None
        presented = self._door.knock(scope, bare=handler in (self.anonymous_login, self.anonymous_refresh))
        try:
            visit = await self._door.enter(scope, presented, safe=False)
            if visit.session is None and begins_nothing(scope["method"], scope["headers"]):
                raise NoSession("this request begins no session")
            ask = _Ask(Request(scope, receive), visit, scope["path"].rpartition("/")[2])
            response = _rendered(*await handler(ask))
        except BffError as error:
            response = _refused(error)
        if visit is not None:
            response.raw_headers.extend(self._door.said(visit))
        await response(scope, receive, send)

    async def anonymous_login(self, ask: _Ask) -> Reply:
        """Begin a guest; a session that stands is kept, although stock clients ask anew where they could renew."""
        if (ask.query("tenant") or ask.query("hybris-tenant")) != self._tenant:
            raise InvalidRequest("The supplied tenant is not this one")
        names = ("siteCode", "currency", "language", "targetLocation")
        session = await self._manager.guest(ask.visit, GuestContext(*(ask.query(name) for name in names)))
        return 200, self._tokens(session, scope=f"tenant={self._tenant}")

    async def anonymous_refresh(self, ask: _Ask) -> Reply:
        """Renew what needs renewing; a vanished guest comes back as a new one."""
        session = await self._manager.guest(ask.visit)
        return 200, self._tokens(session, scope=f"tenant={self._tenant}")

    async def login(self, ask: _Ask) -> Reply:
        """Log in with e-mail and password."""
        body = await json_object(ask.request)
        session = await self._sign_on.login(ask.visit, text(body, "email"), Secret(text(body, "password")))
        return 200, self._tokens(session, saas=True) | {"initialPassword": session.initial_password}

    async def logout(self, ask: _Ask) -> Reply:
        """End the session; the token in the query is a placeholder and is not looked at."""
        if ask.visit.held is not None:
            await self._manager.end_now(ask.visit)
        return 204, None

    async def refresh(self, ask: _Ask) -> Reply:
        """Renew, or switch the company: without one named upstream issues tokens without a company."""
        session = ask.visit.session
        if session is None:
            raise LoginRequired
        entity = ask.query("legalEntityId")
        if entity != session.legal_entity_id:
            session = await self._manager.switch_legal_entity(ask.visit, entity)
        else:
            session = await self._manager.refresh(ask.visit)
        return 200, self._tokens(session)

    async def validate(self, ask: _Ask) -> Reply:
        """Ask upstream about the session's token."""
        found = await self._manager.validate(ask.visit)
        assert ask.visit.session is not None
        body = {
            "token_type": "Bearer",
            "expires_in": found.expires_in,
            "scope": found.scope,
            "sessionId": self._aliases.of(ask.visit.session.upstream_session_id),
            "email": found.email,
            "legalEntityId": found.legal_entity_id,
        }
        return 200, {name: value for name, value in body.items() if value is not None}

    async def social_login(self, ask: _Ask) -> Reply:
        """Trade an identity provider's code; upstream sends numbers as strings here and names no session."""
        code, redirect_uri = ask.query("code"), ask.query("redirect_uri")
        if code is None or redirect_uri is None:
            raise InvalidRequest("code and redirect_uri are both needed")
        verifier = ask.query("code_verifier")
        session = await self._sign_on.social_login(
            ask.visit,
            code=code,
            redirect_uri=redirect_uri,
            verifier=None if verifier is None else Secret(verifier),
        )
        body = self._tokens(session, saas=True)
        names = ("expires_in", "refresh_token_expires_in", "expiresIn", "refreshTokenExpiresIn")
        echoes = {"social_access_token": PLACEHOLDER, "social_id_token": PLACEHOLDER}
        return 200, body | {name: str(body[name]) for name in names if name in body} | echoes

    async def exchange(self, ask: _Ask) -> Reply:
        """Trade an identity provider's token."""
        token = ask.query("subjectAccessToken")
        if token is None:
            raise InvalidRequest("subjectAccessToken is missing")
        session = await self._sign_on.exchange(ask.visit, Secret(token), ask.query("config"))
        return 200, self._tokens(session, saas=True) | {"subject_access_token": PLACEHOLDER}

    async def opt_in(self, ask: _Ask) -> Reply:
        """Activate an account with its mail's token, which logs it in."""
        session = await self._sign_on.opt_in(ask.visit, Secret(ask.token))
        return 200, self._tokens(session, saas=True)

    def _tokens(self, session: Session, *, saas: bool = False, scope: str | None = None) -> dict[str, Any]:
        """Render a token answer in snake and camel names: placeholders, an alias, and the true lifetimes."""
        now, tokens = self._clock(), session.tokens
        alias = self._aliases.of(session.upstream_session_id)
        lifetime = max(0, int(tokens.access_expires_at - now))
        body: dict[str, Any] = {"token_type": "Bearer", "session_id": alias, "sessionId": alias}
        body |= {"access_token": PLACEHOLDER, "accessToken": PLACEHOLDER}
        body |= {"refresh_token": PLACEHOLDER, "refreshToken": PLACEHOLDER}
        body |= {"expires_in": lifetime, "expiresIn": lifetime}
        if tokens.refresh_expires_at is not None:
            left = max(0, int(tokens.refresh_expires_at - now))
            body |= {"refresh_token_expires_in": left, "refreshTokenExpiresIn": left}
        if saas:
            body |= {"saas_token": PLACEHOLDER, "saasToken": PLACEHOLDER}
        return body if scope is None else body | {"scope": scope}


def _rendered(status: int, body: dict[str, Any] | None) -> Response:
    response = Response(status_code=status)
    if body is not None:
        response = Response(json.dumps(body, separators=(",", ":")), status, media_type="application/json")
    response.headers["cache-control"] = "no-store"
    return response


def _refused(error: BffError) -> Response:
    """Render an error in upstream's shapes: the gateway's fault for a 401, the customer service's for the rest."""
    note(error)
    if error.status == 401:
        body: dict[str, Any] = {"fault": {"faultstring": error.detail, "detail": {"errorcode": error.code}}}
    else:
        more = {"moreInfo": "", "details": []}
        body = {"status": error.status, "type": error.code, "message": error.detail} | more
    response = _rendered(error.status, body)
    for name, value in error.headers:
        response.headers.append(name, value)
    if error.retry_after is not None:
        response.headers["retry-after"] = str(error.retry_after)
    return response
