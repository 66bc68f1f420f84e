"""The identity provider, social login and token exchange."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from bff.sandbox.tokens import challenge_of

pytestmark = pytest.mark.anyio

BACK = "http://shop.test/auth/sso/main/callback?keep=1"
SOCIAL = "/customer/acmeshop/socialLogin"
EXCHANGE = "/customer/acmeshop/exchangeauthtoken"


async def code_for(shop: Any, email: str = "ada@example.com", **more: str) -> str:
    form = {"email": email, "redirect_uri": BACK, "state": "s&1", **more}
    response = await shop.request("POST", "/idp/authorize", data=form)
    assert response.status_code == 302
    query = parse_qs(urlsplit(response.headers["location"]).query)
    assert query["state"] == ["s&1"]
    assert query["keep"] == ["1"]
    return str(query["code"][0])


async def test_the_form_passes_the_parameters_on_and_escapes_them(shop: Any) -> None:
    params = {"redirect_uri": BACK, "state": '"><script>', "code_challenge": "abc", "response_type": "code"}
    page = await shop.request("GET", "/idp/authorize", params=params)
    assert page.status_code == 200
    assert "<script>" not in page.text
    assert 'name="code_challenge" value="abc"' in page.text
    assert (
        await shop.request("GET", "/idp/authorize", params={"redirect_uri": "javascript:1"})
    ).status_code == 400


async def test_cancelling_gives_access_denied(shop: Any) -> None:
    form = {"email": "ada@example.com", "redirect_uri": BACK, "state": "s", "action": "cancel"}
    response = await shop.request("POST", "/idp/authorize", data=form)
    query = parse_qs(urlsplit(response.headers["location"]).query)
    assert query == {"keep": ["1"], "error": ["access_denied"], "state": ["s"]}


async def test_social_login_returns_numbers_as_strings_and_no_session_id(shop: Any) -> None:
    guest, code = await shop.guest(), await code_for(shop)
    params = {"code": code, "redirect_uri": BACK}
    headers = {"session-id": guest["sessionId"]}
    response = await shop.request("POST", SOCIAL, guest["access_token"], params=params, headers=headers)
    body = response.json()
    assert (body["expires_in"], body["refresh_token_expires_in"]) == ("2591999", "86399")
    assert body["session_idle_time"] == 3600
    assert not {"session_id", "sessionId", "accessToken"} & set(body)
    assert {body["social_access_token"], body["social_id_token"], body["saas_token"]} <= shop.world.issued
    path = "/customer/acmeshop/validateauthtoken"
    assert (await shop.request("GET", path, body["access_token"])).json()["sessionId"] == guest["sessionId"]
    again = await shop.request("POST", SOCIAL, guest["access_token"], params=params, headers=headers)
    assert again.status_code == 400


async def test_social_login_without_the_header_creates_a_session(shop: Any) -> None:
    guest, code = await shop.guest(), await code_for(shop)
    params = {"code": code, "redirect_uri": BACK}
    body = (await shop.request("POST", SOCIAL, guest["access_token"], params=params)).json()
    path = "/customer/acmeshop/validateauthtoken"
    assert (await shop.request("GET", path, body["access_token"])).json()["sessionId"] != guest["sessionId"]


@pytest.mark.parametrize(("verifier", "status"), [("right-verifier", 200), ("wrong", 400), ("", 400)])
async def test_pkce_is_checked(shop: Any, verifier: str, status: int) -> None:
    guest = await shop.guest()
    code = await code_for(shop, code_challenge=challenge_of("right-verifier"))
    params = {"code": code, "redirect_uri": BACK, "code_verifier": verifier}
    assert (await shop.request("POST", SOCIAL, guest["access_token"], params=params)).status_code == status


async def test_a_code_is_bound_to_its_redirect_uri(shop: Any) -> None:
    guest, code = await shop.guest(), await code_for(shop)
    params = {"code": code, "redirect_uri": "http://elsewhere.test/"}
    assert (await shop.request("POST", SOCIAL, guest["access_token"], params=params)).status_code == 400


async def idp_token(shop: Any, email: str, life: int = 3600) -> str:
    response = await shop.request("POST", "/idp/token", json={"email": email, "expiresIn": life})
    return str(response.json()["access_token"])


async def test_exchange_keeps_the_guests_session_and_returns_its_id(shop: Any) -> None:
    guest, subject = await shop.guest(), await idp_token(shop, "ada@example.com")
    params = {"subjectAccessToken": subject}
    body = (await shop.request("POST", EXCHANGE, guest["access_token"], params=params)).json()
    assert body["session_id"] == guest["sessionId"]
    assert (body["expires_in"], body["refresh_token_expires_in"]) == (14399, 15551999)
    assert body["subject_access_token"] == subject
    assert body["session_idle_time"] == 120


@pytest.mark.parametrize(
    ("config", "life", "status"), [("site_DE", 60, 200), ("site_XX", 60, 400), ("site_DE", -1, 401)]
)
async def test_exchange_checks_config_and_subject(shop: Any, config: str, life: int, status: int) -> None:
    guest, subject = await shop.guest(), await idp_token(shop, "ada@example.com", life)
    params = {"subjectAccessToken": subject, "config": config}
    assert (await shop.request("POST", EXCHANGE, guest["access_token"], params=params)).status_code == status


@pytest.mark.parametrize("subject", ["garbage", "a.b.c", "é.é.é"])
async def test_exchange_refuses_foreign_tokens(shop: Any, subject: str) -> None:
    guest = await shop.guest()
    params = {"subjectAccessToken": subject}
    assert (await shop.request("POST", EXCHANGE, guest["access_token"], params=params)).status_code == 401


@pytest.mark.parametrize(("on", "status"), [(True, 200), (False, 404)])
async def test_unknown_customers_are_created_or_refused(shop: Any, on: bool, status: int) -> None:  # noqa: FBT001
    shop.set_knobs(autoprovision=on)
    guest, subject = await shop.guest(), await idp_token(shop, "new@example.com")
    params = {"subjectAccessToken": subject}
    response = await shop.request("POST", EXCHANGE, guest["access_token"], params=params)
    assert response.status_code == status
