"""The error bodies of the upstream, one function per documented shape (E1 to E6).

Every service of the upstream has a shape of its own; the gateway in front of them has yet another, and it
is the gateway that answers for a bad bearer. `SandboxError` carries a finished answer to the edge.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

APIGEE_REFRESH = {"ErrorCode": "invalid_request", "Error": "Invalid Refresh Token"}


class SandboxError(Exception):
    """A refusal with its status and body ready to be sent."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.body = body


def gateway(status: int, faultstring: str, errorcode: str) -> SandboxError:
    """E1, the gateway's fault: every documented 401."""
    return SandboxError(status, {"fault": {"faultstring": faultstring, "detail": {"errorcode": errorcode}}})


def invalid_token() -> SandboxError:
    return gateway(401, "Invalid access token", "oauth.v2.InvalidAccessToken")


def expired_token() -> SandboxError:
    return gateway(401, "Access Token expired", "keymanagement.service.access_token_expired")


def invalid_api_key() -> SandboxError:
    return gateway(401, "Invalid ApiKey", "oauth.v2.InvalidApiKey")


def customer(status: int, kind: str, message: str, **fields: str) -> SandboxError:
    """E2, the customer service; `fields` become the details, field name to complaint."""
    details = [{"field": name, "type": "invalid", "message": text} for name, text in fields.items()]
    return SandboxError(
        status, {"status": status, "type": kind, "message": message, "moreInfo": "", "details": details}
    )


def bad_request(message: str, **fields: str) -> SandboxError:
    return customer(400, "bad_request", message, **fields)


def bad_tenant() -> SandboxError:
    return customer(400, "bad_request", "The tenant information supplied is not valid.")


def forbidden() -> SandboxError:
    """E2 403, whose `type` is capitalised against its own pattern (customer management API)."""
    return customer(403, "Forbidden", "User not authorized.")


def context(status: int, message: str, session_id: str | None = None) -> SandboxError:
    """E3, the session context service; a 404 names the session."""
    named = {"sessionId": session_id} if session_id is not None else {}
    return SandboxError(status, {**named, "code": status, "message": message})


def cart(status: int, name: str, message: str) -> SandboxError:
    """E4, the cart service: `status` is a word here."""
    return SandboxError(status, {"code": status, "status": name, "message": message})


def checkout(
    status: int, kind: str, message: str, details: list[dict[str, Any]] | None = None
) -> SandboxError:
    """E5, checkout and orders: `moreInfo` may be null."""
    body = {"status": status, "type": kind, "message": message, "moreInfo": None, "details": details or []}
    return SandboxError(status, body)


def price(status: int, name: str, message: str, *details: str) -> SandboxError:
    """E6, price-like services: `details` is a list of plain strings."""
    body = {
        "code": status,
        "status": name,
        "message": message,
        "details": list(details),
        "errorCode": name.lower().replace(" ", "_"),
    }
    return SandboxError(status, body)


def for_service(path: str, status: int, kind: str, message: str) -> SandboxError:
    """Return the shape that the service behind `path` would use."""
    service = path.split("/")[1] if path.startswith("/") else ""
    if service == "cart":
        return cart(status, message, message)
    if service == "session-context":
        return context(status, message)
    if service in {"checkout", "order-v2"}:
        return checkout(status, kind, message)
    if service in {"price", "product", "category", "availability"}:
        return price(status, message, message)
    return customer(status, kind, message)


async def render(_request: Request, exc: Exception) -> Response:
    """Turn a `SandboxError` into its answer."""
    if not isinstance(exc, SandboxError):
        raise exc
    return JSONResponse(exc.body, exc.status)
