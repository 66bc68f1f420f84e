"""A customer's companies and colleagues, groups and permissions."""

from typing import Any, Final

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers
from bff.sandbox.auth import SCOPES
from bff.sandbox.paging import page
from bff.sandbox.records import Customer, LegalEntity
from bff.sandbox.routing import Call, Entry

_GROUPS: Final = (("buyers", "B2B Buyer"), ("approvers", "B2B Approver"))


def legal_entities(call: Call) -> Response:
    """List the companies that the customer belongs to."""
    entities = call.world.entities
    return page(call, [_entity(entities[key]) for key in call.customer.legal_entities])


def legal_entity(_call: Call) -> Response:
    """Refuse: there is no scope with which a customer could read a single company."""
    raise answers.forbidden()


def me(call: Call) -> Response:
    customer = call.customer
    return JSONResponse(
        {
            "id": customer.number,
            **{name: customer.details.get(name, "") for name in ("firstName", "lastName")},
            "contactEmail": customer.email,
            "groupIds": [_GROUPS[0][0]],
        }
    )


def my_scopes(call: Call) -> Response:
    return JSONResponse({"userId": call.customer.number, "scopes": SCOPES})


def groups(call: Call) -> Response:
    """List the groups of customers."""
    return page(call, [{"id": key, "name": {"en": name}, "userType": "CUSTOMER"} for key, name in _GROUPS])


def group_users(call: Call) -> Response:
    """Return everybody as a buyer, nobody as an approver."""
    found = _colleagues(call) if call.path["groupId"] == _GROUPS[0][0] else []
    return page(call, [{"userId": one.number, "userType": "CUSTOMER"} for one in found])


def colleagues(call: Call) -> Response:
    return page(call, [_person(one) for one in _colleagues(call)])


def add_colleague(call: Call) -> Response:
    body = call.fields()
    mail = body.get("contactEmail")
    if not isinstance(mail, str) or not mail:
        raise answers.bad_request("The customer is not valid.", contactEmail="must not be empty")
    if call.world.customer_by_email(mail) is not None:
        raise answers.duplicate(mail, call.world.knobs.tenant)
    added = call.world.add_customer(mail, "", body)
    added.legal_entities = list(call.customer.legal_entities)
    return JSONResponse({"id": added.number}, 201)


def colleague(call: Call) -> Response:
    return JSONResponse(_person(_colleague(call)))


def change_colleague(call: Call) -> Response:
    found, active = _colleague(call), call.fields().get("active")
    found.active = active if isinstance(active, bool) else found.active
    return Response(status_code=204)


def _colleague(call: Call) -> Customer:
    found = next((one for one in _colleagues(call) if one.number == call.path["customerNumber"]), None)
    if found is None:
        raise answers.customer(404, "resource_not_found", "There is no such customer.")
    return found


def _colleagues(call: Call) -> list[Customer]:
    mine = set(call.customer.legal_entities)
    known = call.world.customers.values()
    return [one for one in known if one is call.customer or mine & set(one.legal_entities)]


def _person(one: Customer) -> dict[str, Any]:
    return {
        "id": one.number,
        "customerNumber": one.number,
        "contactEmail": one.email,
        "active": one.active,
        **{name: one.details.get(name, "") for name in ("firstName", "lastName", "company")},
    }


def _entity(one: LegalEntity) -> dict[str, Any]:
    contact = {
        "addressLine1": "Analytical Lane 12",
        "city": "Berlin",
        "postcode": "10115",
        "countryCode": "DE",
        "tags": ["BILLING", "SHIPPING"],
    }
    address = {"id": f"{one.id}-office", "name": one.name, "type": "OFFICE", "contactDetails": contact}
    return {
        "id": one.id,
        "name": one.name,
        "type": "COMPANY",
        "legalInfo": {"legalName": one.name},
        "entitiesAddresses": [address],
    }


_CUSTOMERS: Final = "/caas-customer/{tenant}/customers"
ROUTES: Final = (
    Entry("GET", "/customer-management/{tenant}/legal-entities", "customer", legal_entities),
    Entry("POST", "/customer-management/{tenant}/legal-entities/search", "customer", legal_entities),
    Entry("GET", "/customer-management/{tenant}/legal-entities/{legalEntityId}", "customer", legal_entity),
    Entry("GET", "/iam/{tenant}/users/me", "customer", me),
    Entry("GET", "/iam/{tenant}/users/me/scopes", "customer", my_scopes),
    Entry("GET", "/iam/{tenant}/groups", "customer", groups),
    Entry("GET", "/iam/{tenant}/groups/{groupId}/users", "customer", group_users),
    Entry("GET", _CUSTOMERS, "customer", colleagues),
    Entry("POST", _CUSTOMERS, "customer", add_colleague),
    Entry("GET", f"{_CUSTOMERS}/{{customerNumber}}", "customer", colleague),
    Entry("PATCH", f"{_CUSTOMERS}/{{customerNumber}}", "customer", change_colleague),
)
