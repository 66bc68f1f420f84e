"""How many requests one client may have under way at once."""

import asyncio
import json

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from bff.middleware.stream_limit import StreamLimit
from tests.unit.support import http_scope, run_app

pytestmark = pytest.mark.anyio

HERE = "192.0.2.1"


class Held:
    """An application that answers when it is let go, or fails."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.fails = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.go.wait()
        if self.fails:
            raise ValueError
        await PlainTextResponse("ok")(scope, receive, send)


async def call(limit: StreamLimit, path: str = "/api/x", client: str = HERE) -> list[Message]:
    return await run_app(limit, http_scope("GET", path, **{"bff.client": client}))


def begun(limit: StreamLimit, *arguments: str) -> "asyncio.Task[list[Message]]":
    return asyncio.get_running_loop().create_task(call(limit, *arguments))


async def test_one_too_many_is_refused_and_told_when_to_come_again() -> None:
    held = Held()
    limit = StreamLimit(held, most=2)
    waiting = [begun(limit, "/api/x"), begun(limit, "/auth/session")]
    await asyncio.sleep(0)
    start, body = await call(limit)
    assert start["status"] == 429
    assert (b"retry-after", b"1") in start["headers"]
    assert json.loads(body["body"])["code"] == "too_many_requests"
    held.go.set()
    assert [(await one)[0]["status"] for one in waiting] == [200, 200]


async def test_another_client_and_what_is_not_a_visitors_are_not_counted() -> None:
    held = Held()
    limit = StreamLimit(held, most=1)
    waiting = [
        begun(limit),
        begun(limit, "/api/x", "192.0.2.2"),
        begun(limit, "/livez"),
        begun(limit, "/livez"),
    ]
    await asyncio.sleep(0)
    held.go.set()
    assert [(await one)[0]["status"] for one in waiting] == [200] * 4


async def test_one_ipv6_subnet_is_one_client() -> None:
    held = Held()
    limit = StreamLimit(held, most=1)
    first = begun(limit, "/api/x", "2001:db8::1")
    await asyncio.sleep(0)
    assert (await call(limit, client="2001:db8::2"))[0]["status"] == 429
    held.go.set()
    await first


@pytest.mark.parametrize("ending", ["answer", "failure", "cancel"])
async def test_a_request_that_ended_counts_no_more(ending: str) -> None:
    held = Held()
    limit = StreamLimit(held, most=1)
    first = begun(limit)
    await asyncio.sleep(0)
    held.fails = ending == "failure"
    if ending == "cancel":
        first.cancel()
    else:
        held.go.set()
    await asyncio.gather(first, return_exceptions=True)
    held.fails = False
    held.go.set()
    assert (await call(limit))[0]["status"] == 200
    assert not limit._under_way


async def test_what_is_not_http_is_left_alone() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    await run_app(StreamLimit(app, most=1), {"type": "lifespan"})
    assert seen == ["lifespan"]
