"""What httptools calls while it parses the answers of one connection, one after another (RFC 9112)."""

from collections import deque
from collections.abc import Collection
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from bff.memo import Memo
from bff.upstream.exchange import Exchange
from bff.upstream.failures import MalformedBody, NoSuchStatus
from bff.upstream.protocol import BODYLESS_STATUSES, Header

_LARGEST_HEAD_BYTES: Final = 64 * 1024
_FIELD_FRAME_BYTES: Final = 4  # the colon, a blank and the end of the line
_HIGHEST_STATUS: Final = 599
_SWITCHING_PROTOCOLS: Final = 101
_TRAILERS: Final = deque[Header](maxlen=0)
"""Takes trailer fields, which are not passed on, and keeps none."""
_lowered: Final = Memo[bytes, bytes](bytes.lower, longest=64)
"""Names in lower case: one object for each, whose hash is known when it is looked up again."""


class AnswerParser:
    """Parses the answers of a connection for as long as each ends as it should.

    Attributes:
        exchange: whose answer is expected; not set between two of them.
        between: an answer may begin. Where this is false after an answer, the next one needs another parser.
    """

    __slots__ = (
        "_coded",
        "_fields",
        "_interim",
        "_interim_bytes",
        "_parser",
        "_received",
        "between",
        "exchange",
    )

    exchange: Exchange

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._fields: list[Header] | deque[Header] = []
        self._received = self._interim_bytes = 0
        self._interim = self._coded = False
        self.between = True

    def expect(self, exchange: Exchange) -> None:
        """Parse for this one from now on."""
        self.exchange = exchange
        self._received = self._interim_bytes = 0

    def feed(self, data: bytes) -> None:
        """Parse what has arrived."""
        exchange = self.exchange
        if not exchange.begun:
            self._received += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(type(error).__name__)
        if not exchange.begun and self._received > _LARGEST_HEAD_BYTES:
            exchange.refuse("an answer with a head that is too large")
        exchange.hear()

    # What httptools calls

    def on_message_begin(self) -> None:
        self.between = self._coded = False
        self._fields = []
        if self.exchange.complete:
            self.exchange.reusable = False  # nobody asked for this

    def on_header(self, name: bytes, value: bytes) -> None:
        lowered = _lowered[name]
        if lowered == b"transfer-encoding":
            self._coded = True
        self._fields.append((lowered, value))

    def on_headers_complete(self) -> None:
        exchange = self.exchange
        if exchange.complete:
            return
        status = self._parser.get_status_code()
        if 200 <= status <= _HIGHEST_STATUS:
            self._begin(exchange, status)
        elif status > _HIGHEST_STATUS:
            exchange.fail(NoSuchStatus(log_detail=f"status {status}"))
        elif status < 100 or status == _SWITCHING_PROTOCOLS:
            exchange.refuse("a status that was not asked for")
        else:
            self._interim = True
            self._interim_bytes += _size(self._fields)

    def on_body(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange.complete:
            exchange.reusable = False  # an answer that has no body came with one
            return
        exchange.unread.append(data)
        exchange.unread_bytes += len(data)

    def on_message_complete(self) -> None:
        exchange = self.exchange
        if self._interim:
            self._interim = False
        elif exchange.begun:
            self.between = True
            if not exchange.complete:
                exchange.complete = True
                exchange.reusable = self._parser.should_keep_alive()

    def _begin(self, exchange: Exchange, status: int) -> None:
        fields, self._fields = self._fields, _TRAILERS
        if self._received > _LARGEST_HEAD_BYTES and self._interim_bytes + _size(fields) > _LARGEST_HEAD_BYTES:
            exchange.refuse("an answer with a head that is too large")
            return
        headers = exchange.headers = list(fields)
        if self._coded and not _is_chunked(headers):
            exchange.refuse("an unknown transfer coding")
            return
        exchange.status, exchange.begun = status, True
        if exchange.head_only or status in BODYLESS_STATUSES:
            exchange.complete = True
            exchange.reusable = not _closes(headers) and self._parser.get_http_version() == "1.1"

    def _fail(self, detail: str) -> None:
        self.exchange.reusable = False
        if self.exchange.begun:
            self.exchange.fail(MalformedBody(log_detail=detail))
        else:
            self.exchange.refuse(detail)


def _size(fields: Collection[Header]) -> int:
    return sum(len(name) + len(value) + _FIELD_FRAME_BYTES for name, value in fields)


def _is_chunked(headers: list[Header]) -> bool:
    return all(value.lower() == b"chunked" for name, value in headers if name == b"transfer-encoding")


def _closes(headers: list[Header]) -> bool:
    return any(b"close" in value.lower() for name, value in headers if name == b"connection")
