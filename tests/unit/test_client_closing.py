"""A token answer is closed by whoever reads it, before the call returns, and not by the garbage collector later."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bff.emporix.auth import EmporixAuth
from bff.errors import BadUpstreamAnswer, BffError, UpstreamTimeout, UpstreamUnavailable
from bff.session import GuestContext
from bff.upstream.token_calls import TokenCallClient
from tests.frozen_time import FrozenLoop, advance, settle
from tests.support import TENANT, Clock

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": FrozenLoop}


class Body:
    """An answer whose body has these chunks, then goes on for ever or breaks off; it knows whether it was closed."""

    status = 200
    released = False
    headers = ((b"content-type", b"application/json"),)

    def __init__(self, *chunks: bytes, breaks: bool = False, hangs: bool = False) -> None:
        self._chunks = chunks
        self._breaks = breaks
        self._hangs = hangs
        self.closed = False

    def whole(self) -> bytes | None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk
        if self._breaks:
            raise UpstreamUnavailable
        if self._hangs:
            await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed = True


class OneAnswer:
    """An upstream client that has one answer."""

    def __init__(self, answer: Body) -> None:
        self._answer = answer

    async def open(self, *_request: object) -> Body:
        return self._answer

    async def aclose(self) -> None:
        """Nothing is held open."""


async def outcome(body: Body) -> tuple[type[BffError], bool]:
    """Begin a guest with an answer of this body; return what came of it, and whether the body was closed by then."""
    client = TokenCallClient(OneAnswer(body))
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
