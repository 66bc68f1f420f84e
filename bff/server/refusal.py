"""The response to a request that no application gets to see, because it is malformed or late."""

import logging
import secrets
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from bff.errors import BffError
from bff.middleware.problem_details import problem_response
from bff.middleware.security_headers import security_fields
from bff.telemetry.logs import event, request_id
from bff.telemetry.metrics import REQUESTS

_CLOSE: Final = (b"connection", b"close")
_log = logging.getLogger(__name__)


def refusal(
    error: BffError, reason: str, default_headers: Iterable[tuple[bytes, bytes]], *, secure: bool
) -> bytes:
    """Log and count a refused request; return the response as bytes."""
    refused_id = secrets.token_hex(16)
    token = request_id.set(refused_id)
    response = problem_response(error)
    REQUESTS.labels("other", "other", str(error.status), error.code, "none").inc()
    log_fields = {"code": error.code, "status": error.status, "reason": reason}
    event(_log, "request_refused", level=logging.WARNING, **log_fields)
    request_id.reset(token)
    connection = [_CLOSE, (b"x-request-id", refused_id.encode())]
    security = security_fields(secure=secure)
    headers = [*default_headers, *response.raw_headers, *security, *connection]
    line = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n".encode()
    head = b"".join(b"%s: %s\r\n" % header for header in headers)
    return b"".join((line, head, b"\r\n", bytes(response.body)))
