"""The session context of the caller, on which prices and carts depend (session context API)."""

from datetime import UTC, datetime
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.records import Context
from bff.sandbox.routing import Call, Entry, mapping

_FIELDS: Final = {
    "siteCode": "site_code",
    "currency": "currency",
    "targetLocation": "target_location",
    "language": "language",
}


def show(call: Call) -> Response:
    """Return the session context; 404 if it does not exist yet, see the `context_created_at` knob."""
    context, session = _context(call), call.session
    mine = call.world.carts_of(session.customer or session.id)
    cart = next((one for one in mine if one.site_code == context.site_code), None)
    document: dict[str, Any] = {"sessionId": session.id}
    document |= {"customerId": session.customer} if session.customer else {}
    document |= {public: getattr(context, name) for public, name in _FIELDS.items()}
    document |= {"cartId": cart.id} if cart else {}
    document["context"] = context.attributes
    document["metadata"] = {
        "version": context.version,
        "createdAt": stamp(context.created_at),
        "modifiedAt": stamp(context.modified_at),
    }
    return JSONResponse(document)


def change(call: Call) -> Response:
    """Change the five supported fields; `metadata.version` is required and must be current."""
    context, body = _context(call), call.fields()
    version = mapping(body.get("metadata")).get("version")
    if version is None:
        raise answers.context(400, "metadata.version is missing")
    if version != context.version:
        raise answers.context(409, "The session context has been changed in the meantime")
    for public, name in _FIELDS.items():
        if isinstance(body.get(public), str):
            setattr(context, name, body[public])
    if isinstance(body.get("context"), dict):
        context.attributes = body["context"]
    _update_metadata(call, context)
    return Response(status_code=204)


def add_attribute(call: Call) -> Response:
    """Set one attribute without a version check; the response is a 201 with a JSON string."""
    context, body = _context(call), call.fields()
    key = body.get("key")
    if not isinstance(key, str) or not key:
        raise answers.context(400, "key is missing")
    context.attributes[key] = body.get("value")
    _update_metadata(call, context)
    return JSONResponse(key, 201)


def drop_attribute(call: Call) -> Response:
    context = _context(call)
    context.attributes.pop(call.path["name"], None)
    _update_metadata(call, context)
    return Response(status_code=204)


def stamp(at: float) -> str:
    """Return a time in the format of the API."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _context(call: Call) -> Context:
    if call.session.context is None:
        raise answers.context(404, "Session not found", call.session.id)
    return call.session.context


def _update_metadata(call: Call, context: Context) -> None:
    context.version += 1
    context.modified_at = call.world.now()


_BASE: Final = "/session-context/{tenant}/me/context"
ROUTES: Final = (
    Entry("GET", _BASE, "any", show),
    Entry("PATCH", _BASE, "any", change),
    Entry("POST", f"{_BASE}/attributes", "any", add_attribute),
    Entry("DELETE", f"{_BASE}/attributes/{{name}}", "any", drop_attribute),
)
