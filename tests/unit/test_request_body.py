"""A request's body on its way upstream: framing, limits, and when it can be sent again."""

from collections.abc import AsyncIterator

import pytest
from starlette.types import Message, Receive

from bff.api.request_body import REPLAYABLE_BYTES, ClientLeft, RequestBody
from bff.errors import BodyTooLarge, InvalidRequest

pytestmark = pytest.mark.anyio

Headers = list[tuple[bytes, bytes]]
LIMIT = 1 << 20


def length(value: int | bytes) -> Headers:
    return [(b"content-length", str(value).encode() if isinstance(value, int) else value)]


CHUNKED: Headers = [(b"transfer-encoding", b"chunked")]


def coming(*messages: bytes | None) -> Receive:
    """Return an ASGI receive that gives these chunks; None says that the client left."""
    left = list(messages)

    async def receive() -> Message:
        if not left or (chunk := left.pop(0)) is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    return receive


async def whole(content: bytes | AsyncIterator[bytes] | None) -> bytes:
    assert content is not None
    if isinstance(content, bytes):
        return content
    return b"".join([chunk async for chunk in content])


@pytest.mark.parametrize("headers", [[], length(0)])
async def test_no_body_is_sent_as_none_and_any_number_of_times(headers: Headers) -> None:
    body = RequestBody(headers, coming(), LIMIT)
    assert body.replayable
    assert [await body.content(), await body.content()] == [None, None]


async def test_a_small_body_is_kept_and_sent_again() -> None:
    body = RequestBody(length(6), coming(b"abc", b"", b"def"), LIMIT)
    assert body.replayable
    assert [await body.content(), await body.content()] == [b"abcdef", b"abcdef"]


@pytest.mark.parametrize(
    ("headers", "replayable"),
    [(length(REPLAYABLE_BYTES), True), (length(REPLAYABLE_BYTES + 1), False), (CHUNKED, False)],
)
async def test_large_and_chunked_bodies_stream_once(headers: Headers, replayable: bool) -> None:  # noqa: FBT001
    body = RequestBody(headers, coming(b"abc", b"def"), LIMIT)
    assert body.replayable is replayable
    content = await body.content()
    assert isinstance(content, bytes) is replayable
    assert await whole(content) == b"abcdef"


async def test_an_announced_length_over_the_limit_is_refused_before_reading() -> None:
    assert RequestBody(length(LIMIT), coming(), LIMIT).replayable is False
    with pytest.raises(BodyTooLarge):
        RequestBody(length(LIMIT + 1), coming(), LIMIT)


async def test_an_unannounced_length_over_the_limit_is_refused_while_reading() -> None:
    body = RequestBody(CHUNKED, coming(b"x" * 6, b"x" * 4, b"x"), 10)
    with pytest.raises(BodyTooLarge):
        await whole(await body.content())
    assert await whole(await RequestBody(CHUNKED, coming(b"x" * 6, b"x" * 4), 10).content()) == b"x" * 10


@pytest.mark.parametrize(
    "value", [b"", b"-1", b"+1", b"1.0", b"0x10", b"1 ", b"1, 1", b"9" * 19, "\u0663".encode()]
)
async def test_a_length_that_is_none_is_refused(value: bytes) -> None:
    with pytest.raises(InvalidRequest):
        RequestBody(length(value), coming(), LIMIT)


async def test_two_lengths_are_refused_unless_they_are_one() -> None:
    with pytest.raises(InvalidRequest):
        RequestBody([*length(5), *length(6)], coming(), LIMIT)
    body = RequestBody([*length(3), *length(3)], coming(b"abc"), LIMIT)
    assert await body.content() == b"abc"


@pytest.mark.parametrize("headers", [length(6), length(REPLAYABLE_BYTES + 1), CHUNKED])
async def test_a_client_that_leaves_in_the_middle_is_no_end_of_the_body(headers: Headers) -> None:
    with pytest.raises(ClientLeft):
        await whole(await RequestBody(headers, coming(b"abc", None), LIMIT).content())


async def test_left_returns_when_the_client_has_left() -> None:
    receive, received = coming(b"", b""), list[str]()

    async def noting() -> Message:
        message = await receive()
        received.append(message["type"])
        return message

    await RequestBody([], noting, LIMIT).left()
    assert received == ["http.request", "http.request", "http.disconnect"]
