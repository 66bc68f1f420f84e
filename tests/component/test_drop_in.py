"""Drop-in mode in process: which paths it takes, its shapes, and its judgement of who calls."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest

from bff.sandbox.federation import _issue_token
from tests.support import ORIGIN, TENANT, Replica, new_replica

pytestmark = pytest.mark.anyio
ANONYMOUS = f"/api/customerlogin/auth/anonymous/login?tenant={TENANT}&client_id=storefront"
RENEWAL = ANONYMOUS.replace("/login", "/refresh")
CUSTOMER = f"/api/customer/{TENANT}"
ADA = {"email": "ada@example.com", "password": "correct-horse-battery"}
SNAKE = {
    "token_type",
    "access_token",
    "refresh_token",
    "expires_in",
    "refresh_token_expires_in",
    "session_id",
}
OPAQUE = ("access_token", "refresh_token", "session_id")
CAMEL = {"accessToken", "refreshToken", "expiresIn", "refreshTokenExpiresIn", "sessionId"}


def stock(one: Replica, **headers: str) -> httpx2.AsyncClient:
    """Return a client that sends what a stock SDK sends before it has a token: no X-CSRF, no Authorization."""
    client = one.browser(**headers)
    client.headers.pop("X-CSRF")
    return client


def took(client: httpx2.AsyncClient, answer: httpx2.Response) -> dict[str, Any]:
    """Let a client call with the access token of an answer from now on."""
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    client.headers["Authorization"] = f"Bearer {body['access_token']}"
    return body


@asynccontextmanager
async def guest(one: Replica) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client that has begun a guest and calls with the guest's token."""
    async with stock(one) as client:
        took(client, await client.get(ANONYMOUS))
        yield client


async def log_in(client: httpx2.AsyncClient, account: dict[str, str] = ADA) -> dict[str, Any]:
    return took(client, await client.post(f"{CUSTOMER}/login", json=account))


async def test_a_guest_gets_placeholders_and_true_lifetimes(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        answer = await client.get(ANONYMOUS + "&siteCode=main&currency=EUR&language=de&targetLocation=DE")
        body = answer.json()
        assert set(body) == SNAKE | CAMEL | {"scope"}
        assert body["access_token"] == body["accessToken"] != body["refresh_token"] == body["refreshToken"]
        assert len(body["access_token"]) == len(body["refresh_token"]) == 20
        assert (body["expires_in"], body["refresh_token_expires_in"]) == (3599, 86_399)
        assert (body["token_type"], body["scope"]) == ("Bearer", f"tenant={TENANT}")
        assert answer.headers["cache-control"] == "no-store"
        assert int(answer.headers["x-session-version"]) > 0
        (call,) = one.upstream.calls("/anonymous/login")
        assert (
            call["query"].items() >= {"siteCode": "main", "currency": "EUR", "targetLocation": "DE"}.items()
        )


async def test_asking_for_a_guest_again_keeps_the_session(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        first = (await client.get(ANONYMOUS)).json()
        for path in (
            ANONYMOUS,
            f"{RENEWAL}&refresh_token={first['refresh_token']}",
            f"{RENEWAL}&anonymous_token={first['access_token']}",
        ):
            again = (await client.get(path)).json()
            assert {name: again[name] for name in OPAQUE} == {name: first[name] for name in OPAQUE}
        assert len(one.upstream.calls("/anonymous/")) == 1


@pytest.mark.parametrize(
    "query", ["", "?tenant=other", "?hybris-tenant=other", f"?tenant={TENANT}&tenant={TENANT}"]
)
async def test_another_tenants_guest_is_refused_in_upstreams_shape(redis_url: str, query: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        answer = await client.get(ANONYMOUS.partition("?")[0] + query)
        assert answer.status_code == 400
        assert set(answer.json()) == {"status", "type", "message", "moreInfo", "details"}
        assert "set-cookie" not in answer.headers


async def test_a_login_says_what_upstream_says_without_its_tokens(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        guest = took(client, await client.get(ANONYMOUS))
        answer = await client.post(f"{CUSTOMER}/login", json=ADA)
        body = answer.json()
        assert set(body) == SNAKE | CAMEL | {"saas_token", "saasToken", "initialPassword"}
        assert body["session_id"] == guest["sessionId"]
        assert body["initialPassword"] is False
        assert (body["expires_in"], body["refreshTokenExpiresIn"]) == (2_591_999, 86_399)
        for token in one.upstream.world.issued | one.upstream.world.session_ids:
            assert token not in answer.text + str(answer.headers)


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("POST", "/api/customerlogin/auth/anonymous/login", "route_not_allowed"),
        ("GET", f"{CUSTOMER}/login", "route_not_allowed"),
        ("POST", f"{CUSTOMER}/logout", "route_not_allowed"),
        ("GET", f"{CUSTOMER}/socialLogin", "route_not_allowed"),
        ("GET", f"{CUSTOMER}/sociallogin", "route_not_allowed"),
        ("GET", f"{CUSTOMER}/signup/optin/a/b", "route_not_allowed"),
        ("POST", f"{CUSTOMER}/signup/optin/refresh_token", "upstream_unavailable"),
        ("GET", f"{CUSTOMER}/logout//", "invalid_request"),
        ("GET", "/api/customer/other/logout", "route_not_allowed"),
        ("GET", f"/api//customer/{TENANT}/logout", "invalid_request"),
        ("GET", f"/api/customer/{TENANT}/%6cogout", "invalid_request"),
    ],
)
async def test_what_is_not_exactly_upstreams_is_left_to_the_route_table(
    redis_url: str, method: str, path: str, code: str
) -> None:
    async with new_replica(redis_url, drop_in="true") as one, one.browser() as client:
        answer = await client.request(method, path)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == code
        assert one.upstream.calls("/customer/") == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": ORIGIN, "Sec-Fetch-Site": "cross-site"},
    ],
)
async def test_a_foreign_page_is_refused_whatever_it_brings(redis_url: str, headers: dict[str, str]) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one, **headers) as client:
        client.headers["Authorization"] = "Bearer x"
        answers = [
            await client.get(ANONYMOUS),
            await client.post(f"{CUSTOMER}/login", json=ADA),
            await client.get(f"{CUSTOMER}/logout?accessToken=x"),
            await client.get(f"{CUSTOMER}/signup/optin/token"),
        ]
        for answer in answers:
            assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
            assert "set-cookie" not in answer.headers
        assert one.upstream.calls("") == []


async def test_only_the_anonymous_calls_may_come_bare(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one, Origin=ORIGIN) as client:
        began = (await client.get(ANONYMOUS)).json()
        assert (await client.get(f"{RENEWAL}&refresh_token={began['refresh_token']}")).status_code == 200
        for method, path in (
            ("POST", "login"),
            ("GET", "logout"),
            ("GET", "refreshauthtoken"),
            ("POST", "socialLogin"),
        ):
            answer = await client.request(method, f"{CUSTOMER}/{path}")
            assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "refreshauthtoken", 400),
        ("GET", "refreshauthtoken?refreshToken=x", 401),
        ("GET", "logout?accessToken=x", 401),
        ("POST", "exchangeauthtoken", 400),
        ("POST", "exchangeauthtoken?subjectAccessToken=a&subjectAccessToken=b", 400),
        ("POST", "exchangeauthtoken?subjectAccessToken=" + "x" * 9_501, 400),
        ("POST", "exchangeauthtoken?subjectAccessToken=forged", 401),
        ("POST", "socialLogin?code=x", 401),
        ("POST", "socialLogin?redirect_uri=x", 400),
        ("POST", "socialLogin?code=x&redirect_uri=y", 401),
        ("POST", "login", 415),
        ("GET", "signup/optin/forged", 401),
    ],
)
async def test_refusals_have_upstreams_shapes(redis_url: str, method: str, path: str, status: int) -> None:
    async with new_replica(redis_url, drop_in="true") as one, guest(one) as client:
        answer = await client.request(method, f"{CUSTOMER}/{path}")
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
        if status == 401:
            assert set(answer.json()) == {"fault"}
            assert set(answer.json()["fault"]) == {"faultstring", "detail"}
            assert set(answer.json()["fault"]["detail"]) == {"errorcode"}
        else:
            assert set(answer.json()) == {"status", "type", "message", "moreInfo", "details"}
            assert answer.json()["status"] == status


async def test_trouble_upstream_keeps_upstreams_shape_and_says_when_to_come_again(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, guest(one) as client:
        one.upstream.fail("POST /customer/{tenant}/login", "throttled", retryAfter=7)
        answer = await client.post(f"{CUSTOMER}/login", json=ADA)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
        assert answer.json()["status"] == 429


async def test_a_refresh_without_a_company_drops_it_and_with_one_switches(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, guest(one) as client:
        refresh_token = (await log_in(client))["refresh_token"]
        for entity in ("LE-100", "LE-100", "LE-200", None):
            params: dict[str, Any] = {"refreshToken": refresh_token} | (
                {"legalEntityId": entity} if entity else {}
            )
            answer = await client.get(f"{CUSTOMER}/refreshauthtoken", params=params)
            assert set(answer.json()) == SNAKE | CAMEL
            told = (await client.get(f"{CUSTOMER}/validateauthtoken")).json()
            assert told.get("legalEntityId") == entity
        assert len(one.upstream.calls("/refreshauthtoken")) == 4


async def test_social_login_has_texts_for_numbers_and_exchange_has_numbers(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, guest(one) as client:
        token = _issue_token(one.upstream.world, "ada@example.com", 60)
        params = {"subjectAccessToken": token, "config": "site_DE"}
        exchanged = took(client, await client.post(f"{CUSTOMER}/exchangeauthtoken", params=params))
        assert (exchanged["expires_in"], exchanged["refresh_token_expires_in"]) == (14_399, 15_551_999)
        assert exchanged["subject_access_token"] not in {token, exchanged["access_token"]}
        from bff.sandbox.records import LoginCode  # noqa: PLC0415 - beside its use

        one.upstream.world.codes["c"] = LoginCode(
            "ada@example.com", "https://a.test/", None, one.clock.at + 60
        )
        params = {"code": "c", "redirect_uri": "https://a.test/"}
        social = (await client.post(f"{CUSTOMER}/socialLogin", params=params)).json()
        assert (social["expires_in"], social["refresh_token_expires_in"]) == ("2591999", "86399")
        opaque = {social[name] for name in ("social_access_token", "social_id_token", "access_token")}
        assert len(opaque) == 3
        assert not opaque & one.upstream.world.issued


async def test_a_logout_ends_the_session_and_what_its_placeholders_stand_for(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, guest(one) as client:
        access = (await log_in(client))["access_token"]
        first = await client.get(f"{CUSTOMER}/logout?accessToken={access}")
        assert (first.status_code, first.content) == (204, b"")
        assert first.headers["set-cookie"].startswith("bff=; Max-Age=0")
        again = await client.get(f"{CUSTOMER}/logout?accessToken={access}")
        assert (again.status_code, set(again.json())) == (401, {"fault"})
        assert "set-cookie" not in again.headers
        assert len([call for call in one.upstream.calls("/logout") if call["status"] == 204]) == 1


async def test_a_logout_by_the_cookie_alone_needs_no_session(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, one.browser() as client:
        await client.post(f"{CUSTOMER}/login", json=ADA)
        assert (await client.get(f"{CUSTOMER}/logout")).status_code == 204
        again = await client.get(f"{CUSTOMER}/logout")
        assert again.status_code == 204
        assert "set-cookie" not in again.headers
        assert len([call for call in one.upstream.calls("/logout") if call["status"] == 204]) == 1


@pytest.mark.parametrize(
    ("segment", "asked"),
    [("a%2Fb", 0), ("a%252Fb", 0), ("%2e%2e", 0), ("", 0), ("a-token.x_~", 1)],
)
async def test_an_opt_ins_token_is_the_whole_segment_or_refused(
    redis_url: str, segment: str, asked: int
) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        took(client, await client.get(ANONYMOUS))
        answer = await client.get(f"{CUSTOMER}/signup/optin/{segment}")
        assert 400 <= answer.status_code < 500
        assert len(one.upstream.calls("/optin")) == asked


async def test_a_social_login_without_a_redirect_uri_goes_upstream_as_it_came(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true") as one, stock(one) as client:
        took(client, await client.get(ANONYMOUS))
        answer = await client.post(f"{CUSTOMER}/socialLogin", params={"code": "c"})
        assert 400 <= answer.status_code < 500
        (call,) = one.upstream.calls("/socialLogin")
        assert "redirect_uri" not in call["query"]
