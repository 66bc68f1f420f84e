"""Coupons, the discounts of a cart, and the reward points that buy coupons."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers, tokens
from bff.sandbox.baskets import discount, own_cart, readable_cart, updated
from bff.sandbox.paging import page
from bff.sandbox.records import Cart, Coupon
from bff.sandbox.routing import Call, Entry

_WELCOME: Final = Coupon("WELCOME10", "Welcome", 10)
_POINTS, _PRICE = 100, 50
_OPTION: Final = {
    "id": "five-percent",
    "type": "COUPON",
    "name": "5 % off",
    "description": "5 % off one order.",
    "points": _PRICE,
    "coupon": {"name": "5 % off", "discountType": "PERCENT", "discountPercentage": 5},
}
_CARTS: Final = "/cart/{tenant}/carts/{cartId}/discounts"


def apply(call: Call) -> Response:
    """Apply a coupon to the cart; one that is in it already is a conflict."""
    cart = own_cart(call)
    index = add_discount(call, cart, call.fields().get("code"))
    updated(call, cart)
    where = f"/cart/{call.world.knobs.tenant}/carts/{cart.id}/discounts/{index}"
    yrn = f"urn:yaas:hybris:cart:discount:{call.world.knobs.tenant};{cart.id};{index}"
    return JSONResponse(
        {"yrn": yrn, "discountId": str(index), "discountIndex": index}, 201, {"Location": where}
    )


def show_discounts(call: Call) -> Response:
    cart = readable_cart(call)
    return JSONResponse([discount(cart, index) for index in range(len(cart.discounts))])


def drop_discounts(call: Call) -> Response:
    """Remove the discounts with the query's `codes`, or all of them."""
    cart = own_cart(call)
    codes = call.query.get("codes", "").split(",") if call.query.get("codes") else None
    cart.discounts = [one for one in cart.discounts if codes is not None and one.code not in codes]
    return updated(call, cart)


def drop_discount(call: Call) -> Response:
    cart, index = own_cart(call), call.path["discountIndex"]
    if not index.isdigit() or int(index) >= len(cart.discounts):
        raise answers.cart(404, "Not Found", "The discount was not found")
    del cart.discounts[int(index)]
    return updated(call, cart)


def add_discount(call: Call, cart: Cart, code: Any) -> int:
    """Add a coupon to a cart and return its place."""
    found = _coupons(call).get(str(code))
    if found is None:
        raise answers.cart(400, "BAD_REQUEST", "The coupon is not valid")
    if found in cart.discounts:
        raise answers.cart(409, "Conflict", "The coupon is applied already")
    cart.discounts.append(found)
    return len(cart.discounts) - 1


def coupon(call: Call) -> Response:
    found = _known(call)
    return JSONResponse(
        {
            "code": found.code,
            "name": found.name,
            "discountType": "PERCENT",
            "discountPercentage": found.percent,
            "status": "VALID",
        }
    )


def check_coupon(call: Call) -> Response:
    found = _known(call)
    return JSONResponse({"code": found.code, "discountRate": found.percent, "valid": True})


def points(call: Call) -> Response:
    return JSONResponse(_left(call))


def summary(call: Call) -> Response:
    left = _left(call)
    spent = [{"description": one.name, "points": _PRICE} for one in call.customer.coupons]
    added = [{"description": "Welcome", "points": _POINTS}]
    lists = {"addedPointsList": added, "redeemedPointsList": spent}
    return JSONResponse({"customerId": call.customer.number, "activePoints": left, "summary": lists})


def options(call: Call) -> Response:
    return page(call, [_OPTION])


def redeem(call: Call) -> Response:
    """Spend points on a coupon of the customer's own."""
    if call.fields().get("id") != _OPTION["id"]:
        raise answers.customer(404, "resource_not_found", "There is no such option.")
    if _left(call) < _PRICE:
        raise answers.bad_request("There are not enough points.")
    bought = Coupon(tokens.object_id(), "5 % off", 5)
    call.customer.coupons.append(bought)
    return JSONResponse({"code": bought.code})


def _left(call: Call) -> int:
    return _POINTS - _PRICE * len(call.customer.coupons)


def _coupons(call: Call) -> dict[str, Coupon]:
    own = call.customer.coupons if call.token.customer else []
    return {one.code: one for one in (_WELCOME, *own)}


def _known(call: Call) -> Coupon:
    found = _coupons(call).get(call.path["code"])
    if found is None:
        raise answers.customer(404, "resource_not_found", "There is no such coupon.")
    return found


ROUTES: Final = (
    Entry("POST", _CARTS, "any", apply),
    Entry("GET", _CARTS, "any", show_discounts),
    Entry("DELETE", _CARTS, "any", drop_discounts),
    Entry("DELETE", f"{_CARTS}/{{discountIndex}}", "any", drop_discount),
    Entry("GET", "/coupon/{tenant}/coupons/{code}", "any", coupon),
    Entry("POST", "/coupon/{tenant}/coupons/{code}/validation", "any", check_coupon),
    Entry("GET", "/reward-points/public/customer", "customer", points),
    Entry("GET", "/reward-points/public/customer/summary", "customer", summary),
    Entry("POST", "/reward-points/public/customer/redeem", "customer", redeem),
    Entry("GET", "/reward-points/public/customer/redeemOptions", "customer", options),
    Entry("GET", "/reward-points/{tenant}/redeemOptions", "any", options),
)
