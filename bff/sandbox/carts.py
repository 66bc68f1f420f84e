"""Opening, finding, changing and merging carts (cart API)."""

from typing import Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers, issuer
from bff.sandbox.baskets import (
    document,
    entity_of,
    find,
    find_by_session,
    guest_cart,
    open_cart,
    own_session_header,
    owned,
    owner_of,
    put,
    readable,
    shown,
    touched,
    yrn,
)
from bff.sandbox.routing import Call, Entry, mapping

_BASE: Final = "/cart/{tenant}/carts"


def create(call: Call) -> Response:
    """Open a cart: a guest's needs the `session-id` header, `currency` is required, one open cart per key."""
    body = call.fields()
    site, currency = _word(body.get("siteCode")) or "main", body.get("currency")
    if not isinstance(currency, str) or not currency:
        raise answers.cart(400, "Bad Request", "currency must not be empty")
    if call.token.kind == "anonymous":
        own_session_header(call)
    wanted = (site, _word(body.get("type")), entity_of(call, body.get("legalEntityId")))
    if find(call, *wanted) is not None:
        raise answers.cart(409, "Conflict", "An open cart exists for this site, type and legal entity")
    validated = body.get("sessionValidated") is True and call.token.kind == "anonymous"
    cart = open_cart(call, *wanted, currency=currency, session_validated=validated)
    cart.channel = body.get("channel")
    where = f"/cart/{call.world.knobs.tenant}/carts/{cart.id}"
    named = {"cartId": cart.id, "yrn": yrn(call, cart)}
    return JSONResponse(named, 201, {"Location": where, "Version": str(cart.version)})


def look_up(call: Call) -> Response:
    """Find the caller's open cart of a site; `create=true` makes it, `sessionId` reaches any guest's cart."""
    site = call.query.get("siteCode")
    if not site:
        raise answers.cart(400, "Bad Request", "siteCode must not be empty")
    if call.query.get("customerId", call.token.customer) != call.token.customer:
        raise answers.cart(403, "Forbidden", "The cart belongs to another customer")
    wanted = (site, call.query.get("type"), entity_of(call, call.query.get("legalEntityId")))
    cart = find_by_session(call, *wanted) if "sessionId" in call.query else find(call, *wanted)
    if cart is None and call.query.get("create") == "true":
        currency = issuer.ensure_context(call.world, call.session).currency
        cart = open_cart(call, *wanted, currency=currency, session_validated=False)
    if cart is None:
        raise answers.cart(404, "Not Found", "There is no open cart")
    return shown(call, cart)


def search(call: Call) -> Response:
    """List the caller's own open carts; `q` is not looked at further."""
    return JSONResponse([document(call, one) for one in call.world.carts_of(owner_of(call))])


def show(call: Call) -> Response:
    return shown(call, readable(call))


def change(call: Call) -> Response:
    """Change a cart; `addresses` replaces all of them when present and keeps them when absent."""
    cart, body = owned(call), call.fields()
    version = mapping(body.get("metadata")).get("version", cart.version)
    if version != cart.version:
        raise answers.cart(409, "Conflict", "The cart version has changed")
    if isinstance(body.get("addresses"), list):
        cart.addresses = body["addresses"]
    cart.channel = body.get("channel", cart.channel)
    return touched(call, cart)


def drop(call: Call) -> Response:
    owned(call).status = "CLOSED"
    return Response(status_code=204)


def reprice(call: Call) -> Response:
    return touched(call, owned(call))


def change_currency(call: Call) -> Response:
    cart, currency = owned(call), call.fields().get("currency")
    if currency not in ("EUR", "USD"):
        raise answers.cart(400, "Bad Request", "currency is not known")
    cart.currency = currency
    return touched(call, cart)


def validate(call: Call) -> Response:
    cart = owned(call)
    return JSONResponse({"isValid": bool(cart.items), "id": cart.id})


def merge(call: Call) -> Response:
    """Move guest carts into the customer's: the path names that one, the body the guests', which close."""
    target, named = owned(call), call.fields().get("carts")
    if not isinstance(named, list) or not named:
        raise answers.cart(400, "Bad Request", "carts must not be empty")
    guests = [guest_cart(call, str(key)) for key in named]
    for guest in guests:
        for item in guest.items.values():
            put(target, item["productId"], item["quantity"])
        guest.status = "CLOSED"
    touched(call, target)
    return shown(call, target)


def _word(value: object) -> str | None:
    return value if isinstance(value, str) else None


ROUTES: Final = (
    Entry("POST", _BASE, "any", create),
    Entry("GET", _BASE, "any", look_up),
    Entry("POST", f"{_BASE}/search", "any", search),
    Entry("GET", f"{_BASE}/{{cartId}}", "any", show),
    Entry("PUT", f"{_BASE}/{{cartId}}", "any", change),
    Entry("DELETE", f"{_BASE}/{{cartId}}", "any", drop),
    Entry("PUT", f"{_BASE}/{{cartId}}/refresh", "any", reprice),
    Entry("POST", f"{_BASE}/{{cartId}}/changeCurrency", "any", change_currency),
    Entry("GET", f"{_BASE}/{{cartId}}/validate", "any", validate),
    Entry("POST", f"{_BASE}/{{cartId}}/merge", "customer", merge),
)
