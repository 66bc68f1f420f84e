"""A customer's returns."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.checkout import check_saas_token
from bff.sandbox.paging import page
from bff.sandbox.papers import add, changed, own, own_one, patches, person
from bff.sandbox.records import Paper
from bff.sandbox.routing import Call, Entry, mapping

_BASE: Final = "/return/{tenant}/returns"
_OPEN: Final = frozenset({"orders", "reason", "mixins"})


def create(call: Call) -> Response:
    """Keep a return of items of the caller's orders; every write needs the saas token."""
    check_saas_token(call)
    body = call.fields()
    _check(call, body)
    who = person(call)
    members = {
        **_fields(body),
        "requestor": {**who, "email": who["contactEmail"]},
        "approvalStatus": "PENDING",
        "received": False,
    }
    return JSONResponse({"id": add(call, call.world.returns, members).id}, 201)


def returns(call: Call) -> Response:
    return page(call, [one.body for one in own(call, call.world.returns)])


def one_return(call: Call) -> Response:
    return JSONResponse(_return(call).body)


def replace(call: Call) -> Response:
    check_saas_token(call)
    found, body = _return(call), call.fields()
    _check(call, body)
    found.body |= _fields(body)
    changed(call, found)
    return Response(status_code=204)


def change(call: Call) -> Response:
    check_saas_token(call)
    found = _return(call)
    values = {path.removeprefix("/"): value for path, value in patches(call).items()}
    found.body |= _fields(values)
    changed(call, found)
    return Response(status_code=204)


def drop(call: Call) -> Response:
    check_saas_token(call)
    del call.world.returns[_return(call).id]
    return Response(status_code=204)


def _return(call: Call) -> Paper:
    return own_one(call, call.world.returns, call.path["returnId"])


def _fields(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name in _OPEN}


def _check(call: Call, body: dict[str, Any]) -> None:
    wanted = body.get("orders")
    if not isinstance(wanted, list) or not wanted or "reason" not in body:
        raise answers.checkout(400, "validation_violation", "orders and reason are required")
    known = {one.id for one in call.world.orders.values() if one.customer == call.customer.number}
    if any(mapping(one).get("id") not in known for one in wanted):
        raise answers.checkout(400, "validation_violation", "An order was not found")


ROUTES: Final = (
    Entry("GET", _BASE, "customer", returns),
    Entry("POST", _BASE, "customer", create),
    Entry("GET", f"{_BASE}/{{returnId}}", "customer", one_return),
    Entry("PUT", f"{_BASE}/{{returnId}}", "customer", replace),
    Entry("PATCH", f"{_BASE}/{{returnId}}", "customer", change),
    Entry("DELETE", f"{_BASE}/{{returnId}}", "customer", drop),
)
