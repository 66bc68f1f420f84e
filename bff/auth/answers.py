"""From a handler under `/auth` to an endpoint: a status and a JSON body become an answer that nobody stores."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bff.middleware.request_context import request_context, request_session
from bff.middleware.routing import Endpoint
from bff.middleware.session_layer import Rules
from bff.sessions.request_session import RequestSession

Answer = tuple[int, dict[str, Any] | list[Any] | None]
Handler = Callable[[Request, RequestSession], Awaitable[Answer]]

DEFAULT = Rules(id_in_body=True)
"""The rules of endpoints under `/auth`: apps learn a new session id from the JSON body."""


def json_endpoint(method: str, path: str, handler: Handler, rules: Rules = DEFAULT) -> Endpoint:
    """Return the endpoint of a handler."""

    async def respond(request: Request) -> Response:
        status, body = await handler(request, request_session(request.scope))
        answer = request_context(request.scope).session_answer
        if isinstance(body, dict) and answer is not None:
            body |= answer.members()
        return json_response(status, body)

    return Endpoint(Route(path, respond, methods=[method]), rules)


def json_response(status: int, body: dict[str, Any] | list[Any] | None) -> Response:
    """Render a JSON body, or none; nobody stores the answer."""
    response = Response(status_code=status)
    if body is not None:
        response = Response(json.dumps(body, separators=(",", ":")), status, media_type="application/json")
    response.headers["cache-control"] = "no-store"
    return response
