"""The control API: what it returns and changes, and that it is off by default."""

from typing import Any

import httpx2
import pytest

from bff.sandbox.app import create_sandbox
from bff.sandbox.state import Knobs

pytestmark = pytest.mark.anyio

ME = "/customer/acmeshop/me"


async def test_the_control_api_is_off_by_default() -> None:
    transport = httpx2.ASGITransport(create_sandbox())
    async with httpx2.AsyncClient(transport=transport, base_url="http://sandbox.test") as client:
        assert (await client.get("/__sandbox__/issued")).status_code == 404
        guest = await client.get(
            "/customerlogin/auth/anonymous/login", params={"tenant": "acmeshop", "client_id": "storefront"}
        )
        headers = {"Authorization": f"Bearer {guest.json()['access_token']}"}
        echo = await client.get("/product/acmeshop/products/__echo__", headers=headers)
        assert echo.status_code == 404


async def test_the_log_contains_the_caller_but_no_secret(shop: Any) -> None:
    customer = await shop.customer()
    params = {"accessToken": customer["access_token"]}
    headers = {"saas-token": customer["saas_token"]}
    await shop.request(
        "GET", "/customer/acmeshop/logout", customer["access_token"], params=params, headers=headers
    )
    response = await shop.request("GET", "/__sandbox__/log")
    last = response.json()["records"][-1]
    assert (last["method"], last["path"], last["status"]) == ("GET", "/customer/acmeshop/logout", 204)
    assert (last["bearer"], last["saasToken"], last["customer"]) == ("customer", True, "10000001")
    assert last["sessionId"] == customer["session_id"]
    assert last["query"] == {"accessToken": "***"}
    assert "saas-token" in last["headerNames"]
    assert shop.logged[-1] == last
    for secret in shop.world.issued:
        assert secret not in response.text
    since = {"since": str(response.json()["next"])}
    assert (await shop.request("GET", "/__sandbox__/log", params=since)).json()["records"] == []


@pytest.mark.parametrize(("token", "kind"), [(None, "none"), ("wrong", "invalid")])
async def test_the_log_contains_the_kind_of_bearer_token(shop: Any, token: Any, kind: str) -> None:
    await shop.request("GET", ME, token)
    assert shop.world.log[-1]["bearer"] == kind


async def test_requests_are_counted_by_path_template(shop: Any) -> None:
    token = (await shop.guest())["access_token"]
    for name in ("cloudbank", "fernhill", "none"):
        await shop.request("GET", f"/product/acmeshop/products/{name}", token)
    await shop.request("GET", "/nowhere", token)
    counts = (await shop.request("GET", "/__sandbox__/counts")).json()
    assert counts == {
        "GET /customerlogin/auth/anonymous/login": 1,
        "GET /product/{tenant}/products/{productId}": 3,
        "GET (no route)": 1,
    }


async def test_issued_returns_every_token_and_session_id(shop: Any) -> None:
    customer = await shop.customer()
    body = (await shop.request("GET", "/__sandbox__/issued")).json()
    assert {customer["access_token"], customer["refresh_token"], customer["saas_token"]} <= set(
        body["tokens"]
    )
    assert body["sessionIds"] == [customer["session_id"]]


async def test_knobs_can_be_read_and_changed_in_both_spellings(shop: Any) -> None:
    path = "/__sandbox__/knobs"
    assert (await shop.request("GET", path)).json() == Knobs().as_json()
    turned = await shop.request("PATCH", path, json={"saasExpiresIn": 5, "refresh_bearer": "both"})
    assert (turned.json()["saasExpiresIn"], turned.json()["refreshBearer"]) == (5, "both")
    mistakes: tuple[Any, ...] = (
        {"unknown": 1},
        {"saasExpiresIn": "5"},
        {"optIn": 1},
        {"refreshBearer": "none"},
        [],
    )
    for wrong in mistakes:
        assert (await shop.request("PATCH", path, json=wrong)).status_code == 400
    assert shop.world.knobs.saas_expires_in == 5


async def test_expired_and_revoked_tokens_get_different_errors(shop: Any) -> None:
    first, second = await shop.customer(), await shop.customer()
    body = {"access": True, "sessionId": first["session_id"]}
    assert (await shop.request("POST", "/__sandbox__/expire", json=body)).json()["tokens"] == 2
    expired = await shop.request("GET", ME, first["access_token"])
    assert expired.json()["fault"]["faultstring"] == "Access Token expired"
    bearer = second["guest"]["access_token"]
    assert (await shop.refresh(first["refresh_token"], bearer)).status_code == 200
    await shop.request("POST", "/__sandbox__/revoke", json={"access": True})
    revoked = await shop.request("GET", ME, second["access_token"])
    assert revoked.json()["fault"]["faultstring"] == "Invalid access token"


async def test_expire_can_exclude_kinds_of_tokens(shop: Any) -> None:
    customer = await shop.customer()
    await shop.request("POST", "/__sandbox__/expire", json={"access": False})
    assert (await shop.request("GET", ME, customer["access_token"])).status_code == 200
    bearer = customer["guest"]["access_token"]
    assert (await shop.refresh(customer["refresh_token"], bearer)).status_code == 400


async def test_sessions_contain_owner_carts_and_valid_tokens(shop: Any) -> None:
    customer = await shop.customer()
    params = {"siteCode": "main", "create": "true"}
    cart = await shop.request("GET", "/cart/acmeshop/carts", customer["access_token"], params=params)
    shown = (await shop.request("GET", "/__sandbox__/sessions")).json()
    assert shown == {
        customer["session_id"]: {
            "kind": "customer",
            "customer": "10000001",
            "email": "ada@example.com",
            "legalEntityId": None,
            "cartIds": [cart.json()["id"]],
            "openCartIds": [cart.json()["id"]],
            "liveAccessTokens": 2,
            "ended": False,
        }
    }


async def test_reset_restores_the_initial_state(shop: Any) -> None:
    await shop.customer()
    shop.set_knobs(opt_in=True)
    await shop.request("POST", "/__sandbox__/faults", json={"match": "* /", "kind": "error"})
    assert (await shop.request("POST", "/__sandbox__/reset")).status_code == 204
    assert (shop.world.issued, shop.world.sessions, shop.world.faults) == (set(), {}, [])
    assert shop.world.knobs == Knobs()
    assert (await shop.customer())["access_token"]


async def test_customers_can_be_added(shop: Any) -> None:
    body = {"email": "eve@example.com", "password": "first-day", "initialPassword": True}
    body |= {"legalEntities": ["LE-100"]}
    assert (await shop.request("POST", "/__sandbox__/customers", json=body)).status_code == 201
    assert (await shop.customer("eve@example.com", "first-day"))["initialPassword"] is True
    assert (await shop.request("POST", "/__sandbox__/customers", json=body)).status_code == 409
