"""From a handler to a route: in through the door, out with what the carrier is told, errors in their one shape."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.errors import BffError, InvalidRequest
from bff.middleware.problem_details import problem_response
from bff.middleware.session_layer import SessionLayer, told
from bff.sessions.request_session import RequestSession

Reply = tuple[int, dict[str, Any] | list[Any] | None]
Handler = Callable[[Request, RequestSession], Awaitable[Reply]]


class Handling:
    """Makes routes of handlers; a handler gets a visit and returns a status and a JSON body.

    Args:
        door: lets every request in, and sees its answer out.
    """

    def __init__(self, door: SessionLayer) -> None:
        self._door = door

    def route(self, method: str, path: str, handler: Handler, *, exact: bool = False) -> Route:
        """Return a route; `exact` extends the idle lifetime to the moment, or not at all with `?slide=false`."""

        async def endpoint(request: Request) -> Response:
            visit: RequestSession | None = None
            try:
                presented = self._door.knock(request.scope)
                slide = _slide(request) if exact else True
                visit = await self._door.enter(request.scope, presented, slide=slide, exact=exact)
                return self.rendered(await handler(request, visit), visit)
            except BffError as error:
                return self._refused(error, visit)

        return Route(path, endpoint, methods=[method])

    def rendered(self, reply: Reply, visit: RequestSession) -> Response:
        """Render a reply together with what it tells the carrier."""
        status, body = reply
        response = Response(status_code=status)
        if isinstance(body, dict):
            body = told(body, self._door.new_session_id(visit))
        if body is not None:
            response = Response(
                json.dumps(body, separators=(",", ":")), status, media_type="application/json"
            )
        response.headers["cache-control"] = "no-store"
        response.raw_headers.extend(self._door.leave(visit))
        return response

    def _refused(self, error: BffError, visit: RequestSession | None) -> Response:
        if visit is None:
            return problem_response(error)
        response = problem_response(error, told({}, self._door.new_session_id(visit)))
        response.raw_headers.extend(self._door.leave(visit))
        return response


def _slide(request: Request) -> bool:
    values = request.query_params.getlist("slide")
    if values not in ([], ["true"], ["false"]):
        raise InvalidRequest("'slide' is true or false")
    return values != ["false"]
