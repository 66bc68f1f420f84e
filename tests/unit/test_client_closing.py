"""A token answer is closed by whoever reads it, before the call returns, and not by the garbage collector later."""

import asyncio
from collections.abc import AsyncIterator

import httpx2
import pytest

from bff.emporix.auth import EmporixAuth
from bff.emporix.client import EmporixClient
from bff.errors import BadUpstreamAnswer, BffError, UpstreamTimeout, UpstreamUnavailable
from bff.sessions.models import GuestContext
from tests.frozen_time import FrozenLoop, advance, settle
from tests.unit.support import TENANT, Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": FrozenLoop}


class Body(httpx2.AsyncByteStream):
    """A body that has these chunks, then goes on for ever or breaks off, and knows whether it was closed."""

    def __init__(self, *chunks: bytes, breaks: bool = False, hangs: bool = False) -> None:
        self._chunks = chunks
        self._breaks = breaks
        self._hangs = hangs
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        if self._breaks:
            raise httpx2.ReadError("broken")
        if self._hangs:
            await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed = True


async def outcome(body: Body) -> tuple[type[BffError], bool]:
    """Begin a guest with an answer of this body; return what came of it, and whether the body was closed by then."""
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, stream=body))
    client = EmporixClient("http://upstream.test", transport=transport)
    emporix = EmporixAuth(client, tenant=TENANT, client_id="storefront", clock=Clock())

    async def begin() -> tuple[type[BffError], bool]:
        with pytest.raises(BffError) as caught:
            await emporix.anonymous_login(GuestContext())
        return caught.type, body.closed

    call = asyncio.create_task(begin())
    await settle()
    if not call.done():
        advance(60)
    found = await call
    await client.aclose()
    return found


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (Body(*[b"{" * 65_536] * 40), BadUpstreamAnswer),
        (Body(b"{", hangs=True), UpstreamTimeout),
        (Body(b"{", breaks=True), UpstreamUnavailable),
        (Body(b"no JSON"), BadUpstreamAnswer),
    ],
    ids=["too large", "hanging", "broken off", "whole"],
)
async def test_an_answer_is_closed_whatever_its_body_does(body: Body, error: type[BffError]) -> None:
    assert await outcome(body) == (error, True)
