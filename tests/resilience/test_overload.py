"""An upstream that hangs, in part or as a whole, takes the rest of the shop with it no longer than it must."""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import httpx2
import pytest

from bff.upstream.bulkhead import Bulkhead, service_of
from bff.upstream.failures import ClosedUnanswered
from bff.upstream.llhttp_client import LlhttpClient
from bff.upstream.options import PROXIED_CALLS, PROXIED_SHARES
from tests.contract.socket_upstream import Connection, serving
from tests.contract.upstream_clients import whole
from tests.frozen_time import FrozenLoop, advance, settle, soon
from tests.integration.visitors import PRODUCTS, eventually, problem
from tests.integration.wire import PATIENCE, Incoming, Upstream, reply
from tests.live import TENANT, LiveProxy, Sandbox, environment
from tests.resilience.in_process import replica

PRODUCT: Final = f"{PRODUCTS}/one"
SITES: Final = f"/api/site/{TENANT}/sites"
TO_OPEN: Final = 10
"""How many calls of a route fail before it is stopped."""


@dataclass
class Hanging:
    """An upstream whose paths with `part` at their end are answered when a test says so."""

    part: bytes
    reached: Counter[bytes] = field(default_factory=Counter)
    answer: threading.Event = field(default_factory=threading.Event)

    def serve(self, connection: socket.socket, incoming: Incoming) -> None:
        target = incoming.line.split()[1]
        self.reached[target] += 1
        if not target.endswith(self.part) or self.answer.wait(PATIENCE):
            connection.sendall(reply("200 OK", body=b"{}"))


@pytest.fixture
def hanging() -> Iterator[tuple[Upstream, Hanging]]:
    with Upstream() as upstream:
        one = Hanging(b"/products")
        upstream.script = one.serve
        yield upstream, one
        one.answer.set()


class TestInFrozenTime:
    """Minutes pass at once."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture
    def anyio_backend(self) -> tuple[str, dict[str, object]]:
        return "asyncio", {"loop_factory": FrozenLoop}

    async def test_a_route_that_hangs_is_not_asked_for_a_while_and_takes_no_other_with_it(
        self, sandbox: Sandbox, redis_url: str, hanging: tuple[Upstream, Hanging]
    ) -> None:
        upstream, one = hanging
        environ = environment(sandbox, redis_url, BFF_UPSTREAM_URL=upstream.url)
        path = PRODUCTS.removeprefix("/api").encode()
        async with replica(environ) as proxy, proxy.browser() as browser:
            assert (await browser.post("/auth/anonymous")).status_code == 201
            calls = [asyncio.create_task(browser.get(PRODUCTS)) for _ in range(TO_OPEN)]
            await soon(asyncio.to_thread(eventually, lambda: one.reached[path] == TO_OPEN))
            await settle()
            advance(61)
            answers = [await soon(call) for call in calls]
            assert {answer.status_code for answer in answers} == {504}
            stopped = await soon(browser.get(PRODUCTS))
            problem(stopped, 503, "upstream_unavailable")
            assert stopped.headers["retry-after"] == "1"
            assert "set-cookie" not in stopped.headers
            assert one.reached[path] == TO_OPEN
            for other in (PRODUCT, SITES):
                assert (await soon(browser.get(other))).status_code == 200
            one.answer.set()
            async with asyncio.timeout(PATIENCE):
                while not (await soon(browser.get(PRODUCTS))).is_success:
                    await settle()

    async def test_a_get_that_breaks_late_is_not_sent_again(self) -> None:
        late, heads = asyncio.Event(), 0

        async def serve(connection: Connection) -> None:
            nonlocal heads
            await connection.head()
            heads += 1
            await late.wait()

        async with serving(serve) as upstream:
            client = LlhttpClient(upstream.url, PROXIED_CALLS)
            call = asyncio.create_task(client.open("GET", b"/product/x", [], None))
            while not heads:  # noqa: ASYNC110 - what is waited for tells nobody
                await asyncio.sleep(0)
            advance(3)
            late.set()
            with pytest.raises(ClosedUnanswered):
                await soon(call)
            await client.aclose()
        assert heads == 1


def test_a_service_that_hangs_leaves_connections_to_the_others(
    sandbox: Sandbox, redis_url: str, hanging: tuple[Upstream, Hanging]
) -> None:
    upstream, one = hanging
    more = PROXIED_SHARES.of_one_part + 20
    environ = environment(
        sandbox,
        redis_url,
        BFF_UPSTREAM_URL=upstream.url,
        BFF_CLIENT_STREAMS="2000",
        BFF_CLIENT_CONNECTIONS="2000",
    )
    limits = httpx2.Limits(max_connections=more)
    with (
        LiveProxy(environ) as proxy,
        proxy.browser() as browser,
        httpx2.Client(
            base_url=proxy.url, headers={"X-CSRF": "1"}, limits=limits, trust_env=False, timeout=60
        ) as crowd,
        ThreadPoolExecutor(more) as pool,
    ):
        calls = [pool.submit(crowd.get, PRODUCTS) for _ in range(more)]
        eventually(lambda: sum(call.done() for call in calls) == 20)
        for _ in range(3):
            assert browser.get(SITES).status_code == 200
        one.answer.set()
        answers = [call.result() for call in calls]
        reasons = {line.get("reason") for line in proxy.log_lines()}
    assert Counter(answer.status_code for answer in answers) == {200: PROXIED_SHARES.of_one_part, 503: 20}
    busy = [answer for answer in answers if answer.status_code == 503]
    for answer in busy:
        problem(answer, 503, "upstream_unavailable")
        assert answer.headers["retry-after"] == "1"
    assert "no free connection" in reasons


@pytest.mark.anyio
async def test_a_thousand_calls_at_once_are_all_served() -> None:
    async def serve(connection: Connection) -> None:
        while True:
            await connection.head()
            await asyncio.sleep(0.05)
            await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with serving(serve) as upstream:
        client = Bulkhead(LlhttpClient(upstream.url, PROXIED_CALLS), PROXIED_SHARES, service_of, area="api")

        async def call() -> bytes:
            return await whole(await client.open("GET", b"/product/x", [], None))

        try:
            assert await asyncio.gather(*(call() for _ in range(1000))) == [b"ok"] * 1000
        finally:
            await client.aclose()
