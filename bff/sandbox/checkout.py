"""Checkout and payment modes."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers, tokens
from bff.sandbox.orders import place_order
from bff.sandbox.records import Cart
from bff.sandbox.routing import Call, Entry, mapping

_MODES: Final = (
    {"id": "invoice", "code": "invoice", "active": True, "provider": "INVOICE", "configuration": {}},
    {"id": "prepayment", "code": "prepayment", "active": True, "provider": "PREPAYMENT", "configuration": {}},
)


def order(call: Call) -> Response:
    """Turn a cart into an order; a second attempt gets a 409 with the id of the order.

    A customer must send the `saas-token` header; a guest must send `customer.guest` and no such header. The response to
    a missing or expired saas token is not documented; here it is 403 and 401.
    """
    body = call.fields()
    guest = mapping(body.get("customer")).get("guest") is True
    if call.token.kind == "customer":
        check_saas_token(call)
    elif not guest or "saas-token" in call.headers:
        raise answers.checkout(
            403, "insufficient_permissions", "A guest must send customer.guest and no saas-token"
        )
    cart = (
        _cart_of_quote(call, body["quoteId"])
        if "quoteId" in body
        else _cart_to_order(call, body.get("cartId"))
    )
    if not cart.items:
        raise answers.checkout(400, "validation_violation", "The cart is empty")
    placed = place_order(call, cart, body)
    return JSONResponse({"orderId": placed.id, "paymentDetails": None, "checkoutId": tokens.session_id()})


def modes(_call: Call) -> Response:
    return JSONResponse(list(_MODES))


def mode(call: Call) -> Response:
    found = next((one for one in _MODES if one["id"] == call.path["id"]), None)
    if found is None:
        raise answers.customer(404, "resource_not_found", "The payment mode was not found")
    return JSONResponse(found)


def check_saas_token(call: Call) -> None:
    presented = call.headers.get("saas-token")
    if not presented:
        raise answers.checkout(403, "insufficient_permissions", "The saas-token header is missing")
    token = call.world.saas.get(presented)
    if token is None or token.revoked or token.customer != call.token.customer:
        raise answers.invalid_token()
    if not call.world.alive(token):
        raise answers.expired_token()


def _cart_to_order(call: Call, key: Any) -> Cart:
    cart = call.world.carts.get(key) if isinstance(key, str) else None
    if cart is None:
        raise answers.checkout(400, "validation_violation", "The cart was not found")
    owner = cart.customer if cart.customer is not None else cart.session_id
    if owner not in {call.token.customer, call.token.session_id}:
        raise answers.checkout(403, "insufficient_permissions", "The cart belongs to someone else")
    if cart.order_id is not None:
        raise _ordered_already(cart)
    if cart.status == "CLOSED":
        raise answers.checkout(400, "validation_violation", "The cart is closed")
    return cart


def _ordered_already(cart: Cart) -> answers.SandboxError:
    details = [
        {"field": "cartId", "type": "unique_checkout_cartId_index", "message": cart.id},
        {"field": "existingOrderId", "type": "conflict", "message": str(cart.order_id)},
    ]
    return answers.checkout(409, "Conflict", "An order exists for this cart", details)


def _cart_of_quote(call: Call, key: Any) -> Cart:
    """Return the cart of a quote that the customer has accepted."""
    found = call.world.quotes.get(key) if isinstance(key, str) else None
    if found is None or found.customer != call.token.customer:
        raise answers.checkout(400, "validation_violation", "The quote was not found")
    if found.body["status"].get("value") != "ACCEPTED":
        raise answers.checkout(400, "validation_violation", "The quote is not accepted")
    cart = call.world.carts[found.body["cartId"]]
    if cart.order_id is not None:
        raise _ordered_already(cart)
    return cart


ROUTES: Final = (
    Entry("POST", "/checkout/{tenant}/checkouts/order", "any", order),
    Entry("GET", "/payment-gateway/{tenant}/paymentmodes/frontend", "any", modes),
    Entry("GET", "/payment-gateway/{tenant}/paymentmodes/frontend/{id}", "any", mode),
)
