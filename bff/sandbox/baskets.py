"""Carts: their owner, how they are found, and their representation in the API."""

from collections.abc import Iterable
from typing import Any

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers, issuer, tokens
from bff.sandbox.catalogue import PRODUCTS, TAX_RATE
from bff.sandbox.context import stamp
from bff.sandbox.pricing import TAX_CLASS, taxed
from bff.sandbox.records import Cart
from bff.sandbox.routing import Call


def readable_cart(call: Call) -> Cart:
    """Return the cart of the path if the caller may read it; a customer may read any guest's cart by its id."""
    cart = call.world.carts.get(call.path["cartId"])
    if cart is None or cart.status == "CLOSED":
        raise answers.cart(404, "Not Found", "The cart was not found")
    by_customer = cart.customer is None and call.token.kind == "customer" and not cart.session_validated
    if by_customer:
        check_guest_cart(call)
    elif not _is_own(call, cart):
        raise answers.cart(403, "Forbidden", "The cart belongs to someone else")
    if cart.session_validated:
        own_session_header(call)
    return cart


def own_cart(call: Call) -> Cart:
    """Return the cart of the path if it is the caller's own."""
    cart = readable_cart(call)
    if not _is_own(call, cart):
        raise answers.cart(403, "Forbidden", "The cart belongs to someone else")
    return cart


def guest_cart(call: Call, key: str) -> Cart:
    cart = call.world.carts.get(key)
    if cart is None or cart.status == "CLOSED" or cart.customer is not None:
        raise answers.cart(404, "Not Found", "A cart to be merged was not found")
    return cart


def find(call: Call, site: str, kind: str | None, entity: str | None) -> Cart | None:
    return _first_match(call.world.carts_of(owner_of(call)), site, kind, entity)


def find_by_session(call: Call, site: str, kind: str | None, entity: str | None) -> Cart | None:
    return _first_match(call.world.carts_of(call.query["sessionId"]), site, kind, entity)


def check_guest_cart(call: Call) -> None:
    """Refuse a guest's cart to a customer where the `guest_carts` knob says so."""
    match call.world.knobs.guest_carts:
        case "forbidden":
            raise answers.cart(403, "FORBIDDEN", "The cart belongs to someone else")
        case "not_found":
            raise answers.cart(404, "NOT_FOUND", "The cart was not found")
        case _:
            return


def create_cart(
    call: Call, site: str, kind: str | None, entity: str | None, *, currency: str, session_validated: bool
) -> Cart:
    now, token = call.world.now(), call.token
    cart = Cart(
        tokens.object_id(), site, currency, token.session_id, token.customer, kind, entity,
        session_validated, created_at=now, modified_at=now,
    )  # fmt: skip
    call.world.add_cart(cart)
    issuer.ensure_context(call.world, call.session)
    return cart


def owner_of(call: Call) -> str:
    return call.token.customer or call.token.session_id


def entity_of(call: Call, entity: Any) -> str | None:
    if entity is None:
        return None
    if call.token.customer is None or entity not in call.customer.legal_entities:
        raise answers.cart(403, "Forbidden", "The legal entity is not the caller's")
    return str(entity)


def own_session_header(call: Call) -> None:
    presented = call.headers.get("session-id")
    if presented is None:
        raise answers.cart(400, "BAD_REQUEST", "The session-id header is missing")
    if presented != call.token.session_id:
        raise answers.cart(403, "Forbidden", "The session id does not match the token")


def add_product(cart: Cart, product_id: str, quantity: int) -> str:
    """Add a product, to its existing item if there is one, and return the id of the item."""
    for key, item in cart.items.items():
        if item["productId"] == product_id:
            item["quantity"] += quantity
            return key
    key = tokens.object_id()
    cart.items[key] = {"productId": product_id, "quantity": quantity}
    return key


def updated(call: Call, cart: Cart) -> Response:
    """Increase the version of a changed cart and return a 204."""
    cart.version += 1
    cart.modified_at = call.world.now()
    return Response(status_code=204, headers={"Version": str(cart.version)})


def cart_response(call: Call, cart: Cart) -> Response:
    """Return a cart, calculated unless the query says otherwise, as the specification has it."""
    body = document(call, cart, calculated=call.query.get("expandCalculation", "true") != "false")
    return JSONResponse(body, headers={"Version": str(cart.version)})


def document(call: Call, cart: Cart, *, calculated: bool = False) -> dict[str, Any]:
    """Return the representation of a cart in the API; `calculated` adds what `expandCalculation` asks for."""
    items = [line(call, cart, key) for key in cart.items]
    subtotal = sum_of(item["totalPrice"]["amount"] for item in items)
    off = sum_of(subtotal * one.percent / 100 for one in cart.discounts)
    total = round(subtotal - off, 2)
    owner = {"customerId": cart.customer} if cart.customer else {"sessionId": cart.session_id}
    keyed = {
        "type": cart.type,
        "legalEntityId": cart.legal_entity,
        "channel": cart.channel,
        "deliveryWindow": cart.delivery_window,
    }
    return {
        "id": cart.id,
        "yrn": yrn(call, cart),
        "siteCode": cart.site_code,
        "currency": cart.currency,
        "status": cart.status,
        **owner,
        **{name: value for name, value in keyed.items() if value is not None},
        "sessionValidated": cart.session_validated,
        "items": items,
        "itemsCount": len(items),
        "addresses": cart.addresses,
        "subTotalPrice": {"amount": subtotal, "currency": cart.currency},
        "totalPrice": {"amount": total, "currency": cart.currency},
        "discounts": [discount(cart, index) for index in range(len(cart.discounts))],
        "totalDiscount": {"amount": off, "currency": cart.currency},
        "subtotalAggregate": {"currency": cart.currency, **taxed(subtotal)},
        "taxAggregate": {"lines": [_tax_line(subtotal)] if items else []},
        **({"calculatedPrice": _calculated_price(subtotal, total)} if calculated else {}),
        "metadata": {
            "version": cart.version,
            "createdAt": stamp(cart.created_at),
            "modifiedAt": stamp(cart.modified_at),
        },
    }


def line(call: Call, cart: Cart, key: str) -> dict[str, Any]:
    """Return the representation of a cart item in the API."""
    item = cart.items[key]
    amount = PRODUCTS[item["productId"]].price(cart.currency, item["quantity"])
    total = round(amount * item["quantity"], 2)
    values = taxed(total)
    tax = {"amount": values["taxValue"], "currency": cart.currency}
    rates = {"grossValue": values["grossValue"], "netValue": values["netValue"]}
    return {
        "id": key,
        "itemYrn": f"urn:yaas:saasag:caasproduct:product:{call.world.knobs.tenant};{item['productId']}",
        "product": {"id": item["productId"], "name": PRODUCTS[item["productId"]].name["en"]},
        "quantity": item["quantity"],
        "effectiveQuantity": item["quantity"],
        "price": {
            "priceId": f"price-{item['productId']}-{cart.currency}",
            "originalAmount": amount,
            "effectiveAmount": amount,
            "currency": cart.currency,
        },
        "totalPrice": {"amount": total, "currency": cart.currency},
        "itemPrice": {"amount": amount, "currency": cart.currency},
        "itemTaxInfo": [{"name": TAX_CLASS, "rate": TAX_RATE, "value": tax, **rates}],
        "totalDiscount": {"amount": 0.0, "currency": cart.currency},
    }


def discount(cart: Cart, index: int) -> dict[str, Any]:
    """Return the representation of a discount in the API; its place in the cart is its id."""
    one = cart.discounts[index]
    return {"id": str(index), "code": one.code, "name": one.name, "discountRate": one.percent, "valid": True}


def yrn(call: Call, cart: Cart) -> str:
    return f"urn:yaas:hybris:cart:cart:{call.world.knobs.tenant};{cart.id}"


def sum_of(amounts: Iterable[float]) -> float:
    return round(sum(amounts), 2)


def _tax_line(gross: float) -> dict[str, Any]:
    values = taxed(gross)
    tax, net = values["taxValue"], values["netValue"]
    return {"name": TAX_CLASS, "amount": tax, "rate": TAX_RATE, "taxable": net}


def _calculated_price(subtotal: float, total: float) -> dict[str, Any]:
    tax = {"taxCode": TAX_CLASS, "taxRate": TAX_RATE}
    final = {**taxed(total), **tax, "taxAggregate": {"lines": [_tax_line(total)]}}
    return {"price": {**taxed(subtotal), **tax}, "finalPrice": final}


def _first_match(open_carts: list[Cart], site: str, kind: str | None, entity: str | None) -> Cart | None:
    wanted = (site, kind, entity)
    return next((one for one in open_carts if (one.site_code, one.type, one.legal_entity) == wanted), None)


def _is_own(call: Call, cart: Cart) -> bool:
    if cart.status == "CLOSED" or cart.customer != call.token.customer:
        return False
    return cart.customer is not None or cart.session_id == call.token.session_id
