"""The body of a forwarded request: framing, limits, and when it can be sent again."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message, Receive

from bff.api.request_body import REPLAYABLE_BYTES, ClientLeft, RequestBody
from bff.errors import BodyTooLarge, InvalidRequest
from bff.middleware.header_fields import HeaderFields

pytestmark = pytest.mark.anyio

Headers = list[tuple[bytes, bytes]]
LIMIT = 1 << 20


def length(value: int | bytes) -> Headers:
    return [(b"content-length", str(value).encode() if isinstance(value, int) else value)]


CHUNKED: Headers = [(b"transfer-encoding", b"chunked")]


def request_body(headers: Headers, receive: Receive, limit: int) -> RequestBody:
    return RequestBody(HeaderFields(headers), receive, limit)


def receiving(*chunks: bytes | None) -> Receive:
    """Return an ASGI receive that delivers these chunks; None is a disconnect."""
    pending = list(chunks)

    async def receive() -> Message:
        if not pending or (chunk := pending.pop(0)) is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(pending)}

    return receive


async def read_all(content: bytes | AsyncIterator[bytes] | None) -> bytes:
    assert content is not None
    if isinstance(content, bytes):
        return content
    return b"".join([chunk async for chunk in content])


@pytest.mark.parametrize("headers", [[], length(0)])
async def test_missing_body_is_none_and_replayable(headers: Headers) -> None:
    body = request_body(headers, receiving(), LIMIT)
    assert body.replayable
    assert [await body.content(), await body.content()] == [None, None]


async def test_small_body_is_buffered_and_replayable() -> None:
    body = request_body(length(6), receiving(b"abc", b"", b"def"), LIMIT)
    assert body.replayable
    assert [await body.content(), await body.content()] == [b"abcdef", b"abcdef"]


@pytest.mark.parametrize(
    ("headers", "replayable"),
    [(length(REPLAYABLE_BYTES), True), (length(REPLAYABLE_BYTES + 1), False), (CHUNKED, False)],
)
async def test_large_and_chunked_bodies_are_streamed_once(headers: Headers, replayable: bool) -> None:  # noqa: FBT001
    body = request_body(headers, receiving(b"abc", b"def"), LIMIT)
    assert body.replayable is replayable
    content = await body.content()
    assert isinstance(content, bytes) is replayable
    assert await read_all(content) == b"abcdef"


async def test_content_length_over_the_limit_is_refused_before_reading() -> None:
    assert request_body(length(LIMIT), receiving(), LIMIT).replayable is False
    with pytest.raises(BodyTooLarge):
        request_body(length(LIMIT + 1), receiving(), LIMIT)


async def test_chunked_body_over_the_limit_is_refused_while_reading() -> None:
    body = request_body(CHUNKED, receiving(b"x" * 6, b"x" * 4, b"x"), 10)
    with pytest.raises(BodyTooLarge):
        await read_all(await body.content())
    assert (
        await read_all(await request_body(CHUNKED, receiving(b"x" * 6, b"x" * 4), 10).content()) == b"x" * 10
    )


@pytest.mark.parametrize(
    "value", [b"", b"-1", b"+1", b"1.0", b"0x10", b"1 ", b"1, 1", b"9" * 19, "\u0663".encode()]
)
async def test_invalid_content_length_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidRequest):
        request_body(length(value), receiving(), LIMIT)


async def test_two_content_lengths_are_refused_unless_they_are_equal() -> None:
    with pytest.raises(InvalidRequest):
        request_body([*length(5), *length(6)], receiving(), LIMIT)
    body = request_body([*length(3), *length(3)], receiving(b"abc"), LIMIT)
    assert await body.content() == b"abc"


@pytest.mark.parametrize("headers", [length(6), length(REPLAYABLE_BYTES + 1), CHUNKED])
async def test_disconnect_in_the_middle_of_a_body_raises_client_left(headers: Headers) -> None:
    with pytest.raises(ClientLeft):
        await read_all(await request_body(headers, receiving(b"abc", None), LIMIT).content())


async def test_left_returns_after_the_client_disconnects() -> None:
    receive, received = receiving(b"", b""), list[str]()

    async def recording_receive() -> Message:
        message = await receive()
        received.append(message["type"])
        return message

    await request_body([], recording_receive, LIMIT).left()
    assert received == ["http.request", "http.request", "http.disconnect"]


async def test_a_listener_leaves_the_body_to_who_reads_it() -> None:
    """An answer may come before the whole body is out: two who receive would take each other's parts."""
    body = request_body(CHUNKED, receiving(b"first", b"second"), LIMIT)
    content = await body.content()
    assert content is not None
    assert not isinstance(content, bytes)
    reader = aiter(content)
    assert await anext(reader) == b"first"
    listener = asyncio.create_task(body.left())
    await asyncio.sleep(0)
    assert not listener.done()
    assert [chunk async for chunk in reader] == [b"second"]
    await listener
