"""`/auth`: the session's own endpoints. Each handler parses, calls the engine, and returns a status and a body.

A request is counted against the rate limits before its body is read.
"""

from dataclasses import replace
from typing import Any, Final

from starlette.requests import Request
from starlette.types import Scope

from bff.auth.answers import DEFAULT, Answer, json_endpoint
from bff.auth.json_body import json_object, optional_text, seconds, text
from bff.auth.query import single
from bff.auth.views import own_session_view, session_view, validation_view
from bff.emporix.outside_tokens import LONGEST_PROVIDER_TOKEN, is_bearer_token
from bff.errors import InvalidRequest
from bff.middleware.routing import Endpoint
from bff.security.secret import Secret
from bff.session import CONTEXT_PARAMETERS, GuestContext
from bff.sessions.adoption import HandedOver
from bff.sessions.engine import Engine
from bff.sessions.request_session import RequestSession
from bff.store.protocol import RatedCall, Touch

_LONGEST_TOKEN: Final = 8192
"""Characters; a header field with more is refused by most servers."""


def _view_touch(scope: Scope) -> Touch:
    """Looking at the session extends its idle lifetime to the moment, or with `?slide=false` not at all."""
    slide = single(Request(scope), "slide")
    if slide not in {None, "true", "false"}:
        raise InvalidRequest("'slide' is true or false")
    return Touch.NO if slide == "false" else Touch.EXACT


class AuthEndpoints:
    """The handlers of `/auth`.

    Args:
        engine: the sessions.
        assisted: accept customers' tokens that Emporix's dashboard handed over.
    """

    def __init__(self, engine: Engine, *, assisted: bool = False) -> None:
        self._engine = engine
        self._assisted = assisted

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints with their rules."""
        begins = replace(DEFAULT, needs_session=False)
        view = replace(begins, touch=_view_touch)
        unloaded = replace(DEFAULT, load=False)  # ending a session that has ended is as good
        adopt = [json_endpoint("POST", "/auth/adopt", self.adopt)] if self._assisted else []
        return [
            *adopt,
            json_endpoint("GET", "/auth/session", self.session, view),
            json_endpoint("POST", "/auth/anonymous", self.anonymous, begins),
            json_endpoint("POST", "/auth/signup", self.signup, begins),
            json_endpoint("POST", "/auth/login", self.login, begins),
            json_endpoint("POST", "/auth/logout", self.logout, unloaded),
            json_endpoint("POST", "/auth/refresh", self.refresh),
            json_endpoint("PUT", "/auth/legal-entity", self.legal_entity),
            json_endpoint("GET", "/auth/validate", self.validate),
            json_endpoint("POST", "/auth/exchange", self.exchange, begins),
            json_endpoint("POST", "/auth/opt-in", self.opt_in, begins),
            json_endpoint("GET", "/auth/sessions", self.sessions),
            json_endpoint("DELETE", "/auth/sessions", self.end_others),
            json_endpoint("DELETE", "/auth/sessions/{ref}", self.end_one),
        ]

    async def session(self, _request: Request, session: RequestSession) -> Answer:
        """Look at the session."""
        return 200, session_view(session.session)

    async def anonymous(self, request: Request, session: RequestSession) -> Answer:
        """Begin a guest, or find that a session stands."""
        if session.session is None:
            await self._engine.admission.guest(session)
        body = await json_object(request, optional=True)
        context = GuestContext(*(optional_text(body, name) for name in CONTEXT_PARAMETERS))
        stood = session.session is not None
        found = await self._engine.lifecycle.ensure_session(session, context)
        return (200 if stood else 201), session_view(found)

    async def signup(self, request: Request, session: RequestSession) -> Answer:
        """Create a customer account."""
        await self._engine.admission.call(session, RatedCall.SIGN_UP)
        body = await json_object(request)
        text(body, "email")
        text(body, "password")
        return 201, {"id": await self._engine.signup.signup(session, body)}

    async def login(self, request: Request, session: RequestSession) -> Answer:
        """Log a customer in."""
        await self._engine.admission.sign_on(session)
        body = await json_object(request)
        email, password = text(body, "email"), Secret(text(body, "password"))
        return 200, session_view(await self._engine.login.login(session, email, password))

    async def logout(self, _request: Request, session: RequestSession) -> Answer:
        """End the session, whatever it is; ending none is as good."""
        await self._engine.lifecycle.logout(session)
        return 204, None

    async def refresh(self, _request: Request, session: RequestSession) -> Answer:
        """Refresh the tokens now."""
        return 200, session_view(await self._engine.lifecycle.refresh_on_request(session))

    async def legal_entity(self, request: Request, session: RequestSession) -> Answer:
        """Switch the company."""
        await self._engine.admission.call(session, RatedCall.REFRESH)
        body = await json_object(request)
        if "legalEntityId" not in body:
            raise InvalidRequest("'legalEntityId' is missing: a company's id, or null for none")
        entity = optional_text(body, "legalEntityId")
        return 200, session_view(await self._engine.legal_entity.switch(session, entity))

    async def validate(self, _request: Request, session: RequestSession) -> Answer:
        """Ask upstream about the token."""
        found = await self._engine.lifecycle.validate(session)
        assert session.session is not None
        return 200, validation_view(session.session, found)

    async def exchange(self, request: Request, session: RequestSession) -> Answer:
        """Log in with an identity provider's token."""
        await self._engine.admission.sign_on(session)
        body = await json_object(request)
        token = Secret(text(body, "token", most=LONGEST_PROVIDER_TOKEN))
        config = optional_text(body, "config")
        return 200, session_view(await self._engine.login.exchange(session, token, config))

    async def opt_in(self, request: Request, session: RequestSession) -> Answer:
        """Activate a double-opt-in account and log it in."""
        await self._engine.admission.sign_on(session)
        body = await json_object(request)
        return 200, session_view(await self._engine.login.opt_in(session, Secret(text(body, "token"))))

    async def adopt(self, request: Request, session: RequestSession) -> Answer:
        """Begin a customer's session with tokens that Emporix's dashboard handed over."""
        body = await json_object(request)
        access = Secret(text(body, "customerToken", most=_LONGEST_TOKEN))
        saas = optional_text(body, "saasToken", most=_LONGEST_TOKEN)
        handed = HandedOver(access, None if saas is None else Secret(saas), seconds(body, "expiresIn"))
        for token in (handed.access, handed.saas):
            if token is not None and not is_bearer_token(token):
                raise InvalidRequest("a token has characters that no token has")
        return 200, session_view(await self._engine.adoption.adopt(session, handed))

    async def sessions(self, _request: Request, session: RequestSession) -> Answer:
        """List the customer's own sessions."""
        current, entries = await self._engine.own_sessions.list_all(session)
        views: list[Any] = [own_session_view(entry, current) for entry in entries]
        return 200, views

    async def end_one(self, request: Request, session: RequestSession) -> Answer:
        """End one of the customer's own sessions, this one too if it is named."""
        await self._engine.own_sessions.end_one(session, request.path_params["ref"])
        return 204, None

    async def end_others(self, _request: Request, session: RequestSession) -> Answer:
        """End all of the customer's sessions but this one."""
        await self._engine.own_sessions.end_others(session)
        return 204, None
