"""A head whose fields were read before means what the parser says of the whole of it."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from bff.server.head import MAX_HEAD_BYTES, RequestFields, read_fields, split_head

HOST = b"host: shop.example\r\n"
LINES = (
    b"GET / HTTP/1.1\r\n",
    b"POST /a?b=c HTTP/1.1\r\n",
    b"HEAD / HTTP/1.0\r\n",
    b"GET / HTTP/2.0\r\n",
    b"GET /\r\n",
    b"GET / RTSP/1.0\r\n",
    b"CONNECT shop.example:443 HTTP/1.1\r\n",
    b"PRI * HTTP/2.0\r\n",
    b"GET / HTTP/1.1\n",
    b"GET / HTTP/1.1\r",
    b"GET / HTTP/1.1",
    b"GET / HTTP/1.1\r\nx: y\r\n",
    b"GET / HTTP/1.1\nx: y\r\n",
    b"GET /\n",
    b"nonsense\r\n",
    b"\r\n",
    b"\n",
    b"\r\nGET / HTTP/1.1\r\n",
    b"\nGET / HTTP/1.1\r\n",
    b" GET / HTTP/1.1\r\n",
    b"",
)
FIELDS = (
    HOST,
    b"",
    HOST + b"X-A: \t b \t\r\nx-a: c\r\n",
    HOST + b"connection: keep-alive\r\n",
    HOST + b"connection: close\r\n",
    HOST + b"proxy-connection: close\r\n",
    HOST + b"connection: upgrade\r\nupgrade: websocket\r\n",
    HOST + b"upgrade: websocket\r\n",
    HOST + b"content-length: 0\r\n",
    HOST + b"content-length: 4\r\n",
    HOST + b"transfer-encoding: chunked\r\n",
    HOST + b"expect: 100-continue\r\n",
    HOST + b"x: y\n",
    HOST + b"x: y\nz: 1\r\n",
    HOST + b"x: y\n\nGET / HTTP/1.1\nhost: b\r\n",
    HOST + b"x: y\r",
    HOST + b"x: y\r\n z\r\n",
    HOST + b" x: y\r\n",
    HOST + b"x : y\r\n",
    HOST + b": y\r\n",
    HOST + b"x\0: y\r\n",
    b"GET / HTTP/1.1\r\n" + HOST,
    HOST + b"\r\nGET / HTTP/1.1\r\n" + HOST,
    HOST + b"\r\nG",
    HOST + b"\r\n",
    HOST + b"content-length: 4\r\n\r\nbody",
    HOST + b"content-length: 4\r\n\r\n\r\n\r\n",
    HOST + b"content-length: 2\r\ncontent-length: 2\r\n\r\nok",
    HOST + b"content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
    HOST + b"transfer-encoding: chunked\r\nX: y\r\n\r\n2\r\nok\r\n0\r\nx-t: 1\r\n",
    HOST + b"content-length: 2\r\n\r\nokPOST /next HTTP/1.1\r\nhost: b\r\ny: z\r\n",
)
LEFT = {b"connection", b"content-length", b"proxy-connection", b"transfer-encoding", b"upgrade"}


class Heard:
    """What the parser says of some requests."""

    def __init__(self, read_before: RequestFields | None) -> None:
        self._read_before = read_before
        self._given: list[tuple[bytes, bytes]] = []
        self.parser = HttpRequestParser(self)
        self.events: list[Any] = []

    def on_message_begin(self) -> None:
        self.events.append("begin")

    def on_url(self, url: bytes) -> None:
        self.events.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._given.append((name, value))

    def on_headers_complete(self) -> None:
        parser, (given, self._given) = self.parser, (self._given, [])
        before, self._read_before = self._read_before, None
        assert before is None or {name.lower() for name, _ in given} <= LEFT
        fields = before or read_fields(given)
        self.events += [parser.get_method(), parser.get_http_version(), parser.should_upgrade()]
        self.events += [parser.should_keep_alive(), fields.headers, fields.expects_continue]

    def on_body(self, body: bytes) -> None:
        self.events.append(body)

    def on_message_complete(self) -> None:
        self.events.append("complete")


def heard(data: bytes, read_before: RequestFields | None = None) -> Sequence[Any]:
    """Return what the parser says of data; an error counts, and what was said before it does not."""
    one = Heard(read_before)
    try:
        one.parser.feed_data(data)
    except (HttpParserError, HttpParserUpgrade) as error:
        return [type(error) if isinstance(error, HttpParserUpgrade) else HttpParserError]
    return one.events


@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("line", LINES)
def test_a_split_head_is_heard_as_the_whole_one(line: bytes, fields: bytes) -> None:
    for ended in (fields + b"\r\n", fields):
        for _ in range(2):
            assert heard(*split_head(line + ended)) == heard(line + ended)


def test_fields_are_read_once_for_all_lines() -> None:
    first, second = (
        split_head(b"GET /%d HTTP/1.1\r\n" % number + HOST + b"x-once: 1\r\n\r\n") for number in range(2)
    )
    assert first[0] == b"GET /0 HTTP/1.1\r\n\r\n"
    assert first[1] is not None
    assert first[1].headers == ((b"host", b"shop.example"), (b"x-once", b"1"))
    assert second[1] is first[1]


@pytest.mark.parametrize(
    "line",
    [
        b"Content-Length: 2",
        b"transfer-encoding: chunked",
        b"connection: close",
        b"proxy-connection: close",
        b"upgrade: h2c",
    ],
)
def test_lines_that_tell_the_parser_how_to_go_on_are_left_to_it(line: bytes) -> None:
    request, rest = b"POST / HTTP/1.1\r\n", b"2\r\nok\r\n"
    left, fields = split_head(request + HOST + line + b"\r\nx: y\r\n\r\n" + rest)
    assert left == request + line + b"\r\n\r\n" + rest
    assert fields is not None
    name, _, value = line.lower().partition(b": ")
    assert fields.headers == ((b"host", b"shop.example"), (name, value), (b"x", b"y"))


def test_a_long_body_is_not_copied() -> None:
    long = b"POST / HTTP/1.1\r\n" + HOST + b"content-length: 100000\r\n\r\n" + b"x" * 100_000
    whole, fields = split_head(long)
    assert whole is long
    assert fields is None


PART_OF_NAMES = (b"x", b"X-Y", b"~")
LETTERS = (*PART_OF_NAMES, *(bytes([one]) for one in b': \t\r\n\0\x1f\x7f\x80\xff"('))


@pytest.mark.parametrize("first", LETTERS)
def test_a_line_that_is_read_alone_is_read_as_the_parser_reads_it(first: bytes) -> None:
    split = 0
    for others in product(LETTERS, repeat=3):
        head = b"GET / HTTP/1.1\r\n" + HOST + b"".join((first, *others)) + b"\r\n\r\n"
        left, fields = split_head(head)
        split += fields is not None
        assert heard(left, fields) == heard(head)
    assert bool(split) == (first in PART_OF_NAMES)


def test_names_are_lowered_and_values_have_no_blanks_around_them() -> None:
    assert read_fields([(b"Host", b"shop.example \t")]).headers == ((b"host", b"shop.example"),)


def test_a_target_and_fields_that_are_too_large_together_are_refused() -> None:
    fields = read_fields([(b"host", b"shop.example"), (b"x", b"y" * (MAX_HEAD_BYTES // 2))])
    fields.check(b"/" * 1000, "1.1", 100, upgrade=False)
    with pytest.raises(ValueError, match="too large"):
        fields.check(b"/" * (MAX_HEAD_BYTES // 2), "1.1", 100, upgrade=False)
