"""One response on a client's connection: how it is framed, and in how many writes it leaves."""

import asyncio
from typing import Any, cast

import pytest
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl

from bff.middleware import WHOLE_BODY
from bff.server.response import ResponseCycle

pytestmark = pytest.mark.anyio


class Transport:
    """Takes what is written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


def cycle(
    transport: Transport,
    method: str = "GET",
    version: str = "1.1",
    running: "set[asyncio.Task[None]] | None" = None,
) -> ResponseCycle:
    one = ResponseCycle(
        cast("Any", {"type": "http", "method": method, "http_version": version}),
        cast("Any", transport),
        FlowControl(cast("Any", transport)),
        [],
        lambda: None,
        running if running is not None else set(),
    )
    one.keep_alive = version == "1.1"
    one.more_body = False  # the request has come in whole
    return one


def start(*fields: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(fields)}


def body(content: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


async def written(*messages: Message, method: str = "GET", version: str = "1.1") -> list[bytes]:
    """Return what an application that sends these messages and ends leaves on the wire, write by write."""
    transport = Transport()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    await cycle(transport, method, version).run_asgi(cast("Any", app))
    return transport.writes


async def test_a_short_answer_leaves_in_one_write() -> None:
    sent = await written(start((b"content-length", b"2")), body(b"ok"))
    assert sent == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]


async def test_the_end_of_a_streamed_answer_with_a_length_is_no_write() -> None:
    sent = await written(start((b"content-length", b"2")), body(b"ok", more=True), body(b""))
    assert sent == [b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"]


async def test_a_long_body_is_not_copied_behind_its_head() -> None:
    long = b"x" * 100_000
    head, rest = await written(start((b"content-length", b"100000")), body(long))
    assert head.endswith(b"\r\n\r\n")
    assert rest is long


async def test_a_head_does_not_wait_for_a_body_that_is_late() -> None:
    transport, seen = Transport(), list[bytes]()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start())
        await asyncio.sleep(0)
        seen.extend(transport.writes)
        await send(body(b"late"))

    await cycle(transport).run_asgi(cast("Any", app))
    assert seen == [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"]
    assert transport.writes[1:] == [b"4\r\nlate\r\n0\r\n\r\n"]


@pytest.mark.parametrize("content", [b"", b"ok"])
async def test_a_head_may_come_with_its_whole_body(content: bytes) -> None:
    head = start((b"content-length", b"%d" % len(content)))
    (sent,) = await written({**head, WHOLE_BODY: content})
    assert sent == b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(content), content)


async def test_nothing_comes_after_a_whole_body() -> None:
    one = cycle(Transport())
    await one.send(cast("Any", {**start(), WHOLE_BODY: b""}))
    with pytest.raises(RuntimeError, match="or nothing"):
        await one.send(cast("Any", body(b"more")))


@pytest.mark.parametrize("fails", [False, True])
async def test_a_request_is_among_those_that_run_until_it_ends(fails: bool) -> None:  # noqa: FBT001
    running, seen = set[asyncio.Task[None]](), list[int]()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        seen.append(len(running))
        if fails:
            raise ValueError
        await send(start())
        await send(body(b""))

    task = asyncio.create_task(cycle(Transport(), running=running).run_asgi(cast("Any", app)))
    running.add(task)
    await task
    assert seen == [1]
    assert not running


async def test_a_head_without_its_body_leaves_before_the_connection_is_closed() -> None:
    assert await written(start((b"content-length", b"9"))) == [
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"
    ]


async def test_an_answer_without_a_length_ends_with_an_http_1_0_connection() -> None:
    (sent,) = await written(start(), body(b"one", more=True), body(b""), version="1.0")
    assert sent == b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\none"


async def test_an_answer_to_head_has_no_body() -> None:
    sent = await written(start((b"content-length", b"9")), body(b"nine byte"), method="HEAD")
    assert sent == [b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"]


async def test_names_are_in_lower_case_and_a_closing_answer_closes() -> None:
    transport = Transport()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send(start((b"Connection", b"Close"), (b"Content-Length", b"0")))
        await send(body(b""))

    await cycle(transport).run_asgi(cast("Any", app))
    assert transport.writes == [b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 0\r\n\r\n"]
    assert transport.closed


async def test_a_percent_sign_in_a_field_stays_what_it_is() -> None:
    (sent,) = await written(start((b"x-100%b", b"%b"), (b"content-length", b"0")), body(b""))
    assert sent == b"HTTP/1.1 200 OK\r\nx-100%b: %b\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "field",
    [
        (b"x", b"a\r\nb: c"),
        (b"x", b"a\nb"),
        (b"x", b"a\0"),
        (b"x", b"a\x1f"),
        (b"x", b"a\x7f"),
        (b"x: y\r\nz", b"1"),
        (b"x y", b"1"),
    ],
)
async def test_a_field_that_is_more_than_one_is_not_sent(field: tuple[bytes, bytes]) -> None:
    sent = b"".join(await written(start(field), body(b"")))
    assert sent.startswith(b"HTTP/1.1 500 ") or not sent
    assert field[1] not in sent or field[1] == b"1"


@pytest.mark.parametrize("messages", [[body(b"")], [start(), start()]], ids=["no-head", "two-heads"])
async def test_messages_in_the_wrong_order_are_refused(messages: list[Message]) -> None:
    one = cycle(Transport())
    for message in messages[:-1]:
        await one.send(cast("Any", message))
    with pytest.raises(RuntimeError, match="was sent where the next is"):
        await one.send(cast("Any", messages[-1]))


@pytest.mark.parametrize(("content", "how"), [(b"longer", "longer"), (b"x", "shorter")])
async def test_a_body_of_another_length_than_announced_is_refused(content: bytes, how: str) -> None:
    one = cycle(Transport())
    await one.send(cast("Any", start((b"content-length", b"2"))))
    with pytest.raises(RuntimeError, match=f"{how} than announced"):
        await one.send(cast("Any", body(content)))
