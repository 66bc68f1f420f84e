"""Sign-up, opt-in, passwords, profile and addresses."""

from typing import Any

import pytest

pytestmark = pytest.mark.anyio

SIGNUP = "/customer/acmeshop/signup"
NEW = {"email": "new@example.com", "password": "brand-new-horse"}
ME = "/customer/acmeshop/me"


async def test_signup_returns_a_customer_number_once_and_no_token(shop: Any) -> None:
    token = (await shop.guest())["access_token"]
    made = await shop.request("POST", SIGNUP, token, json=NEW)
    assert (made.status_code, made.json()) == (201, {"id": "10000003"})
    again = await shop.request("POST", SIGNUP, token, json=NEW)
    assert (again.status_code, again.json()["type"]) == (409, "conflict_resource")
    assert (await shop.customer(**NEW))["session_id"]


@pytest.mark.parametrize(
    "body",
    [
        {"email": "new@example.com"},
        {**NEW, "customerDetails": {"contactEmail": "other@example.com"}},
        {**NEW, "customerDetails": {"b2b": {"companyRegistrationId": "HRB 1"}, "firstName": "N"}},
        {**NEW, "customerDetails": {"preferredCurrency": "EURO"}},
        {**NEW, "signup": {"email": "login@example.com", "password": "short"}},
    ],
)
async def test_signup_is_validated(shop: Any, body: Any) -> None:
    token = (await shop.guest())["access_token"]
    response = await shop.request("POST", SIGNUP, token, json=body)
    assert (response.status_code, response.json()["type"]) == (400, "bad_request")
    assert response.json()["details"]


async def test_separate_login_credentials(shop: Any) -> None:
    token = (await shop.guest())["access_token"]
    own = {"email": "login@example.com", "password": "another-secret"}
    assert (await shop.request("POST", SIGNUP, token, json={**NEW, "signup": own})).status_code == 201
    assert (await shop.customer(**own))["access_token"]


async def test_opt_in_sends_an_email_token_that_logs_in_and_returns_no_session_id(shop: Any) -> None:
    shop.set_knobs(opt_in=True)
    token = (await shop.guest())["access_token"]
    await shop.request("POST", SIGNUP, token, json=NEW)
    refused = await shop.request("POST", "/customer/acmeshop/login", token, json=NEW)
    assert (refused.status_code, refused.json()["type"]) == (401, "unauthorized")
    assert (await shop.request("POST", f"{SIGNUP}/optin/refresh_token", token, json=NEW)).status_code == 202
    first, second = (await shop.request("GET", "/__sandbox__/mails")).json()
    assert first["to"] == second["to"] == NEW["email"]
    response = await shop.request("GET", f"{SIGNUP}/optin/{second['token']}", token)
    assert response.status_code == 200
    assert response.json()["saas_token"]
    assert not {"session_id", "sessionId"} & set(response.json())
    assert (await shop.request("GET", f"{SIGNUP}/optin/{second['token']}", token)).status_code == 400
    assert second["token"] not in str(list(shop.world.log))


async def test_inactive_signups_cannot_log_in(shop: Any) -> None:
    shop.set_knobs(signup_inactive=True)
    token = (await shop.guest())["access_token"]
    await shop.request("POST", SIGNUP, token, json=NEW)
    assert (await shop.request("POST", "/customer/acmeshop/login", token, json=NEW)).status_code == 401


async def test_me_is_a_stub_for_guests_and_names_companies_for_customers(shop: Any) -> None:
    customer = await shop.customer()
    stub = (await shop.request("GET", ME, customer["guest"]["access_token"])).json()
    assert (stub["id"], stub["customerNumber"]) == ("00000000", "00000000")
    me = (await shop.request("GET", ME, customer["access_token"], params={"expand": "addresses"})).json()
    assert me["contactEmail"] == "ada@example.com"
    assert [one["id"] for one in me["b2b"]["legalEntities"]] == ["LE-100", "LE-200"]
    assert me["b2b"]["legalEntities"][1]["name"] == "Acme Gardens GmbH"
    assert len(me["addresses"]) == 1


async def test_me_is_changed_whatever_its_version(shop: Any) -> None:
    token = (await shop.customer())["access_token"]
    change = {"firstName": "Augusta", "metadata": {"version": 1}}
    assert (await shop.request("PATCH", ME, token, json=change)).status_code == 200
    assert (await shop.request("GET", ME, token)).json()["firstName"] == "Augusta"
    assert (await shop.request("PATCH", ME, token, json=change)).status_code == 200, "no 409 is documented"
    assert (await shop.request("PATCH", ME, token, json={"contactEmail": None})).status_code == 400
    guest = (await shop.guest())["access_token"]
    assert (await shop.request("PATCH", ME, guest, json={})).status_code == 403


async def test_addresses_can_be_created_changed_and_deleted(shop: Any) -> None:
    token, base = (await shop.customer())["access_token"], f"{ME}/addresses"
    made = await shop.request("POST", base, token, json={"contactName": "Ada", "country": "GB"})
    assert made.status_code == 201
    path = f"{base}/{made.json()['id']}"
    assert (await shop.request("PATCH", path, token, json={"city": "London"})).status_code == 200
    assert (await shop.request("GET", path, token)).json()["city"] == "London"
    assert len((await shop.request("GET", base, token)).json()) == 2
    assert (await shop.request("POST", base, token, json={})).status_code == 201, "no field is required"
    assert (await shop.request("DELETE", path, token)).status_code == 204
    gone = await shop.request("GET", path, token)
    assert (gone.status_code, gone.json()["type"]) == (404, "resource_not_found")


async def test_a_password_change_needs_the_old_password(shop: Any) -> None:
    token, path = (await shop.customer())["access_token"], "/customer/acmeshop/password/change"
    wrong = {"currentPassword": "not this one", "newPassword": "fresh-horse"}
    assert (await shop.request("POST", path, token, json=wrong)).status_code == 400
    right = {"currentPassword": "correct-horse-battery", "newPassword": "fresh-horse"}
    assert (await shop.request("POST", path, token, json=right)).status_code == 204
    assert (await shop.customer(password="fresh-horse"))["access_token"]
    assert (await shop.request("GET", ME, token)).status_code == 200
    shop.set_knobs(password_change_revokes=True)
    back = {"currentPassword": "fresh-horse", "newPassword": "correct-horse-battery"}
    assert (await shop.request("POST", path, token, json=back)).status_code == 204
    assert (await shop.request("GET", ME, token)).status_code == 401


async def test_an_email_token_resets_the_password_once(shop: Any) -> None:
    token, path = (await shop.guest())["access_token"], "/customer/acmeshop/password/reset"
    assert (await shop.request("POST", path, token, json={"email": "nobody@example.com"})).status_code == 204
    assert (await shop.request("POST", path, token, json={"email": "ada@example.com"})).status_code == 204
    (mail,) = shop.world.mails
    assert len(mail["token"]) == 64
    body = {"token": mail["token"], "password": "fresh-horse"}
    assert (await shop.request("POST", f"{path}/update", token, json=body)).status_code == 204
    assert (await shop.request("POST", f"{path}/update", token, json=body)).status_code == 400
    assert (await shop.customer(password="fresh-horse"))["access_token"]
