"""The caller's own profile and address book."""

from collections.abc import Callable
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
    "preferredSite": "main",
    "accounts": [],
}


def me(call: Call) -> Response:
    """Return the caller's profile; a guest gets a stub with the number 00000000."""
    if call.token.kind == "anonymous":
        return JSONResponse(_STUB)
    customer, by_id = call.customer, call.world.entities
    entities = [{"id": key, "name": by_id[key].name} for key in customer.legal_entities]
    document = {
        "id": customer.number,
        "customerNumber": customer.number,
        "contactEmail": customer.email,
        "active": customer.active,
        "businessModel": "B2B" if entities else "B2C",
        **({"contactAssignmentId": f"{customer.number}-{entities[0]['id']}"} if entities else {}),
        **customer.details,
        "b2b": {**mapping(customer.details.get("b2b")), "legalEntities": entities},
        "metadata": {"version": customer.version},
    }
    if "addresses" in call.query.get("expand", ""):
        document["addresses"] = [{"id": key, **value} for key, value in customer.addresses.items()]
    document["accounts"] = [{"id": customer.email, "provider": "internal"}]
    return JSONResponse(document)


def change_me(call: Call) -> Response:
    """Change the given fields; an empty contactEmail is refused. No conflict of versions is documented."""
    body, customer = call.fields(), call.customer
    if "contactEmail" in body and not body["contactEmail"]:
        raise answers.bad_request("contactEmail cannot be removed.", contactEmail="must not be empty")
    customer.details |= {name: value for name, value in body.items() if name in _PROFILE}
    customer.version += 1
    return Response(status_code=200)


def addresses(call: Call) -> Response:
    return JSONResponse([{"id": key, **value} for key, value in call.customer.addresses.items()])


def add_address(call: Call) -> Response:
    body = call.fields()
    key = tokens.object_id()
    call.customer.addresses[key] = body
    return JSONResponse({"id": key}, 201)


def address(call: Call) -> Response:
    return JSONResponse({"id": call.path["addressId"], **_address(call)})


def change_address(call: Call) -> Response:
    body = call.fields()
    _address(call).update({name: value for name, value in body.items() if name != "id"})
    return Response(status_code=200)


def drop_address(call: Call) -> Response:
    _address(call)
    del call.customer.addresses[call.path["addressId"]]
    return Response(status_code=204)


def add_tags(call: Call) -> Response:
    return _retag(call, lambda old, tags: [*old, *(one for one in tags if one not in old)])


def drop_tags(call: Call) -> Response:
    return _retag(call, lambda old, tags: [one for one in old if one not in tags])


def _retag(call: Call, change: Callable[[list[str], list[str]], list[str]]) -> Response:
    """Change the tags of an address by those in the query, which is a list with commas."""
    tags = [one for one in call.query.get("tags", "").split(",") if one]
    if not tags:
        raise answers.bad_request("tags is missing.", tags="must not be empty")
    found = _address(call)
    found["tags"] = change(found.get("tags", []), tags)
    return Response(status_code=204)


def _address(call: Call) -> dict[str, Any]:
    found = call.customer.addresses.get(call.path["addressId"])
    if found is None:
        raise answers.customer(404, "resource_not_found", "There is no such address.")
    return found


ROUTES: Final = (
    Entry("GET", "/customer/{tenant}/me", "any", me),
    Entry("PATCH", "/customer/{tenant}/me", "customer", change_me),
    Entry("GET", "/customer/{tenant}/me/addresses", "customer", addresses),
    Entry("POST", "/customer/{tenant}/me/addresses", "customer", add_address),
    Entry("GET", "/customer/{tenant}/me/addresses/{addressId}", "customer", address),
    Entry("PATCH", "/customer/{tenant}/me/addresses/{addressId}", "customer", change_address),
    Entry("PUT", "/customer/{tenant}/me/addresses/{addressId}", "customer", change_address),
    Entry("POST", "/customer/{tenant}/me/addresses/{addressId}/tags", "customer", add_tags),
    Entry("DELETE", "/customer/{tenant}/me/addresses/{addressId}/tags", "customer", drop_tags),
    Entry("DELETE", "/customer/{tenant}/me/addresses/{addressId}", "customer", drop_address),
)
