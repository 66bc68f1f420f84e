"""Session fixation and login CSRF: what a thief plants or steals never becomes, or takes over, somebody's login."""

import httpx2
import pytest

from tests.integration.signing import (
    INVALID,
    asked,
    begun,
    consented,
    navigating,
    provider_token,
    returned,
    view,
)
from tests.integration.visitors import CARTS, ME, carrying, guest, problem, seen, set_cookies
from tests.live import ADA, GRACE, LiveProxy, Sandbox


def assert_a_guest_at_most(proxy: LiveProxy, cookie: str) -> None:
    """Assert that a cookie shows the guest at most, and can change nothing."""
    with carrying(proxy, cookie) as thief:
        seen_as = thief.get("/auth/session").json()
        assert (seen_as["kind"], seen_as["customer"]) == ("anonymous", None)
        assert thief.get(ME).json().get("firstName") != "Ada"
        for answer in (
            thief.post("/auth/refresh"),
            thief.post("/auth/login", json=GRACE),
            thief.put("/auth/legal-entity", json={"legalEntityId": "LE-100"}),
            thief.post("/auth/anonymous"),
            thief.post(f"{CARTS}/x/items", json={}),
        ):
            problem(answer, 401, "session_rotated")
        problem(thief.get("/auth/sessions"), 401, "login_required")
        assert not set_cookies(thief.get(ME))


@pytest.mark.parametrize("way", ["login", "exchange", "sso"])
def test_a_stolen_guest_cookie_never_becomes_a_customers(sso: LiveProxy, sandbox: Sandbox, way: str) -> None:
    with guest(sso) as browser:
        stolen = browser.cookies["bff"]
        if way == "login":
            assert browser.post("/auth/login", json=ADA).status_code == 200
        elif way == "exchange":
            assert browser.post("/auth/exchange", json={"token": provider_token(sandbox)}).status_code == 200
        else:
            returned(browser, consented(begun(browser)))
        assert browser.cookies["bff"] != stolen
        assert_a_guest_at_most(sso, stolen)
        assert view(browser)["kind"] == "customer"


def test_a_planted_guest_cookie_logs_the_thief_in_nowhere(sso: LiveProxy) -> None:
    with guest(sso) as thief:
        planted = thief.cookies["bff"]
    with carrying(sso, planted) as victim:
        answer = victim.post("/auth/login", json=ADA)
        assert answer.status_code == 200
        assert planted not in "".join(set_cookies(answer))
    assert_a_guest_at_most(sso, planted)


def test_a_planted_session_id_logs_the_thief_in_nowhere(sso: LiveProxy) -> None:
    with sso.app() as thief:
        planted = thief.post("/auth/anonymous").json()["sessionId"]
    with sso.app(planted) as victim:
        body = victim.post("/auth/login", json=ADA).json()
        assert body["sessionId"] != planted
    with sso.app(planted) as thief:
        assert thief.get("/auth/session").json()["customer"] is None
        problem(thief.post("/auth/refresh"), 401, "session_rotated")


def test_an_invented_cookie_is_not_adopted(sso: LiveProxy) -> None:
    with carrying(sso, "invented-by-somebody") as client:
        answer = client.post("/auth/login", json=ADA)
        problem(answer, 400, "invalid_session")
        assert ["Max-Age=0" in field for field in set_cookies(answer)] == [True]


def test_a_stolen_state_cannot_log_a_victim_into_the_attackers_account(
    sso: LiveProxy, sandbox: Sandbox
) -> None:
    with navigating(sso) as attacker, navigating(sso) as victim:
        trap = consented(begun(attacker), GRACE["email"])
        before = seen(sandbox)
        answer = returned(victim, trap, INVALID)
        assert not [field for field in set_cookies(answer) if field.startswith("bff=")]
        assert view(victim)["kind"] == "none"
        assert sandbox.log_since(before) == []


def test_a_victim_with_an_attempt_under_way_is_not_trapped_either(sso: LiveProxy) -> None:
    with navigating(sso) as attacker, navigating(sso) as victim:
        own = consented(begun(victim, return_to="/account"))
        trap = consented(begun(attacker), GRACE["email"])
        returned(victim, trap, INVALID)
        mixed = victim.get(
            "/auth/sso/main/callback", params={"state": asked(own)["state"], "code": asked(trap)["code"]}
        )
        assert mixed.headers["location"] == "/account?sso_error=invalid_credentials"
        assert view(victim)["customer"] is None


def test_a_customer_stays_who_they_are_when_trapped(sso: LiveProxy) -> None:
    with navigating(sso) as attacker, navigating(sso) as victim:
        returned(victim, consented(begun(victim)))
        cookie = victim.cookies["bff"]
        returned(victim, consented(begun(attacker), GRACE["email"]), INVALID)
        assert victim.cookies["bff"] == cookie
        assert view(victim)["customer"] == {"email": ADA["email"]}


def test_a_stolen_callback_is_worth_nothing_without_its_browser(sso: LiveProxy) -> None:
    with navigating(sso) as victim, navigating(sso) as thief:
        stolen = consented(begun(victim))
        begun(thief)
        returned(thief, stolen, INVALID)
        assert view(thief)["kind"] == "none"
        code = asked(stolen)
        with sso.browser() as other:
            body = {"code": code["code"], "redirectUri": f"{sso.url}/auth/sso/main/callback"}
            problem(other.post("/auth/sso/main/code", json=body), 401, "invalid_credentials")


def test_a_renamed_attempt_of_the_attackers_is_not_believed(sso: LiveProxy) -> None:
    with navigating(sso) as attacker, navigating(sso) as victim:
        trap = consented(begun(attacker), GRACE["email"])
        begun(victim)
        (theirs,) = [one for one in attacker.cookies.jar if one.name.startswith("bff-sso-")]
        (mine,) = [one for one in victim.cookies.jar if one.name.startswith("bff-sso-")]
        cookies = {"Cookie": f"{theirs.name}={mine.value}"}
        with httpx2.Client(base_url=sso.url, headers=cookies, trust_env=False, timeout=30) as browser:
            returned(browser, trap, INVALID)
