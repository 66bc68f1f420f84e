"""A deploy restarts replicas one by one, and a machine dies: nobody is refused, and nobody waits for long."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import httpx2
import pytest

from tests.integration.visitors import knob
from tests.integration.wire import ANONYMOUS_REFRESH, CUSTOMER_REFRESH, Watch, dial, head
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment
from tests.resilience.outages import expire, reached, session_of
from tests.resilience.rolling import DRAIN_SECONDS, restart_all

REQUESTS = 1_000
ANSWERED_WITHIN = 6.0
SITES = f"/api/site/{TENANT}/sites"
ORDERS = f"/api/order-v2/{TENANT}/orders"


@pytest.fixture
def replicas(sandbox: Sandbox, redis_url: str) -> Iterator[list[LiveProxy]]:
    environ = environment(sandbox, redis_url, BFF_DRAIN_SECONDS=str(DRAIN_SECONDS))
    with ExitStack() as ending:
        running = [ending.enter_context(LiveProxy(environ)) for _ in range(3)]
        yield running
        for one in running:
            one.close()


def test_a_rolling_restart_fails_no_request_and_resets_no_connection(replicas: list[LiveProxy]) -> None:
    restarted = asyncio.run(restart_all(replicas, REQUESTS))
    assert set(restarted.statuses) == {"GET 200", "POST 200"}
    assert (restarted.resets, restarted.codes) == (0, [0, 0, 0])


def answered(browser: httpx2.Client, path: str) -> httpx2.Response:
    """Ask again and again, as a page does that is told to come back; the client gives up in the end."""
    end = time.monotonic() + ANSWERED_WITHIN
    while True:
        answer = browser.get(path, timeout=max(end - time.monotonic(), 0.001))
        if answer.status_code != 503:
            return answer
        assert "set-cookie" not in answer.headers
        time.sleep(0.1)


@pytest.mark.parametrize("rotation", ["tolerant", "strict"])
@pytest.mark.parametrize("kind", ["guest", "customer"])
def test_who_was_being_renewed_by_a_replica_that_is_killed_is_answered_soon(
    replicas: list[LiveProxy], sandbox: Sandbox, kind: str, rotation: str
) -> None:
    knob(sandbox, anonymousRotation=rotation, customerRotation=rotation)
    doomed, other, _ = replicas
    with other.browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201
        if kind == "customer":
            assert browser.post("/auth/login", json=ADA).status_code == 200
        path, refresh = (SITES, ANONYMOUS_REFRESH) if kind == "guest" else (ORDERS, CUSTOMER_REFRESH)
        expire(sandbox, session_of(sandbox, browser))
        sandbox.control(
            "POST", "/faults", {"match": f"GET {refresh}", "kind": "delay", "delay": 8, "times": 1}
        )
        watch, before = Watch(sandbox), browser.cookies["bff"]
        with dial(doomed) as connection:
            connection.sendall(head(doomed, f"GET {path} HTTP/1.1", [f"Cookie: bff={before}"]))
            reached(watch, refresh)
            doomed.kill(signal.SIGKILL)
        answer = answered(browser, path)
        if rotation == "tolerant":
            assert (answer.status_code, "set-cookie" in answer.headers) == (200, False)
        elif kind == "guest":
            assert (answer.status_code, browser.cookies["bff"] != before) == (200, True)
        else:
            assert (answer.status_code, answer.json()["code"]) == (401, "session_expired")
            assert "Max-Age=0" in answer.headers["set-cookie"]
