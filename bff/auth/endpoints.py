"""`/auth`: the session's own endpoints. Each handler parses, calls the manager, and renders."""

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.auth.handling import Handling, Reply
from bff.auth.json_body import json_object, optional_text, text
from bff.auth.views import own_session_view, session_view, validation_view
from bff.errors import BffError, InvalidRequest
from bff.middleware.problem_details import problem_response
from bff.middleware.session_layer import SessionLayer
from bff.security.secret import Secret
from bff.session import GuestContext
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.login import LONGEST_PROVIDER_TOKEN, CustomerLogin
from bff.sessions.request_session import RequestSession

_CONTEXT: Final = ("siteCode", "currency", "language", "targetLocation")


class AuthEndpoints:
    """The handlers of `/auth`.

    Args:
        manager: the sessions.
        sign_on: makes customers of guests.
        door: lets every request in, and sees its answer out.
    """

    def __init__(self, manager: SessionLifecycle, sign_on: CustomerLogin, door: SessionLayer) -> None:
        self._manager = manager
        self._sign_on = sign_on
        self._door = door
        self._handling = Handling(door)

    def routes(self) -> list[Route]:
        """Return the routes; each of them goes through the door."""
        route = self._handling.route
        return [
            route("GET", "/auth/session", self.session, exact=True),
            route("POST", "/auth/anonymous", self.anonymous),
            route("POST", "/auth/signup", self.signup),
            route("POST", "/auth/login", self.login),
            Route("/auth/logout", self.logout, methods=["POST"]),
            route("POST", "/auth/refresh", self.refresh),
            route("PUT", "/auth/legal-entity", self.legal_entity),
            route("GET", "/auth/validate", self.validate),
            route("POST", "/auth/exchange", self.exchange),
            route("POST", "/auth/opt-in", self.opt_in),
            route("GET", "/auth/sessions", self.sessions),
            route("DELETE", "/auth/sessions", self.end_others),
            route("DELETE", "/auth/sessions/{ref}", self.end_one),
        ]

    async def session(self, _request: Request, visit: RequestSession) -> Reply:
        """Look at the session."""
        return 200, session_view(visit.session)

    async def anonymous(self, request: Request, visit: RequestSession) -> Reply:
        """Begin a guest, or find that a session stands."""
        body = await json_object(request, optional=True)
        context = GuestContext(*(optional_text(body, name) for name in _CONTEXT))
        stood = visit.session is not None
        session = await self._manager.guest(visit, context)
        return (200 if stood else 201), session_view(session)

    async def signup(self, request: Request, visit: RequestSession) -> Reply:
        """Create a customer account."""
        body = await json_object(request)
        text(body, "email")
        text(body, "password")
        return 201, {"id": await self._sign_on.signup(visit, body)}

    async def login(self, request: Request, visit: RequestSession) -> Reply:
        """Log a customer in."""
        body = await json_object(request)
        email, password = text(body, "email"), Secret(text(body, "password"))
        return 200, session_view(await self._sign_on.login(visit, email, password))

    async def logout(self, request: Request) -> Response:
        """End the session, whatever it was; ending none is as good."""
        try:
            presented = self._door.knock(request.scope)
            visit = RequestSession(presented.carrier, "", None)
            await self._manager.logout(presented, visit)
        except BffError as error:
            return problem_response(error)
        return self._handling.rendered((204, None), visit)

    async def refresh(self, _request: Request, visit: RequestSession) -> Reply:
        """Renew the tokens now."""
        return 200, session_view(await self._manager.refresh(visit))

    async def legal_entity(self, request: Request, visit: RequestSession) -> Reply:
        """Switch the company."""
        body = await json_object(request)
        if "legalEntityId" not in body:
            raise InvalidRequest("'legalEntityId' is missing: a company's id, or null for none")
        entity = optional_text(body, "legalEntityId")
        return 200, session_view(await self._manager.switch_legal_entity(visit, entity))

    async def validate(self, _request: Request, visit: RequestSession) -> Reply:
        """Ask upstream about the token."""
        found = await self._manager.validate(visit)
        assert visit.session is not None
        return 200, validation_view(visit.session, found)

    async def exchange(self, request: Request, visit: RequestSession) -> Reply:
        """Log in with an identity provider's token."""
        body = await json_object(request)
        token = Secret(text(body, "token", most=LONGEST_PROVIDER_TOKEN))
        return 200, session_view(await self._sign_on.exchange(visit, token, optional_text(body, "config")))

    async def opt_in(self, request: Request, visit: RequestSession) -> Reply:
        """Activate a double-opt-in account and log it in."""
        body = await json_object(request)
        return 200, session_view(await self._sign_on.opt_in(visit, Secret(text(body, "token"))))

    async def sessions(self, _request: Request, visit: RequestSession) -> Reply:
        """List the customer's own sessions."""
        held, entries = await self._manager.own_sessions(visit)
        return 200, [own_session_view(entry, held) for entry in entries]

    async def end_one(self, request: Request, visit: RequestSession) -> Reply:
        """End one of the customer's own sessions, this one too if it is named."""
        await self._manager.end_own(visit, request.path_params["ref"])
        return 204, None

    async def end_others(self, _request: Request, visit: RequestSession) -> Reply:
        """End all of the customer's sessions but this one."""
        await self._manager.end_others(visit)
        return 204, None
