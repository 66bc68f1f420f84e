"""The redirects of single sign-on with a clock that is turned, a store that is gone and a provider that misbehaves."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from itsdangerous import TimestampSigner

from bff.errors import StoreUnavailable
from bff.sandbox.records import LoginCode
from tests.support import ORIGIN, PROVIDER, Clock, Replica, new_replica

pytestmark = pytest.mark.anyio
CALLBACK = f"{ORIGIN}/auth/sso/main/callback"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    turned = Clock()
    monkeypatch.setattr(TimestampSigner, "get_timestamp", lambda _self: int(turned()))
    return turned


async def begun(browser: httpx2.AsyncClient, name: str = "main", **params: str) -> dict[str, str]:
    """Begin a sign-on and return what the provider is asked."""
    answer = await browser.get(f"/auth/sso/{name}", params=params)
    assert answer.status_code == 302, answer.text
    assert answer.headers["location"].startswith(PROVIDER)
    return {key: values[0] for key, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def a_code(one: Replica, asked: dict[str, str], email: str = "ada@example.com") -> str:
    """Let the provider give a code for what it was asked."""
    code = f"code-{len(one.upstream.world.codes)}-{asked['state'][-8:]}"
    ends = one.clock.at + 300
    one.upstream.world.codes[code] = LoginCode(email, asked["redirect_uri"], asked["code_challenge"], ends)
    return code


async def back(browser: httpx2.AsyncClient, **params: str) -> str:
    """Come back from the provider and return where the browser is sent."""
    answer = await browser.get("/auth/sso/main/callback", params=params)
    assert answer.status_code == 302, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.headers["location"])


async def kind(browser: httpx2.AsyncClient) -> str:
    return str((await browser.get("/auth/session")).json()["kind"])


async def test_the_provider_is_asked_for_a_code_with_state_and_challenge(redis_url: str) -> None:
    async with new_replica(redis_url) as one, one.browser() as browser:
        asked = await begun(browser, return_to="/account")
        assert asked == {
            "response_type": "code",
            "client_id": "shop",
            "redirect_uri": CALLBACK,
            "state": asked["state"],
            "code_challenge": asked["code_challenge"],
            "code_challenge_method": "S256",
            "scope": "openid email",
        }
        assert asked["state"].startswith("site_DE--")
        bare = await begun(browser, "bare")
        assert bare["a"] == "b"
        assert "scope" not in bare
        assert one.upstream.calls("") == []


async def test_a_finished_sign_on_is_a_customer_where_it_wanted_to_go(redis_url: str) -> None:
    async with new_replica(redis_url) as one, one.browser() as browser:
        asked = await begun(browser, return_to="https://app.test/account?x=1#y")
        code = a_code(one, asked)
        assert await back(browser, state=asked["state"], code=code) == "https://app.test/account?x=1#y"
        view = (await browser.get("/auth/session")).json()
        assert (view["kind"], view["customer"]) == ("customer", {"email": "ada@example.com"})
        assert not [name for name in browser.cookies if name.startswith("bff-sso-")]


async def test_a_customer_who_signed_on_is_renewed_in_the_guests_emporix_session(redis_url: str) -> None:
    """Upstream's answer to a sign-on names no session."""
    async with new_replica(redis_url) as one, one.browser() as browser:
        asked = await begun(browser)
        await back(browser, state=asked["state"], code=a_code(one, asked))
        assert (await browser.post("/auth/refresh")).status_code == 200


async def test_a_state_ends_after_ten_minutes(redis_url: str, clock: Clock) -> None:
    async with new_replica(redis_url, clock=clock) as one, one.browser() as browser:
        asked = await begun(browser)
        code = a_code(one, asked)
        clock.at += 601
        assert await back(browser, state=asked["state"], code=code) == "/?sso_error=login_state_invalid"
        assert await kind(browser) == "none"
        assert one.upstream.calls("/socialLogin") == []


async def test_a_guest_that_is_gone_by_then_is_replaced(redis_url: str, clock: Clock) -> None:
    async with new_replica(redis_url, clock=clock) as one, one.browser() as browser:
        await browser.post("/auth/anonymous")
        asked = await begun(browser)
        await browser.post("/auth/logout")
        assert await back(browser, state=asked["state"], code=a_code(one, asked)) == "/"
        assert await kind(browser) == "customer"
        assert len(one.upstream.calls("/anonymous/login")) == 2


async def test_the_guest_that_began_goes_on_although_its_cookie_stays_at_home(redis_url: str) -> None:
    async with new_replica(redis_url) as one, one.browser() as browser:
        await browser.post("/auth/anonymous")
        asked = await begun(browser)
        browser.cookies.delete("bff")
        assert await back(browser, state=asked["state"], code=a_code(one, asked)) == "/"
        assert await kind(browser) == "customer"
        assert len(one.upstream.calls("/anonymous/login")) == 1


@pytest.mark.parametrize(
    ("params", "code"),
    [
        ({"error": "access_denied"}, "access_denied"),
        ({"error": "access_denied", "code": "x"}, "access_denied"),
        ({"error": "server_error"}, "provider_error"),
        ({"error": "<script>"}, "provider_error"),
        ({"error": ""}, "provider_error"),
        ({}, "provider_error"),
        ({"code": ""}, "provider_error"),
        ({"code": "x" * 4097}, "provider_error"),
    ],
)
async def test_what_the_provider_refuses_is_told_in_the_address(
    redis_url: str, params: dict[str, str], code: str
) -> None:
    async with new_replica(redis_url) as one, one.browser() as browser:
        await browser.post("/auth/anonymous")
        asked = await begun(browser, return_to="/cart?a=b")
        assert await back(browser, state=asked["state"], **params) == f"/cart?a=b&sso_error={code}"
        assert await kind(browser) == "anonymous"
        assert one.upstream.calls("/socialLogin") == []
        replayed = await back(browser, state=asked["state"], code=a_code(one, asked))
        assert replayed == "/?sso_error=login_state_invalid"


async def test_a_store_that_does_not_answer_is_told_and_spends_no_code(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with new_replica(redis_url) as one, one.browser() as browser:
        asked = await begun(browser)

        async def silent(*_args: Any, **_more: Any) -> Any:
            raise StoreUnavailable

        monkeypatch.setattr(one.store, "claim", silent)
        assert (
            await back(browser, state=asked["state"], code=a_code(one, asked))
            == "/?sso_error=store_unavailable"
        )
        assert one.upstream.calls("/socialLogin") == []


async def test_too_many_sign_ons_are_told_in_the_address(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bff.errors import TooManyRequests  # noqa: PLC0415 - beside its use

    async with new_replica(redis_url) as one, one.browser() as browser:
        asked = await begun(browser)

        async def full(_client: str) -> None:
            raise TooManyRequests

        monkeypatch.setattr(one.limits, "sign_on", full)
        assert (
            await back(browser, state=asked["state"], code=a_code(one, asked))
            == "/?sso_error=too_many_requests"
        )


@pytest.mark.parametrize("dest", ["empty", "iframe", "frame", "image", "script", "embed", "object"])
async def test_a_sign_on_begins_with_a_top_level_navigation_only(redis_url: str, dest: str) -> None:
    async with new_replica(redis_url) as one, one.browser() as browser:
        answer = await browser.get("/auth/sso/main", headers={"Sec-Fetch-Dest": dest})
        assert (answer.status_code, answer.json()["code"]) == (403, "csrf_failed")
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize("path", ["/auth/sso/main", "/auth/sso/main/callback"])
async def test_the_redirects_are_no_place_for_an_apps_carrier(redis_url: str, path: str) -> None:
    async with new_replica(redis_url) as one, one.browser(**{"X-Session-Transport": "header"}) as app:
        answer = await app.get(path)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/auth/sso/none", "/auth/sso/none/callback", "/auth/sso/MAIN", "/auth/sso/%6dain2"]
)
async def test_an_unknown_provider_is_not_found(redis_url: str, path: str) -> None:
    async with new_replica(redis_url) as one, one.browser() as browser:
        answer = await browser.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "path",
    ["main?return_to=/a&return_to=/b", "main/callback?state=a&state=a", "main/callback?code=a&code=b",
     "main/callback?error=a&error=b", "main?return_to=//evil.example", "main?return_to=https://app.test.evil.example/"],
)  # fmt: skip
async def test_a_parameter_given_twice_or_leading_away_is_refused(redis_url: str, path: str) -> None:
    async with new_replica(redis_url) as one, one.browser() as browser:
        answer = await browser.get(f"/auth/sso/{path}")
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert "set-cookie" not in answer.headers
        assert "location" not in answer.headers


@pytest.mark.parametrize(
    "body",
    [{}, {"code": "c"}, {"redirectUri": "https://a.test/"}, {"code": "", "redirectUri": "https://a.test/"},
     {"code": 5, "redirectUri": "https://a.test/"}, {"code": "x" * 4097, "redirectUri": "https://a.test/"},
     {"code": "c", "redirectUri": "https://a.test/", "codeVerifier": 5}],
)  # fmt: skip
async def test_an_apps_code_must_be_whole(redis_url: str, body: dict[str, Any]) -> None:
    async with new_replica(redis_url) as one, one.browser() as browser:
        answer = await browser.post("/auth/sso/main/code", json=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_request")
        assert one.upstream.calls("") == []


async def test_browsers_learn_the_providers_names_only(redis_url: str) -> None:
    async with new_replica(redis_url) as one, one.browser() as browser:
        answer = await browser.get("/auth/sso")
        assert (answer.status_code, answer.json()) == (200, [{"name": "main"}, {"name": "bare"}])
        assert answer.headers["x-session-version"] == "0"
        assert "set-cookie" not in answer.headers


async def test_apps_learn_what_their_own_redirect_needs(redis_url: str) -> None:
    async with new_replica(redis_url) as one, one.browser(**{"X-Session-Transport": "header"}) as app:
        assert (await app.get("/auth/sso")).json() == [
            {"name": "main", "authorizeUrl": PROVIDER, "clientId": "shop", "scope": "openid email"},
            {"name": "bare", "authorizeUrl": PROVIDER + "?a=b", "clientId": "shop"},
        ]


async def test_the_providers_are_not_for_foreign_pages(redis_url: str) -> None:
    async with new_replica(redis_url) as one, one.browser(Origin="https://evil.test") as foreign:
        assert (await foreign.get("/auth/sso")).json()["code"] == "csrf_failed"
