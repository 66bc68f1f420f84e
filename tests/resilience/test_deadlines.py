"""How long the proxy waits for an upstream that says nothing. Time stands still and is advanced: nobody waits."""

import asyncio
import logging
import queue
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import pytest

from bff.deadline import deadline_in
from bff.errors import UpstreamTimeout
from bff.telemetry.metrics import REGISTRY
from bff.upstream.exchange import Exchange
from bff.upstream.llhttp_client import LlhttpClient
from bff.upstream.options import PROXIED_CALLS
from bff.upstream.protocol import RequestContent
from tests.frozen_time import FrozenLoop, advance, settle, soon
from tests.integration.visitors import CARTS, PRODUCTS, calls, fault, seen
from tests.integration.wire import ANONYMOUS_REFRESH, PATIENCE, Incoming, Upstream, reply
from tests.live import TENANT, Sandbox, environment
from tests.resilience.in_process import replica

pytestmark = pytest.mark.anyio

CART = "GET /cart/{tenant}/carts"
MERGE = "POST /cart/{tenant}/carts/{cartId}/merge"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": FrozenLoop}


@dataclass
class Slow:
    """An upstream that answers a call when it is told to."""

    url: str
    asked: threading.Event = field(default_factory=threading.Event)
    answer: threading.Event = field(default_factory=threading.Event)

    def serve(self, connection: socket.socket, _incoming: Incoming) -> None:
        self.asked.set()
        if self.answer.wait(PATIENCE):
            connection.sendall(reply("200 OK", body=b"{}"))

    async def reached(self) -> None:
        """Wait until a call is there and the proxy waits for its answer."""
        assert await soon(asyncio.to_thread(self.asked.wait, PATIENCE))
        await settle()


@pytest.fixture
def slow() -> Iterator[Slow]:
    with Upstream() as upstream:
        one = Slow(upstream.url)
        upstream.script = one.serve
        yield one
        one.answer.set()


async def test_a_proxied_call_may_take_upstream_a_minute(
    sandbox: Sandbox, redis_url: str, slow: Slow
) -> None:
    environ = environment(sandbox, redis_url, BFF_UPSTREAM_URL=slow.url)
    async with replica(environ) as proxy, proxy.browser() as browser:
        call = asyncio.create_task(browser.get(PRODUCTS))
        await slow.reached()
        advance(59)
        await settle()
        assert not call.done(), "it was cut"
        slow.answer.set()
        assert (await soon(call)).status_code == 200


async def test_a_proxied_call_that_takes_longer_is_a_timeout(
    sandbox: Sandbox, redis_url: str, slow: Slow
) -> None:
    environ = environment(sandbox, redis_url, BFF_UPSTREAM_URL=slow.url)
    async with replica(environ) as proxy, proxy.browser() as browser:
        call = asyncio.create_task(browser.get(PRODUCTS))
        await slow.reached()
        advance(61)
        answer = await soon(call)
        assert (answer.status_code, answer.json()["code"]) == (504, "upstream_timeout")


async def asked_late(slow: Slow, body: RequestContent) -> "tuple[LlhttpClient, asyncio.Task[Exchange]]":
    """Ask with what an earlier call of the same request has left of its time: two seconds."""
    client = LlhttpClient(slow.url, PROXIED_CALLS)
    with deadline_in(60):
        advance(58)
        call = asyncio.create_task(client.open("POST", b"/x", [], body))
        await slow.reached()
    return client, call


@pytest.mark.parametrize("body", [None, b"whole"])
async def test_a_second_call_gets_what_the_first_has_left(slow: Slow, body: RequestContent) -> None:
    client, call = await asked_late(slow, body)
    advance(1)
    await settle()
    assert not call.done()
    advance(2)
    with pytest.raises(UpstreamTimeout):
        await call
    await client.aclose()


async def test_an_upload_takes_as_long_as_its_client(slow: Slow) -> None:
    more = asyncio.Event()

    async def chunks() -> AsyncIterator[bytes]:
        yield b"part"
        await more.wait()
        yield b"the rest"

    client, call = await asked_late(slow, chunks())
    advance(600)
    await settle()
    assert not call.done()
    more.set()
    slow.answer.set()
    answer = await soon(call)
    await answer.aclose()
    await client.aclose()


@dataclass
class Dripping:
    """An upstream that streams one event whenever it is told to, and ends after the last."""

    url: str
    events: int
    due: queue.Queue[None] = field(default_factory=queue.Queue)
    sent: queue.Queue[None] = field(default_factory=queue.Queue)

    def serve(self, connection: socket.socket, _incoming: Incoming) -> None:
        connection.sendall(
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        for _ in range(self.events):
            self.sent.put(None)
            self.due.get(timeout=PATIENCE)
            connection.sendall(b"8\r\ndata: x\n\r\n")
        connection.sendall(b"0\r\n\r\n")

    async def waits(self) -> None:
        """Wait until it has sent what it was told to, and the proxy waits for more."""
        await soon(asyncio.to_thread(self.sent.get, timeout=PATIENCE))
        await settle()


async def test_a_stream_may_last_for_minutes(sandbox: Sandbox, redis_url: str) -> None:
    with Upstream() as upstream:
        one = Dripping(upstream.url, events=6)
        upstream.script = one.serve
        environ = environment(sandbox, redis_url, BFF_UPSTREAM_URL=one.url)
        async with replica(environ) as proxy, proxy.browser() as browser:
            call = asyncio.create_task(browser.get(PRODUCTS))
            for _ in range(one.events):
                await one.waits()
                advance(50)
                await settle()
                assert not call.done(), "it was cut"
                one.due.put(None)
            answer = await soon(call)
            assert (answer.status_code, answer.text) == (200, "data: x\n" * one.events)


async def test_a_token_call_that_is_not_answered_in_ten_seconds_is_given_up(
    sandbox: Sandbox, redis_url: str
) -> None:
    fault(sandbox, "GET /customerlogin/auth/anonymous/login", "stall")
    async with replica(environment(sandbox, redis_url)) as proxy, proxy.browser() as browser:
        before = seen(sandbox)
        call = asyncio.create_task(browser.post("/auth/anonymous"))
        await asked(sandbox, before, "GET /customerlogin/auth/anonymous/login")
        advance(9)
        await settle()
        assert not call.done(), "it was cut"
        advance(2)
        answer = await soon(call)
        assert (answer.status_code, answer.json()["code"]) == (504, "upstream_timeout")


@pytest.mark.alone  # nothing tells when the second request waits: it must not be held up on its way there
async def test_a_refresh_that_hangs_holds_a_request_up_for_five_seconds_and_is_not_cut(
    sandbox: Sandbox, redis_url: str
) -> None:
    async with replica(environment(sandbox, redis_url)) as proxy, proxy.browser() as browser:
        assert (await browser.post("/auth/anonymous")).status_code == 201
        assert sandbox.control("POST", "/expire", {"access": True})["tokens"]
        fault(sandbox, f"GET {ANONYMOUS_REFRESH}", "stall", times=1)
        before = seen(sandbox)
        call = asyncio.create_task(browser.get(CARTS, params={"siteCode": "main"}))
        await asked(sandbox, before, f"GET {ANONYMOUS_REFRESH}")
        advance(4.9)
        await settle()
        assert not call.done(), "it was cut"
        advance(0.2)
        answer = await soon(call)
        assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unavailable")
        assert "retry-after" in answer.headers
        assert "set-cookie" not in answer.headers
        again = asyncio.create_task(browser.get(CARTS, params={"siteCode": "main"}))
        await settle()
        advance(2)
        await settle()
        assert not again.done(), "it does not wait for the first one's refresh"
        advance(4)
        assert (await soon(again)).status_code == 503
        assert calls(sandbox, before).count(f"GET {ANONYMOUS_REFRESH}") == 1


@pytest.mark.parametrize("match", [CART, MERGE])
async def test_a_merge_that_hangs_holds_a_login_up_for_three_seconds_and_fails_none(
    sandbox: Sandbox, redis_url: str, caplog: pytest.LogCaptureFixture, match: str
) -> None:
    account = {"email": f"hang-{seen(sandbox)}@example.com", "password": "long-enough-a-password"}
    sandbox.control("POST", "/customers", account)
    caplog.set_level(logging.INFO, "bff")
    failed = merges("failed")
    async with (
        replica(environment(sandbox, redis_url, BFF_SITE_CODE="main")) as proxy,
        proxy.browser() as browser,
    ):
        assert (await browser.post("/auth/anonymous")).status_code == 201
        cart = (await browser.get(CARTS, params={"siteCode": "main", "create": "true"})).json()["id"]
        item = {"product": {"id": "morning-ledge"}, "quantity": 2}
        item["itemYrn"] = f"urn:yaas:saasag:caasproduct:product:{TENANT};morning-ledge"
        assert (await browser.post(f"{CARTS}/{cart}/items", json=item)).status_code == 201
        fault(sandbox, match, "stall")
        before, done = seen(sandbox), answered()
        login = asyncio.create_task(browser.post("/auth/login", json=account))
        await asked(sandbox, before, match)
        times = 2 if match == CART else 1  # carts with and without a type are looked up
        await all_but(times, sandbox, before, done)
        assert not login.done()
        advance(3.5)
        answer = await soon(login)
        assert (answer.status_code, answer.json()["kind"]) == (200, "customer")
        sandbox.control("DELETE", "/faults")
        assert (await browser.get("/auth/session")).json()["kind"] == "customer"
        assert (await browser.get(f"{CARTS}/{cart}")).json()["status"] == "OPEN"
    assert merges("failed") == failed + times
    lines = [record for record in caplog.records if record.getMessage() == "cart_merge_failed"]
    assert [line.levelno for line in lines] == [logging.WARNING] * times


async def asked(sandbox: Sandbox, before: int, call: str) -> None:
    """Wait until upstream has been asked this and the proxy waits for what comes of it."""

    async def comes() -> None:
        while call not in calls(sandbox, before):  # noqa: ASYNC110 - upstream is another process
            await asyncio.sleep(0)

    await soon(comes())
    await settle()


async def all_but(hanging: int, sandbox: Sandbox, before: int, done: float) -> None:
    """Wait until upstream has answered all that a login's merge asks for but what hangs."""

    async def comes() -> None:
        while True:
            called = calls(sandbox, before)
            if called.count(CART) > 1 and answered() - done == len(called) - hanging:
                return
            await asyncio.sleep(0)

    await soon(comes())


def answered() -> float:
    """Return how many token calls have ended."""
    samples = [one for metric in REGISTRY.collect() for one in metric.samples]
    return sum(one.value for one in samples if one.name == "bff_upstream_calls_total")


def merges(outcome: str) -> float:
    return REGISTRY.get_sample_value("bff_cart_merges_total", {"outcome": outcome}) or 0.0
