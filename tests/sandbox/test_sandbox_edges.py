"""No request body causes a server error, which would hide what another test is looking for."""

from typing import Any

import pytest
from starlette.routing import Route

from bff.sandbox.app import create_sandbox

pytestmark = pytest.mark.anyio

NAMES = (
    "email", "password", "signup", "customerDetails", "customerAddress", "metadata", "currency", "siteCode",
    "type", "cartId", "customer", "product", "itemYrn", "quantity", "items", "carts", "addresses", "context",
    "key", "value", "q", "productIds", "contactName", "country", "currentPassword", "newPassword", "token",
    "legalEntityId", "channel", "expiresIn", "targetCurrency",
)  # fmt: skip
ODD: tuple[Any, ...] = (None, 0, -1, "", "x", [], {}, [[]], [{}], {"id": []}, {"a": {"b": []}}, 1.5, True)
WRITES = sorted(
    {
        (method, route.path)
        for route in create_sandbox().routes
        if isinstance(route, Route)
        for method in route.methods or ()
        if method in {"POST", "PUT", "PATCH"}
    }
)


@pytest.mark.parametrize(("method", "path"), WRITES)
async def test_unusual_bodies_never_cause_a_server_error(shop: Any, method: str, path: str) -> None:
    customer = await shop.customer()
    token = customer["access_token"]
    carts, params = "/cart/acmeshop/carts", {"siteCode": "main", "create": "true"}
    cart = (await shop.request("GET", carts, token, params=params)).json()["id"]
    target = path.replace("{tenant}", "acmeshop").replace("{cartId}", cart)
    headers = {"saas-token": customer["saas_token"], "session-id": customer["session_id"]}
    bodies: list[Any] = [*ODD, *(dict.fromkeys(NAMES, value) for value in ODD)]
    for bearer in (token, customer["guest"]["access_token"]):
        for body in bodies:
            response = await shop.request(method, target, bearer, json=body, headers=headers)
            assert response.status_code < 500
        assert (await shop.request(method, target, bearer, content=b"\xff{")).status_code < 500


async def test_an_oversized_body_is_refused(shop: Any) -> None:
    token = (await shop.guest())["access_token"]
    response = await shop.request(
        "POST", "/cart/acmeshop/carts", token, content=b"x" * (10 * 1024 * 1024 + 1)
    )
    assert (response.status_code, "fault" in response.json()) == (413, True)


@pytest.mark.parametrize(("method", "path"), [("GET", "/nowhere"), ("PUT", "/site/acmeshop/sites")])
async def test_unknown_paths_and_methods_get_an_error_of_the_gateway(
    shop: Any, method: str, path: str
) -> None:
    response = await shop.request(method, path)
    assert response.status_code in {404, 405}
    assert "faultstring" in response.json()["fault"]
