"""Creating, finding, changing and merging carts (cart API)."""

from typing import Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers, issuer
from bff.sandbox.baskets import (
    add_product,
    cart_response,
    check_guest_cart,
    create_cart,
    document,
    entity_of,
    find,
    find_by_session,
    guest_cart,
    own_cart,
    own_session_header,
    owner_of,
    readable_cart,
    updated,
    yrn,
)
from bff.sandbox.places import SITE_CODES
from bff.sandbox.routing import Call, Entry, mapping

_BASE: Final = "/cart/{tenant}/carts"


def create(call: Call) -> Response:
    """Create a cart. `currency` is required; a guest must send the `session-id` header.

    There can be one open cart for each site, type and legal entity; without a site, it is the site `default`.
    """
    body = call.fields()
    site, currency = _word(body.get("siteCode")) or "default", body.get("currency")
    if not isinstance(currency, str) or not currency:
        raise answers.cart(400, "BAD_REQUEST", "currency must not be empty")
    if call.token.kind == "anonymous":
        own_session_header(call)
    wanted = (site, _word(body.get("type")), entity_of(call, body.get("legalEntityId")))
    if find(call, *wanted) is not None:
        raise answers.cart(409, "Conflict", "An open cart exists for this site, type and legal entity")
    validated = body.get("sessionValidated") is True and call.token.kind == "anonymous"
    cart = create_cart(call, *wanted, currency=currency, session_validated=validated)
    cart.channel = body.get("channel")
    where = f"/cart/{call.world.knobs.tenant}/carts/{cart.id}"
    members = {"cartId": cart.id, "yrn": yrn(call, cart)}
    return JSONResponse(members, 201, {"Location": where, "Version": str(cart.version)})


def look_up(call: Call) -> Response:
    """Find the caller's open cart of a site; `create=true` creates one, `sessionId` finds the cart of any guest."""
    site = call.query.get("siteCode")
    if not site:
        raise answers.cart(400, "BAD_REQUEST", "siteCode must not be empty")
    if call.query.get("customerId", call.token.customer) != call.token.customer:
        raise answers.cart(403, "Forbidden", "The cart belongs to another customer")
    wanted = (site, call.query.get("type"), entity_of(call, call.query.get("legalEntityId")))
    if "sessionId" in call.query:
        cart = find_by_session(call, *wanted)
        if cart is not None and call.token.kind == "customer":
            check_guest_cart(call)
    else:
        cart = find(call, *wanted)
    if cart is None and call.query.get("create") == "true":
        currency = issuer.ensure_context(call.world, call.session).currency
        cart = create_cart(call, *wanted, currency=currency, session_validated=False)
    if cart is None:
        raise answers.cart(404, "Not Found", "There is no open cart")
    return cart_response(call, cart)


def search(call: Call) -> Response:
    """List the caller's own open carts; `q` is ignored."""
    return JSONResponse([document(call, one) for one in call.world.carts_of(owner_of(call))])


def show(call: Call) -> Response:
    return cart_response(call, readable_cart(call))


def change(call: Call) -> Response:
    """Change a cart; if `addresses` is present, it replaces all addresses."""
    cart, body = own_cart(call), call.fields()
    version = mapping(body.get("metadata")).get("version", cart.version)
    if version != cart.version:
        raise answers.cart(409, "Conflict", "The cart version has changed")
    if isinstance(body.get("addresses"), list):
        cart.addresses = body["addresses"]
    cart.channel = body.get("channel", cart.channel)
    cart.delivery_window = body.get("deliveryWindow", cart.delivery_window)
    return updated(call, cart)


def drop(call: Call) -> Response:
    own_cart(call).status = "CLOSED"
    return Response(status_code=204)


def reprice(call: Call) -> Response:
    return updated(call, own_cart(call))


def change_currency(call: Call) -> Response:
    cart, currency = own_cart(call), call.fields().get("currency")
    if currency not in ("EUR", "USD"):
        raise answers.cart(400, "BAD_REQUEST", "currency is not known")
    cart.currency = currency
    updated(call, cart)
    return Response(status_code=200)


def change_site(call: Call) -> Response:
    cart, site = own_cart(call), call.fields().get("siteCode")
    if not isinstance(site, str) or site not in SITE_CODES:
        raise answers.cart(400, "BAD_REQUEST", "siteCode is not known")
    cart.site_code = site
    updated(call, cart)
    return Response(status_code=200)


def delivery_restrictions(call: Call) -> Response:
    """Return how long the cart's items take, and when nothing is delivered."""
    readable_cart(call)
    return JSONResponse({"leadTime": 2, "nonDelivery": []})


def validate(call: Call) -> Response:
    cart = own_cart(call)
    return JSONResponse({"isValid": bool(cart.items)})


def merge(call: Call) -> Response:
    """Move the items of the guest carts in the body to the customer's cart in the path, and close the guest carts."""
    target, guest_ids = own_cart(call), call.fields().get("carts")
    if not isinstance(guest_ids, list) or not guest_ids:
        raise answers.cart(400, "BAD_REQUEST", "carts must not be empty")
    guests = [guest_cart(call, str(key)) for key in guest_ids]
    if any(guest.currency != target.currency for guest in guests):
        raise answers.cart(400, "BAD_REQUEST", "All the items must have the same currency when merging carts")
    if target.legal_entity is not None and call.world.knobs.company_carts == "refused":
        raise answers.cart(400, "BAD_REQUEST", "Anonymous cart cannot be assigned to a legal entity")
    for guest in guests:
        for item in guest.items.values():
            add_product(target, item["productId"], item["quantity"])
        guest.status = "CLOSED"
    updated(call, target)
    return Response(status_code=200)


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
    Entry("POST", f"{_BASE}/{{cartId}}/changeSite", "any", change_site),
    Entry("GET", f"{_BASE}/{{cartId}}/dtRestrictions", "any", delivery_restrictions),
    Entry("GET", f"{_BASE}/{{cartId}}/validate", "any", validate),
    Entry("POST", f"{_BASE}/{{cartId}}/merge", "customer", merge),
)
