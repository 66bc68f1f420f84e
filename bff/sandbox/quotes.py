"""A customer's quotes: asked for with a cart, answered by the shop, accepted or declined."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.baskets import document
from bff.sandbox.catalogue import CREATED, PRODUCTS
from bff.sandbox.paging import localized, page
from bff.sandbox.papers import add, changed, own, own_one, patches, person
from bff.sandbox.pricing import TAX_CLASS
from bff.sandbox.records import Paper
from bff.sandbox.routing import Call, Entry, mapping

_BASE: Final = "/quote/{tenant}"
_REASONS: Final = (
    ("too-expensive", "DECLINE", {"en": "Too expensive", "de": "Zu teuer"}),
    ("other-quantity", "CHANGE", {"en": "Another quantity", "de": "Andere Menge"}),
)
_PDF: Final = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def create(call: Call) -> Response:
    """Turn the caller's cart into a quote, and close the cart."""
    body = call.fields()
    cart = call.world.carts.get(str(body.get("cartId")))
    if cart is None or cart.customer != call.customer.number or cart.status == "CLOSED":
        raise answers.checkout(400, "validation_violation", "The cart was not found")
    shown = document(call, cart)
    members = {
        "businessModel": "B2B" if call.token.legal_entity else "B2C",
        "customer": person(call),
        "cartId": cart.id,
        "siteCode": cart.site_code,
        "currency": cart.currency,
        "status": {"value": "AWAITING"},
        "billingAddress": _address(call, body.get("billingAddressId")),
        "shippingAddress": _address(call, body.get("shippingAddressId")),
        "items": [_item(one) for one in shown["items"]],
        "subtotalPrice": shown["subtotalAggregate"],
        "totalPrice": shown["subtotalAggregate"],
        "taxAggregate": shown["taxAggregate"],
        "mixins": {},
    }
    named = {
        name: body[name] for name in ("customerReference", "customerComment", "shipping") if name in body
    }
    quote = add(call, call.world.quotes, members | named)
    cart.status = "CLOSED"
    return JSONResponse({"id": quote.id}, 201)


def quotes(call: Call) -> Response:
    return page(call, [one.body for one in own(call, call.world.quotes)])


def one_quote(call: Call) -> Response:
    return JSONResponse(_quote(call).body)


def change(call: Call) -> Response:
    """Change the status, as a customer may: to accept, to decline, or to ask for a change."""
    quote = _quote(call)
    status = mapping(patches(call).get("/status"))
    if status.get("value") not in {"ACCEPTED", "DECLINED", "IN_PROGRESS", "AWAITING"}:
        raise answers.checkout(400, "validation_violation", "The status is not valid")
    quote.body["status"] = status
    changed(call, quote)
    return Response(status_code=204)


def pdf(call: Call) -> Response:
    _quote(call)
    return Response(_PDF, media_type="application/pdf")


def reasons(call: Call) -> Response:
    return page(call, [_reason(call, row) for row in _REASONS])


def reason(call: Call) -> Response:
    found = next((row for row in _REASONS if row[0] == call.path["quoteReasonId"]), None)
    if found is None:
        raise answers.checkout(404, "resource_not_found", "The reason was not found")
    return JSONResponse(_reason(call, found))


def _quote(call: Call) -> Paper:
    return own_one(call, call.world.quotes, call.path["quoteId"])


def _reason(call: Call, row: tuple[str, str, dict[str, str]]) -> dict[str, Any]:
    key, kind, message = row
    metadata = {"version": 1, "createdAt": CREATED, "modifiedAt": CREATED}
    return {"id": key, "code": key, "type": kind, "message": localized(call, message), "metadata": metadata}


def _item(line: dict[str, Any]) -> dict[str, Any]:
    each, tax = line["price"], line["itemTaxInfo"][0]
    price = {
        "priceId": each["priceId"],
        "unitPrice": each["effectiveAmount"],
        "totalNetValue": tax["netValue"],
        "tax": {"taxClass": TAX_CLASS, "taxRate": tax["rate"]},
    }
    key = line["product"]["id"]
    product = {"productId": key, "name": PRODUCTS[key].name}
    return {"id": line["id"], "quantity": {"quantity": line["quantity"], "unitCode": "pc"}, "price": price,
            "product": product}  # fmt: skip


def _address(call: Call, key: Any) -> dict[str, Any]:
    found = call.customer.addresses.get(str(key))
    if found is None:
        return {}
    street = f"{found.get('street', '')} {found.get('streetNumber', '')}".strip()
    return {
        "id": key,
        "name": found.get("contactName", ""),
        "addressLine1": street,
        "city": found.get("city", ""),
        "postcode": found.get("zipCode", ""),
        "countryCode": found.get("country", ""),
    }


ROUTES: Final = (
    Entry("GET", f"{_BASE}/quote-reasons", "customer", reasons),
    Entry("GET", f"{_BASE}/quote-reasons/{{quoteReasonId}}", "customer", reason),
    Entry("GET", f"{_BASE}/quotes", "customer", quotes),
    Entry("POST", f"{_BASE}/quotes", "customer", create),
    Entry("GET", f"{_BASE}/quotes/{{quoteId}}", "customer", one_quote),
    Entry("PATCH", f"{_BASE}/quotes/{{quoteId}}", "customer", change),
    Entry("POST", f"{_BASE}/quotes/{{quoteId}}/pdf", "customer", pdf),
)
