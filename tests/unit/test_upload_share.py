"""Uploads have a share of the upstream connections; nothing else waits for them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from bff.errors import UpstreamTimeout, UpstreamUnavailable
from bff.upstream.protocol import RequestContent, UpstreamAnswer
from bff.upstream.upload_share import UploadShare
from tests.frozen_time import FrozenLoop, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": FrozenLoop}


class Answer:
    """An empty answer."""

    status = 200
    released = False
    headers = ((b"x-one", b"1"),)

    def whole(self) -> bytes | None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"answer"

    async def aclose(self) -> None:
        """Nothing is held open."""


class Upstream:
    """An upstream client that answers, fails, or takes its time."""

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.slow = False
        self.calls = 0

    async def open(self, *_request: object) -> Answer:
        self.calls += 1
        if self.slow:
            await asyncio.Event().wait()
        if self.failure is not None:
            raise self.failure
        return Answer()

    async def aclose(self) -> None:
        """Nothing is held open."""


async def body() -> AsyncIterator[bytes]:
    yield b"part"


def share(upstream: Upstream) -> UploadShare:
    return UploadShare(upstream, most=1, wait_seconds=2)


async def sent(client: UploadShare, content: RequestContent) -> UpstreamAnswer:
    return await client.open("POST", b"/x", [], content)


async def refused(client: UploadShare) -> bool:
    """Begin an upload; return whether it is refused once it has waited."""
    call = asyncio.create_task(sent(client, body()))
    await settle()
    advance(2.1)
    await settle()
    with suppress(UpstreamUnavailable):
        await (await call).aclose()
        return False
    return True


async def test_one_upload_too_many_is_refused_and_nothing_else_is() -> None:
    client = share(upstream := Upstream())
    first = await sent(client, body())
    assert (first.status, first.headers) == (200, ((b"x-one", b"1"),))
    assert [chunk async for chunk in first.chunks()] == [b"answer"]
    assert await refused(client)
    assert upstream.calls == 1
    for content in (None, b"whole"):
        await (await sent(client, content)).aclose()
    await first.aclose()
    assert not await refused(client)


async def test_an_upload_that_waits_goes_on_when_another_ends() -> None:
    client = share(Upstream())
    first = await sent(client, body())
    waiting = asyncio.create_task(sent(client, body()))
    await settle()
    assert not waiting.done()
    await first.aclose()
    assert (await waiting).status == 200


async def test_an_answer_that_is_closed_twice_gives_one_place_back() -> None:
    client = share(Upstream())
    first = await sent(client, body())
    await first.aclose()
    await first.aclose()
    await sent(client, body())
    assert await refused(client)


@pytest.mark.parametrize("ending", ["failure", "cancel"])
async def test_an_upload_without_an_answer_gives_its_place_back(ending: str) -> None:
    client = share(upstream := Upstream())
    upstream.slow = ending == "cancel"
    upstream.failure = UpstreamTimeout()
    call = asyncio.create_task(sent(client, body()))
    await settle()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    upstream.slow, upstream.failure = False, None
    assert not await refused(client)
