"""Problem details on the wire (RFC 9457): one shape for every error of this proxy."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.errors import BffError
from bff.telemetry.logs import event, request_id

_log = logging.getLogger(__name__)


def problem_response(error: BffError, members: Mapping[str, Any] | None = None) -> Response:
    """Render an error, with further members if there are any; nobody stores it."""
    log_error(error)
    problem = error.problem(request_id.get()) | dict(members or {})
    response = Response(
        json.dumps(problem, separators=(",", ":")), error.status, media_type="application/problem+json"
    )
    response.headers["cache-control"] = "no-store"
    add_error_headers(response, error)
    return response


def with_problem_details(app: ASGIApp) -> ASGIApp:
    """Return an application that answers the errors of `app`, which has no request layer around it."""

    async def rendered(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await app(scope, receive, send)
        except BffError as error:
            await problem_response(error)(scope, receive, send)

    return rendered


def add_error_headers(response: Response, error: BffError) -> None:
    """Add the header fields that belong to an error."""
    if error.retry_after is not None:
        response.headers["retry-after"] = str(error.retry_after)
    for name, value in error.headers:
        response.headers.append(name, value)


def log_error(error: BffError) -> None:
    """Log what only the log may say of an error."""
    if error.log_detail is not None:
        event(_log, "problem", level=logging.WARNING, code=error.code, reason=error.log_detail)
