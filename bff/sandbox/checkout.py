"""Checkout, orders and payment modes."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers, tokens
from bff.sandbox.baskets import document
from bff.sandbox.context import stamp
from bff.sandbox.paging import page
from bff.sandbox.records import Cart, Order
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
        _check_saas_token(call)
    elif not guest or "saas-token" in call.headers:
        raise answers.checkout(
            403, "insufficient_permissions", "A guest must send customer.guest and no saas-token"
        )
    cart = _cart_to_order(call, body.get("cartId"))
    if not cart.items:
        raise answers.checkout(400, "bad_request", "The cart is empty")
    placed = _place_order(call, cart, body)
    return JSONResponse({"orderId": placed.id, "paymentDetails": None, "checkoutId": tokens.session_id()})


def orders(call: Call) -> Response:
    mine = [one.body for one in call.world.orders.values() if one.customer == call.customer.number]
    return page(call, list(reversed(mine)))


def one_order(call: Call) -> Response:
    found = call.world.orders.get(call.path["orderId"])
    if found is None or found.customer != call.customer.number:
        raise answers.checkout(404, "resource_not_found", "The order was not found")
    return JSONResponse(found.body)


def modes(_call: Call) -> Response:
    return JSONResponse(list(_MODES))


def mode(call: Call) -> Response:
    found = next((one for one in _MODES if one["id"] == call.path["id"]), None)
    if found is None:
        raise answers.customer(404, "resource_not_found", "The payment mode was not found")
    return JSONResponse(found)


def legal_entities(call: Call) -> Response:
    """List the companies that the customer belongs to."""
    entities = call.world.entities
    mine = [
        {"id": key, "name": entities[key].name, "type": "COMPANY"} for key in call.customer.legal_entities
    ]
    return page(call, mine)


def legal_entity(call: Call) -> Response:
    key = call.path["legalEntityId"]
    if key not in call.customer.legal_entities:
        raise answers.customer(404, "resource_not_found", "The legal entity was not found")
    return JSONResponse({"id": key, "name": call.world.entities[key].name, "type": "COMPANY"})


def _check_saas_token(call: Call) -> None:
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
        raise answers.checkout(400, "bad_request", "The cart was not found")
    owner = cart.customer if cart.customer is not None else cart.session_id
    if owner not in {call.token.customer, call.token.session_id}:
        raise answers.checkout(403, "insufficient_permissions", "The cart belongs to someone else")
    if cart.order_id is not None:
        details = [
            {"field": "cartId", "type": "conflict", "message": cart.id},
            {"field": "existingOrderId", "type": "conflict", "message": cart.order_id},
        ]
        raise answers.checkout(409, "Conflict", "An order exists for this cart", details)
    if cart.status == "CLOSED":
        raise answers.checkout(400, "bad_request", "The cart is closed")
    return cart


def _place_order(call: Call, cart: Cart, body: dict[str, Any]) -> Order:
    world, key = call.world, f"EON{1000 + len(call.world.orders) + 1}"
    cart_document = document(call, cart)
    entity = call.token.legal_entity
    details = {
        "id": key,
        "status": "CREATED",
        "created": stamp(world.now()),
        "siteCode": cart.site_code,
        "currency": cart.currency,
        "entries": cart_document["items"],
        "totalPrice": cart_document["totalPrice"]["amount"],
        "customer": {"id": call.token.customer} if call.token.customer else {"guest": True},
        **({"legalEntityId": entity} if entity else {}),
        "addresses": body.get("addresses", cart.addresses),
    }
    placed = Order(key, call.token.customer, entity, details)
    world.orders[key] = placed
    cart.order_id, cart.status = key, "CLOSED"
    return placed


ROUTES: Final = (
    Entry("POST", "/checkout/{tenant}/checkouts/order", "any", order),
    Entry("GET", "/order-v2/{tenant}/orders", "customer", orders),
    Entry("GET", "/order-v2/{tenant}/orders/{orderId}", "customer", one_order),
    Entry("GET", "/payment-gateway/{tenant}/paymentmodes/frontend", "any", modes),
    Entry("GET", "/payment-gateway/{tenant}/paymentmodes/frontend/{id}", "any", mode),
    Entry("GET", "/customer-management/{tenant}/legal-entities", "customer", legal_entities),
    Entry("POST", "/customer-management/{tenant}/legal-entities/search", "customer", legal_entities),
    Entry("GET", "/customer-management/{tenant}/legal-entities/{legalEntityId}", "customer", legal_entity),
)
