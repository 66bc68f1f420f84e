"""The token endpoints answer as documented, spelling by spelling, and every knob turns what it says."""

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
    ("params", "status", "told"),
    [
        ({"tenant": "acmeshop", "client_id": "other"}, 401, "Invalid ApiKey"),
        ({"tenant": "elsewhere", "client_id": "storefront"}, 400, "bad_request"),
        ({"hybris-tenant": "acmeshop", "client_id": "storefront"}, 200, "sessionId"),
    ],
)
async def test_anonymous_login_judges_client_and_tenant(
    shop: Any, params: Any, status: int, told: str
) -> None:
    answer = await shop.ask("GET", f"{ANON}/login", params=params)
    assert answer.status_code == status
    assert told in answer.text


async def test_seeds_reach_the_session_context(shop: Any) -> None:
    guest = await shop.guest(currency="USD", siteCode="us", language="de", targetLocation="US")
    answer = await shop.ask("GET", "/session-context/acmeshop/me/context", guest["access_token"])
    shown = answer.json()
    assert (shown["currency"], shown["siteCode"], shown["language"], shown["targetLocation"]) == (
        "USD", "us", "de", "US",
    )  # fmt: skip
    assert shown["metadata"]["version"] == 1


async def test_context_may_begin_with_the_cart(shop: Any) -> None:
    shop.turn(context_created_at="cart")
    guest = await shop.guest(currency="USD")
    token = guest["access_token"]
    answer = await shop.ask("GET", "/session-context/acmeshop/me/context", token)
    assert answer.status_code == 404
    assert answer.json() == {"sessionId": guest["sessionId"], "code": 404, "message": "Session not found"}
    params = {"siteCode": "main", "create": "true"}
    assert (await shop.ask("GET", "/cart/acmeshop/carts", token, params=params)).json()["currency"] == "USD"
    assert (await shop.ask("GET", "/session-context/acmeshop/me/context", token)).status_code == 200


async def test_anonymous_refresh_keeps_the_session_and_tolerates_reuse(shop: Any) -> None:
    guest = await shop.guest()
    params = {**CLIENT, "refresh_token": guest["refresh_token"]}
    first = (await shop.ask("GET", f"{ANON}/refresh", params=params)).json()
    again = await shop.ask("GET", f"{ANON}/refresh", params=params)
    assert first["sessionId"] == guest["sessionId"]
    assert first["refresh_token"] != guest["refresh_token"]
    assert again.status_code == 200
    shop.turn(anonymousRotation="strict")
    assert (await shop.ask("GET", f"{ANON}/refresh", params=params)).status_code == 400


async def test_the_deprecated_anonymous_token_gives_no_refresh_fields(shop: Any) -> None:
    guest = await shop.guest()
    params = {**CLIENT, "anonymous_token": guest["access_token"]}
    answer = (await shop.ask("GET", f"{ANON}/refresh", params=params)).json()
    assert "refresh_token" not in answer
    assert "refresh_token_expires_in" not in answer
    shop.turn(anonymous_token_variant=False)
    assert (await shop.ask("GET", f"{ANON}/refresh", params=params)).status_code == 400


async def test_login_keeps_the_guests_session_and_spells_it_in_snake_case(shop: Any) -> None:
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
    shop.turn(snake_names=snake, camel_names=camel)
    guest = await shop.guest()
    answer = (await shop.ask("POST", LOGIN, guest["access_token"], json=ADA)).json()
    assert ("access_token" in answer) is snake
    assert ("accessToken" in answer) is camel
    assert answer["session_id"] == guest["sessionId"]


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        ({"email": "", "password": "long-enough"}, 400, "bad_request"),
        ({"email": "ada@example.com", "password": "short"}, 400, "bad_request"),
        ([], 400, "bad_request"),
        ({"email": "ada@example.com", "password": "not-her-password"}, 401, "unauthorized"),
        ({"email": "nobody@example.com", "password": "long-enough"}, 401, "unauthorized"),
    ],
)
async def test_login_refusals_are_e2(shop: Any, body: Any, status: int, kind: str) -> None:
    guest = await shop.guest()
    answer = await shop.ask("POST", LOGIN, guest["access_token"], json=body)
    assert answer.status_code == status
    assert set(answer.json()) == {"status", "type", "message", "moreInfo", "details"}
    assert answer.json()["type"] == kind


async def test_login_wants_a_good_anonymous_bearer(shop: Any) -> None:
    assert (await shop.ask("POST", LOGIN, json=ADA)).json() == INVALID
    assert (await shop.ask("POST", LOGIN, "x" * 28, json=ADA)).json() == INVALID
    guest = await shop.guest()
    shop.clock.at += 3600
    answer = await shop.ask("POST", LOGIN, guest["access_token"], json=ADA)
    assert answer.status_code == 401
    assert answer.json()["fault"]["detail"]["errorcode"] == "keymanagement.service.access_token_expired"


async def test_anonymous_token_after_login_is_a_knob(shop: Any) -> None:
    kept = await shop.customer()
    sites = "/site/acmeshop/sites"
    assert (await shop.ask("GET", sites, kept["guest"]["access_token"])).status_code == 200
    shop.turn(anonymous_valid_after_login=False)
    lost = await shop.customer()
    assert (await shop.ask("GET", sites, lost["guest"]["access_token"])).json() == INVALID


async def test_refresh_gives_no_saas_token_and_rotates_strictly(shop: Any) -> None:
    customer = await shop.customer()
    bearer = customer["guest"]["access_token"]
    answer = await shop.refresh(customer["refresh_token"], bearer)
    renewed = answer.json()
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
async def test_whose_bearer_refresh_takes(
    shop: Any,
    knob: str,
    guest_ok: bool,  # noqa: FBT001
    customer_ok: bool,  # noqa: FBT001
) -> None:
    shop.turn(refreshBearer=knob, customerRotation="tolerant")
    customer = await shop.customer()
    value = customer["refresh_token"]
    with_guest = await shop.refresh(value, customer["guest"]["access_token"])
    with_customer = await shop.refresh(value, customer["access_token"])
    assert (with_guest.status_code == 200, with_customer.status_code == 200) == (guest_ok, customer_ok)
    assert {with_guest.status_code, with_customer.status_code} <= {200, 401}


@pytest.mark.parametrize(("window", "left"), [("fixed", 76399), ("sliding", 86390)])
async def test_refresh_window(shop: Any, window: str, left: int) -> None:
    shop.turn(refresh_window=window)
    customer = await shop.customer()
    shop.clock.at += 10_000
    bearer = (await shop.guest())["access_token"]
    assert (await shop.refresh(customer["refresh_token"], bearer)).json()["refresh_token_expires_in"] == left


@pytest.mark.parametrize(("knob", "status"), [("bad_request", 400), ("unauthorized", 401), ("apigee", 401)])
async def test_an_expired_refresh_token_is_refused(shop: Any, knob: str, status: int) -> None:
    shop.turn(refresh_refusal=knob)
    customer = await shop.customer()
    shop.clock.at += 86_399
    bearer = (await shop.guest())["access_token"]
    answer = await shop.refresh(customer["refresh_token"], bearer)
    assert answer.status_code == status
    assert ("ErrorCode" in answer.json()) is (knob == "apigee")


async def test_old_access_after_refresh_is_a_knob(shop: Any) -> None:
    customer = await shop.customer()
    bearer = customer["guest"]["access_token"]
    renewed = (await shop.refresh(customer["refresh_token"], bearer)).json()
    assert (await shop.ask("GET", "/customer/acmeshop/me", customer["access_token"])).status_code == 200
    shop.turn(old_access_valid_after_refresh=False)
    await shop.refresh(renewed["refresh_token"], bearer)
    assert (await shop.ask("GET", "/customer/acmeshop/me", renewed["access_token"])).json() == INVALID


async def test_the_legal_entity_is_switched_by_refresh_and_lost_by_a_refresh_without_it(shop: Any) -> None:
    customer = await shop.customer()
    bearer = customer["guest"]["access_token"]
    validate = "/customer/acmeshop/validateauthtoken"
    scoped = (await shop.refresh(customer["refresh_token"], bearer, legalEntityId="LE-200")).json()
    told = (await shop.ask("GET", validate, scoped["access_token"])).json()
    assert told["legalEntityId"] == "LE-200"
    bare = (await shop.refresh(scoped["refresh_token"], bearer)).json()
    assert "legalEntityId" not in (await shop.ask("GET", validate, bare["access_token"])).json()
    foreign = await shop.refresh(bare["refresh_token"], bearer, legalEntityId="LE-999")
    assert (foreign.status_code, foreign.json()["type"]) == (403, "Forbidden")
    assert (await shop.refresh(bare["refresh_token"], bearer)).status_code == 200


async def test_validation_tells_what_is_left_and_spells_session_id_in_camel_case(shop: Any) -> None:
    customer = await shop.customer()
    shop.clock.at += 25
    path = "/customer/acmeshop/validateauthtoken"
    told = (await shop.ask("GET", path, customer["access_token"])).json()
    assert told["expires_in"] == 2591974
    assert told["sessionId"] == customer["session_id"]
    assert told["email"] == "ada@example.com"
    assert told["scope"].split()[-1] == "tenant=acmeshop"
    assert (await shop.ask("GET", path, customer["guest"]["access_token"])).status_code == 401


async def test_logout_wants_the_token_twice_and_ends_what_the_knob_says(shop: Any) -> None:
    customer = await shop.customer()
    token, path = customer["access_token"], "/customer/acmeshop/logout"
    assert (await shop.ask("GET", path, token)).status_code == 400
    assert (await shop.ask("GET", path, token, params={"accessToken": "other"})).status_code == 401
    done = await shop.ask("GET", path, token, params={"accessToken": token})
    assert (done.status_code, done.content) == (204, b"")
    assert (await shop.ask("GET", path, token, params={"accessToken": token})).json() == INVALID
    bearer = (await shop.guest())["access_token"]
    assert (await shop.refresh(customer["refresh_token"], bearer)).status_code == 400

    shop.turn(logout_kills_refresh=False)
    kept = await shop.customer()
    await shop.ask("GET", path, kept["access_token"], params={"accessToken": kept["access_token"]})
    assert (await shop.refresh(kept["refresh_token"], bearer)).status_code == 200


async def test_a_tenant_in_the_path_must_be_the_one_served(shop: Any) -> None:
    guest = await shop.guest()
    answer = await shop.ask("GET", "/product/elsewhere/products", guest["access_token"])
    assert (answer.status_code, answer.json()["type"]) == (400, "bad_request")


async def test_the_gateway_limits_the_url(shop: Any) -> None:
    answer = await shop.ask("GET", "/product/acmeshop/products", params={"q": "x" * 11_000})
    assert answer.status_code == 414
    assert "fault" in answer.json()


async def test_every_token_is_remembered(shop: Any) -> None:
    customer = await shop.customer()
    given = {customer[name] for name in ("access_token", "refresh_token", "saas_token")}
    assert given <= shop.world.issued
    assert shop.world.session_ids == {customer["session_id"]}
