"""The items of a cart."""

import re
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.baskets import add_product, line, own_cart, readable_cart, updated
from bff.sandbox.catalogue import PRODUCTS
from bff.sandbox.records import Cart
from bff.sandbox.routing import Call, Entry, mapping

BATCH_CAP: Final = 200
_BASE: Final = "/cart/{tenant}/carts/{cartId}"
_YRN_TAIL: Final = re.compile(r"[^;]*;([\w-]+)")


def items(call: Call) -> Response:
    cart = readable_cart(call)
    return JSONResponse([line(call, cart, key) for key in cart.items])


def add(call: Call) -> Response:
    """Add the product of `itemYrn` or `product.id`."""
    cart = own_cart(call)
    if call.world.knobs.items_need_site and not call.query.get("siteCode"):
        raise answers.cart(400, "BAD_REQUEST", "siteCode must not be empty")
    key = _add(cart, call.json())
    updated(call, cart)
    headers = {"Location": _location(call, cart, key), "Version": str(cart.version)}
    return JSONResponse({"itemId": key, "yrn": _item_yrn(call, cart, key)}, 201, headers)


def clear(call: Call) -> Response:
    cart = own_cart(call)
    cart.items.clear()
    return updated(call, cart)


def item(call: Call) -> Response:
    cart = readable_cart(call)
    return JSONResponse(line(call, cart, _key(call, cart)))


def change(call: Call) -> Response:
    """Set the quantity of an item; 0 removes it."""
    cart = own_cart(call)
    key, quantity = _key(call, cart), _quantity(call.fields(), least=0)
    if quantity:
        cart.items[key]["quantity"] = quantity
    else:
        del cart.items[key]
    return updated(call, cart)


def drop(call: Call) -> Response:
    cart = own_cart(call)
    del cart.items[_key(call, cart)]
    return updated(call, cart)


def batch(call: Call) -> Response:
    """Add up to 200 items; the response is a 200 with a status for each of them."""
    cart, wanted = own_cart(call), _batch(call)
    results = [_one(call, cart, index, body) for index, body in enumerate(wanted)]
    updated(call, cart)
    return JSONResponse(results)


def change_batch(call: Call) -> Response:
    """Change up to 200 items, each with its `id` or `itemId`."""
    cart, wanted = own_cart(call), _batch(call)
    results = []
    for index, body in enumerate(wanted):
        key = str(body.get("id") or body.get("itemId"))
        exists = key in cart.items
        if exists:
            cart.items[key]["quantity"] = _quantity(body, least=1)
        code, status = (204, "No Content") if exists else (404, "Not Found")
        message = "" if exists else "The item was not found"
        row = {"index": index, "id": key, "code": code, "status": status, "message": message, "details": []}
        results.append(row)
    updated(call, cart)
    return JSONResponse(results, 207)


def _one(call: Call, cart: Cart, index: int, body: dict[str, Any]) -> dict[str, Any]:
    try:
        key = _add(cart, body)
        where = {"Location": _location(call, cart, key)}
        return {"index": index, "status": 201, "id": key, "headers": where, "yrn": _item_yrn(call, cart, key)}
    except answers.SandboxError as refusal:
        return {"index": index, "status": refusal.status, "message": refusal.body["message"]}


def _location(call: Call, cart: Cart, key: str) -> str:
    return f"/cart/{call.world.knobs.tenant}/carts/{cart.id}/items/{key}"


def _item_yrn(call: Call, cart: Cart, key: str) -> str:
    return f"urn:yaas:hybris:cart:cart-item:{call.world.knobs.tenant};{cart.id};{key}"


def _batch(call: Call) -> list[dict[str, Any]]:
    body = call.json()
    wanted = body.get("items") if isinstance(body, dict) else body
    if not isinstance(wanted, list) or not all(isinstance(one, dict) for one in wanted):
        raise answers.cart(400, "BAD_REQUEST", "A list of items is needed")
    if len(wanted) > BATCH_CAP:
        raise answers.cart(400, "BAD_REQUEST", f"At most {BATCH_CAP} items at once")
    return wanted


def _add(cart: Cart, body: Any) -> str:
    if not isinstance(body, dict):
        raise answers.cart(400, "BAD_REQUEST", "An item is needed")
    tail = _YRN_TAIL.fullmatch(str(body.get("itemYrn", "")))
    product = tail[1] if tail else mapping(body.get("product")).get("id")
    if not isinstance(product, str) or product not in PRODUCTS:
        raise answers.cart(400, "BAD_REQUEST", "The product is not known")
    return add_product(cart, product, _quantity(body, least=1))


def _quantity(body: dict[str, Any], *, least: int) -> int:
    quantity = body.get("quantity", 1)
    if type(quantity) is not int or not least <= quantity <= 10_000:
        raise answers.cart(400, "BAD_REQUEST", "quantity is not valid")
    return quantity


def _key(call: Call, cart: Cart) -> str:
    key = call.path["itemId"]
    if key not in cart.items:
        raise answers.cart(404, "Not Found", "The item was not found")
    return key


ROUTES: Final = (
    Entry("GET", f"{_BASE}/items", "any", items),
    Entry("POST", f"{_BASE}/items", "any", add),
    Entry("DELETE", f"{_BASE}/items", "any", clear),
    Entry("GET", f"{_BASE}/items/{{itemId}}", "any", item),
    Entry("PUT", f"{_BASE}/items/{{itemId}}", "any", change),
    Entry("DELETE", f"{_BASE}/items/{{itemId}}", "any", drop),
    Entry("POST", f"{_BASE}/itemsBatch", "any", batch),
    Entry("PUT", f"{_BASE}/itemsBatch", "any", change_batch),
)
