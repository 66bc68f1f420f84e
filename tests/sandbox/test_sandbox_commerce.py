"""Catalogue, context, carts and checkout: formats, owners and documented pitfalls."""

from typing import Any

import pytest

from tests.sandbox.conftest import ORIGIN

pytestmark = pytest.mark.anyio

CARTS = "/cart/acmeshop/carts"
ORDER = "/checkout/acmeshop/checkouts/order"
CONTEXT = "/session-context/acmeshop/me/context"


async def cart_of(shop: Any, token: str, *products: str) -> str:
    params = {"siteCode": "main", "create": "true"}
    key = (await shop.request("GET", CARTS, token, params=params)).json()["id"]
    for product in products:
        added = await shop.request("POST", f"{CARTS}/{key}/items", token, json={"product": {"id": product}})
        assert added.status_code == 201
    return str(key)


@pytest.mark.parametrize(
    "path",
    ["/product/acmeshop/products", CARTS, "/site/acmeshop/sites", "/order-v2/acmeshop/orders", CONTEXT],
)
async def test_every_route_needs_a_bearer_token(shop: Any, path: str) -> None:
    response = await shop.request("GET", path)
    assert response.status_code == 401
    assert response.json()["fault"]["detail"]["errorcode"] == "oauth.v2.InvalidAccessToken"


async def test_products_are_paged_and_counted_on_request(shop: Any) -> None:
    token, path = (await shop.guest())["access_token"], "/product/acmeshop/products"
    params = {"pageNumber": "2", "pageSize": "5"}
    plain = await shop.request("GET", path, token, params=params)
    assert len(plain.json()) == 5
    assert "x-total-count" not in plain.headers
    counted = await shop.request("GET", path, token, params=params, headers={"X-Total-Count": "true"})
    assert counted.headers["x-total-count"] == "16"
    assert (await shop.request("GET", path, token, params={"pageSize": "x"})).status_code == 400


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("code:AC-001", ["morning-ledge"]),
        ("id:(cloudbank,millstone)", ["millstone", "cloudbank"]),
        ("name:~assam", ["copper-gate"]),
        ("name.en:~(assam)", ["copper-gate"]),
        ("categoryId:tea name:~train", ["night-train"]),
        ("walnut", ["millstone"]),
        ("nothing like it", []),
    ],
)
async def test_products_can_be_searched(shop: Any, query: str, found: list[str]) -> None:
    token = (await shop.guest())["access_token"]
    response = await shop.request("POST", "/product/acmeshop/products/search", token, json={"q": query})
    assert [one["id"] for one in response.json()] == found


@pytest.mark.parametrize(
    ("language", "name"),
    [("de-DE,de;q=0.9,en;q=0.5", "Wolkenbank Becher"), ("fr", "Cloudbank Mug"), ("en", "Cloudbank Mug")],
)
async def test_one_language_is_returned_if_requested(shop: Any, language: str, name: str) -> None:
    token, path = (await shop.guest())["access_token"], "/product/acmeshop/products/cloudbank"
    response = await shop.request("GET", path, token, headers={"Accept-Language": language})
    assert response.json()["name"] == name
    bad = await shop.request("GET", path, token, headers={"Accept-Language": "??"})
    assert (bad.status_code, bad.json()["message"]) == (400, "Language header validation failed")


async def test_all_languages_are_returned_if_none_is_requested(shop: Any) -> None:
    token = (await shop.guest())["access_token"]
    one = (await shop.request("GET", "/product/acmeshop/products/cloudbank", token)).json()
    assert one["name"] == {"en": "Cloudbank Mug", "de": "Wolkenbank Becher"}
    assert one["media"][0]["url"] == f"{ORIGIN}/media/acmeshop/cloudbank.svg"


async def test_categories_contain_all_products(shop: Any) -> None:
    token, held = (await shop.guest())["access_token"], set()
    rows = (await shop.request("GET", "/category/acmeshop/categories", token)).json()
    for row in rows:
        path = f"/category/acmeshop/categories/{row['id']}/assignments"
        held |= {one["ref"]["id"] for one in (await shop.request("GET", path, token)).json()}
    assert (len(rows), len(held)) == (5, 16)
    (tree,) = (await shop.request("GET", "/category/acmeshop/category-trees", token)).json()
    assert [tree["id"], *(one["id"] for one in tree["subcategories"])] == [row["id"] for row in rows]


async def test_prices_depend_on_the_context_and_are_limited_to_fifty_items(shop: Any) -> None:
    token, path = (
        (await shop.guest(currency="USD"))["access_token"],
        "/price/acmeshop/match-prices-by-context",
    )
    item = {"itemId": {"itemType": "PRODUCT", "id": "cloudbank"}, "quantity": {"quantity": 2}}
    (row,) = (await shop.request("POST", path, token, json={"items": [item]})).json()
    assert (row["itemId"]["id"], row["currency"], row["effectiveValue"], row["totalValue"]) == (
        "cloudbank", "USD", 21.0, 42.0,
    )  # fmt: skip
    assert "itemRef" not in row
    many = await shop.request("POST", path, token, json={"items": [item] * 51})
    assert many.status_code == 400
    assert isinstance(many.json()["details"][0], str)


async def test_availability(shop: Any) -> None:
    token, base = (await shop.guest())["access_token"], "/availability/acmeshop/availability"
    assert (await shop.request("GET", f"{base}/linden-honey/main", token)).json()["available"] is False
    rows = await shop.request(
        "POST", f"{base}/search", token, params={"site": "us"}, json=["cloudbank", "none"]
    )
    assert [one["id"] for one in rows.json()] == ["us:cloudbank"]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/site/acmeshop/sites", "main"),
        ("/country/acmeshop/countries", "DE"),
        ("/currency/acmeshop/currencies", "EUR"),
    ],
)
async def test_places(shop: Any, path: str, code: str) -> None:
    token = (await shop.guest())["access_token"]
    assert code in {row["code"] for row in (await shop.request("GET", path, token)).json()}
    assert (await shop.request("GET", f"{path}/{code}", token)).json()["code"] == code
    assert (await shop.request("GET", f"{path}/none", token)).status_code == 404


async def test_a_context_change_needs_the_current_version(shop: Any) -> None:
    token = (await shop.guest())["access_token"]
    assert (await shop.request("PATCH", CONTEXT, token, json={"currency": "USD"})).status_code == 400
    change = {"currency": "USD", "metadata": {"version": 1}, "customerId": "10000001"}
    assert (await shop.request("PATCH", CONTEXT, token, json=change)).status_code == 204
    assert (await shop.request("PATCH", CONTEXT, token, json=change)).status_code == 409
    added = await shop.request("POST", f"{CONTEXT}/attributes", token, json={"key": "a", "value": {"b": 1}})
    assert (added.status_code, added.json()) == (201, "a")
    shown = (await shop.request("GET", CONTEXT, token)).json()
    assert (shown["currency"], shown["context"]) == ("USD", {"a": {"b": 1}})
    assert "customerId" not in shown
    assert (await shop.request("DELETE", f"{CONTEXT}/attributes/a", token)).status_code == 204


async def test_a_guests_cart_needs_the_session_header(shop: Any) -> None:
    guest = await shop.guest()
    token, body = guest["access_token"], {"siteCode": "main", "currency": "EUR", "sessionValidated": True}
    assert (await shop.request("POST", CARTS, token, json=body)).status_code == 400
    foreign = await shop.request("POST", CARTS, token, json=body, headers={"session-id": "other"})
    assert (foreign.status_code, foreign.json()["status"]) == (403, "Forbidden")
    own = {"session-id": guest["sessionId"]}
    made = await shop.request("POST", CARTS, token, json=body, headers=own)
    key = made.json()["cartId"]
    assert made.status_code == 201
    assert made.headers["location"] == f"{CARTS}/{key}"
    assert made.headers["version"] == "1"
    assert (await shop.request("POST", CARTS, token, json=body, headers=own)).status_code == 409
    assert (await shop.request("GET", f"{CARTS}/{key}", token)).status_code == 400
    assert (await shop.request("GET", f"{CARTS}/{key}", token, headers=own)).json()["id"] == key


async def test_carts_belong_to_their_session_but_customers_can_read_them_by_id(shop: Any) -> None:
    guest, other, customer = await shop.guest(), await shop.guest(), await shop.customer()
    key = await cart_of(shop, guest["access_token"], "cloudbank")
    path = f"{CARTS}/{key}"
    assert (await shop.request("GET", path, other["access_token"])).status_code == 403
    assert (await shop.request("GET", path, customer["access_token"])).status_code == 200
    assert (await shop.request("DELETE", path, customer["access_token"])).status_code == 403
    params = {"siteCode": "main", "sessionId": guest["sessionId"]}
    assert (await shop.request("GET", CARTS, other["access_token"], params=params)).json()["id"] == key
    params = {"siteCode": "main", "customerId": "10000001"}
    assert (await shop.request("GET", CARTS, other["access_token"], params=params)).status_code == 403


async def test_quantities_are_added_and_addresses_are_replaced(shop: Any) -> None:
    token = (await shop.guest())["access_token"]
    key = await cart_of(shop, token, "cloudbank", "cloudbank", "fernhill")
    path = f"{CARTS}/{key}"
    shown = (await shop.request("GET", path, token)).json()
    assert [item["quantity"] for item in shown["items"]] == [2, 1]
    assert shown["totalPrice"] == {"amount": 85.0, "currency": "EUR"}
    line = f"{path}/items/{shown['items'][0]['id']}"
    assert (await shop.request("PUT", line, token, json={"quantity": 5})).status_code == 204
    assert (await shop.request("GET", line, token)).json()["quantity"] == 5
    assert (await shop.request("DELETE", line, token)).status_code == 204
    assert (await shop.request("GET", line, token)).status_code == 404
    await shop.request("PUT", path, token, json={"addresses": [{"type": "SHIPPING"}]})
    await shop.request("PUT", path, token, json={"addresses": [{"type": "BILLING"}]})
    await shop.request("PUT", path, token, json={})
    assert (await shop.request("GET", path, token)).json()["addresses"] == [{"type": "BILLING"}]
    stale = await shop.request("PUT", path, token, json={"metadata": {"version": 1}})
    assert stale.status_code == 409


async def test_each_item_of_a_batch_has_its_own_status(shop: Any) -> None:
    token = (await shop.guest())["access_token"]
    path = f"{CARTS}/{await cart_of(shop, token)}/itemsBatch"
    lines = [{"itemYrn": "urn:yaas:saasag:caasproduct:product:acmeshop;cloudbank"}, {"product": {"id": "no"}}]
    response = await shop.request("POST", path, token, json=lines)
    assert (response.status_code, [one["status"] for one in response.json()]) == (200, [201, 400])
    key = response.json()[0]["id"]
    changed = await shop.request("PUT", path, token, json=[{"id": key, "quantity": 3}, {"id": "no"}])
    assert [(one["code"], one["status"]) for one in changed.json()] == [
        (204, "No Content"),
        (404, "Not Found"),
    ]
    assert (await shop.request("PUT", path, token, json=[{"id": key}] * 200)).status_code == 207
    assert (await shop.request("PUT", path, token, json=[{"id": key}] * 201)).status_code == 400


async def test_merging_closes_the_guests_cart(shop: Any) -> None:
    guest, customer = await shop.guest(), await shop.customer()
    left = await cart_of(shop, guest["access_token"], "cloudbank")
    right = await cart_of(shop, customer["access_token"], "cloudbank", "fernhill")
    path, body = f"{CARTS}/{right}/merge", {"carts": [left]}
    assert (await shop.request("POST", path, guest["access_token"], json=body)).status_code == 403
    merged = await shop.request("POST", path, customer["access_token"], json=body)
    assert (merged.status_code, merged.content) == (200, b"")
    shown = await shop.request("GET", f"{CARTS}/{right}", customer["access_token"])
    assert [item["quantity"] for item in shown.json()["items"]] == [2, 1]
    gone = await shop.request("GET", f"{CARTS}/{left}", guest["access_token"])
    assert (gone.status_code, gone.json()["code"], gone.json()["status"]) == (404, 404, "Not Found")
    assert (await shop.request("POST", path, customer["access_token"], json=body)).status_code == 404


async def test_carts_of_two_currencies_do_not_merge(shop: Any) -> None:
    guest, customer = await shop.guest(currency="USD"), await shop.customer()
    left = await cart_of(shop, guest["access_token"], "cloudbank")
    right = await cart_of(shop, customer["access_token"], "cloudbank")
    path, body = f"{CARTS}/{right}/merge", {"carts": [left]}
    refused = await shop.request("POST", path, customer["access_token"], json=body)
    assert (refused.status_code, "same currency" in refused.json()["message"]) == (400, True)


async def test_a_guests_cart_does_not_merge_into_a_companys(shop: Any) -> None:
    guest, customer = await shop.guest(), await shop.customer()
    left = await cart_of(shop, guest["access_token"], "cloudbank")
    params = {"siteCode": "main", "create": "true", "legalEntityId": "LE-100"}
    right = (await shop.request("GET", CARTS, customer["access_token"], params=params)).json()["id"]
    path, body = f"{CARTS}/{right}/merge", {"carts": [left]}
    refused = await shop.request("POST", path, customer["access_token"], json=body)
    assert (refused.status_code, "legal entity" in refused.json()["message"]) == (400, True)


@pytest.mark.parametrize(("shown", "status"), [("shown", 200), ("forbidden", 403), ("not_found", 404)])
async def test_the_knob_says_what_a_customer_gets_of_a_guests_cart(
    shop: Any, shown: str, status: int
) -> None:
    shop.set_knobs(guestCarts=shown)
    guest, customer = await shop.guest(), await shop.customer()
    cart = await cart_of(shop, guest["access_token"], "cloudbank")
    token, params = customer["access_token"], {"siteCode": "main", "sessionId": guest["sessionId"]}
    assert (await shop.request("GET", CARTS, token, params=params)).status_code == status
    assert (await shop.request("GET", f"{CARTS}/{cart}", token)).status_code == status


async def test_each_legal_entity_has_a_separate_cart(shop: Any) -> None:
    token = (await shop.customer())["access_token"]
    plain = await cart_of(shop, token)
    params = {"siteCode": "main", "create": "true", "legalEntityId": "LE-100"}
    scoped = (await shop.request("GET", CARTS, token, params=params)).json()
    assert scoped["id"] != plain
    assert scoped["legalEntityId"] == "LE-100"
    foreign = {**params, "legalEntityId": "LE-999"}
    assert (await shop.request("GET", CARTS, token, params=foreign)).status_code == 403
    assert len((await shop.request("GET", "/customer-management/acmeshop/legal-entities", token)).json()) == 2


async def test_a_customer_can_check_out_once_and_only_with_a_saas_token(shop: Any) -> None:
    customer, other = await shop.customer(), await shop.customer("grace@example.com", "another-horse-battery")
    token = customer["access_token"]
    body = {"cartId": await cart_of(shop, token, "cloudbank")}
    bare = await shop.request("POST", ORDER, token, json=body)
    assert (bare.status_code, bare.json()["type"]) == (403, "insufficient_permissions")
    foreign = {"saas-token": other["saas_token"]}
    assert (await shop.request("POST", ORDER, token, json=body, headers=foreign)).status_code == 401
    own = {"saas-token": customer["saas_token"]}
    done = await shop.request("POST", ORDER, token, json=body, headers=own)
    assert done.status_code == 200
    assert set(done.json()) == {"orderId", "paymentDetails", "checkoutId"}
    again = await shop.request("POST", ORDER, token, json=body, headers=own)
    assert (again.status_code, again.json()["type"]) == (409, "Conflict")
    named = {one["field"]: one["message"] for one in again.json()["details"]}
    assert named == {"cartId": body["cartId"], "existingOrderId": done.json()["orderId"]}
    assert (await shop.request("GET", f"{CARTS}/{body['cartId']}", token)).status_code == 404
    (order,) = (await shop.request("GET", "/order-v2/acmeshop/orders", token)).json()
    path = f"/order-v2/acmeshop/orders/{order['id']}"
    assert (await shop.request("GET", path, token)).json()["totalPrice"] == 19.5
    assert (await shop.request("GET", path, other["access_token"])).status_code == 404


async def test_checkout_with_an_expired_saas_token_is_refused(shop: Any) -> None:
    customer = await shop.customer()
    body = {"cartId": await cart_of(shop, customer["access_token"], "cloudbank")}
    shop.clock.at += 14_401
    headers = {"saas-token": customer["saas_token"]}
    response = await shop.request("POST", ORDER, customer["access_token"], json=body, headers=headers)
    assert response.status_code == 401
    assert response.json()["fault"]["faultstring"] == "Access Token expired"


async def test_a_guest_can_check_out_as_a_guest(shop: Any) -> None:
    token = (await shop.guest())["access_token"]
    body: dict[str, Any] = {"cartId": await cart_of(shop, token, "cloudbank")}
    assert (await shop.request("POST", ORDER, token, json=body)).status_code == 403
    body["customer"] = {"guest": True}
    headers = {"saas-token": "any"}
    assert (await shop.request("POST", ORDER, token, json=body, headers=headers)).status_code == 403
    assert (await shop.request("POST", ORDER, token, json=body)).status_code == 200
    assert (await shop.request("GET", "/order-v2/acmeshop/orders", token)).status_code == 403


async def test_guests_can_read_payment_modes(shop: Any) -> None:
    token, path = (await shop.guest())["access_token"], "/payment-gateway/acmeshop/paymentmodes/frontend"
    modes = (await shop.request("GET", path, token)).json()
    assert (await shop.request("GET", f"{path}/{modes[0]['id']}", token)).json() == modes[0]
