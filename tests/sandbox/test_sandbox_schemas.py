"""The sandbox's answers against the schemas of `tests/sandbox/schemas.py`."""

from typing import Any

import pytest

from tests.sandbox.schemas import SCHEMAS, Schema

pytestmark = pytest.mark.anyio

CARTS, ME = "/cart/acmeshop/carts", "/customer/acmeshop/me"
TAX = "/tax/acmeshop/taxes/calculation-commands"
CONTEXT = "/session-context/acmeshop/me/context"
ITEM = {"product": {"id": "cloudbank"}, "quantity": 1}
ZONE = "home"


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
    await ask("delivery restrictions", "GET", f"{cart}/dtRestrictions")
    await ask("discount applied", "POST", f"{cart}/discounts", json={"code": "WELCOME10"})
    shown = await ask("cart", "GET", cart)
    got["item of a cart"] = 200, shown["items"][0]
    ran = await shop.request("POST", f"{cart}/execute", token, json={"commands": [{"type": "GetCart"}]})
    got["result of a command"] = ran.status_code, ran.json()["results"][0]
    await ask("guest's profile", "GET", ME)
    await ask("error of the customer service", "POST", "/customer/acmeshop/signup", json={})
    await ask("session context", "GET", CONTEXT)
    return got | await public_answers(shop, token) | await customers_answers(shop)


async def public_answers(shop: Any, token: str) -> dict[str, tuple[int, Any]]:
    """Return what anybody reads: prices, tax, catalog, delivery."""
    got: dict[str, tuple[int, Any]] = {}

    async def ask(name: str, method: str, path: str, **more: Any) -> Any:
        response = await shop.request(method, path, token, **more)
        body = response.json()
        got[name] = response.status_code, body[0] if isinstance(body, list) else body
        return got[name][1]

    item = {"itemId": {"id": "cloudbank"}, "quantity": {"quantity": 1}}
    await ask("price", "POST", "/price/acmeshop/match-prices-by-context", json={"items": [item]})
    wanted = {"targetLocation": {"countryCode": "DE"}, "targetTaxClass": "STANDARD", "price": 1}
    calculated = await shop.request("PUT", TAX, token, json={"input": wanted})
    got["tax calculated"] = calculated.status_code, calculated.json()["output"]
    await ask("catalog", "GET", "/catalog/acmeshop/catalogs")
    await ask("assignment", "GET", "/category/acmeshop/categories/tea/assignments")
    await ask("category tree", "GET", "/category/acmeshop/category-trees")
    await ask("shipping zone", "GET", "/shipping/acmeshop/main/zones")
    await ask("shipping method", "GET", f"/shipping/acmeshop/main/zones/{ZONE}/methods")
    site = await ask("site that delivers", "POST", "/shipping/acmeshop/findSite", json={"postalCode": "1"})
    got["delivery window"] = 200, site["zones"][0]["actualDeliveryWindows"][0]
    await ask("redeem option", "GET", "/reward-points/acmeshop/redeemOptions")
    return got


async def customers_answers(shop: Any) -> dict[str, tuple[int, Any]]:
    """Return what a customer reads: quotes, returns, approvals, agents, companies."""
    who = await shop.customer()
    token, saas = who["access_token"], {"saas-token": who["saas_token"]}
    got: dict[str, tuple[int, Any]] = {}

    async def ask(name: str, method: str, path: str, **more: Any) -> None:
        response = await shop.request(method, path, token, **more)
        body = response.json()
        got[name] = response.status_code, body[0] if isinstance(body, list) else body

    async def filled() -> str:
        key = str((await shop.request("POST", CARTS, token, json={"currency": "EUR"})).json()["cartId"])
        await shop.request("POST", f"{CARTS}/{key}/items", token, json=ITEM)
        return key

    await shop.request("POST", "/quote/acmeshop/quotes", token, json={"cartId": await filled()})
    await ask("quote", "GET", "/quote/acmeshop/quotes")
    await ask("quote reason", "GET", "/quote/acmeshop/quote-reasons")
    asked = {"resourceType": "CART", "resourceId": "c", "action": "CHECKOUT"}
    await ask("approval permitted", "POST", "/approval/acmeshop/approval/permitted", json=asked)
    placed = await shop.request(
        "POST", "/checkout/acmeshop/checkouts/order", token, json={"cartId": await filled()}, headers=saas
    )
    back = {"orders": [{"id": placed.json()["orderId"], "items": []}], "reason": {"code": "BROKEN"}}
    await shop.request("POST", "/return/acmeshop/returns", token, json=back, headers=saas)
    await ask("return", "GET", "/return/acmeshop/returns")
    message = {"agentId": "a", "message": "hello"}
    await ask("answer of an agent", "POST", "/ai-service/acmeshop/agentic/chat", json=message)
    await ask("own scopes", "GET", "/iam/acmeshop/users/me/scopes")
    await ask("company", "GET", "/customer-management/acmeshop/legal-entities")
    return got


async def test_answers_have_the_documented_fields_and_statuses(shop: Any) -> None:
    got = await answers(shop)
    assert {name: mistakes(name, found) for name, (_, found) in got.items()} == {name: [] for name in SCHEMAS}
    assert {name: status for name, (status, _) in got.items()} == {
        **dict.fromkeys(SCHEMAS, 200),
        "cart created": 201,
        "item added": 201,
        "item of a changed batch": 207,
        "discount applied": 201,
        "result of a command": 207,
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
