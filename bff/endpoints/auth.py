"""`/auth`: the session's own endpoints. Each handler parses, calls the manager, and renders."""

import json
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.endpoints.bodies import json_object, optional_text, text
from bff.endpoints.door import Door, told
from bff.endpoints.views import session_view, validation_view
from bff.errors import BffError, InvalidRequest
from bff.problems import problem_response
from bff.secret import Secret
from bff.sessions.manager import SessionManager
from bff.sessions.models import GuestContext
from bff.sessions.signon import SignOn
from bff.sessions.visits import Visit

Reply = tuple[int, dict[str, Any] | None]
Handler = Callable[[Request, Visit], Awaitable[Reply]]

_CONTEXT: Final = ("siteCode", "currency", "language", "targetLocation")


class AuthEndpoints:
    """The handlers of `/auth`.

    Args:
        manager: the sessions.
        sign_on: makes customers of guests.
        door: lets every request in, and sees its answer out.
    """

    def __init__(self, manager: SessionManager, sign_on: SignOn, door: Door) -> None:
        self._manager = manager
        self._sign_on = sign_on
        self._door = door

    def routes(self) -> list[Route]:
        """Return the routes; each of them goes through the door."""
        return [
            self._route("GET", "/auth/session", self.session, exact=True),
            self._route("POST", "/auth/anonymous", self.anonymous),
            self._route("POST", "/auth/signup", self.signup),
            self._route("POST", "/auth/login", self.login),
            Route("/auth/logout", self.logout, methods=["POST"]),
            self._route("POST", "/auth/refresh", self.refresh),
            self._route("PUT", "/auth/legal-entity", self.legal_entity),
            self._route("GET", "/auth/validate", self.validate),
        ]

    async def session(self, _request: Request, visit: Visit) -> Reply:
        """Look at the session."""
        return 200, session_view(visit.session)

    async def anonymous(self, request: Request, visit: Visit) -> Reply:
        """Begin a guest, or find that a session stands."""
        body = await json_object(request, optional=True)
        context = GuestContext(*(optional_text(body, name) for name in _CONTEXT))
        stood = visit.session is not None
        session = await self._manager.guest(visit, context)
        return (200 if stood else 201), session_view(session)

    async def signup(self, request: Request, visit: Visit) -> Reply:
        """Create a customer account."""
        body = await json_object(request)
        text(body, "email")
        text(body, "password")
        return 201, {"id": await self._sign_on.signup(visit, body)}

    async def login(self, request: Request, visit: Visit) -> Reply:
        """Log a customer in."""
        body = await json_object(request)
        email, password = text(body, "email"), Secret(text(body, "password"))
        return 200, session_view(await self._sign_on.login(visit, email, password))

    async def logout(self, request: Request) -> Response:
        """End the session, whatever it was; ending none is as good."""
        try:
            presented = self._door.knock(request.scope)
            visit = Visit(presented.carrier, "", None)
            await self._manager.logout(presented, visit)
        except BffError as error:
            return problem_response(error)
        return self._rendered((204, None), visit)

    async def refresh(self, _request: Request, visit: Visit) -> Reply:
        """Renew the tokens now."""
        return 200, session_view(await self._manager.refresh(visit))

    async def legal_entity(self, request: Request, visit: Visit) -> Reply:
        """Switch the company."""
        body = await json_object(request)
        if "legalEntityId" not in body:
            raise InvalidRequest("'legalEntityId' is missing: a company's id, or null for none")
        entity = optional_text(body, "legalEntityId")
        return 200, session_view(await self._manager.switch_legal_entity(visit, entity))

    async def validate(self, _request: Request, visit: Visit) -> Reply:
        """Ask upstream about the token."""
        found = await self._manager.validate(visit)
        assert visit.session is not None
        return 200, validation_view(visit.session, found)

    def _route(self, method: str, path: str, handler: Handler, *, exact: bool = False) -> Route:
        async def endpoint(request: Request) -> Response:
            visit: Visit | None = None
            try:
                presented = self._door.knock(request.scope)
                slide = _slide(request) if exact else True
                visit = await self._door.enter(request.scope, presented, slide=slide, exact=exact)
                return self._rendered(await handler(request, visit), visit)
            except BffError as error:
                return self._refused(error, visit)

        return Route(path, endpoint, methods=[method])

    def _rendered(self, reply: Reply, visit: Visit) -> Response:
        status, body = reply
        response = Response(status_code=status)
        if body is not None:
            body = told(body, self._door.new_session_id(visit))
            response = Response(
                json.dumps(body, separators=(",", ":")), status, media_type="application/json"
            )
        response.headers["cache-control"] = "no-store"
        response.raw_headers.extend(self._door.leave(visit))
        return response

    def _refused(self, error: BffError, visit: Visit | None) -> Response:
        if visit is None:
            return problem_response(error)
        response = problem_response(error, told({}, self._door.new_session_id(visit)))
        response.raw_headers.extend(self._door.leave(visit))
        return response


def _slide(request: Request) -> bool:
    value = request.query_params.get("slide", "true")
    if value not in {"true", "false"}:
        raise InvalidRequest("'slide' is true or false")
    return value == "true"
