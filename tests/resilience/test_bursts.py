"""Crowds that come at once, each on a socket of its own: one refresh, and no login that is thrown away."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest

from tests.integration.wire import ANONYMOUS_REFRESH, CUSTOMER_REFRESH, Watch
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment
from tests.resilience.outages import expire, session_of
from tests.resilience.shoppers import account

pytestmark = [pytest.mark.anyio, pytest.mark.alone]

CROWD = 1000
LOGINS = 400
CART = f"/api/cart/{TENANT}/carts?siteCode=main&create=true"
ME = f"/api/customer/{TENANT}/me"
CUSTOMER_LOGIN = f"/customer/{TENANT}/login"


@pytest.fixture(scope="module")
def replicas(sandbox_process: Sandbox, redis_url: str) -> Iterator[list[LiveProxy]]:
    wide = dict.fromkeys(("BFF_CLIENT_STREAMS", "BFF_CLIENT_CONNECTIONS"), str(2 * CROWD))
    environ = environment(sandbox_process, redis_url, **wide)
    with ExitStack() as ending:
        yield [ending.enter_context(LiveProxy(environ)) for _ in range(3)]


async def crowd(replicas: Sequence[LiveProxy], requests: Sequence[bytes]) -> list[bytes]:
    """Connect for every request first, then send all at once; return the whole answers."""
    ports = [replicas[number % len(replicas)].port for number in range(len(requests))]
    lines = [await asyncio.open_connection("127.0.0.1", port) for port in ports]
    try:
        for (_, writer), request in zip(lines, requests, strict=True):
            writer.write(request)
        return await asyncio.gather(*(reader.read() for reader, _ in lines))
    finally:
        for _, writer in lines:
            writer.close()


def request(line: str, cookie: str = "", body: object = None) -> bytes:
    content = b"" if body is None else json.dumps(body).encode()
    fields = ["Host: shop", "X-CSRF: 1", "Connection: close", *([f"Cookie: bff={cookie}"] if cookie else [])]
    if content:
        fields += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([f"{line} HTTP/1.1", *fields, "", ""]).encode() + content


def statuses(answers: Sequence[bytes]) -> Counter[int]:
    return Counter(int(answer.split(b" ", 2)[1]) if answer else 0 for answer in answers)


@pytest.mark.parametrize("who", ["guest", "customer"])
async def test_a_crowd_on_one_expired_session_is_served_after_one_refresh(
    replicas: list[LiveProxy], sandbox: Sandbox, who: str
) -> None:
    knobs = {"anonymousRotation": "strict", "customerRotation": "strict", "oldAccessValidAfterRefresh": False}
    sandbox.control("PATCH", "/knobs", knobs)
    with replicas[0].browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201
        if who == "customer":
            assert browser.post("/auth/login", json=ADA).status_code == 200
        expire(sandbox, session_of(sandbox, browser))
        watch = Watch(sandbox)
        target = f"GET {ME if who == 'customer' else CART}"
        answers = await crowd(replicas, [request(target, browser.cookies["bff"])] * CROWD)
    assert statuses(answers) == {200: CROWD}
    assert not any(b"set-cookie" in answer.lower() for answer in answers)
    assert len(watch.of(CUSTOMER_REFRESH if who == "customer" else ANONYMOUS_REFRESH)) == 1


async def test_a_crowd_of_logins_is_served_or_refused_before_upstream_is_asked(
    replicas: list[LiveProxy], sandbox: Sandbox
) -> None:
    accounts = [account(sandbox) for _ in range(LOGINS)]
    watch = Watch(sandbox)
    answers = await crowd(replicas, [request("POST /auth/login", body=one) for one in accounts])
    found = statuses(answers)
    assert set(found) <= {200, 503}
    assert found.total() == LOGINS
    assert all(b"retry-after: " in answer.lower() for answer in answers if b" 503 " in answer[:16])
    granted = [one for one in watch.of(CUSTOMER_LOGIN) if one["status"] == 200]
    assert len(granted) == found[200] > 0
