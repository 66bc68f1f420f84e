"""Companies, validation, and whose bearer a customer's renewal takes."""

import pytest

from tests.integration.visitors import (
    CUSTOMER_REFRESH,
    ME,
    calls,
    customer,
    emporix_session,
    fault,
    guest,
    knob,
    problem,
    seen,
    set_cookies,
)
from tests.live import ADA, GRACE, TENANT, LiveProxy, Sandbox

_REFRESH_PATH = f"/customer/{TENANT}/refreshauthtoken"


def _asked(sandbox: Sandbox, since: int) -> list[str | None]:
    """Return the company of every customer renewal that upstream granted."""
    granted = [
        one for one in sandbox.log_since(since) if one["path"] == _REFRESH_PATH and one["status"] == 200
    ]
    return [one["query"].get("legalEntityId") for one in granted]


def test_a_company_is_switched_and_sent_again_with_every_renewal(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser:
        session, before = emporix_session(browser, sandbox), seen(sandbox)
        version = browser.get("/auth/session").json()["version"]
        answer = browser.put("/auth/legal-entity", json={"legalEntityId": "LE-100"})
        view = answer.json()
        assert (answer.status_code, view["legalEntityId"]) == (200, "LE-100")
        assert view["version"] > version
        assert not set_cookies(answer)
        assert browser.get(ME).headers["x-session-version"] == str(view["version"])
        for _ in range(2):
            refreshed = browser.post("/auth/refresh").json()
            assert (refreshed["legalEntityId"], refreshed["version"]) == ("LE-100", view["version"])
        assert _asked(sandbox, before) == ["LE-100"] * 3
        assert browser.get("/auth/validate").json()["legalEntityId"] == "LE-100"
        assert sandbox.control("GET", "/sessions")[session]["legalEntityId"] == "LE-100"

        other = browser.put("/auth/legal-entity", json={"legalEntityId": "LE-200"}).json()
        assert (other["legalEntityId"], other["version"] > view["version"]) == ("LE-200", True)
        private = browser.put("/auth/legal-entity", json={"legalEntityId": None}).json()
        assert (private["legalEntityId"], private["version"] > other["version"]) == (None, True)
        assert browser.post("/auth/refresh").json()["legalEntityId"] is None
        assert _asked(sandbox, before)[3:] == ["LE-200", None, None]
        assert "legalEntityId" not in browser.get("/auth/validate").json()
        assert sandbox.control("GET", "/sessions")[session]["legalEntityId"] is None


def test_a_renewal_that_the_api_needs_sends_the_company_too(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser:
        session = emporix_session(browser, sandbox)
        browser.put("/auth/legal-entity", json={"legalEntityId": "LE-200"})
        sandbox.control("POST", "/revoke", {"sessionId": session, "access": True})
        before = seen(sandbox)
        assert browser.get(ME).status_code == 200
        assert _asked(sandbox, before) == ["LE-200"]
        assert sandbox.control("GET", "/sessions")[session]["legalEntityId"] == "LE-200"


def test_the_saas_token_outlives_renewals_and_switches(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser:
        assert browser.post("/auth/refresh").status_code == 200
        assert browser.put("/auth/legal-entity", json={"legalEntityId": "LE-100"}).status_code == 200
        assert browser.post("/auth/refresh").status_code == 200
        before = seen(sandbox)
        answer = browser.post(f"/api/checkout/{TENANT}/checkouts/order", json={"cartId": "none"})
        assert (answer.status_code, answer.json()["message"]) == (400, "The cart was not found")
        (record,) = sandbox.log_since(before)
        assert (record["saasToken"], record["bearer"]) == (True, "customer")


def test_somebody_elses_company_is_forbidden_and_changes_nothing(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with proxy.browser() as browser:
        view = browser.post("/auth/login", json=GRACE).json()
        for entity in ("LE-100", "LE-999"):
            answer = browser.put("/auth/legal-entity", json={"legalEntityId": entity})
            problem(answer, 403, "forbidden")
            assert not set_cookies(answer)
        after = browser.get("/auth/session").json()
        assert (after["legalEntityId"], after["version"]) == (None, view["version"])
        assert browser.post("/auth/refresh").status_code == 200


def test_companies_are_for_customers(proxy: LiveProxy, sandbox: Sandbox) -> None:
    body = {"legalEntityId": "LE-100"}
    with proxy.browser() as browser:
        answer = browser.put("/auth/legal-entity", json=body)
        problem(answer, 401, "login_required")
        assert not set_cookies(answer)
    with guest(proxy) as browser:
        before = seen(sandbox)
        answer = browser.put("/auth/legal-entity", json=body)
        problem(answer, 401, "login_required")
        assert not set_cookies(answer)
        assert calls(sandbox, before) == []
        assert browser.get("/auth/session").json()["kind"] == "anonymous"


@pytest.mark.parametrize("outage", ["error", "throttled", "garbage", "no_access_token", "disconnect"])
def test_an_outage_while_switching_leaves_the_company(
    proxy: LiveProxy, sandbox: Sandbox, outage: str
) -> None:
    with customer(proxy) as browser:
        view = browser.put("/auth/legal-entity", json={"legalEntityId": "LE-100"}).json()
        fault(sandbox, f"GET {_REFRESH_PATH}", outage)
        answer = browser.put("/auth/legal-entity", json={"legalEntityId": "LE-200"})
        assert answer.status_code in {429, 502, 503}
        problem(answer, answer.status_code, answer.json()["code"])
        assert not set_cookies(answer)
        sandbox.control("DELETE", "/faults")
        after = browser.get("/auth/session").json()
        assert (after["legalEntityId"], after["version"]) == ("LE-100", view["version"])


@pytest.mark.parametrize("bearer", ["anonymous", "customer", "both"])
@pytest.mark.parametrize("rotation", ["strict", "tolerant"])
def test_customers_are_renewed_whichever_bearer_upstream_wants(
    proxy: LiveProxy, sandbox: Sandbox, bearer: str, rotation: str
) -> None:
    knob(sandbox, refreshBearer=bearer, customerRotation=rotation)
    with customer(proxy) as browser:
        session = emporix_session(browser, sandbox)
        for _ in range(3):
            before = seen(sandbox)
            assert browser.post("/auth/refresh").status_code == 200
            granted = [
                one
                for one in sandbox.log_since(before)
                if one["path"] == _REFRESH_PATH and one["status"] == 200
            ]
            assert len(granted) == 1
            assert bearer in {"both", granted[0]["bearer"]}
        assert browser.put("/auth/legal-entity", json={"legalEntityId": "LE-100"}).status_code == 200
        assert browser.get(ME).json()["firstName"] == "Ada"
        assert emporix_session(browser, sandbox) == session


def test_a_dead_shared_guest_token_ends_no_customer(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser:
        session = emporix_session(browser, sandbox)
        assert browser.post("/auth/refresh").status_code == 200
        before = seen(sandbox)
        assert browser.get(f"/api/product/{TENANT}/products").status_code == 200
        with proxy.browser() as stranger:
            stranger.get(f"/api/product/{TENANT}/products")
        shared = sandbox.log_since(before)[-1]["sessionId"]
        assert shared != session
        sandbox.control("POST", "/revoke", {"sessionId": shared})
        answer = browser.post("/auth/refresh")
        assert (answer.status_code, answer.json()["kind"]) == (200, "customer")
        assert emporix_session(browser, sandbox) == session


def test_validation_asks_upstream(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser:
        before = seen(sandbox)
        answer = browser.get("/auth/validate")
        view = answer.json()
        assert calls(sandbox, before) == ["GET /customer/{tenant}/validateauthtoken"]
        assert (answer.status_code, set(view)) == (200, {"kind", "expiresIn", "scope", "email"})
        assert (view["kind"], view["email"]) == ("customer", ADA["email"])
        assert f"tenant={TENANT}" in view["scope"]
        assert 0 < view["expiresIn"] <= 2591999
        assert not set_cookies(answer)


def test_a_guest_validates_too(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with guest(proxy) as browser:
        session = emporix_session(browser, sandbox)
        answer = browser.get("/auth/validate")
        assert (answer.status_code, answer.json()["kind"]) == (200, "anonymous")
        assert {"kind", "expiresIn", "scope"} <= set(answer.json())
        assert 0 < answer.json()["expiresIn"] <= 3599
        assert not set_cookies(answer)
        assert emporix_session(browser, sandbox) == session


def test_validation_renews_a_token_that_upstream_forgot(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser:
        session = emporix_session(browser, sandbox)
        sandbox.control("POST", "/revoke", {"sessionId": session, "access": True})
        before = seen(sandbox)
        assert browser.get("/auth/validate").status_code == 200
        assert CUSTOMER_REFRESH in calls(sandbox, before)
        sandbox.control("POST", "/revoke", {"sessionId": session})
        problem(browser.get("/auth/validate"), 401, "session_expired")
        assert browser.get("/auth/session").json()["kind"] == "none"


@pytest.mark.parametrize("outage", ["error", "disconnect", "html"])
def test_an_outage_while_validating_is_no_refusal(proxy: LiveProxy, sandbox: Sandbox, outage: str) -> None:
    with customer(proxy) as browser:
        fault(sandbox, "GET /customer/{tenant}/validateauthtoken", outage)
        answer = browser.get("/auth/validate")
        problem(answer, 503, "upstream_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert not set_cookies(answer)
        sandbox.control("DELETE", "/faults")
        assert browser.get("/auth/validate").status_code == 200
