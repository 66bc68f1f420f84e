"""Several operations on one cart in one request (cart API, September 2026)."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers, carts, coupons, items
from bff.sandbox.routing import Call, Entry, mapping

COMMAND_CAP: Final = 10
_COMMANDS: Final[Mapping[str, Callable[[Call], Response]]] = {
    "AddCartItem": items.add,
    "UpdateCartItem": items.change,
    "DeleteCartItem": items.drop,
    "DeleteCartItems": items.clear,
    "AddCartItemsBatch": items.batch,
    "UpdateCartItemsBatch": items.change_batch,
    "GetCart": carts.show,
    "UpdateCart": carts.change,
    "RefreshCart": carts.reprice,
    "ValidateCart": carts.validate,
    "ApplyCartDiscount": coupons.apply,
    "GetCartDiscounts": coupons.show_discounts,
    "DeleteCartDiscounts": coupons.drop_discounts,
    "DeleteCartDiscount": coupons.drop_discount,
}


@dataclass(slots=True)
class _Command(Call):
    """One command of a chain as a call of its own; its options are the call's path and query parameters."""

    options: Mapping[str, str]

    @property
    def path(self) -> Mapping[str, str]:
        return {**self.request.path_params, **self.options}

    @property
    def query(self) -> Mapping[str, str]:
        return {**self.request.query_params, **self.options}


def execute(call: Call) -> Response:
    """Run up to ten commands in order; the answer is a 207 with a result for each that ran.

    A request that is not valid as a whole gets a 400, and nothing runs. `onError=resume` goes on after a command that
    failed; otherwise the rest does not run.
    """
    wanted = call.fields().get("commands")
    if not isinstance(wanted, list) or not 1 <= len(wanted) <= COMMAND_CAP:
        raise answers.cart(400, "BAD_REQUEST", f"1 to {COMMAND_CAP} commands are needed")
    if any(mapping(one).get("type") not in _COMMANDS for one in wanted):
        raise answers.cart(400, "BAD_REQUEST", "A command is not known")
    results = []
    for index, one in enumerate(wanted):
        results.append(_run(call, index, one))
        if results[-1]["code"] >= HTTPStatus.BAD_REQUEST and call.query.get("onError") != "resume":
            break
    return JSONResponse({"results": results}, 207)


def _run(call: Call, index: int, one: dict[str, Any]) -> dict[str, Any]:
    raw = json.dumps(one["data"]).encode() if "data" in one else b""
    options = {name: _text(value) for name, value in mapping(one.get("options")).items()}
    command = _Command(call.world, call.request, raw, call.bearer, options)
    try:
        answer = _COMMANDS[one["type"]](command)
        code, body = answer.status_code, json.loads(bytes(answer.body)) if answer.body else None
    except answers.SandboxError as refusal:
        code, body = refusal.status, refusal.body
    result = {"index": index, "type": one["type"], "code": code, "status": HTTPStatus(code).phrase}
    return result if body is None else {**result, "data": body}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


ROUTES: Final = (Entry("POST", "/cart/{tenant}/carts/{cartId}/execute", "any", execute),)
