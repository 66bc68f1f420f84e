"""The sandbox's answers against what the OpenAPI of Emporix (August 2026) says of them, in words of our own.

One line a field: its type, and where it is from. CART, CM, SC are the specifications of the cart, the customer and the
session context service. A field that ends in `?` may be missing; an answer may have no field that is not listed.
"""

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

CARTS, ME = "/cart/acmeshop/carts", "/customer/acmeshop/me"
CONTEXT = "/session-context/acmeshop/me/context"
ITEM = {"product": {"id": "cloudbank"}, "quantity": 1}
Schema = dict[str, type | tuple[type, ...]]

SCHEMAS: dict[str, Schema] = {
    "cart created": {
        "cartId": str,  # CART createCart 201
        "yrn": str,  # CART createCart 201
    },
    "item added": {
        "itemId": str,  # CART addCartItem 201
        "yrn": str,  # CART addCartItem 201
    },
    "item of an added batch": {
        "index": int,  # CART addMultipleCartItems 200
        "status": int,  # CART addMultipleCartItems 200
        "id": str,  # CART addMultipleCartItems 200
        "headers": dict,  # CART addMultipleCartItems 200
        "yrn": str,  # CART addMultipleCartItems 200
    },
    "item of a changed batch": {
        "index": int,  # CART updateMultipleCartItems 200
        "id": str,  # CART updateMultipleCartItems 200
        "code": int,  # CART updateMultipleCartItems 200
        "status": str,  # CART updateMultipleCartItems 200, "No Content" where it was changed
        "message": str,  # CART updateMultipleCartItems 200
        "details": list,  # CART updateMultipleCartItems 200
    },
    "cart validated": {
        "isValid": bool,  # CART validateCart 200
        "itemsValidationDetails?": list,  # CART validateCart 200
    },
    "guest's profile": {
        "id": str,  # CM getCustomer 200, "00000000" for a guest
        "customerNumber": str,  # CM getCustomer 200, the same
        "firstName": str,  # CM getCustomer 200
        "lastName": str,  # CM getCustomer 200
        "preferredSite": str,  # CM getCustomer 200
        "accounts": list,  # CM getCustomer 200, empty for a guest
    },
    "error of the customer service": {
        "status": int,  # CM errorMessage
        "type": str,  # CM errorMessage
        "message": str,  # CM errorMessage
        "moreInfo": str,  # CM errorMessage
        "details": list,  # CM errorMessage
    },
    "session context": {
        "sessionId": str,  # SC getOwnSessionContext 200
        "customerId?": str,  # SC getOwnSessionContext 200
        "siteCode": str,  # SC getOwnSessionContext 200
        "currency": str,  # SC getOwnSessionContext 200
        "cartId?": str,  # SC getOwnSessionContext 200
        "targetLocation": str,  # SC getOwnSessionContext 200
        "language": str,  # SC getOwnSessionContext 200
        "context": dict,  # SC getOwnSessionContext 200
        "metadata": dict,  # SC getOwnSessionContext 200: version, createdAt, modifiedAt
    },
}


def mistakes(name: str, found: Any) -> list[str]:
    """Return what of an answer its schema does not have, or has otherwise."""
    schema = {field.removesuffix("?"): kind for field, kind in SCHEMAS[name].items()}
    required = {field for field in SCHEMAS[name] if not field.endswith("?")}
    wrong = [f"{field} is missing" for field in sorted(required - set(found))]
    wrong += [f"{field} is not in the schema" for field in sorted(set(found) - set(schema))]
    wrong += [
        f"{field} is {found[field]!r}"
        for field in schema
        if field in found and not fits(found, field, schema)
    ]
    return wrong


def fits(found: Any, field: str, schema: Schema) -> bool:
    return isinstance(found[field], schema[field]) and (schema[field] is not int or type(found[field]) is int)


async def answers(shop: Any) -> dict[str, tuple[int, Any]]:
    """Walk through a small shop; return the status and an answer, or a row of it, for each schema."""
    guest = await shop.guest()
    token, session = guest["access_token"], {"session-id": guest["sessionId"]}
    got: dict[str, tuple[int, Any]] = {}

    async def ask(name: str, method: str, path: str, *, row: bool = False, **more: Any) -> Any:
        response = await shop.request(method, path, token, **more)
        got[name] = response.status_code, response.json()[0] if row else response.json()
        return got[name][1]

    made = await ask("cart created", "POST", CARTS, json={"currency": "EUR"}, headers=session)
    cart = f"{CARTS}/{made['cartId']}"
    await ask("item added", "POST", f"{cart}/items", json=ITEM)
    added = await ask("item of an added batch", "POST", f"{cart}/itemsBatch", json=[ITEM], row=True)
    change = [{"id": added["id"], "quantity": 2}]
    await ask("item of a changed batch", "PUT", f"{cart}/itemsBatch", json=change, row=True)
    await ask("cart validated", "GET", f"{cart}/validate")
    await ask("guest's profile", "GET", ME)
    await ask("error of the customer service", "POST", "/customer/acmeshop/signup", json={})
    await ask("session context", "GET", CONTEXT)
    return got


async def test_answers_have_the_documented_fields_and_statuses(shop: Any) -> None:
    got = await answers(shop)
    assert {name: mistakes(name, found) for name, (_, found) in got.items()} == {name: [] for name in SCHEMAS}
    assert {name: status for name, (status, _) in got.items()} == {
        **dict.fromkeys(SCHEMAS, 200),
        "cart created": 201,
        "item added": 201,
        "item of a changed batch": 207,
        "error of the customer service": 400,
    }


async def test_answers_without_a_body_have_the_documented_statuses(shop: Any) -> None:
    customer = await shop.customer()
    token = customer["access_token"]
    cart = f"{CARTS}/{(await shop.request('POST', CARTS, token, json={'currency': 'EUR'})).json()['cartId']}"
    address = f"{ME}/addresses/{(await shop.request('POST', f'{ME}/addresses', token, json={})).json()['id']}"
    changed = await shop.request("POST", f"{cart}/changeCurrency", token, json={"currency": "USD"})
    moved = await shop.request("PATCH", address, token, json={"city": "London"})
    assert [(one.status_code, one.content) for one in (changed, moved)] == [(200, b"")] * 2


async def test_texts_of_errors_are_the_documented_ones(shop: Any) -> None:
    token, body = (
        (await shop.guest())["access_token"],
        {"email": "ada@example.com", "password": "long-enough"},
    )
    twice = await shop.request("POST", "/customer/acmeshop/signup", token, json=body)
    assert twice.json()["message"] == "Duplicate account 'ada@example.com' for tenant 'acmeshop'."
    elsewhere = await shop.request("GET", "/customer/elsewhere/me", token)
    assert elsewhere.json()["message"] == "The tenant information provided with the request is not valid."


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        ({"isValid": True, "id": "c1"}, ["id is not in the schema"]),
        ({}, ["isValid is missing"]),
        ({"isValid": "yes"}, ["isValid is 'yes'"]),
    ],
)
def test_an_answer_of_another_shape_is_noticed(found: Any, wrong: list[str]) -> None:
    assert mistakes("cart validated", found) == wrong
