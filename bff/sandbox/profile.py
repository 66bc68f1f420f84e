"""The caller's own profile and address book."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers, tokens
from bff.sandbox.routing import Call, Entry, mapping

_PROFILE: Final = frozenset({
    "title", "firstName", "middleName", "lastName", "contactPhone", "contactEmail", "company",
    "preferredLanguage", "preferredCurrency", "preferredSite", "mixins",
})  # fmt: skip
_STUB: Final = {
    "id": "00000000",
    "customerNumber": "00000000",
    "firstName": "Anonymous",
    "lastName": "Anonymous",
}


def me(call: Call) -> Response:
    """Show the caller; a guest gets a stub numbered 00000000."""
    if call.token.kind == "anonymous":
        return JSONResponse(_STUB)
    customer, known = call.customer, call.world.entities
    entities = [{"id": key, "name": known[key].name} for key in customer.legal_entities]
    shown = {
        "id": customer.number,
        "customerNumber": customer.number,
        "contactEmail": customer.email,
        "active": customer.active,
        **customer.details,
        "b2b": {**mapping(customer.details.get("b2b")), "legalEntities": entities},
        "metadata": {"version": customer.version},
    }
    if "addresses" in call.query.get("expand", ""):
        shown["addresses"] = [{"id": key, **value} for key, value in customer.addresses.items()]
    shown["accounts"] = [{"id": customer.email, "provider": "internal"}]
    return JSONResponse(shown)


def change_me(call: Call) -> Response:
    """Merge the given fields; a stale `metadata.version` is a conflict, an empty contactEmail refused."""
    body, customer = call.fields(), call.customer
    version = mapping(body.get("metadata")).get("version", customer.version)
    if version != customer.version:
        raise answers.customer(409, "conflict_resource", "The customer was changed meanwhile.")
    if "contactEmail" in body and not body["contactEmail"]:
        raise answers.bad_request("contactEmail cannot be removed.", contactEmail="must not be empty")
    customer.details |= {name: value for name, value in body.items() if name in _PROFILE}
    customer.version += 1
    return Response(status_code=200)


def addresses(call: Call) -> Response:
    return JSONResponse([{"id": key, **value} for key, value in call.customer.addresses.items()])


def add_address(call: Call) -> Response:
    body = call.fields()
    _check_address(body)
    key = tokens.object_id()
    call.customer.addresses[key] = body
    return JSONResponse({"id": key}, 201)


def address(call: Call) -> Response:
    return JSONResponse({"id": call.path["addressId"], **_address(call)})


def change_address(call: Call) -> Response:
    body = call.fields()
    known = _address(call)
    _check_address(known | body)
    known.update({name: value for name, value in body.items() if name != "id"})
    return Response(status_code=204)


def drop_address(call: Call) -> Response:
    _address(call)
    del call.customer.addresses[call.path["addressId"]]
    return Response(status_code=204)


def _address(call: Call) -> dict[str, Any]:
    known = call.customer.addresses.get(call.path["addressId"])
    if known is None:
        raise answers.customer(404, "resource_not_found", "There is no such address.")
    return known


def _check_address(body: dict[str, Any]) -> None:
    if not body.get("contactName"):
        raise answers.bad_request("The address is not valid.", contactName="must not be empty")
    if len(str(body.get("country"))) != 2:
        raise answers.bad_request("The address is not valid.", country="has 2 letters")


ROUTES: Final = (
    Entry("GET", "/customer/{tenant}/me", "any", me),
    Entry("PATCH", "/customer/{tenant}/me", "customer", change_me),
    Entry("GET", "/customer/{tenant}/me/addresses", "customer", addresses),
    Entry("POST", "/customer/{tenant}/me/addresses", "customer", add_address),
    Entry("GET", "/customer/{tenant}/me/addresses/{addressId}", "customer", address),
    Entry("PATCH", "/customer/{tenant}/me/addresses/{addressId}", "customer", change_address),
    Entry("DELETE", "/customer/{tenant}/me/addresses/{addressId}", "customer", drop_address),
)
