"""Orders, as the customer who placed them sees them."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.baskets import document
from bff.sandbox.catalogue import PRODUCTS
from bff.sandbox.context import stamp
from bff.sandbox.paging import page
from bff.sandbox.records import Cart, Order
from bff.sandbox.routing import Call, Entry, mapping
from bff.sandbox.shop import media_url


def orders(call: Call) -> Response:
    mine = [one.body for one in call.world.orders.values() if one.customer == call.customer.number]
    return page(call, list(reversed(mine)))


def one_order(call: Call) -> Response:
    return JSONResponse(_own_order(call).body)


def transitions(call: Call) -> Response:
    """Return the only change of an order that is open to a customer: to decline it."""
    found = _own_order(call)
    return JSONResponse([{"status": "DECLINED"}] if found.body["status"] == "CREATED" else [])


def change_status(call: Call) -> Response:
    found = _own_order(call)
    if call.fields().get("status") != "DECLINED" or found.body["status"] != "CREATED":
        raise answers.checkout(400, "validation_violation", "The transition is not possible")
    found.body["status"] = "DECLINED"
    return Response(status_code=200)


def company_orders(call: Call) -> Response:
    """Return the orders of the company that the token has."""
    if call.path["legalEntityId"] != call.token.legal_entity:
        raise answers.checkout(403, "insufficient_permissions", "The legal entity is not the caller's")
    found = [one.body for one in call.world.orders.values() if one.legal_entity == call.token.legal_entity]
    return page(call, list(reversed(found)))


def place_order(call: Call, cart: Cart, body: dict[str, Any]) -> Order:
    """Turn a cart into an order, and close the cart."""
    world, key = call.world, f"EON{1000 + len(call.world.orders) + 1}"
    shown = document(call, cart)
    entity = call.token.legal_entity
    details = {
        "id": key,
        "status": "CREATED",
        "created": stamp(world.now()),
        "cartId": cart.id,
        "siteCode": cart.site_code,
        "currency": cart.currency,
        "entries": [_entry(call, one) for one in shown["items"]],
        "subTotalPrice": shown["subTotalPrice"]["amount"],
        "totalPrice": shown["totalPrice"]["amount"],
        "shipping": _shipping(body, cart.currency),
        "customer": {"id": call.token.customer} if call.token.customer else {"guest": True},
        **({"legalEntityId": entity} if entity else {}),
        **({"deliveryWindow": cart.delivery_window} if cart.delivery_window else {}),
        "addresses": body.get("addresses", cart.addresses),
    }
    placed = Order(key, call.token.customer, entity, details)
    world.orders[key] = placed
    cart.order_id, cart.status = key, "CLOSED"
    return placed


def _own_order(call: Call) -> Order:
    found = call.world.orders.get(call.path["orderId"])
    if found is None or found.customer != call.customer.number:
        raise answers.checkout(404, "resource_not_found", "The order was not found")
    return found


def _entry(call: Call, line: dict[str, Any]) -> dict[str, Any]:
    tax, found = line["itemTaxInfo"][0], PRODUCTS[line["product"]["id"]]
    product = {"id": found.id, "sku": found.code, "code": found.code, "name": found.name["en"]}
    lines = [{"rate": tax["rate"], "inclusive": True, "amount": tax["value"]["amount"]}]
    return {
        "id": line["id"],
        "itemYrn": line["itemYrn"],
        "amount": line["quantity"],
        "effectiveQuantity": line["quantity"],
        "unitPrice": line["price"]["effectiveAmount"],
        "totalPrice": line["totalPrice"]["amount"],
        "totalDiscount": line["totalDiscount"],
        "price": line["price"],
        "product": product
        | {"images": [{"url": media_url(call, found)}], "mixins": {}, "metadata": {"mixins": {}}},
        "tax": {"lines": lines, "total": {"inclusive": True, "amount": tax["value"]["amount"]}},
    }


def _shipping(body: dict[str, Any], currency: str) -> dict[str, Any]:
    amount = mapping(body.get("shipping")).get("amount", 0)
    return {"lines": [mapping(body.get("shipping"))], "total": {"amount": amount, "currency": currency}}


_BASE: Final = "/order-v2/{tenant}"
ROUTES: Final = (
    Entry("GET", f"{_BASE}/orders", "customer", orders),
    Entry("GET", f"{_BASE}/orders/{{orderId}}", "customer", one_order),
    Entry("GET", f"{_BASE}/orders/{{orderId}}/transitions", "customer", transitions),
    Entry("POST", f"{_BASE}/orders/{{orderId}}/transitions", "customer", change_status),
    Entry("GET", f"{_BASE}/legal-entity-orders/{{legalEntityId}}", "customer", company_orders),
    Entry("GET", f"{_BASE}/legal-entity-orders/{{legalEntityId}}/{{orderId}}", "customer", one_order),
)
