"""The control API under `/__sandbox__/`, for inspecting and changing the state of the sandbox."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.faults import Fault
from bff.sandbox.records import AccessToken, AnyToken, Cart, RefreshToken, SaasToken, Session
from bff.sandbox.routing import Call, Entry, mapping
from bff.sandbox.world import World

_BASE: Final = "/__sandbox__"
_KINDS: Final[Mapping[str, type[AnyToken]]] = {
    "access": AccessToken,
    "refresh": RefreshToken,
    "saas": SaasToken,
}


def log(call: Call) -> Response:
    """Return the records with a `seq` above `since`; use `next` as `since` in the next request."""
    since = call.query.get("since", "0")
    first = int(since) if since.isdigit() else 0
    records = [record for record in call.world.log if record["seq"] > first]
    return JSONResponse({"records": records, "next": call.world.logged})


def issued(call: Call) -> Response:
    world = call.world
    return JSONResponse({"tokens": sorted(world.issued), "sessionIds": sorted(world.session_ids)})


def knobs(call: Call) -> Response:
    return JSONResponse(call.world.knobs.as_json())


def change_knobs(call: Call) -> Response:
    """Change knobs by name; if one of them is not valid, none is changed."""
    try:
        call.world.knobs = call.world.knobs.changed(call.fields())
    except ValueError as mistake:
        raise answers.bad_request(str(mistake)) from None
    return knobs(call)


def faults(call: Call) -> Response:
    return JSONResponse([fault.as_json() for fault in call.world.faults])


def add_faults(call: Call) -> Response:
    """Add a fault or a list of faults; the first one that matches a request is used."""
    body = call.json()
    try:
        added = [Fault.parse(one) for one in (body if isinstance(body, list) else [body])]
    except ValueError as mistake:
        raise answers.bad_request(str(mistake)) from None
    call.world.faults += added
    return JSONResponse([fault.as_json() for fault in added], 201)


def clear_faults(call: Call) -> Response:
    call.world.faults.clear()
    return Response(status_code=204)


def expire(call: Call) -> Response:
    """Expire tokens now."""
    now = call.world.now()

    def end(token: AnyToken) -> None:
        token.expires_at = min(token.expires_at, now)

    return _each(call, end)


def revoke(call: Call) -> Response:
    """Revoke tokens, as an employee of the shop could do."""

    def end(token: AnyToken) -> None:
        token.revoked = True

    return _each(call, end)


def reset(call: Call) -> Response:
    call.world.reset()
    return Response(status_code=204)


def sessions(call: Call) -> Response:
    return JSONResponse({key: _session(call.world, one) for key, one in call.world.sessions.items()})


def counts(call: Call) -> Response:
    return JSONResponse(dict(call.world.counts))


def mails(call: Call) -> Response:
    return JSONResponse(call.world.mails)


def add_customer(call: Call) -> Response:
    """Add a customer with `email`, `password` and optionally `details`, `legalEntities` and so on."""
    body, world = call.fields(), call.world
    if world.customer_by_email(str(body.get("email"))) is not None:
        raise answers.customer(409, "conflict_resource", "The customer exists.")
    details = mapping(body.get("details"))
    customer = world.add_customer(str(body.get("email")), str(body.get("password")), details)
    customer.active = body.get("active", True)
    customer.initial_password = body.get("initialPassword", False)
    customer.legal_entities = [key for key in body.get("legalEntities", []) if key in world.entities]
    return JSONResponse({"id": customer.number}, 201)


def _each(call: Call, end: Callable[[AnyToken], None]) -> Response:
    """Apply `end` to the tokens that the body selects; without a kind in the body, to tokens of all kinds."""
    body = mapping(call.json())
    selected = [kind for name, kind in _KINDS.items() if body.get(name) is True]
    kinds = tuple(selected or (kind for name, kind in _KINDS.items() if body.get(name) is not False))
    found = [one for one in call.world.tokens_of(body.get("sessionId")) if isinstance(one, kinds)]
    for token in found:
        end(token)
    return JSONResponse({"tokens": len(found)})


def _session(world: World, session: Session) -> dict[str, Any]:
    customer = world.customers[session.customer] if session.customer else None
    live = [one for one in world.tokens_of(session.id) if isinstance(one, AccessToken) and world.alive(one)]
    carts = [one for one in world.carts.values() if _belongs(one, session)]
    return {
        "kind": "customer" if customer else "anonymous",
        "customer": session.customer,
        "email": customer.email if customer else None,
        "legalEntityId": session.legal_entity,
        "cartIds": [one.id for one in carts],
        "openCartIds": [one.id for one in carts if one.status == "OPEN"],
        "liveAccessTokens": len(live),
        "ended": session.ended,
    }


def _belongs(cart: Cart, session: Session) -> bool:
    return cart.session_id == session.id or (cart.customer is not None and cart.customer == session.customer)


ROUTES: Final = (
    Entry("GET", f"{_BASE}/log", "none", log),
    Entry("GET", f"{_BASE}/issued", "none", issued),
    Entry("GET", f"{_BASE}/knobs", "none", knobs),
    Entry("PATCH", f"{_BASE}/knobs", "none", change_knobs),
    Entry("GET", f"{_BASE}/faults", "none", faults),
    Entry("POST", f"{_BASE}/faults", "none", add_faults),
    Entry("DELETE", f"{_BASE}/faults", "none", clear_faults),
    Entry("POST", f"{_BASE}/expire", "none", expire),
    Entry("POST", f"{_BASE}/revoke", "none", revoke),
    Entry("POST", f"{_BASE}/reset", "none", reset),
    Entry("GET", f"{_BASE}/sessions", "none", sessions),
    Entry("GET", f"{_BASE}/counts", "none", counts),
    Entry("GET", f"{_BASE}/mails", "none", mails),
    Entry("POST", f"{_BASE}/customers", "none", add_customer),
)
