"""The token endpoints respond as documented, and every knob has its effect."""

import base64
import json
import re
from typing import Any

import pytest

pytestmark = pytest.mark.anyio

UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
LOGIN = "/customer/acmeshop/login"
ANON = "/customerlogin/auth/anonymous"
CLIENT = {"tenant": "acmeshop", "client_id": "storefront"}
ADA = {"email": "ada@example.com", "password": "correct-horse-battery"}
INVALID = {
    "fault": {"faultstring": "Invalid access token", "detail": {"errorcode": "oauth.v2.InvalidAccessToken"}}
}
CAMEL = {"accessToken", "saasToken", "expiresIn", "refreshToken", "refreshTokenExpiresIn"}


async def test_anonymous_login_has_the_documented_members(shop: Any) -> None:
    guest = await shop.guest()
    assert re.fullmatch(r"[A-Za-z0-9]{28}", guest.pop("access_token"))
    assert re.fullmatch(r"[A-Za-z0-9]{32}", guest.pop("refresh_token"))
    assert re.fullmatch(UUID4, guest.pop("sessionId"))
    assert guest == {
        "token_type": "Bearer",
        "expires_in": 3599,
        "refresh_token_expires_in": 86399,
        "scope": "tenant=acmeshop",
    }


@pytest.mark.parametrize(
    ("params", "status", "expected"),
    [
        ({"tenant": "acmeshop", "client_id": "other"}, 401, "Invalid ApiKey"),
        ({"tenant": "elsewhere", "client_id": "storefront"}, 400, "bad_request"),
        ({"hybris-tenant": "acmeshop", "client_id": "storefront"}, 200, "sessionId"),
    ],
)
async def test_anonymous_login_checks_client_and_tenant(
    shop: Any, params: Any, status: int, expected: str
) -> None:
    response = await shop.request("GET", f"{ANON}/login", params=params)
    assert response.status_code == status
    assert expected in response.text


async def test_login_parameters_are_set_in_the_session_context(shop: Any) -> None:
    guest = await shop.guest(currency="USD", siteCode="us", language="de", targetLocation="US")
    response = await shop.request("GET", "/session-context/acmeshop/me/context", guest["access_token"])
    shown = response.json()
    assert (shown["currency"], shown["siteCode"], shown["language"], shown["targetLocation"]) == (
        "USD", "us", "de", "US",
    )  # fmt: skip
    assert shown["metadata"]["version"] == 1


async def test_the_context_can_be_created_with_the_cart(shop: Any) -> None:
    shop.set_knobs(context_created_at="cart")
    guest = await shop.guest(currency="USD")
    token = guest["access_token"]
    response = await shop.request("GET", "/session-context/acmeshop/me/context", token)
    assert response.status_code == 404
    assert response.json() == {"sessionId": guest["sessionId"], "code": 404, "message": "Session not found"}
    params = {"siteCode": "main", "create": "true"}
    assert (await shop.request("GET", "/cart/acmeshop/carts", token, params=params)).json()[
        "currency"
    ] == "USD"
    assert (await shop.request("GET", "/session-context/acmeshop/me/context", token)).status_code == 200


async def test_anonymous_refresh_keeps_the_session_and_accepts_a_used_token(shop: Any) -> None:
    guest = await shop.guest()
    params = {**CLIENT, "refresh_token": guest["refresh_token"]}
    first = (await shop.request("GET", f"{ANON}/refresh", params=params)).json()
    again = await shop.request("GET", f"{ANON}/refresh", params=params)
    assert first["sessionId"] == guest["sessionId"]
    assert first["refresh_token"] != guest["refresh_token"]
    assert again.status_code == 200
    shop.set_knobs(anonymousRotation="strict")
    assert (await shop.request("GET", f"{ANON}/refresh", params=params)).status_code == 400


async def test_the_deprecated_anonymous_token_returns_no_refresh_members(shop: Any) -> None:
    guest = await shop.guest()
    params = {**CLIENT, "anonymous_token": guest["access_token"]}
    response = (await shop.request("GET", f"{ANON}/refresh", params=params)).json()
    assert "refresh_token" not in response
    assert "refresh_token_expires_in" not in response
    shop.set_knobs(anonymous_token_variant=False)
    assert (await shop.request("GET", f"{ANON}/refresh", params=params)).status_code == 400


async def test_login_keeps_the_guests_session_and_returns_its_id_in_snake_case(shop: Any) -> None:
    customer = await shop.customer()
    assert customer["session_id"] == customer["guest"]["sessionId"]
    assert "sessionId" not in customer
    assert customer["expires_in"] == 2591999
    assert customer["refresh_token_expires_in"] == 86399
    assert customer["initialPassword"] is False
    assert customer.keys() >= CAMEL
    assert customer["accessToken"] == customer["access_token"]


async def test_the_saas_token_is_a_jwt_of_the_customer(shop: Any) -> None:
    saas = (await shop.customer())["saas_token"]
    head, body, _ = saas.split(".")
    assert json.loads(base64.urlsafe_b64decode(head + "==")) == {"alg": "HS256", "typ": "JWT"}
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    assert set(claims) == {"sub", "exp", "iat", "typ", "jti"}
    assert claims["sub"] == "10000001"
    assert claims["exp"] - claims["iat"] == 14400


@pytest.mark.parametrize(("snake", "camel"), [(True, False), (False, True)])
async def test_either_spelling_can_be_turned_off(shop: Any, snake: bool, camel: bool) -> None:  # noqa: FBT001
    shop.set_knobs(snake_names=snake, camel_names=camel)
    guest = await shop.guest()
    response = (await shop.request("POST", LOGIN, guest["access_token"], json=ADA)).json()
    assert ("access_token" in response) is snake
    assert ("accessToken" in response) is camel
    assert response["session_id"] == guest["sessionId"]


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"email": "", "password": "long-enough"}, 400, "bad_request"),
        ({"email": "ada@example.com", "password": "short"}, 400, "bad_request"),
        ([], 400, "bad_request"),
    ],
)
async def test_login_errors_have_the_format_e2(shop: Any, body: Any, status: int, kind: str) -> None:
    guest = await shop.guest()
    response = await shop.request("POST", LOGIN, guest["access_token"], json=body)
    assert response.status_code == status
    assert set(response.json()) == {"status", "type", "message", "moreInfo", "details"}
    assert response.json()["type"] == kind


@pytest.mark.parametrize(
    ("shape", "status", "expected"),
    [
        ("gateway", 401, "oauth.v2.InvalidAccessToken"),
        ("service", 401, '"unauthorized"'),
        ("bad_request", 400, '"bad_request"'),
    ],
)
@pytest.mark.parametrize("email", [ADA["email"], "nobody@example.com"])
async def test_wrong_credentials_get_what_the_knob_says(
    shop: Any, shape: str, status: int, expected: str, email: str
) -> None:
    shop.set_knobs(loginRefusal=shape)
    guest = await shop.guest()
    body = {"email": email, "password": "not-the-password"}
    response = await shop.request("POST", LOGIN, guest["access_token"], json=body)
    assert response.status_code == status
    assert expected in response.text


async def test_login_needs_a_valid_anonymous_bearer_token(shop: Any) -> None:
    assert (await shop.request("POST", LOGIN, json=ADA)).json() == INVALID
    assert (await shop.request("POST", LOGIN, "x" * 28, json=ADA)).json() == INVALID
    guest = await shop.guest()
    shop.clock.at += 3600
    response = await shop.request("POST", LOGIN, guest["access_token"], json=ADA)
    assert response.status_code == 401
    assert response.json()["fault"]["detail"]["errorcode"] == "keymanagement.service.access_token_expired"


async def test_anonymous_token_after_login_is_a_knob(shop: Any) -> None:
    kept = await shop.customer()
    sites = "/site/acmeshop/sites"
    assert (await shop.request("GET", sites, kept["guest"]["access_token"])).status_code == 200
    shop.set_knobs(anonymous_valid_after_login=False)
    lost = await shop.customer()
    assert (await shop.request("GET", sites, lost["guest"]["access_token"])).json() == INVALID


async def test_refresh_returns_no_saas_token_and_rotates_strictly(shop: Any) -> None:
    customer = await shop.customer()
    bearer = customer["guest"]["access_token"]
    response = await shop.refresh(customer["refresh_token"], bearer)
    renewed = response.json()
    assert renewed["session_id"] == customer["session_id"]
    assert (renewed["expires_in"], renewed["refresh_token_expires_in"]) == (2591999, 86390)
    for absent in ("saas_token", "saasToken", "scope", "initialPassword", "legalEntityId"):
        assert absent not in renewed
    assert (await shop.refresh(customer["refresh_token"], bearer)).status_code == 400
    assert (await shop.refresh(renewed["refresh_token"], bearer)).status_code == 200


@pytest.mark.parametrize(
    ("knob", "guest_ok", "customer_ok"),
    [("anonymous", True, False), ("customer", False, True), ("both", True, True)],
)
async def test_which_bearer_token_refresh_accepts(
    shop: Any,
    knob: str,
    guest_ok: bool,  # noqa: FBT001
    customer_ok: bool,  # noqa: FBT001
) -> None:
    shop.set_knobs(refreshBearer=knob, customerRotation="tolerant")
    customer = await shop.customer()
    value = customer["refresh_token"]
    with_guest = await shop.refresh(value, customer["guest"]["access_token"])
    with_customer = await shop.refresh(value, customer["access_token"])
    assert (with_guest.status_code == 200, with_customer.status_code == 200) == (guest_ok, customer_ok)
    assert {with_guest.status_code, with_customer.status_code} <= {200, 401}


@pytest.mark.parametrize(("window", "left"), [("fixed", 76399), ("sliding", 86390)])
async def test_refresh_window(shop: Any, window: str, left: int) -> None:
    shop.set_knobs(refresh_window=window)
    customer = await shop.customer()
    shop.clock.at += 10_000
    bearer = (await shop.guest())["access_token"]
    assert (await shop.refresh(customer["refresh_token"], bearer)).json()["refresh_token_expires_in"] == left


@pytest.mark.parametrize(("knob", "status"), [("bad_request", 400), ("unauthorized", 401), ("apigee", 401)])
async def test_an_expired_refresh_token_is_refused(shop: Any, knob: str, status: int) -> None:
    shop.set_knobs(refresh_refusal=knob)
    customer = await shop.customer()
    shop.clock.at += 86_399
    bearer = (await shop.guest())["access_token"]
    response = await shop.refresh(customer["refresh_token"], bearer)
    assert response.status_code == status
    assert ("ErrorCode" in response.json()) is (knob == "apigee")


async def test_old_access_after_refresh_is_a_knob(shop: Any) -> None:
    customer = await shop.customer()
    bearer = customer["guest"]["access_token"]
    renewed = (await shop.refresh(customer["refresh_token"], bearer)).json()
    assert (await shop.request("GET", "/customer/acmeshop/me", customer["access_token"])).status_code == 200
    shop.set_knobs(old_access_valid_after_refresh=False)
    await shop.refresh(renewed["refresh_token"], bearer)
    assert (await shop.request("GET", "/customer/acmeshop/me", renewed["access_token"])).json() == INVALID


async def test_refresh_sets_the_legal_entity_and_removes_it_if_absent(shop: Any) -> None:
    customer = await shop.customer()
    bearer = customer["guest"]["access_token"]
    validate = "/customer/acmeshop/validateauthtoken"
    scoped = (await shop.refresh(customer["refresh_token"], bearer, legalEntityId="LE-200")).json()
    body = (await shop.request("GET", validate, scoped["access_token"])).json()
    assert body["legalEntityId"] == "LE-200"
    bare = (await shop.refresh(scoped["refresh_token"], bearer)).json()
    assert "legalEntityId" not in (await shop.request("GET", validate, bare["access_token"])).json()
    foreign = await shop.refresh(bare["refresh_token"], bearer, legalEntityId="LE-999")
    assert (foreign.status_code, foreign.json()["type"]) == (403, "Forbidden")
    assert (await shop.refresh(bare["refresh_token"], bearer)).status_code == 200


async def test_validation_returns_the_remaining_lifetime_and_session_id_in_camel_case(shop: Any) -> None:
    customer = await shop.customer()
    shop.clock.at += 25
    path = "/customer/acmeshop/validateauthtoken"
    body = (await shop.request("GET", path, customer["access_token"])).json()
    assert body["expires_in"] == 2591974
    assert body["sessionId"] == customer["session_id"]
    assert body["email"] == "ada@example.com"
    assert body["scope"].split()[-1] == "tenant=acmeshop"
    assert (await shop.request("GET", path, customer["guest"]["access_token"])).status_code == 401


async def test_logout_needs_the_token_twice_and_revokes_what_the_knob_selects(shop: Any) -> None:
    customer = await shop.customer()
    token, path = customer["access_token"], "/customer/acmeshop/logout"
    assert (await shop.request("GET", path, token)).status_code == 400
    assert (await shop.request("GET", path, token, params={"accessToken": "other"})).status_code == 401
    done = await shop.request("GET", path, token, params={"accessToken": token})
    assert (done.status_code, done.content) == (204, b"")
    assert (await shop.request("GET", path, token, params={"accessToken": token})).json() == INVALID
    bearer = (await shop.guest())["access_token"]
    assert (await shop.refresh(customer["refresh_token"], bearer)).status_code == 400

    shop.set_knobs(logout_kills_refresh=False)
    kept = await shop.customer()
    await shop.request("GET", path, kept["access_token"], params={"accessToken": kept["access_token"]})
    assert (await shop.refresh(kept["refresh_token"], bearer)).status_code == 200


async def test_another_tenant_in_the_path_is_refused(shop: Any) -> None:
    guest = await shop.guest()
    response = await shop.request("GET", "/product/elsewhere/products", guest["access_token"])
    assert (response.status_code, response.json()["type"]) == (400, "bad_request")


async def test_the_gateway_limits_the_length_of_the_url(shop: Any) -> None:
    response = await shop.request("GET", "/product/acmeshop/products", params={"q": "x" * 11_000})
    assert response.status_code == 414
    assert "fault" in response.json()


async def test_every_issued_token_is_recorded(shop: Any) -> None:
    customer = await shop.customer()
    given = {customer[name] for name in ("access_token", "refresh_token", "saas_token")}
    assert given <= shop.world.issued
    assert shop.world.session_ids == {customer["session_id"]}
