"""Work that is finished although the server cancels its request, as it does at the end of a shutdown's grace."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import httpx2
import pytest

from bff.config.embedded_redis import locate_server
from tests.frozen_time import FrozenLoop, settle
from tests.integration.visitors import calls, knob, seen
from tests.integration.wire import CUSTOMER_REFRESH, PATIENCE
from tests.live import ADA, Sandbox, environment
from tests.resilience.gate import Gate
from tests.resilience.in_process import replica
from tests.resilience.outages import OwnRedis

pytestmark = pytest.mark.anyio

LOGOUT = "GET /customer/{tenant}/logout"


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    """Let no deadline pass: these tests are about what happens without one."""
    return "asyncio", {"loop_factory": FrozenLoop}


async def cut(call: asyncio.Task[Any]) -> None:
    """Cancel a request that is under way."""
    assert not call.done()
    call.cancel()
    answer = await call
    assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unavailable")
    assert answer.headers["retry-after"] == "1"


async def test_a_switch_of_the_company_is_finished(sandbox: Sandbox, redis_url: str) -> None:
    knob(sandbox, customerRotation="strict")
    with Gate(sandbox.url) as gate:
        environ = environment(sandbox, redis_url, BFF_UPSTREAM_URL=gate.url)
        async with replica(environ) as ending, replica(environ) as other, ending.browser() as browser:
            assert (await browser.post("/auth/login", json=ADA)).status_code == 200
            with gate.holding(CUSTOMER_REFRESH) as held:
                call = begin(browser.put("/auth/legal-entity", json={"legalEntityId": "LE-100"}))
                assert await asyncio.to_thread(held.arrived.wait, PATIENCE)
                await cut(call)
                stopping = asyncio.create_task(ending.stop())
                await settle()
                assert not stopping.done()
            await stopping
            async with other.browser(browser.cookies["bff"]) as later:
                assert (await later.get("/auth/session")).json()["legalEntityId"] == "LE-100"
                assert (await later.post("/auth/refresh")).json()["legalEntityId"] == "LE-100"


@pytest.mark.skipif(locate_server() is None, reason="an imitation cannot be stopped in the middle")
async def test_a_logout_is_finished(sandbox: Sandbox, tmp_path: Path) -> None:
    store = OwnRedis(tmp_path / "redis")
    environ = environment(sandbox, store.url)
    async with replica(environ) as ending, replica(environ) as other, ending.browser() as browser:
        assert (await browser.post("/auth/login", json=ADA)).status_code == 200
        cookie, before = browser.cookies["bff"], seen(sandbox)
        with store.frozen():
            call = begin(browser.post("/auth/logout"))
            await settle()
            await cut(call)
        await ending.stop()
        assert calls(sandbox, before) == [LOGOUT]
        async with other.browser(cookie) as later:
            answer = await later.post("/auth/refresh")
            assert (answer.status_code, answer.json()["code"]) == (401, "no_session")
    store.stop()


def begin(call: Coroutine[Any, Any, httpx2.Response]) -> asyncio.Task[httpx2.Response]:
    return asyncio.create_task(call)
