"""Drop-in mode: Emporix' own auth paths under `/api`, in its own shapes, with nothing in them that opens anything.

An existing storefront or SDK keeps calling what it calls; every token that it gets is a placeholder, and every session
id an alias. Its `Authorization` header, which holds a placeholder, says whether the guest or the customer calls. It is
also the proof that a page of the storefront sent the request: no other site can set it without a preflight.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import unquote

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.auth.aliases import Aliases
from bff.auth.answers import Answer, json_response
from bff.auth.json_body import json_object, text
from bff.auth.placeholders import ACCESS, REFRESH, Placeholders
from bff.auth.query import single
from bff.errors import BffError, InvalidRequest, LoginRequired, NoSession
from bff.middleware.origin_check import Proof
from bff.middleware.problem_details import add_error_headers, log_error
from bff.middleware.request_context import request_context, request_session
from bff.middleware.session_layer import BY_ROUTE, Selection
from bff.security.secret import Secret
from bff.session import CONTEXT_PARAMETERS, GuestContext, Session, SessionKind
from bff.sessions.engine import Engine
from bff.sessions.request_session import RequestSession

_CAMEL: Final = {ACCESS: "accessToken", REFRESH: "refreshToken", "saas_token": "saasToken"}


@dataclass(frozen=True, slots=True)
class _Call:
    """One call of a drop-in client."""

    request: Request
    session: RequestSession
    token: str = field(repr=False)

    def query(self, name: str) -> str | None:
        return single(self.request, name) or None


_Handler = Callable[[_Call], Awaitable[Answer]]


class DropIn:
    """Answers upstream's auth paths, and lets every other call act as whom its placeholder names.

    Args:
        engine: the sessions.
        aliases: stands in for session ids.
        placeholders: stand in for tokens.
        proxied: the proxied API.
        tenant: the only one that is answered.
    """

    def __init__(
        self, engine: Engine, aliases: Aliases, placeholders: Placeholders, proxied: ASGIApp, *, tenant: str
    ) -> None:
        self._engine = engine
        self._aliases = aliases
        self._placeholders = placeholders
        self._proxied = proxied
        self._tenant = tenant
        self._clock = engine.ports.clock
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

    def select(self, scope: Scope) -> Selection:
        """Return what answers this request; one trailing slash of existing clients is taken off before matching."""
        scope["raw_path"] = scope["raw_path"].removesuffix(b"/")
        handler = self._handler(scope)
        if handler is None:
            named = any(name == b"authorization" for name, _ in scope["headers"])
            return Selection(self._call, _BY_PLACEHOLDER) if named else Selection(self._proxied, BY_ROUTE)
        request_context(scope).route = f"drop-in {handler.__name__}"
        proof = Proof.ORIGIN if self._called_bare(handler) else Proof.HEADER
        return Selection(self._endpoint(handler), replace(_RULES, proof=proof))

    def _called_bare(self, handler: _Handler) -> bool:
        return handler in (self.anonymous_login, self.anonymous_refresh)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send a call on as whom its placeholder names."""
        self._placeholders.call_as(request_session(scope), scope["headers"])
        await self._proxied(scope, receive, send)

    def _handler(self, scope: Scope) -> _Handler | None:
        path = scope["raw_path"].decode("latin-1")
        method: str = scope["method"]
        optin = self._customer + "signup/optin/"
        if method == "GET" and path.startswith(optin) and "/" not in path[len(optin) :]:
            return self.opt_in
        return self._handlers.get((method, path))

    def _endpoint(self, handler: _Handler) -> ASGIApp:
        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            session = request_session(scope)
            session.merges_carts = True
            if not self._called_bare(handler):
                self._placeholders.call_as(session, scope["headers"])
            segment = scope["raw_path"].rpartition(b"/")[2]
            call = _Call(Request(scope, receive), session, unquote(segment.decode("latin-1")))
            await json_response(*await handler(call))(scope, receive, send)

        return answer

    async def anonymous_login(self, call: _Call) -> Answer:
        """Begin a guest; one that stands is kept, although stock clients ask anew where they could renew."""
        if (call.query("tenant") or call.query("hybris-tenant")) != self._tenant:
            raise InvalidRequest("The supplied tenant is not this one")
        context = GuestContext(*(call.query(name) for name in CONTEXT_PARAMETERS))
        stood = call.session.held is not None
        session = await self._engine.lifecycle.ensure_guest(call.session, context)
        if stood:
            await self._engine.guest_contexts.apply(call.session, context)
            session = call.session.session or session
        return 200, self._tokens(session, scope=f"tenant={self._tenant}")

    async def anonymous_refresh(self, call: _Call) -> Answer:
        """Renew what needs renewing; a guest that upstream does not renew comes back as a new one."""
        if (refresh := call.query("refresh_token")) is not None:
            self._require(call, SessionKind.ANONYMOUS, REFRESH, refresh)
        elif (access := call.query("anonymous_token")) is not None:
            self._require(call, SessionKind.ANONYMOUS, ACCESS, access)
        else:
            raise InvalidRequest("refresh_token is missing")
        session = await self._engine.lifecycle.ensure_guest(call.session, GuestContext())
        return 200, self._tokens(session, scope=f"tenant={self._tenant}")

    async def login(self, call: _Call) -> Answer:
        """Log in with e-mail and password."""
        await self._engine.admission.sign_on(call.session)
        body = await json_object(call.request)
        session = await self._engine.login.login(
            call.session, text(body, "email"), Secret(text(body, "password"))
        )
        return 200, self._tokens(session, saas=True) | {"initialPassword": session.initial_password}

    async def logout(self, call: _Call) -> Answer:
        """End the customer's session, the guest that it keeps too: the next guest has a new Emporix session."""
        access = call.query("accessToken")
        if call.session.acts_as_guest:
            raise LoginRequired("Invalid access token: it is not a customer's")
        if access is not None:
            self._require(call, SessionKind.CUSTOMER, ACCESS, access)
        if call.session.held is not None:
            await self._engine.lifecycle.logout(call.session)
        return 204, None

    async def refresh(self, call: _Call) -> Answer:
        """Renew, or switch the company: without one named upstream issues tokens without a company."""
        refresh = call.query("refreshToken")
        if refresh is None:
            raise InvalidRequest("refreshToken is missing")
        self._require(call, SessionKind.CUSTOMER, REFRESH, refresh)
        call.session.acts_as_guest = False  # the bearer may be the guest's, as upstream has it
        session = call.session.session
        assert session is not None
        entity = call.query("legalEntityId")
        if entity != session.legal_entity_id:
            session = await self._engine.legal_entity.switch(call.session, entity)
        else:
            session = await self._engine.lifecycle.refresh_on_request(call.session)
        return 200, self._tokens(session)

    async def validate(self, call: _Call) -> Answer:
        """Ask upstream about the session's token."""
        found = await self._engine.lifecycle.validate(call.session)
        assert call.session.session is not None
        body = {
            "token_type": "Bearer",
            "expires_in": found.expires_in,
            "scope": found.scope,
            "sessionId": self._aliases.of(call.session.session.upstream_session_id),
            "email": found.email,
            "legalEntityId": found.legal_entity_id,
        }
        return 200, {name: value for name, value in body.items() if value is not None}

    async def social_login(self, call: _Call) -> Answer:
        """Trade an identity provider's code; upstream sends numbers as strings here and names no session."""
        code = call.query("code")
        if code is None:
            raise InvalidRequest("code is missing")
        verifier = call.query("code_verifier")
        session = await self._engine.login.social_login(
            call.session,
            code=code,
            redirect_uri=call.query("redirect_uri"),
            verifier=None if verifier is None else Secret(verifier),
        )
        body = self._tokens(session, saas=True)
        names = ("expires_in", "refresh_token_expires_in", "expiresIn", "refreshTokenExpiresIn")
        echoes = self._named(session, "social_access_token", "social_id_token")
        return 200, body | {name: str(body[name]) for name in names if name in body} | echoes

    async def exchange(self, call: _Call) -> Answer:
        """Trade an identity provider's token."""
        token = call.query("subjectAccessToken")
        if token is None:
            raise InvalidRequest("subjectAccessToken is missing")
        session = await self._engine.login.exchange(call.session, Secret(token), call.query("config"))
        return 200, self._tokens(session, saas=True) | self._named(session, "subject_access_token")

    async def opt_in(self, call: _Call) -> Answer:
        """Activate an account with its mail's token, which logs it in."""
        session = await self._engine.login.opt_in(call.session, Secret(call.token))
        return 200, self._tokens(session, saas=True)

    def _tokens(self, session: Session, *, saas: bool = False, scope: str | None = None) -> dict[str, Any]:
        """Render a token answer in snake and camel names: placeholders, an alias, and the true lifetimes."""
        now, tokens = self._clock(), session.tokens
        alias = self._aliases.of(session.upstream_session_id)
        lifetime = max(0, int(tokens.access_expires_at - now))
        body: dict[str, Any] = {"token_type": "Bearer", "session_id": alias, "sessionId": alias}
        body |= self._named(session, ACCESS, REFRESH, *(("saas_token",) if saas else ()))
        body |= {_CAMEL[name]: body[name] for name in _CAMEL if name in body}
        body |= {"expires_in": lifetime, "expiresIn": lifetime}
        if tokens.refresh_expires_at is not None:
            left = max(0, int(tokens.refresh_expires_at - now))
            body |= {"refresh_token_expires_in": left, "refreshTokenExpiresIn": left}
        return body if scope is None else body | {"scope": scope}

    def _named(self, session: Session, *tokens: str) -> dict[str, str]:
        """Return the placeholders of these tokens under their names."""
        return {token: self._placeholders.of(session, token) for token in tokens}

    def _require(self, call: _Call, owner: SessionKind, token: str, placeholder: str) -> None:
        """Refuse a placeholder that does not stand for this token of the guest, or of the customer."""
        if self._placeholders.owner(call.session, token, placeholder) is not owner:
            raise NoSession("Invalid access token: it is somebody else's")


def emporix_error(error: BffError, _members: Mapping[str, Any]) -> Response:
    """Render an error in upstream's shapes: the gateway's fault for a 401, the customer service's for the rest."""
    log_error(error)
    if error.status == 401:
        body: dict[str, Any] = {"fault": {"faultstring": error.detail, "detail": {"errorcode": error.code}}}
    else:
        more = {"moreInfo": "", "details": []}
        body = {"status": error.status, "type": error.code, "message": error.detail} | more
    response = json_response(error.status, body)
    add_error_headers(response, error)
    return response


_RULES: Final = replace(BY_ROUTE, safe=False, render_error=emporix_error)
_BY_PLACEHOLDER: Final = replace(BY_ROUTE, render_error=emporix_error)
