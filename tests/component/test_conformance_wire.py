"""How the conformance checks send requests and read responses over a plain socket."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from bff.conformance import wire
from bff.conformance.wire import BadArgument, NoResponse, Target, Wire, parse_responses


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://shop.example", "https://shop.example"),
        ("https://shop.example/", "https://shop.example"),
        ("https://shop.example:443", "https://shop.example"),
        ("https://shop.example:8443", "https://shop.example:8443"),
        ("HTTP://Shop.Example:80", "http://shop.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_a_target_has_a_canonical_origin(url: str, origin: str) -> None:
    assert Target.parse(url).origin == origin


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            "shop.example",
            "ftp://shop.example",
            "https://",
            "https://shop.example:x",
            "https://shop.example:99999",
        ),
        *(
            "https://shop.example/path",
            "https://shop.example?a=b",
            "https://shop.example#a",
            "https://a@shop.example",
        ),
        *(
            "https://shop example",
            "https://shop.example\r\nX: 1/",
            "https://[::1",
            "https://sh\u00f6p.example",
        ),
    ],
)
def test_a_url_that_is_not_an_origin_is_refused(url: str) -> None:
    with pytest.raises(BadArgument):
        Target.parse(url)


def test_responses_are_split_by_their_framing() -> None:
    received = (
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\nx-a: 2\r\n\r\nok"
        b"HTTP/1.1 204 No Content\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )
    found = list(parse_responses(received, "GET"))
    assert [(one.status, one.body) for one in found] == [(200, b"ok"), (204, b""), (200, b"abcde")]
    assert (found[0].header_values("x-a"), found[0].header("x-a"), found[0].header("x-b")) == (
        ["1", "2"],
        "1, 2",
        "",
    )


def test_a_response_to_head_has_no_body() -> None:
    received = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"
    assert [one.status for one in parse_responses(received, "HEAD")] == [200, 400]


@pytest.mark.parametrize("received", [b"", b"HTTP/1.1 200 OK\r\n", b"hello\r\n\r\n", b"HTTP/2 200\r\n\r\n"])
def test_incomplete_or_malformed_responses_are_ignored(received: bytes) -> None:
    assert list(parse_responses(received, "GET")) == []


@asynccontextmanager
async def _responding(text: bytes, *, end: bool) -> AsyncIterator[Wire]:
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        await reader.read(1)
        writer.write(text)
        if end:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield Wire(Target("http", "127.0.0.1", server.sockets[0].getsockname()[1]))
        for writer in writers:
            writer.close()


@pytest.mark.anyio
@pytest.mark.parametrize("end", [True, False])
async def test_an_exchange_records_whether_the_connection_was_closed(
    *, end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "LINGER", 0.1)
    async with _responding(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n", end=end) as connection:
        exchange = await connection.exchange(b"x")
    assert ([one.status for one in exchange.responses], exchange.closed) == ([400], end)


@pytest.mark.anyio
@pytest.mark.parametrize(("text", "end"), [(b"", True), (b"HTTP/1.1 200", True), (b"", False)])
async def test_missing_or_incomplete_response_raises_no_response(
    text: bytes, *, end: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "DEADLINE", 0.2)
    async with _responding(text, end=end) as connection:
        with pytest.raises(NoResponse):
            await connection.exchange(b"x")
