"""The session context of the caller: the document that prices and carts go by (session context API)."""

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
    """Show the document; 404 as long as the `context_created_at` knob keeps it from existing."""
    known, session = _known(call), call.session
    mine = call.world.carts_of(session.customer or session.id)
    cart = next((one for one in mine if one.site_code == known.site_code), None)
    document: dict[str, Any] = {"sessionId": session.id}
    document |= {"customerId": session.customer} if session.customer else {}
    document |= {public: getattr(known, name) for public, name in _FIELDS.items()}
    document |= {"cartId": cart.id} if cart else {}
    document["context"] = known.attributes
    document["metadata"] = {
        "version": known.version,
        "createdAt": stamp(known.created_at),
        "modifiedAt": stamp(known.modified_at),
    }
    return JSONResponse(document)


def change(call: Call) -> Response:
    """Take the five fields that are honoured; `metadata.version` is required and must be current."""
    known, body = _known(call), call.fields()
    version = mapping(body.get("metadata")).get("version")
    if version is None:
        raise answers.context(400, "metadata.version is missing")
    if version != known.version:
        raise answers.context(409, "The session context was changed meanwhile")
    for public, name in _FIELDS.items():
        if isinstance(body.get(public), str):
            setattr(known, name, body[public])
    if isinstance(body.get("context"), dict):
        known.attributes = body["context"]
    _touch(call, known)
    return Response(status_code=204)


def add_attribute(call: Call) -> Response:
    """Set one attribute, without a version check; 201 with a bare JSON string."""
    known, body = _known(call), call.fields()
    key = body.get("key")
    if not isinstance(key, str) or not key:
        raise answers.context(400, "key is missing")
    known.attributes[key] = body.get("value")
    _touch(call, known)
    return JSONResponse(key, 201)


def drop_attribute(call: Call) -> Response:
    known = _known(call)
    known.attributes.pop(call.path["name"], None)
    _touch(call, known)
    return Response(status_code=204)


def stamp(at: float) -> str:
    """Return an instant the way documents spell it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _known(call: Call) -> Context:
    if call.session.context is None:
        raise answers.context(404, "Session not found", call.session.id)
    return call.session.context


def _touch(call: Call, known: Context) -> None:
    known.version += 1
    known.modified_at = call.world.now()


_BASE: Final = "/session-context/{tenant}/me/context"
ROUTES: Final = (
    Entry("GET", _BASE, "any", show),
    Entry("PATCH", _BASE, "any", change),
    Entry("POST", f"{_BASE}/attributes", "any", add_attribute),
    Entry("DELETE", f"{_BASE}/attributes/{{name}}", "any", drop_attribute),
)
