"""Companies and renewals at the same time: one after the other, and nothing is forgotten."""

from concurrent.futures import ThreadPoolExecutor

import httpx2
import pytest

from tests.integration.signing import last_session
from tests.integration.visitors import ME, carrying, customer, eventually, knob, seen
from tests.live import TENANT, LiveProxy, Sandbox

REFRESH = f"/customer/{TENANT}/refreshauthtoken"


def granted(sandbox: Sandbox, since: int) -> list[str | None]:
    """Return the company of every renewal that upstream granted, in order."""
    done = [one for one in sandbox.log_since(since) if one["path"] == REFRESH and one["status"] == 200]
    return [one["query"].get("legalEntityId") for one in done]


def agreed(browser: httpx2.Client, sandbox: Sandbox, since: int) -> str | None:
    """Assert that everybody knows the same company, and return it."""
    company = browser.get("/auth/session").json()["legalEntityId"]
    assert browser.get("/auth/validate").json().get("legalEntityId") == company
    assert granted(sandbox, since)[-1] == company
    session = last_session(sandbox, browser)
    assert sandbox.control("GET", "/sessions")[session]["legalEntityId"] == company
    return str(company) if company else None


@pytest.mark.parametrize("rotation", ["strict", "tolerant"])
def test_a_switch_among_renewals_is_the_last_word(proxy: LiveProxy, sandbox: Sandbox, rotation: str) -> None:
    knob(sandbox, customerRotation=rotation)
    with customer(proxy) as browser, ThreadPoolExecutor(9) as pool:
        cookie, before = browser.cookies["bff"], seen(sandbox)

        def ask(number: int) -> httpx2.Response:
            with carrying(proxy, cookie) as client:
                if number == 4:
                    return client.put("/auth/legal-entity", json={"legalEntityId": "LE-100"})
                return client.post("/auth/refresh")

        answers = list(pool.map(ask, range(9)))
        assert {answer.status_code for answer in answers} == {200}
        assert answers[4].json()["legalEntityId"] == "LE-100"
        assert agreed(browser, sandbox, before) == "LE-100"
        told = granted(sandbox, before)
        assert told == sorted(told, key=lambda company: company is not None)


def test_switches_at_once_end_with_one_of_them_everywhere(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser, ThreadPoolExecutor(8) as pool:
        cookie, before = browser.cookies["bff"], seen(sandbox)
        wanted = ["LE-100", "LE-200", None, "LE-200", "LE-100", None, "LE-100", "LE-200"]

        def switch(company: str | None) -> httpx2.Response:
            with carrying(proxy, cookie) as client:
                return client.put("/auth/legal-entity", json={"legalEntityId": company})

        answers = list(pool.map(switch, wanted))
        assert [answer.status_code for answer in answers] == [200] * 8
        assert [answer.json()["legalEntityId"] for answer in answers] == wanted
        assert len({answer.json()["version"] for answer in answers}) == 8
        agreed(browser, sandbox, before)
        assert sorted(map(str, granted(sandbox, before))) == sorted(map(str, wanted))


def test_renewals_after_a_switch_back_name_no_company(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser:
        browser.put("/auth/legal-entity", json={"legalEntityId": "LE-100"})
        before = seen(sandbox)
        assert browser.put("/auth/legal-entity", json={"legalEntityId": None}).json()["legalEntityId"] is None
        session = last_session(sandbox, browser)
        sandbox.control("POST", "/revoke", {"sessionId": session, "access": True})
        assert browser.get(ME).status_code == 200
        assert browser.post("/auth/refresh").json()["legalEntityId"] is None
        assert granted(sandbox, before) == [None, None, None]


def test_a_company_is_remembered_over_processes(sandbox: Sandbox, proxy: LiveProxy) -> None:
    with customer(proxy) as browser:
        browser.put("/auth/legal-entity", json={"legalEntityId": "LE-200"})
        cookie = browser.cookies["bff"]
        with LiveProxy({**proxy.environ}) as replica, carrying(replica, cookie) as client:
            assert client.get("/auth/session").json()["legalEntityId"] == "LE-200"
            before = seen(sandbox)
            assert client.post("/auth/refresh").json()["legalEntityId"] == "LE-200"
            assert granted(sandbox, before) == ["LE-200"]


def test_a_new_login_begins_without_a_company(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with customer(proxy) as browser, customer(proxy) as other:
        browser.put("/auth/legal-entity", json={"legalEntityId": "LE-100"})
        assert other.get("/auth/session").json()["legalEntityId"] is None
        assert "legalEntityId" not in other.get("/auth/validate").json()


def test_a_customer_leaves_while_the_company_switches(proxy: LiveProxy, sandbox: Sandbox) -> None:
    knob(sandbox, anonymousValidAfterLogin=False)
    with customer(proxy) as browser, ThreadPoolExecutor(2) as pool:
        cookie, session = browser.cookies["bff"], last_session(sandbox, browser)
        sandbox.control(
            "POST", "/faults", {"match": f"GET {REFRESH}", "kind": "delay", "delay": 1, "times": 1}
        )
        with carrying(proxy, cookie) as client:
            switch = pool.submit(client.put, "/auth/legal-entity", json={"legalEntityId": "LE-100"})
            assert browser.post("/auth/logout").status_code == 204
            assert switch.result().status_code in {200, 401}
            assert client.get("/auth/sessions").status_code == 401
        eventually(lambda: sandbox.control("GET", "/sessions")[session]["liveAccessTokens"] == 0)
