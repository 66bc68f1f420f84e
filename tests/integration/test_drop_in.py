"""Drop-in mode from outside: the calls of the official B2B storefront and of an SDK, with nothing but another host."""

import hashlib
import json
import uuid
from collections.abc import Iterator

import httpx2
import pytest

from tests.integration.signing import APP_ORIGIN, provider_token, with_providers
from tests.integration.stock import ANONYMOUS, ANONYMOUS_REFRESH, CARTS, CUSTOMER, Stock
from tests.integration.visitors import carrying, cleared, issued, knob, problem, seen, set_cookies
from tests.live import ADA, CLIENT_ID, TENANT, LiveProxy, Sandbox

YRN = f"urn:yaas:saasag:caasproduct:product:{TENANT};morning-ledge"


@pytest.fixture(scope="module")
def drop_in_process(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    with LiveProxy(
        with_providers(sandbox_process, redis_url, BFF_DROP_IN="true", BFF_SITE_CODE="main")
    ) as proxy:
        yield proxy


@pytest.fixture
def drop_in(drop_in_process: LiveProxy, sandbox: Sandbox) -> LiveProxy:
    return drop_in_process


def test_the_official_storefronts_way_through_the_shop(drop_in: LiveProxy, sandbox: Sandbox) -> None:
    with Stock(drop_in) as shop:
        guest = shop.begin()
        assert (guest["token_type"], guest["scope"]) == ("Bearer", f"tenant={TENANT}")
        assert shop.ask("GET", f"/site/{TENANT}/sites").status_code == 200
        assert shop.ask("GET", f"/product/{TENANT}/products", headers={"X-Version": "v2"}).status_code == 200
        assert shop.ask("GET", f"/session-context/{TENANT}/me/context").status_code == 200
        query = {"siteCode": "main", "create": "true", "sessionId": shop.session_id}
        cart = shop.ask("GET", CARTS, params=query).json()["id"]
        item = {"itemYrn": YRN, "product": {"id": "morning-ledge"}, "quantity": 2}
        assert shop.ask("POST", f"{CARTS}/{cart}/items", json=item).status_code == 201
        customer = shop.login()
        assert customer["session_id"] == guest["sessionId"]
        me = shop.ask("GET", f"{CUSTOMER}/me", params={"expand": "addresses"})
        assert me.json()["firstName"] == "Ada"
        own = shop.ask("GET", CARTS, params={"siteCode": "main", "customerId": me.json()["id"]}).json()
        assert "morning-ledge" in {item["product"]["id"] for item in own["items"]}
        shop.took(
            shop.ask(
                "GET",
                f"{CUSTOMER}/refreshauthtoken",
                params={"refreshToken": customer["refreshToken"], "legalEntityId": "LE-100"},
            )
        )
        assert shop.ask("GET", f"{CUSTOMER}/validateauthtoken").json()["legalEntityId"] == "LE-100"
        order = {"cartId": own["id"], "customer": {"id": me.json()["id"]}}
        headers = {"saas-token": customer["saasToken"]}
        placed = shop.ask("POST", f"/checkout/{TENANT}/checkouts/order", json=order, headers=headers)
        assert placed.status_code == 200, placed.text
        assert shop.ask("GET", f"/order-v2/{TENANT}/orders", headers=headers).status_code == 200
        left = shop.ask("GET", f"{CUSTOMER}/logout", params={"accessToken": customer["accessToken"]})
        assert (left.status_code, left.content) == (204, b"")
        assert cleared(left)
        assert shop.begin()["sessionId"] != guest["sessionId"]
        assert shop.ear.secrets_of(sandbox, ids=False) == []


def test_a_client_may_merge_the_cart_that_the_proxy_has_merged(drop_in: LiveProxy, sandbox: Sandbox) -> None:
    with Stock(drop_in) as shop:
        shop.begin()
        query = {"siteCode": "main", "create": "true"}
        cart = shop.ask("GET", CARTS, params=query).json()["id"]
        item = {"itemYrn": YRN, "product": {"id": "morning-ledge"}, "quantity": 2}
        assert shop.ask("POST", f"{CARTS}/{cart}/items", json=item).status_code == 201
        shop.login()
        own = shop.ask("GET", CARTS, params=query).json()["id"]
        before = shop.ask("GET", f"{CARTS}/{own}").json()["items"]
        merge = f"{CARTS}/{own}/merge"
        for _ in range(2):
            answer = shop.ask("POST", merge, json={"carts": [cart]})
            assert (answer.status_code, answer.content) == (200, b"")
            assert answer.headers["cache-control"] == "private, no-store"
        assert shop.ask("GET", f"{CARTS}/{own}").json()["items"] == before
        assert shop.ask("POST", merge, json={"carts": ["another"]}).status_code == 404


def test_an_sdks_way_with_the_documented_names(drop_in: LiveProxy, sandbox: Sandbox) -> None:
    with Stock(drop_in) as sdk:
        guest = sdk.begin("tenant")
        query = {"tenant": TENANT, "client_id": CLIENT_ID, "refresh_token": guest["refresh_token"]}
        assert (
            sdk.took(sdk.http.get(ANONYMOUS_REFRESH, params=query, headers={"Authorization": "Bearer x"}))[
                "sessionId"
            ]
            == guest["sessionId"]
        )
        account = {"email": f"sdk-{seen(sandbox)}@example.com", "password": "long-enough-a-password"}
        knob(sandbox, optIn=True)
        assert sdk.ask("POST", f"{CUSTOMER}/signup", json=account).status_code == 201
        token = next(m["token"] for m in sandbox.control("GET", "/mails") if m["to"] == account["email"])
        active = sdk.took(sdk.ask("GET", f"{CUSTOMER}/signup/optin/{token}"))
        assert active["sessionId"] == guest["sessionId"]
        told = sdk.ask("GET", f"{CUSTOMER}/validateauthtoken").json()
        assert (told["email"], told["sessionId"]) == (account["email"], guest["sessionId"])
        params = {"subjectAccessToken": provider_token(sandbox), "config": "site_DE"}
        exchanged = sdk.took(sdk.ask("POST", f"{CUSTOMER}/exchangeauthtoken", params=params))
        assert type(exchanged["expires_in"]) is int
        assert sdk.ask("GET", f"{CUSTOMER}/validateauthtoken").json()["email"] == ADA["email"]
        heard = "\n".join(sdk.ear.heard)
        assert not [secret for secret in sandbox.secrets() if secret in heard]
        assert not [one for one in sandbox.control("GET", "/issued")["sessionIds"] if one in heard]


def test_no_secret_of_an_address_is_in_the_log(drop_in: LiveProxy, sandbox: Sandbox) -> None:
    with Stock(drop_in) as sdk:
        sdk.begin()
        sdk.ask(
            "POST", f"{CUSTOMER}/exchangeauthtoken", params={"subjectAccessToken": provider_token(sandbox)}
        )
        sdk.ask("GET", f"{CUSTOMER}/signup/optin/a-mails-token")
        sdk.ask("POST", f"{CUSTOMER}/socialLogin", params={"code": "a-providers-code", "redirect_uri": "x"})
    for secret in sandbox.secrets() | {"a-mails-token", "a-providers-code"}:
        assert secret not in drop_in.log


def test_a_providers_code_is_traded_with_texts_for_numbers(drop_in: LiveProxy, sandbox: Sandbox) -> None:
    back = "https://storefront.example/callback"
    form = {"email": ADA["email"], "redirect_uri": back, "state": "s", "action": "continue"}
    answer = httpx2.post(f"{sandbox.url}/idp/authorize", data=form, trust_env=False)
    code = httpx2.URL(answer.headers["location"]).params["code"]
    with Stock(drop_in) as sdk:
        guest = sdk.begin()
        params = {"code": code, "redirect_uri": back}
        headers = {"session-id": sdk.session_id}
        body = sdk.took(sdk.ask("POST", f"{CUSTOMER}/socialLogin", params=params, headers=headers))
        assert (type(body["expires_in"]), type(body["refresh_token_expires_in"])) == (str, str)
        assert body["sessionId"] == guest["sessionId"]
        assert sdk.ask("GET", f"{CUSTOMER}/validateauthtoken").json()["email"] == ADA["email"]
        assert sdk.ear.secrets_of(sandbox) == []


def test_an_alias_becomes_the_sessions_id_in_query_and_body(drop_in: LiveProxy, sandbox: Sandbox) -> None:
    with Stock(drop_in) as sdk:
        sdk.begin()
        before = seen(sandbox)
        body = {"sessionId": sdk.session_id, "quantity": 1}
        query = f"alias={sdk.session_id}&sessionId={sdk.session_id}"
        reached = sdk.ask("PUT", f"{CARTS}/__echo__?{query}", json=body).json()
        real = sandbox.log_since(before)[0]["sessionId"]
        assert real != sdk.session_id
        assert reached["query"] == f"alias={real}&sessionId={real}"
        sent = httpx2.Request("PUT", "http://x", json=body | {"sessionId": real}).content
        assert reached["bodySha256"] == hashlib.sha256(sent).hexdigest()
        assert dict(map(tuple, reached["headers"]))["session-id"] == "own"


def test_an_authorization_of_the_client_goes_nowhere(drop_in: LiveProxy) -> None:
    with Stock(drop_in) as sdk:
        sdk.begin()
        reached = sdk.ask("GET", f"{CARTS}/__echo__").json()
        sent = [value for name, value in reached["headers"] if name == "authorization"]
        assert sent == ["Bearer anonymous"]
        assert sdk.bearer not in json.dumps(reached)


def test_an_alias_is_stable_and_opens_nothing(drop_in: LiveProxy, sandbox: Sandbox) -> None:
    with Stock(drop_in) as sdk:
        aliases = {sdk.begin()["sessionId"] for _ in range(3)}
        aliases |= {
            sdk.login()["session_id"],
            sdk.ask("GET", f"{CUSTOMER}/validateauthtoken").json()["sessionId"],
        }
        (alias,) = aliases
        assert str(uuid.UUID(alias)) == alias
        assert alias not in sandbox.control("GET", "/issued")["sessionIds"]
        cookie = sdk.http.cookies["bff"]
    with carrying(drop_in, alias) as client:
        problem(client.get(f"/api{CUSTOMER}/me"), 400, "invalid_session")
    with drop_in.app(alias) as app:
        problem(app.get(f"/api{CUSTOMER}/me"), 400, "invalid_session")
    with Stock(drop_in) as stranger:
        stranger.begin()
        before = seen(sandbox)
        stranger.ask(
            "GET", CARTS, params={"siteCode": "main", "sessionId": alias}, headers={"session-id": alias}
        )
        (record,) = sandbox.log_since(before)
        reached = stranger.ask("GET", f"{CARTS}/__echo__?sessionId={alias}").json()["query"]
        assert reached == f"sessionId={record['sessionId']}"
        assert cookie != stranger.http.cookies["bff"]


def test_an_app_speaks_drop_in_over_its_header(drop_in: LiveProxy) -> None:
    with Stock(drop_in, **{"X-Session-Transport": "header"}) as app:
        answer = app.http.get(ANONYMOUS, params={"tenant": TENANT, "client_id": CLIENT_ID})
        assert not set_cookies(answer)
        first = answer.headers["x-session-id"]
    with Stock(drop_in, **{"X-Session-Id": first}) as app:
        answer = app.ask("POST", f"{CUSTOMER}/login", json=ADA)
        assert answer.status_code == 200
        assert not set_cookies(answer)
        second = answer.headers["x-session-id"]
        assert second != first
    with Stock(drop_in, **{"X-Session-Id": second}) as app:
        assert app.ask("GET", f"{CUSTOMER}/me").json()["firstName"] == "Ada"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{CUSTOMER}/refreshauthtoken?refreshToken=x", 401),
        ("GET", f"{CUSTOMER}/signup/optin/forged", 401),
        ("POST", f"{CUSTOMER}/exchangeauthtoken?subjectAccessToken=forged", 401),
        ("POST", f"{CUSTOMER}/socialLogin?code=forged&redirect_uri=https://a.example/", 401),
        ("POST", f"{CUSTOMER}/socialLogin?code=forged", 401),
        ("GET", f"{ANONYMOUS}?hybris-tenant=other&client_id=x", 400),
    ],
)
def test_refusals_come_in_upstreams_shapes(drop_in: LiveProxy, method: str, path: str, status: int) -> None:
    with Stock(drop_in) as sdk:
        sdk.begin()
        answer = sdk.ask(method, path)
        assert answer.status_code == status
        fault = {"fault"} if status == 401 else {"status", "type", "message", "moreInfo", "details"}
        assert set(answer.json()) == fault


def test_a_wrong_password_keeps_the_guest(drop_in: LiveProxy) -> None:
    with Stock(drop_in) as sdk:
        alias = sdk.begin()["sessionId"]
        answer = sdk.ask("POST", f"{CUSTOMER}/login", json=ADA | {"password": "wrong-wrong"})
        assert (answer.status_code, set(answer.json())) == (401, {"fault"})
        assert not set_cookies(answer)
        assert sdk.begin()["sessionId"] == alias


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_foreign_page_is_refused_even_with_an_authorization(
    drop_in: LiveProxy, sandbox: Sandbox, headers: dict[str, str]
) -> None:
    with Stock(drop_in) as shop:
        shop.begin()
        shop.login()
        cookie = shop.http.cookies["bff"]
    before = seen(sandbox)
    with carrying(drop_in, cookie, Authorization="Bearer kept-by-the-proxy", **headers) as page:
        for method, path in (
            ("GET", f"{CUSTOMER}/logout?accessToken=x"), ("GET", f"{CUSTOMER}/me"), ("POST", f"{CUSTOMER}/login"),
            ("GET", f"{CUSTOMER}/refreshauthtoken"), ("GET", f"{ANONYMOUS}?tenant={TENANT}"),
            ("GET", f"/product/{TENANT}/products"),
        ):  # fmt: skip
            answer = page.request(method, f"/api{path}")
            problem(answer, 403, "csrf_failed")
            assert not set_cookies(answer)
    assert [
        one for one in sandbox.log_since(before) if one["path"].startswith(("/customer", "/product"))
    ] == []
    with carrying(drop_in, cookie) as own:
        assert own.get("/auth/session").json()["kind"] == "customer"


@pytest.mark.parametrize("place", ["public", "allowed", "nowhere"])
def test_a_bare_anonymous_login_is_judged_by_where_it_comes_from(drop_in: LiveProxy, place: str) -> None:
    origin = {"public": {"Origin": drop_in.url, "Sec-Fetch-Site": "same-origin"}, "nowhere": {}}
    headers = origin.get(place, {"Origin": APP_ORIGIN, "Sec-Fetch-Site": "same-site"})
    with Stock(drop_in, **headers) as shop:
        answer = shop.http.get(ANONYMOUS, params={"hybris-tenant": TENANT, "client_id": CLIENT_ID})
        assert answer.status_code == 200
        assert issued(answer)
        bare = shop.http.get(f"{CUSTOMER}/me")
        problem(bare, 403, "csrf_failed")


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_foreign_page_begins_no_guest(
    drop_in: LiveProxy, sandbox: Sandbox, headers: dict[str, str]
) -> None:
    before = seen(sandbox)
    with Stock(drop_in, **headers) as page:
        answer = page.http.get(ANONYMOUS, params={"hybris-tenant": TENANT, "client_id": CLIENT_ID})
        problem(answer, 403, "csrf_failed")
        assert not set_cookies(answer)
    assert sandbox.log_since(before) == []


def test_without_the_setting_none_of_it_is_there(proxy: LiveProxy, sandbox: Sandbox) -> None:
    before = seen(sandbox)
    with proxy.browser() as browser:
        for method, path in (
            ("GET", f"{ANONYMOUS}?tenant={TENANT}&client_id={CLIENT_ID}"), ("GET", ANONYMOUS_REFRESH),
            ("POST", f"{CUSTOMER}/login"), ("GET", f"{CUSTOMER}/logout"), ("GET", f"{CUSTOMER}/refreshauthtoken"),
            ("GET", f"{CUSTOMER}/validateauthtoken"), ("POST", f"{CUSTOMER}/socialLogin"),
            ("POST", f"{CUSTOMER}/exchangeauthtoken"), ("GET", f"{CUSTOMER}/signup/optin/token"),
        ):  # fmt: skip
            problem(browser.request(method, f"/api{path}"), 403, "route_not_allowed")
        browser.headers.pop("X-CSRF")
        bare = browser.get(
            f"/api/product/{TENANT}/products", headers={"Authorization": "Bearer kept-by-the-proxy"}
        )
        problem(bare, 403, "csrf_failed")
    assert sandbox.log_since(before) == []


def test_an_ended_session_is_told_in_upstreams_shape(drop_in: LiveProxy) -> None:
    with Stock(drop_in) as sdk:
        sdk.begin()
        cookie = sdk.http.cookies["bff"]
        sdk.login()
        assert sdk.ask("GET", f"{CUSTOMER}/logout", params={"accessToken": sdk.bearer}).status_code == 204
    with carrying(drop_in, cookie) as late:
        answer = late.post(f"/api{CUSTOMER}/login", json=ADA)
        assert (answer.status_code, set(answer.json())) == (401, {"fault"})


@pytest.mark.parametrize("chunked", [False, True])
def test_an_alias_is_resolved_in_every_body(
    drop_in: LiveProxy,
    sandbox: Sandbox,
    chunked: bool,  # noqa: FBT001
) -> None:
    with Stock(drop_in) as sdk:
        sdk.begin()
        body = json.dumps({"sessionId": sdk.session_id, "note": "" if chunked else "x" * 70_000})
        before = seen(sandbox)
        content = iter([body.encode()]) if chunked else body.encode()
        reached = sdk.ask("PUT", f"{CARTS}/__echo__", content=content).json()
        real = sandbox.log_since(before)[0]["sessionId"]
        sent = body.replace(sdk.session_id, real).encode()
        assert reached["bodySha256"] == hashlib.sha256(sent).hexdigest()
