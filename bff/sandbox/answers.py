"""The error responses of the upstream, one function for each documented format (E1 to E6).

Every service of the upstream has its own error format, and the gateway in front of them has another one. The gateway
responds to an invalid bearer token. `SandboxError` carries the response to the exception handler.
"""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

APIGEE_REFRESH = {"ErrorCode": "invalid_request", "Error": "Invalid Refresh Token"}


class SandboxError(Exception):
    """An error response with its status and body."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"{status}")
        self.status = status
        self.body = body


def gateway(status: int, faultstring: str, errorcode: str) -> SandboxError:
    """E1, an error of the gateway; every documented 401 has this format."""
    return SandboxError(status, {"fault": {"faultstring": faultstring, "detail": {"errorcode": errorcode}}})


def invalid_token() -> SandboxError:
    return gateway(401, "Invalid access token", "oauth.v2.InvalidAccessToken")


def expired_token() -> SandboxError:
    return gateway(401, "Access Token expired", "keymanagement.service.access_token_expired")


def invalid_api_key() -> SandboxError:
    return gateway(401, "Invalid ApiKey", "oauth.v2.InvalidApiKey")


def customer(status: int, kind: str, message: str, **fields: str) -> SandboxError:
    """E2, the customer service; `fields` maps the names of wrong fields to messages."""
    details = [{"field": name, "type": "invalid", "message": text} for name, text in fields.items()]
    return SandboxError(
        status, {"status": status, "type": kind, "message": message, "moreInfo": "", "details": details}
    )


def duplicate(email: str, tenant: str) -> SandboxError:
    return customer(409, "conflict_resource", f"Duplicate account '{email}' for tenant '{tenant}'.")


def bad_request(message: str, **fields: str) -> SandboxError:
    return customer(400, "bad_request", message, **fields)


def bad_tenant() -> SandboxError:
    return customer(400, "bad_request", "The tenant information provided with the request is not valid.")


def forbidden() -> SandboxError:
    """E2 403; its `type` is capitalised, although the documented pattern is not (customer management API)."""
    return customer(403, "Forbidden", "User not authorized.")


def context(status: int, message: str, session_id: str | None = None) -> SandboxError:
    """E3, the session context service; a 404 contains the session id."""
    session = {"sessionId": session_id} if session_id is not None else {}
    return SandboxError(status, {**session, "code": status, "message": message})


def cart(status: int, name: str, message: str) -> SandboxError:
    """E4, the cart service; `status` is a text here."""
    return SandboxError(status, {"code": status, "status": name, "message": message})


def checkout(
    status: int, kind: str, message: str, details: list[dict[str, Any]] | None = None
) -> SandboxError:
    """E5, checkout and orders; `moreInfo` may be null."""
    body = {"status": status, "type": kind, "message": message, "moreInfo": None, "details": details or []}
    return SandboxError(status, body)


def price(status: int, name: str, message: str, *details: str) -> SandboxError:
    """E6, price, product, category and availability; `details` is a list of strings."""
    body = {
        "code": status,
        "status": name,
        "message": message,
        "details": list(details),
        "errorCode": name.lower().replace(" ", "_"),
    }
    return SandboxError(status, body)


def for_service(path: str, status: int, kind: str, message: str) -> SandboxError:
    """Return an error in the format of the service that serves `path`."""
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
    """Return the response of a `SandboxError`."""
    if not isinstance(exc, SandboxError):
        raise exc
    return JSONResponse(exc.body, exc.status)
