"""What a refusal from upstream means depends on what it says: the operator's mistake ends nobody's session."""

from typing import Any

import pytest

from tests.integration.visitors import (
    ANONYMOUS_REFRESH,
    CUSTOMER_LOGIN,
    CUSTOMER_REFRESH,
    cleared,
    customer,
    emporix_session,
    fault,
    guest,
    heeding_pauses,
    problem,
    set_cookies,
)
from tests.live import ADA, LiveProxy, Sandbox

VALIDATE = "GET /customer/{tenant}/validateauthtoken"


def naming_the_tenant(status: int) -> dict[str, Any]:
    """Return a refusal in the customer service's shape, whose sentence has the word `tenant` in it."""
    message = "The customer is blocked in this tenant."
    return {"status": status, "body": {"status": status, "type": "x", "message": message, "details": []}}


@pytest.mark.parametrize("kind", ["invalid_api_key", "bad_tenant"])
def test_a_wrong_client_id_or_tenant_at_a_renewal_logs_no_customer_out(
    proxy: LiveProxy, sandbox: Sandbox, kind: str
) -> None:
    with customer(proxy) as browser:
        session, cookie = emporix_session(browser, sandbox), browser.cookies["bff"]
        fault(sandbox, CUSTOMER_REFRESH, kind)
        answer = browser.post("/auth/refresh")
        problem(answer, 503, "upstream_unavailable")
        assert set_cookies(answer) == []
        sandbox.control("DELETE", "/faults")
        renewed = heeding_pauses(lambda: browser.post("/auth/refresh"))
        assert renewed.json()["kind"] == "customer"
        assert (emporix_session(browser, sandbox), browser.cookies["bff"]) == (session, cookie)


@pytest.mark.parametrize("kind", ["invalid_api_key", "bad_tenant"])
def test_a_wrong_client_id_or_tenant_at_a_renewal_takes_no_guest_its_cart(
    proxy: LiveProxy, sandbox: Sandbox, kind: str
) -> None:
    with guest(proxy) as browser:
        session, cookie = emporix_session(browser, sandbox), browser.cookies["bff"]
        fault(sandbox, ANONYMOUS_REFRESH, kind)
        answer = browser.post("/auth/refresh")
        problem(answer, 503, "upstream_unavailable")
        assert set_cookies(answer) == []
        sandbox.control("DELETE", "/faults")
        assert heeding_pauses(lambda: browser.post("/auth/refresh")).status_code == 200
        assert (emporix_session(browser, sandbox), browser.cookies["bff"]) == (session, cookie)


def test_a_403_at_a_renewal_ends_the_customer_whatever_its_sentence_names(
    proxy: LiveProxy, sandbox: Sandbox
) -> None:
    """Only a 400 says that the tenant itself is wrong."""
    with customer(proxy) as browser:
        fault(sandbox, CUSTOMER_REFRESH, "forbidden", **naming_the_tenant(403))
        answer = browser.post("/auth/refresh")
        problem(answer, 401, "session_expired")
        assert cleared(answer)


@pytest.mark.parametrize(("status", "code"), [(401, "invalid_credentials"), (404, "invalid_credentials")])
def test_a_login_that_is_refused_is_refused_whatever_its_sentence_names(
    proxy: LiveProxy, sandbox: Sandbox, status: int, code: str
) -> None:
    with guest(proxy) as browser:
        fault(sandbox, CUSTOMER_LOGIN, "error", **naming_the_tenant(status))
        problem(browser.post("/auth/login", json=ADA), 401, code)


@pytest.mark.parametrize("status", [403, 404])
def test_a_guests_token_counts_as_valid_where_upstream_does_not_validate_guests(
    proxy: LiveProxy, sandbox: Sandbox, status: int
) -> None:
    with guest(proxy) as browser:
        fault(sandbox, VALIDATE, "error", status=status)
        answer = browser.get("/auth/validate")
        assert (answer.status_code, answer.json()["kind"]) == (200, "anonymous")
        assert 0 < answer.json()["expiresIn"] <= 3600


def test_a_customers_token_does_not_count_as_valid_there(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser:
        fault(sandbox, VALIDATE, "error", status=404)
        problem(browser.get("/auth/validate"), 502, "bad_upstream_answer")
        assert browser.get("/auth/session").json()["kind"] == "customer"
