"""The guest's cart at login, by every way of signing on."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from tests.integration.signing import MERGE, provider_token
from tests.integration.visitors import CARTS, calls, fault, knob, seen
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment, free_port

BEARER_CHECK = "GET /session-context/{tenant}/me/context"  # a wrong password gets the gateway's 401 too
CART = "GET /cart/{tenant}/carts"


@pytest.fixture(scope="module")
def merging_process(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    settings = {"BFF_SITE_CODE": "main", "BFF_ADMIN_PORT": str(free_port())}
    with LiveProxy(environment(sandbox_process, redis_url, **settings)) as proxy:
        yield proxy


@pytest.fixture
def merging(merging_process: LiveProxy, sandbox: Sandbox) -> LiveProxy:
    return merging_process


def an_account(sandbox: Sandbox, name: str, **more: Any) -> dict[str, str]:
    """Return a customer without a cart."""
    account = {"email": f"{name}-{seen(sandbox)}@example.com", "password": "long-enough-a-password"}
    sandbox.control("POST", "/customers", account | more)
    return account


def filled(browser: httpx2.Client, **context: str) -> str:
    """Begin a guest with something in the cart, and return the cart's id."""
    assert browser.post("/auth/anonymous", json=context).status_code == 201
    return put_into(browser, {"siteCode": "main"}, 2)


def carry(client: httpx2.Client, answer: httpx2.Response) -> None:
    """Let an app send the session id that it was given; a browser has its cookie."""
    session_id = answer.json().get("sessionId")
    if session_id is not None:
        client.headers.pop("X-Session-Transport", None)
        client.headers["X-Session-Id"] = session_id


def put_into(browser: httpx2.Client, key: dict[str, str], quantity: int) -> str:
    """Put something into the open cart of this key, and return the cart's id."""
    cart = str(browser.get(CARTS, params=key | {"create": "true"}).json()["id"])
    item = {"product": {"id": "morning-ledge"}, "quantity": quantity}
    item["itemYrn"] = f"urn:yaas:saasag:caasproduct:product:{TENANT};morning-ledge"
    assert browser.post(f"{CARTS}/{cart}/items", json=item).status_code == 201
    return cart


def quantities(browser: httpx2.Client, **key: str) -> dict[str, int]:
    answer = browser.get(CARTS, params={"siteCode": "main"} | key)
    return {item["product"]["id"]: item["quantity"] for item in answer.json().get("items", [])}


def outcomes(proxy: LiveProxy) -> dict[str, float]:
    port = proxy.environ["BFF_ADMIN_PORT"]
    text = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    rows = [line.split() for line in text.splitlines() if line.startswith("bff_cart_merges_total{")]
    return {row[0].partition('outcome="')[2].rstrip('"}'): float(row[1]) for row in rows}


def logged(proxy: LiveProxy, event: str) -> list[dict[str, Any]]:
    return [line for line in proxy.log_lines() if line.get("event") == event]


@pytest.mark.parametrize(("after", "status"), [("kept", 200), ("absent", 404)])
def test_it_comes_along_whether_or_not_the_session_context_outlives_the_login(
    merging: LiveProxy, sandbox: Sandbox, after: str, status: int
) -> None:
    knob(sandbox, contextAfterLogin=after)
    account = an_account(sandbox, f"context-{after}")
    with merging.browser() as browser:
        filled(browser)
        since = seen(sandbox)
        assert browser.post("/auth/login", json=account).status_code == 200
        assert MERGE in calls(sandbox, since)
        assert quantities(browser) == {"morning-ledge": 2}
    with merging.browser() as browser:
        assert browser.post("/auth/login", json=account).status_code == 200
        answer = browser.get(f"/api/session-context/{TENANT}/me/context")
        assert answer.status_code == status


def test_a_login_brings_the_guests_cart_along(merging: LiveProxy, sandbox: Sandbox) -> None:
    account = an_account(sandbox, "merge")
    before, noted = outcomes(merging).get("merged", 0), len(logged(merging, "cart_merge"))
    with merging.browser() as browser:
        guest_cart = filled(browser)
        since = seen(sandbox)
        assert browser.post("/auth/login", json=account).status_code == 200
        assert MERGE in calls(sandbox, since)
        assert quantities(browser) == {"morning-ledge": 2}
        assert browser.get(CARTS, params={"siteCode": "main"}).json()["id"] != guest_cart
    assert outcomes(merging)["merged"] == before + 1
    (line,) = logged(merging, "cart_merge")[noted:]
    assert (line["outcome"], bool(line["requestId"])) == ("merged", True)


def test_a_customers_own_cart_keeps_what_it_had(merging: LiveProxy, sandbox: Sandbox) -> None:
    account = an_account(sandbox, "twice")
    for total in (2, 4):
        with merging.browser() as browser:
            filled(browser)
            browser.post("/auth/login", json=account)
            assert quantities(browser) == {"morning-ledge": total}


def test_the_guests_own_site_is_enough(proxy: LiveProxy, sandbox: Sandbox) -> None:
    account = an_account(sandbox, "context")
    with proxy.browser() as browser:
        filled(browser, siteCode="main")
        browser.post("/auth/login", json=account)
        assert quantities(browser) == {"morning-ledge": 2}


def test_without_a_site_nothing_is_merged_or_asked(proxy: LiveProxy, sandbox: Sandbox) -> None:
    account = an_account(sandbox, "nowhere")
    with proxy.browser() as browser:
        filled(browser)
        since = seen(sandbox)
        browser.post("/auth/login", json=account)
        assert calls(sandbox, since) == ["POST /customer/{tenant}/login"]
        assert quantities(browser) == {}


def test_a_guest_without_a_cart_makes_none(merging: LiveProxy, sandbox: Sandbox) -> None:
    account = an_account(sandbox, "empty")
    with merging.browser() as browser:
        since = seen(sandbox)
        browser.post("/auth/login", json=account)
        asked = sandbox.log_since(since)
        assert not [one for one in asked if one["query"].get("create") or one["template"].endswith("/merge")]
        assert browser.get(CARTS, params={"siteCode": "main"}).status_code == 404


def test_an_exchange_brings_the_cart_along_too(merging: LiveProxy, sandbox: Sandbox) -> None:
    account = an_account(sandbox, "exchange")
    with merging.browser() as browser:
        filled(browser)
        assert (
            browser.post(
                "/auth/exchange", json={"token": provider_token(sandbox, account["email"])}
            ).status_code
            == 200
        )
        assert quantities(browser) == {"morning-ledge": 2}


def test_an_opt_in_brings_the_cart_along_too(merging: LiveProxy, sandbox: Sandbox) -> None:
    knob(sandbox, optIn=True)
    account = {"email": f"optin-{seen(sandbox)}@example.com", "password": "long-enough-a-password"}
    with merging.browser() as browser:
        filled(browser)
        assert browser.post("/auth/signup", json=account).status_code == 201
        (mail,) = [one for one in sandbox.control("GET", "/mails") if one["to"] == account["email"]]
        assert browser.post("/auth/opt-in", json={"token": mail["token"]}).status_code == 200
        assert quantities(browser) == {"morning-ledge": 2}


def test_an_app_brings_its_cart_along(merging: LiveProxy, sandbox: Sandbox) -> None:
    account = an_account(sandbox, "app")
    with merging.app() as app:
        session_id = app.post("/auth/anonymous").json()["sessionId"]
    with merging.app(session_id) as app:
        app.get(CARTS, params={"siteCode": "main", "create": "true"})
        since = seen(sandbox)
        assert app.post("/auth/login", json=account).status_code == 200
        assert MERGE in calls(sandbox, since)


@pytest.mark.parametrize("company", [None, "LE-100"])
@pytest.mark.parametrize("carrier", ["browser", "app"])
def test_carts_of_both_types_and_of_two_sites_survive_a_login(
    merging: LiveProxy, sandbox: Sandbox, carrier: str, company: str | None
) -> None:
    knob(sandbox, companyAtLogin=True, companyCarts="merged")
    account = an_account(sandbox, f"{carrier}-{company}", legalEntities=[] if company is None else [company])
    keys = [{"siteCode": "other"}, {"siteCode": "main"}, {"siteCode": "main", "type": "shopping"}]
    with merging.browser() if carrier == "browser" else merging.app() as client:
        carry(client, client.post("/auth/anonymous", json={"siteCode": "other"}))
        for count, key in enumerate(keys, 1):
            put_into(client, key, count)
        answer = client.post("/auth/exchange", json={"token": provider_token(sandbox, account["email"])})
        carry(client, answer)
        assert answer.json()["legalEntityId"] == company
        of_company = {} if company is None else {"legalEntityId": company}
        for count, key in enumerate(keys, 1):
            assert quantities(client, **key, **of_company) == {"morning-ledge": count}


@pytest.mark.parametrize("match", [CART, MERGE])
@pytest.mark.parametrize("kind", ["error", "disconnect", "throttled", "unauthorized_invalid", "html"])
def test_a_merge_that_fails_fails_no_login(
    merging: LiveProxy, sandbox: Sandbox, match: str, kind: str
) -> None:
    account = an_account(sandbox, f"{kind}-{len(match)}")
    before, noted = outcomes(merging).get("failed", 0), len(logged(merging, "cart_merge_failed"))
    with merging.browser() as browser:
        guest_cart = filled(browser)
        fault(sandbox, match, kind)
        answer = browser.post("/auth/login", json=account)
        assert (answer.status_code, answer.json()["kind"]) == (200, "customer")
        sandbox.control("DELETE", "/faults")
        assert browser.get("/auth/session").json()["kind"] == "customer"
        assert browser.get(f"{CARTS}/{guest_cart}").json()["status"] == "OPEN"
    failed = 2 if match == CART else 1  # carts with and without a type are looked up
    assert outcomes(merging)["failed"] == before + failed
    lines = logged(merging, "cart_merge_failed")[noted:]
    assert [line["level"] for line in lines] == ["warning"] * failed


def test_a_failed_login_merges_nothing(merging: LiveProxy, sandbox: Sandbox) -> None:
    with merging.browser() as browser:
        cart = filled(browser)
        since = seen(sandbox)
        assert browser.post("/auth/login", json=ADA | {"password": "wrong-wrong"}).status_code == 401
        assert calls(sandbox, since) == ["POST /customer/{tenant}/login", BEARER_CHECK]
        assert browser.get(CARTS, params={"siteCode": "main"}).json()["id"] == cart
