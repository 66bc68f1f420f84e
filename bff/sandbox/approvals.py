"""Approvals: who needs one before checkout, who can give it. In this shop every customer buys without one."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.baskets import document
from bff.sandbox.paging import page
from bff.sandbox.papers import add, changed, own, own_one, patches
from bff.sandbox.records import Paper
from bff.sandbox.routing import Call, Entry

_BASE: Final = "/approval/{tenant}"


def permitted(call: Call) -> Response:
    """Say that a checkout of the resource needs no approval."""
    _asked(call)
    return JSONResponse({"action": "CHECKOUT", "permitted": True})


def approvers(call: Call) -> Response:
    """Return the other customers who act for a company of the caller."""
    _asked(call)
    mine = set(call.customer.legal_entities)
    others = [one for one in call.world.customers.values() if one is not call.customer]
    found = [one for one in others if mine & set(one.legal_entities)]
    return JSONResponse(
        [
            {"userId": one.number, **{name: one.details.get(name, "") for name in ("firstName", "lastName")}}
            for one in found
        ]
    )


def create(call: Call) -> Response:
    """Ask for an approval of the caller's cart; the cart is used up at once, as live storefronts have seen."""
    body = _asked(call)
    cart = call.world.carts.get(str(body["resourceId"]))
    if cart is None or cart.customer != call.customer.number or cart.status == "CLOSED":
        raise answers.checkout(400, "validation_violation", "The cart was not found")
    shown = document(call, cart)
    lines = [
        {"itemId": one["id"], "itemYrn": one["itemYrn"], "quantity": one["quantity"]}
        for one in shown["items"]
    ]
    members = {
        "action": "CHECKOUT",
        "status": "PENDING",
        "resourceType": "CART",
        "approver": body.get("approver", {}),
        "comment": body.get("comment", ""),
        "details": body.get("details", {}),
        "resource": {
            "id": cart.id,
            "items": lines,
            "siteCode": cart.site_code,
            "subtotalAggregate": shown["subtotalAggregate"],
        },
    }
    cart.status = "CLOSED"
    return JSONResponse({"id": add(call, call.world.approvals, members).id}, 201)


def approvals(call: Call) -> Response:
    return page(call, [one.body for one in own(call, call.world.approvals)])


def one_approval(call: Call) -> Response:
    return JSONResponse(_approval(call).body)


def change(call: Call) -> Response:
    """Change the status and the approver's comment."""
    found, values = _approval(call), patches(call)
    names = {"/status": "status", "/approverComment": "approverComment"}
    found.body |= {names[path]: value for path, value in values.items() if path in names}
    changed(call, found)
    return Response(status_code=204)


def drop(call: Call) -> Response:
    del call.world.approvals[_approval(call).id]
    return Response(status_code=204)


def _approval(call: Call) -> Paper:
    return own_one(call, call.world.approvals, call.path["approvalId"])


def _asked(call: Call) -> dict[str, Any]:
    body = call.fields()
    if (
        body.get("resourceType") not in {"CART", "QUOTE"}
        or body.get("action") != "CHECKOUT"
        or "resourceId" not in body
    ):
        raise answers.checkout(
            400, "validation_violation", "resourceType, resourceId and action are required"
        )
    return body


ROUTES: Final = (
    Entry("POST", f"{_BASE}/approval/permitted", "customer", permitted),
    Entry("POST", f"{_BASE}/search/users", "customer", approvers),
    Entry("GET", f"{_BASE}/approvals", "customer", approvals),
    Entry("POST", f"{_BASE}/approvals", "customer", create),
    Entry("GET", f"{_BASE}/approvals/{{approvalId}}", "customer", one_approval),
    Entry("PATCH", f"{_BASE}/approvals/{{approvalId}}", "customer", change),
    Entry("DELETE", f"{_BASE}/approvals/{{approvalId}}", "customer", drop),
)
