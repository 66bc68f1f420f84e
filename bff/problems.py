"""Problem details on the wire (RFC 9457): one shape for every error of this proxy."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from bff.errors import BffError
from bff.telemetry import request_id


def problem_response(error: BffError, members: Mapping[str, Any] | None = None) -> Response:
    """Render an error, with further members if there are any; it is never stored by anybody."""
    problem = error.problem(request_id.get()) | dict(members or {})
    response = Response(
        json.dumps(problem, separators=(",", ":")), error.status, media_type="application/problem+json"
    )
    response.headers["cache-control"] = "no-store"
    if error.retry_after is not None:
        response.headers["retry-after"] = str(error.retry_after)
    for name, value in error.headers:
        response.headers.append(name, value)
    return response
