"""What a storefront does beside cart and catalogue: command chains, coupons, quotes, returns, approvals, delivery."""

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

CARTS, ORDER = "/cart/acmeshop/carts", "/checkout/acmeshop/checkouts/order"
ME, CUSTOMER = "/customer/acmeshop/me", "/customer/acmeshop"
MUG = {"product": {"id": "cloudbank"}, "quantity": 2}


async def filled(shop: Any, token: str) -> str:
    made = await shop.request("POST", CARTS, token, json={"currency": "EUR"})
    assert made.status_code == 201, made.text
    assert (await shop.request("POST", f"{CARTS}/{made.json()['cartId']}/items", token, json=MUG)).is_success
    return str(made.json()["cartId"])


async def ordered(shop: Any, who: dict[str, Any]) -> str:
    token, saas = who["access_token"], {"saas-token": who["saas_token"]}
    body = {"cartId": await filled(shop, token), "shipping": {"amount": 4.2}}
    placed = await shop.request("POST", ORDER, token, json=body, headers=saas)
    assert placed.status_code == 200, placed.text
    return str(placed.json()["orderId"])


async def test_a_chain_of_commands_stops_at_the_first_that_fails(shop: Any) -> None:
    token = (await shop.customer())["access_token"]
    path = f"{CARTS}/{await filled(shop, token)}/execute"
    chain = [
        {"type": "AddCartItem", "data": {"product": {"id": "millstone"}, "quantity": 1}},
        {"type": "DeleteCartItem", "options": {"itemId": "none"}},
        {"type": "GetCart", "options": {"expandCalculation": False}},
    ]
    stopped = await shop.request("POST", path, token, json={"commands": chain})
    assert stopped.status_code == 207
    assert [(one["index"], one["code"]) for one in stopped.json()["results"]] == [(0, 201), (1, 404)]
    resumed = await shop.request("POST", f"{path}?onError=resume", token, json={"commands": chain})
    assert [one["code"] for one in resumed.json()["results"]] == [201, 404, 200]
    cart = resumed.json()["results"][2]["data"]
    assert [one["quantity"] for one in cart["items"]] == [2, 2]
    assert "calculatedPrice" not in cart


@pytest.mark.parametrize("commands", [[], [{"type": "GetCart"}] * 11, [{"type": "DropDatabase"}], None])
async def test_a_chain_that_is_not_valid_runs_nothing(shop: Any, commands: Any) -> None:
    token = (await shop.customer())["access_token"]
    path = f"{CARTS}/{await filled(shop, token)}/execute"
    refused = await shop.request("POST", path, token, json={"commands": commands})
    assert (refused.status_code, refused.json()["status"]) == (400, "BAD_REQUEST")


async def test_a_dozen_is_a_tier_and_prices_have_their_tax(shop: Any) -> None:
    token = (await shop.guest())["access_token"]
    item = {"itemId": {"id": "cloudbank"}, "quantity": {"quantity": 12}}
    path = "/price/acmeshop/match-prices-by-context"
    (row,) = (await shop.request("POST", path, token, json={"items": [item]})).json()
    tiers = [one["minQuantity"]["quantity"] for one in row["priceModel"]["tierDefinition"]["tiers"]]
    assert (tiers, [one["priceValue"] for one in row["tierValues"]]) == ([0, 12], [19.5, 17.55])
    assert (row["effectiveValue"], row["totalValue"]) == (17.55, 210.6)
    assert row["tax"]["prices"]["totalValue"] == {"netValue": 176.97, "grossValue": 210.6, "taxValue": 33.63}


async def test_tax_is_calculated_both_ways(shop: Any) -> None:
    token, path = (await shop.guest())["access_token"], "/tax/acmeshop/taxes/calculation-commands"
    asked = {"targetLocation": {"countryCode": "DE"}, "targetTaxClass": "STANDARD", "price": 100}
    net = await shop.request("PUT", path, token, json={"input": asked | {"includesTax": False}})
    gross = await shop.request("PUT", path, token, json={"input": asked | {"includesTax": True}})
    assert (net.json()["output"]["grossPrice"], gross.json()["output"]["netPrice"]) == (119.0, 84.03)
    assert (await shop.request("PUT", path, token, json={"input": {"price": 1}})).status_code == 400


async def test_a_coupon_lowers_the_total_once_and_points_buy_one(shop: Any) -> None:
    token = (await shop.customer())["access_token"]
    cart = f"{CARTS}/{await filled(shop, token)}"
    code = {"code": "WELCOME10"}
    assert (await shop.request("POST", f"{cart}/discounts", token, json=code)).json()["discountIndex"] == 0
    assert (await shop.request("POST", f"{cart}/discounts", token, json=code)).status_code == 409
    shown = (await shop.request("GET", cart, token)).json()
    assert (shown["totalDiscount"]["amount"], shown["totalPrice"]["amount"]) == (3.9, 35.1)
    points = "/reward-points/public/customer"
    assert (await shop.request("GET", points, token)).json() == 100
    option = (await shop.request("GET", "/reward-points/acmeshop/redeemOptions", token)).json()[0]
    bought = await shop.request("POST", f"{points}/redeem", token, json={"id": option["id"]})
    assert (await shop.request("POST", f"{cart}/discounts", token, json=bought.json())).status_code == 201
    assert (await shop.request("GET", points, token)).json() == 50
    assert (await shop.request("DELETE", f"{cart}/discounts/1", token)).status_code == 204
    assert (await shop.request("POST", f"{cart}/discounts", token, json={"code": "x"})).status_code == 400


async def test_a_quote_is_asked_for_accepted_and_ordered(shop: Any) -> None:
    who = await shop.customer()
    token, quotes = who["access_token"], "/quote/acmeshop/quotes"
    address = (await shop.request("GET", f"{ME}/addresses", token)).json()[0]["id"]
    body = {"cartId": await filled(shop, token), "billingAddressId": address, "shippingAddressId": address}
    key = (await shop.request("POST", quotes, token, json=body)).json()["id"]
    saas = {"saas-token": who["saas_token"]}
    early = await shop.request("POST", ORDER, token, json={"quoteId": key}, headers=saas)
    assert (early.status_code, early.json()["type"]) == (400, "validation_violation")
    accept = [{"op": "replace", "path": "/status", "value": {"value": "ACCEPTED"}}]
    assert (await shop.request("PATCH", f"{quotes}/{key}", token, json=accept)).status_code == 204
    placed = await shop.request("POST", ORDER, token, json={"quoteId": key}, headers=saas)
    assert placed.status_code == 200
    again = await shop.request("POST", ORDER, token, json={"quoteId": key}, headers=saas)
    assert (again.status_code, again.json()["details"][0]["type"]) == (409, "unique_checkout_cartId_index")
    grace = (await shop.customer("grace@example.com", "another-horse-battery"))["access_token"]
    assert (await shop.request("GET", quotes, grace)).json() == []
    assert (await shop.request("GET", f"{quotes}/{key}", grace)).status_code == 404


async def test_a_return_needs_the_saas_token_and_an_order_of_the_customers_own(shop: Any) -> None:
    who, returns = await shop.customer(), "/return/acmeshop/returns"
    token, saas = who["access_token"], {"saas-token": who["saas_token"]}
    items = [{"id": "i1", "quantity": 1}]
    body = {"orders": [{"id": await ordered(shop, who), "items": items}], "reason": {"code": "BROKEN"}}
    assert (await shop.request("POST", returns, token, json=body)).status_code == 403
    made = await shop.request("POST", returns, token, json=body, headers=saas)
    assert made.status_code == 201
    (shown,) = (await shop.request("GET", returns, token)).json()
    assert (shown["id"], shown["approvalStatus"]) == (made.json()["id"], "PENDING")
    foreign = body | {"orders": [{"id": "EON1", "items": items}]}
    assert (await shop.request("POST", returns, token, json=foreign, headers=saas)).status_code == 400


async def test_an_approval_uses_the_cart_up(shop: Any) -> None:
    token, base = (await shop.customer())["access_token"], "/approval/acmeshop"
    cart = await filled(shop, token)
    asked = {"resourceType": "CART", "resourceId": cart, "action": "CHECKOUT"}
    permitted = await shop.request("POST", f"{base}/approval/permitted", token, json=asked)
    assert permitted.json() == {"action": "CHECKOUT", "permitted": True}
    made = await shop.request("POST", f"{base}/approvals", token, json=asked)
    assert (await shop.request("GET", f"{CARTS}/{cart}", token)).status_code == 404
    path = f"{base}/approvals/{made.json()['id']}"
    declined = [{"op": "REPLACE", "path": "/status", "value": "DECLINED"}]
    assert (await shop.request("PATCH", path, token, json=declined)).status_code == 204
    assert (await shop.request("GET", path, token)).json()["status"] == "DECLINED"


async def test_a_site_and_its_delivery_windows_are_found_by_postal_code(shop: Any) -> None:
    token, base = (await shop.guest())["access_token"], "/shipping/acmeshop"
    asked = {"postalCode": "10115", "country": "DE"}
    (site,) = (await shop.request("POST", f"{base}/findSite", token, json=asked)).json()
    windows = site["zones"][0]["actualDeliveryWindows"]
    assert (site["id"], {one["deliveryMethod"] for one in windows}) == ("main", {"standard", "express"})
    key = {"deliveryWindowId": windows[0]["id"]}
    assert (
        await shop.request("POST", f"{base}/deliveryWindowValidation", token, json=key)
    ).status_code == 200
    plain = (await shop.request("GET", f"{base}/main/zones", token)).json()[0]
    whole = (await shop.request("GET", f"{base}/main/zones?expand=methods,fees", token)).json()[0]
    assert "methods" not in plain
    assert [one["fees"][0]["cost"]["amount"] for one in whole["methods"]] == [4.2, 10.5]
    assert (await shop.request("GET", f"{base}/nowhere/zones", token)).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/country/acmeshop/countries/DE",
        "/currency/acmeshop/currencies/USD",
        "/catalog/acmeshop/catalogs/assortment",
    ],
)
async def test_a_language_makes_one_text_of_a_name(shop: Any, path: str) -> None:
    token = (await shop.guest())["access_token"]
    whole = (await shop.request("GET", path, token)).json()["name"]
    one = (await shop.request("GET", path, token, headers={"Accept-Language": "en"})).json()["name"]
    assert one == whole["en"]


async def test_tags_are_added_to_an_address_and_taken_off(shop: Any) -> None:
    token = (await shop.customer())["access_token"]
    one = (await shop.request("GET", f"{ME}/addresses", token)).json()[0]
    path = f"{ME}/addresses/{one['id']}"
    assert (await shop.request("POST", f"{path}/tags?tags=GIFT,BILLING", token)).status_code == 204
    assert (await shop.request("GET", path, token)).json()["tags"] == ["BILLING", "SHIPPING", "GIFT"]
    assert (await shop.request("DELETE", f"{path}/tags?tags=GIFT", token)).status_code == 204
    assert (await shop.request("GET", path, token)).json()["tags"] == ["BILLING", "SHIPPING"]
    assert (await shop.request("POST", f"{path}/tags", token)).status_code == 400


async def test_an_address_for_logging_in_changes_when_the_mail_is_answered(shop: Any) -> None:
    who = await shop.customer()
    path = f"{ME}/accounts/internal/email/change"
    body = {
        "email": "ada@example.com",
        "password": "correct-horse-battery",
        "newEmail": "augusta@example.com",
    }
    assert (
        await shop.request("POST", path, who["access_token"], json=body | {"password": "x"})
    ).status_code == 400
    assert (await shop.request("POST", path, who["access_token"], json=body)).status_code == 204
    (mail,) = shop.world.mails
    assert (mail["to"], mail["purpose"]) == ("augusta@example.com", "email-change")
    guest = who["guest"]["access_token"]
    confirmed = await shop.request("POST", f"{path}/confirm", guest, json={"token": mail["token"]})
    assert confirmed.status_code == 204
    assert (await shop.customer("augusta@example.com"))["access_token"]


async def test_a_customer_reads_companies_but_not_one_company(shop: Any) -> None:
    token, path = (await shop.customer())["access_token"], "/customer-management/acmeshop/legal-entities"
    rows = (await shop.request("GET", path, token)).json()
    assert rows[0]["entitiesAddresses"][0]["contactDetails"]["tags"] == ["BILLING", "SHIPPING"]
    assert (await shop.request("GET", f"{path}/{rows[0]['id']}", token)).status_code == 403


@pytest.mark.parametrize(("kind", "status"), [("forbidden", 403), ("unauthorized", 401)])
async def test_a_wrong_kind_of_token_is_refused_as_the_knob_says(shop: Any, kind: str, status: int) -> None:
    shop.set_knobs(wrong_kind=kind)
    guest = (await shop.guest())["access_token"]
    assert (await shop.request("GET", "/order-v2/acmeshop/orders", guest)).status_code == status
    customer = (await shop.customer())["access_token"]
    asked = {"email": "nobody@example.com"}
    assert (
        await shop.request("POST", f"{CUSTOMER}/password/reset", customer, json=asked)
    ).status_code == status


@pytest.mark.parametrize(("in_refresh", "found"), [("absent", False), ("null", None), ("renewed", True)])
async def test_a_refresh_says_of_the_saas_token_what_the_knob_says(
    shop: Any, in_refresh: str, found: object
) -> None:
    shop.set_knobs(saas_in_refresh=in_refresh)
    who = await shop.customer()
    body = (await shop.refresh(who["refresh_token"], who["guest"]["access_token"])).json()
    value = body.get("saas_token", False)
    assert (value if value is None else bool(value)) is found
    assert value != who["saas_token"]


async def test_an_agents_stream_ends_with_the_chats_id(shop: Any) -> None:
    shop.set_knobs(agent_stream_events=2, agent_stream_pause_ms=0)
    token, path = (await shop.customer())["access_token"], "/ai-service/acmeshop/agentic/chat-stream"
    body, chat = {"agentId": "a", "message": "hello"}, {"session-id": "chat-1"}
    answer = await shop.request("POST", path, token, json=body, headers=chat)
    assert answer.headers["content-type"].startswith("text/event-stream")
    names = [line[7:] for line in answer.text.splitlines() if line.startswith("event: ")]
    assert names == ["message", "message", "done"]
    assert '"sessionId": "chat-1"' in answer.text
