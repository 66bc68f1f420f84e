"""A proxied call waits for its answer's head no longer than the request may take."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bff.deadline import deadline_in
from bff.errors import UpstreamTimeout
from bff.upstream.protocol import Header, RequestContent, UpstreamAnswer
from bff.upstream.within_deadline import WithinDeadline
from tests.frozen_time import FrozenLoop, advance, settle

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": FrozenLoop}


class Silent:
    """An upstream client that never answers."""

    async def open(
        self, _method: str, _target: bytes, _headers: list[Header], _body: RequestContent
    ) -> UpstreamAnswer:
        await asyncio.Event().wait()
        raise AssertionError("unreachable")

    async def aclose(self) -> None:
        """Nothing is held open."""


async def chunks() -> AsyncIterator[bytes]:
    yield b"part"


async def begun(body: RequestContent) -> "asyncio.Task[UpstreamAnswer]":
    with deadline_in(60):
        advance(58)
        call = asyncio.create_task(WithinDeadline(Silent()).open("POST", b"/x", [], body))
        await settle()
    return call


@pytest.mark.parametrize("body", [None, b"whole"])
async def test_a_second_call_gets_what_the_first_has_left(body: RequestContent) -> None:
    call = await begun(body)
    advance(1)
    await settle()
    assert not call.done()
    advance(1.5)
    with pytest.raises(UpstreamTimeout):
        await call


async def test_an_upload_takes_as_long_as_its_client() -> None:
    call = await begun(chunks())
    advance(600)
    await settle()
    assert not call.done()
    call.cancel()
