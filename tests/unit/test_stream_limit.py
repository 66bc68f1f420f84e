"""How many requests one client may have under way at once."""

import asyncio
import json
from contextlib import ExitStack

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from bff.errors import TooManyRequests
from bff.middleware.cors import Cors
from bff.middleware.request_layer import RequestLayer, RequestPolicy
from bff.middleware.stream_limit import WAITING_EACH, StreamLimit
from tests.support import http_scope, run_app

pytestmark = pytest.mark.anyio

HERE = "192.0.2.1"


async def admit(limit: StreamLimit, client: str) -> ExitStack:
    """Count a request as the request layer does, until the result's block ends."""
    networks = limit.admitted(client) or await limit.admitted_later(client)
    counted = ExitStack()
    counted.callback(limit.release, networks)
    return counted


class Held:
    """An application behind the limit that answers when it is let go, or fails."""

    def __init__(self, most: int, wait_seconds: float = 0) -> None:
        self.go = asyncio.Event()
        self.fails = False
        self.limit = StreamLimit(most, wait_seconds=wait_seconds)
        policy = RequestPolicy((), (), Cors(()), self.limit)
        self._layer = RequestLayer(self._answer, policy, monotonic=lambda: 0.0)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.go.wait()
        if self.fails:
            raise ValueError
        await PlainTextResponse("ok")(scope, receive, send)

    async def call(self, path: str = "/api/x", client: str = HERE) -> list[Message]:
        return await run_app(self._layer, http_scope("GET", path, client=(client, 40_000)))

    def begin(self, *arguments: str) -> "asyncio.Task[list[Message]]":
        return asyncio.get_running_loop().create_task(self.call(*arguments))


def empty(limit: StreamLimit) -> bool:
    """Say whether nothing is counted and nobody waits."""
    return not (limit._under_way or limit._waiting or limit._queues)


async def test_one_too_many_is_refused_and_told_when_to_come_again() -> None:
    held = Held(most=2)
    waiting = [held.begin("/api/x"), held.begin("/auth/session")]
    await asyncio.sleep(0)
    start, body = await held.call()
    assert start["status"] == 429
    assert (b"retry-after", b"1") in start["headers"]
    assert json.loads(body["body"])["code"] == "too_many_requests"
    held.go.set()
    assert [(await one)[0]["status"] for one in waiting] == [200, 200]


async def test_another_client_and_what_is_not_a_visitors_are_not_counted() -> None:
    held = Held(most=1)
    waiting = [
        held.begin(),
        held.begin("/api/x", "192.0.2.2"),
        held.begin("/livez"),
        held.begin("/livez"),
    ]
    await asyncio.sleep(0)
    held.go.set()
    assert [(await one)[0]["status"] for one in waiting] == [200] * 4


async def test_one_ipv6_subnet_is_one_client() -> None:
    held = Held(most=1)
    first = held.begin("/api/x", "2001:db8::1")
    await asyncio.sleep(0)
    assert (await held.call(client="2001:db8::2"))[0]["status"] == 429
    held.go.set()
    await first


async def test_the_networks_that_a_site_is_given_have_bounds_of_their_own() -> None:
    limit = StreamLimit(4, wait_seconds=0)

    async def admitted(stack: ExitStack, form: str) -> int:
        """Return how many requests are let in, each from another /64."""
        for number in range(20):
            try:
                stack.enter_context(await admit(limit, form.format(number)))
            except TooManyRequests:
                return number
        return 20

    with ExitStack() as stack:
        assert await admitted(stack, "2001:db8:1:{:x}::1") == 6, "one /56"
        assert await admitted(stack, "2001:db8:1:1{:02x}::1") == 2, "another /56 of the same /48"
        assert await admitted(stack, "2001:db8:2:{:x}::1") == 6, "another /48"
        assert await admitted(stack, "198.51.100.{}") == 20, "no IPv4 address is a part of another"
    assert not limit._under_way


@pytest.mark.parametrize("ending", ["answer", "failure", "cancel"])
async def test_a_request_that_ended_counts_no_more(ending: str) -> None:
    held = Held(most=1)
    first = held.begin()
    await asyncio.sleep(0)
    assert held.limit._under_way
    held.fails = ending == "failure"
    if ending == "cancel":
        first.cancel()
    else:
        held.go.set()
    await asyncio.gather(first, return_exceptions=True)
    held.fails = False
    held.go.set()
    assert (await held.call())[0]["status"] == 200
    assert not held.limit._under_way


async def test_a_refused_request_is_not_counted_itself() -> None:
    limit = StreamLimit(1, wait_seconds=0)
    with await admit(limit, HERE):
        for _ in range(2):
            with pytest.raises(TooManyRequests):
                await admit(limit, HERE)
        assert (sum(limit._under_way.values()), limit._waiting, limit._queues) == (1, {}, {})
    with await admit(limit, HERE):
        assert sum(limit._under_way.values()) == 1


async def test_those_that_wait_are_let_in_one_by_one_in_their_order() -> None:
    limit, served = StreamLimit(1, wait_seconds=60), []

    async def request(number: int) -> None:
        with await admit(limit, HERE):
            served.append(number)
            await asyncio.sleep(0)
            assert limit._under_way == {HERE: 1}

    async with asyncio.TaskGroup() as group:
        for number in range(WAITING_EACH + 1):
            group.create_task(request(number))
    assert served == [*range(WAITING_EACH + 1)]
    assert empty(limit)


async def test_no_more_may_wait_than_the_queue_has_places() -> None:
    limit = StreamLimit(1, wait_seconds=60)
    with await admit(limit, HERE):
        waiting = [asyncio.ensure_future(admit(limit, HERE)) for _ in range(WAITING_EACH)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyRequests):
            await admit(limit, HERE)
    with await waiting[0]:
        for one in waiting[1:]:
            one.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert empty(limit)


async def test_a_turn_that_comes_to_one_who_has_left_goes_to_the_next() -> None:
    limit = StreamLimit(1, wait_seconds=60)
    with await admit(limit, HERE):
        first, second = (asyncio.ensure_future(admit(limit, HERE)) for _ in range(2))
        await asyncio.sleep(0)
    first.cancel()
    with await second:
        assert limit._under_way == {HERE: 1}
    assert empty(limit)


async def test_who_has_room_does_not_wait_for_a_neighbour_who_has_none() -> None:
    limit = StreamLimit(2, wait_seconds=60)
    with await admit(limit, "2001:db8::1"), await admit(limit, "2001:db8::2"):
        neighbour = asyncio.ensure_future(admit(limit, "2001:db8::3"))
        await asyncio.sleep(0)
        with await admit(limit, "2001:db8:0:1::1"):
            assert not neighbour.done()
    with await neighbour:
        assert sum(limit._under_way.values()) == 3


async def test_what_is_not_http_is_left_alone() -> None:
    seen: list[str] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    policy = RequestPolicy((), (), Cors(()), StreamLimit(0))
    await run_app(RequestLayer(app, policy, monotonic=lambda: 0.0), {"type": "lifespan"})
    assert seen == ["lifespan"]


async def test_room_that_a_neighbour_makes_is_for_who_has_room_of_its_own() -> None:
    limit = StreamLimit(2, wait_seconds=60)  # of a /64; three of a /56
    with await admit(limit, "2001:db8::1"), await admit(limit, "2001:db8::2"):
        with await admit(limit, "2001:db8:0:1::1"):
            full = asyncio.ensure_future(admit(limit, "2001:db8::3"))
            has_room = asyncio.ensure_future(admit(limit, "2001:db8:0:1::2"))
            await asyncio.sleep(0)
        with await has_room:
            assert not full.done()
    with await full:
        assert sum(limit._under_way.values()) == 3
    assert empty(limit)
