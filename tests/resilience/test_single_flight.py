"""However many ask at however many replicas: one renewal, and everybody is served."""

import time
from collections.abc import Iterator

import httpx2
import pytest

from tests.integration.visitors import heeding_pauses
from tests.integration.wire import ANONYMOUS_LOGIN, ANONYMOUS_REFRESH, CUSTOMER_REFRESH, Watch
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment
from tests.resilience.outages import crowd, expire, session_of

SITES = f"/api/site/{TENANT}/sites"
ORDERS = f"/api/order-v2/{TENANT}/orders"
STRICT = {"anonymousRotation": "strict", "customerRotation": "strict"}


@pytest.fixture(scope="module")
def replicas(sandbox_process: Sandbox, redis_url: str) -> Iterator[list[LiveProxy]]:
    environ = environment(sandbox_process, redis_url)
    with LiveProxy(environ) as one, LiveProxy(environ) as other:
        yield [one, other]


@pytest.fixture
def guest(replicas: list[LiveProxy], sandbox: Sandbox) -> Iterator[httpx2.Client]:
    sandbox.control("PATCH", "/knobs", STRICT | {"oldAccessValidAfterRefresh": False})
    with replicas[0].browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201
        yield browser


def test_a_crowd_on_a_guests_refused_token_makes_one_renewal(
    replicas: list[LiveProxy], sandbox: Sandbox, guest: httpx2.Client
) -> None:
    expire(sandbox, session_of(sandbox, guest))
    watch = Watch(sandbox)
    assert crowd(replicas, SITES, guest.cookies["bff"]) == ({200: 100}, [])
    assert len(watch.of(ANONYMOUS_REFRESH)) == 1
    assert watch.of(ANONYMOUS_LOGIN) == []
    assert guest.get(SITES).status_code == 200


def test_a_crowd_on_a_customers_refused_token_makes_one_renewal(
    replicas: list[LiveProxy], sandbox: Sandbox, guest: httpx2.Client
) -> None:
    assert guest.post("/auth/login", json=ADA).status_code == 200
    expire(sandbox, session_of(sandbox, guest))
    watch = Watch(sandbox)
    assert crowd(replicas, ORDERS, guest.cookies["bff"]) == ({200: 100}, [])
    assert len(watch.of(CUSTOMER_REFRESH)) == 1
    assert guest.get(ORDERS).status_code == 200


def test_a_crowd_on_a_token_that_the_proxy_knows_to_be_over_makes_one_renewal(
    replicas: list[LiveProxy], sandbox: Sandbox
) -> None:
    knobs = STRICT | {"anonymousExpiresIn": 1}
    sandbox.control("PATCH", "/knobs", knobs)
    with replicas[0].browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201
        sandbox.control("PATCH", "/knobs", {"anonymousExpiresIn": 3599})
        time.sleep(1.1)
        watch = Watch(sandbox)
        assert crowd(replicas, SITES, browser.cookies["bff"]) == ({200: 100}, [])
    assert len(watch.of(ANONYMOUS_REFRESH)) == 1
    assert {one["status"] for one in watch.of(f"/site/{TENANT}/sites")} == {200}


def test_a_crowd_on_a_customers_token_that_is_over_makes_one_renewal(
    replicas: list[LiveProxy], sandbox: Sandbox, guest: httpx2.Client
) -> None:
    sandbox.control("PATCH", "/knobs", {"customerExpiresIn": 1})
    assert guest.post("/auth/login", json=ADA).status_code == 200
    time.sleep(1.1)
    watch = Watch(sandbox)
    assert crowd(replicas, ORDERS, guest.cookies["bff"]) == ({200: 100}, [])
    assert len(watch.of(CUSTOMER_REFRESH)) == 1
    assert {one["status"] for one in watch.of(f"/order-v2/{TENANT}/orders")} == {200}


def test_a_crowd_waits_for_a_slow_renewal_and_makes_no_second_one(
    replicas: list[LiveProxy], sandbox: Sandbox, guest: httpx2.Client
) -> None:
    expire(sandbox, session_of(sandbox, guest))
    sandbox.control("POST", "/faults", {"match": f"GET {ANONYMOUS_REFRESH}", "kind": "delay", "delay": 1.5})
    watch = Watch(sandbox)
    assert crowd(replicas, SITES, guest.cookies["bff"]) == ({200: 100}, [])
    assert len(watch.of(ANONYMOUS_REFRESH)) == 1


@pytest.mark.parametrize(
    "kind", ["error", "html", "throttled", "garbage", "empty", "disconnect", "no_access_token"]
)
def test_a_crowd_on_a_failing_renewal_is_told_so_and_keeps_its_session(
    replicas: list[LiveProxy], sandbox: Sandbox, guest: httpx2.Client, kind: str
) -> None:
    # A strict upstream that spoils its own answer has used up the refresh token: not this test's business.
    sandbox.control("PATCH", "/knobs", {"anonymousRotation": "tolerant"})
    expire(sandbox, session_of(sandbox, guest))
    sandbox.control("POST", "/faults", {"match": f"GET {ANONYMOUS_REFRESH}", "kind": kind})
    watch = Watch(sandbox)
    statuses, cookies = crowd(replicas, SITES, guest.cookies["bff"], times=20)
    assert (statuses, cookies) == ({503: 20}, [])
    assert watch.of(ANONYMOUS_LOGIN) == []
    sandbox.control("DELETE", "/faults")
    assert heeding_pauses(lambda: guest.get(SITES)).status_code == 200
    assert watch.of(ANONYMOUS_LOGIN) == []


def test_a_crowd_whose_customer_is_refused_ends_the_session_once(
    replicas: list[LiveProxy], sandbox: Sandbox, guest: httpx2.Client
) -> None:
    assert guest.post("/auth/login", json=ADA).status_code == 200
    sandbox.control(
        "POST", "/revoke", {"access": True, "refresh": True, "sessionId": session_of(sandbox, guest)}
    )
    statuses, cookies = crowd(replicas, ORDERS, guest.cookies["bff"], times=40)
    assert statuses == {401: 40}
    assert len(cookies) == 1
    assert "Max-Age=0" in cookies[0]


def test_a_crowd_whose_guest_is_refused_gets_one_new_guest(
    replicas: list[LiveProxy], sandbox: Sandbox, guest: httpx2.Client
) -> None:
    sandbox.control(
        "POST", "/revoke", {"access": True, "refresh": True, "sessionId": session_of(sandbox, guest)}
    )
    watch = Watch(sandbox)
    statuses, cookies = crowd(replicas, SITES, guest.cookies["bff"], times=40)
    assert set(statuses) <= {200, 401}
    assert statuses[200] > 0
    assert len(watch.of(ANONYMOUS_LOGIN)) == 1
    assert len(set(cookies)) >= 1


def test_a_slow_renewal_outlives_the_patience_of_those_whose_token_is_still_good(
    replicas: list[LiveProxy], sandbox: Sandbox
) -> None:
    sandbox.control("PATCH", "/knobs", STRICT | {"anonymousExpiresIn": 8})
    with replicas[0].browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201
        sandbox.control("PATCH", "/knobs", {"anonymousExpiresIn": 3599})
        time.sleep(4.2)  # a token is due in the second half of a short life
        fault = {"match": f"GET {ANONYMOUS_REFRESH}", "kind": "delay", "delay": 3, "times": 1}
        sandbox.control("POST", "/faults", fault)
        watch = Watch(sandbox)
        for _ in range(2):
            answer = browser.get(SITES)
            assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
        time.sleep(4)  # the first token is over by now, and the second one was stored though nobody waited
        answer = browser.get(SITES)
        assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
    assert len(watch.of(ANONYMOUS_REFRESH)) == 1
    assert watch.of(ANONYMOUS_LOGIN) == []
