"""One request on a connection and its answer, parsed as it comes (RFC 9112)."""

import asyncio
from collections.abc import AsyncIterator
from math import inf
from typing import Final, Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from bff.errors import BadUpstreamAnswer, UpstreamTimeout, UpstreamUnavailable
from bff.upstream.failures import ClosedUnanswered, MalformedBody, NoSuchStatus
from bff.upstream.protocol import BODYLESS_STATUSES, Header

_LARGEST_HEAD_BYTES: Final = 64 * 1024
_FIELD_FRAME_BYTES: Final = 4  # the colon, a blank and the end of the line
_MOST_BUFFERED_BYTES: Final = 64 * 1024
_HIGHEST_STATUS: Final = 599
_SWITCHING_PROTOCOLS: Final = 101


class Line(Protocol):
    """The connection, as its exchange sees it."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def close(self) -> None:
        """Close at once; nothing more arrives."""
        ...

    def finish(self, exchange: "Exchange") -> None:
        """The caller has done with the answer."""
        ...


class Exchange:
    """The answer to one request: an `UpstreamAnswer`, and what httptools calls while it parses.

    Args:
        line: the connection that it is on.
        head_only: the request was a HEAD, whose answer has no body whatever it announces (RFC 9110 §9.3.2).
        read_seconds: the longest wait for bytes.
        head_by: when the head must be there, by the event loop's clock.
    """

    __slots__ = (
        "_chunks",
        "_failure",
        "_fields_size",
        "_head_by",
        "_head_bytes",
        "_head_only",
        "_interim",
        "_last_bytes_at",
        "_line",
        "_listens",
        "_loop",
        "_parser",
        "_paused",
        "_read_seconds",
        "_size",
        "_until_close",
        "_waiter",
        "begun",
        "broken",
        "complete",
        "headers",
        "reusable",
        "status",
    )

    def __init__(self, line: Line, *, head_only: bool, read_seconds: float, head_by: float = inf) -> None:
        self._line = line
        self._head_only = head_only
        self._read_seconds = read_seconds
        self._head_by = head_by
        self._parser = HttpResponseParser(self)
        self._loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._listens = False
        self._last_bytes_at = 0.0
        self._failure: Exception | None = None
        self._chunks: list[bytes] = []
        self._size = self._head_bytes = self._fields_size = 0
        self._interim = self._paused = self._until_close = False
        self.status = 0
        self.headers: list[Header] = []
        self.begun = False
        """The head is there."""
        self.complete = False
        """The whole answer is there, if not read yet."""
        self.reusable = False
        """The connection can take another request after this one."""
        self.broken = False
        """The connection broke, or what came is not HTTP: the request may be sent again if it is safe."""

    # What callers use

    async def head(self) -> None:
        """Wait for the head.

        Raises:
            UpstreamUnavailable, UpstreamTimeout, BadUpstreamAnswer: see `bff.upstream.failures`.
        """
        while not self.begun:
            if self._failure is not None:
                raise self._failure
            await self._wait()

    def whole(self) -> bytes | None:
        """Return the body where all of it is here; None: `chunks` has it."""
        if not self.complete or self._paused:
            return None
        content, self._chunks, self._size = b"".join(self._chunks), [], 0
        return content

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; reading stops while more is here than is asked for."""
        while True:
            if self._chunks:
                chunk = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
                self._chunks, self._size = [], 0
                if self._paused:
                    self._paused = False
                    self._line.resume_reading()
                yield chunk
            elif self.complete:
                return
            elif self._failure is not None:
                raise self._failure
            else:
                await self._wait()

    async def aclose(self) -> None:
        """Give the connection back, or close it where the answer is not complete."""
        self._line.finish(self)

    # What the connection calls

    def listen(self) -> None:
        """The request is out: from now on upstream may not be silent for long."""
        self._last_bytes_at = self._loop.time()
        self._listens = True

    def feed(self, data: bytes) -> None:
        """Parse what has arrived."""
        self._last_bytes_at = self._loop.time()
        if not self.begun:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail_to_parse(type(error).__name__)
        if not self.begun and self._head_bytes > _LARGEST_HEAD_BYTES:
            self._refuse("an answer with a head that is too large")
        if self._size > _MOST_BUFFERED_BYTES and not (self._paused or self.complete):
            self._paused = True
            self._line.pause_reading()
        self._wake()

    def check(self, now: float) -> None:
        """Give up an upstream that has been silent for too long, or whose head is overdue."""
        if not self._listens:
            return
        if not self.begun and now > self._head_by:
            self.fail(UpstreamTimeout(log_detail="the deadline of the request"))
        elif self._waiter is None:  # nobody waits for bytes: the reader is slow, not upstream
            self._last_bytes_at = now
        elif now > self._last_bytes_at + self._read_seconds:
            self.fail(UpstreamTimeout(log_detail="silence in the body" if self.begun else "no answer"))

    def lose(self, error: Exception | None) -> None:
        """The connection is closed, by an error or in order."""
        self.reusable = False
        if self.complete or self._failure is not None:
            return
        if self.begun and self._until_close and error is None:
            self.complete = True
            self._wake()
            return
        detail = "closed" if error is None else type(error).__name__
        self.broken = True
        if error is None and not self.begun:
            self.fail(ClosedUnanswered(log_detail=detail))
        else:
            self.fail(UpstreamUnavailable(log_detail=detail))

    def fail(self, failure: Exception) -> None:
        """End the answer here; the first failure counts, and none does after a complete answer."""
        if self._failure is None and not self.complete:
            self._failure = failure
            self._line.close()
            self._wake()

    # What httptools calls

    def on_message_begin(self) -> None:
        if self.complete:
            self.reusable = False  # nobody asked for this

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.begun:  # trailers are not passed on
            self.headers.append((name.lower(), value))
            self._fields_size += len(name) + len(value) + _FIELD_FRAME_BYTES

    def on_headers_complete(self) -> None:
        if self.complete:
            return
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != _SWITCHING_PROTOCOLS:
            self._interim = True
            self.headers.clear()
        elif status < 200:
            self._refuse("a status that was not asked for")
        elif status > _HIGHEST_STATUS:
            self.fail(NoSuchStatus(log_detail=f"status {status}"))
        else:
            self._begin(status)

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self.reusable = False  # an answer that has no body came with one
            return
        self._chunks.append(data)
        self._size += len(data)

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        elif self.begun and not self.complete:
            self.complete = True
            self.reusable = self._parser.should_keep_alive()

    def _begin(self, status: int) -> None:
        length, coding, closing = _framing(self.headers)
        if coding not in {None, b"chunked"}:
            self._refuse("an unknown transfer coding")
            return
        if self._fields_size > _LARGEST_HEAD_BYTES:
            self._refuse("an answer with a head that is too large")
            return
        self.status, self.begun = status, True
        self._until_close = not length and coding is None
        if self._head_only or status in BODYLESS_STATUSES:
            self.complete = True
            self.reusable = not closing and self._parser.get_http_version() == "1.1"

    def _fail_to_parse(self, detail: str) -> None:
        self.reusable = False
        if self.begun:
            self.fail(MalformedBody(log_detail=detail))
        else:
            self._refuse(detail)

    def _refuse(self, detail: str) -> None:
        if self._failure is None:
            self.broken = True
            self.fail(BadUpstreamAnswer(log_detail=detail))

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _framing(headers: list[Header]) -> tuple[bool, bytes | None, bool]:
    """Return whether there is a length, the transfer coding, and whether the connection ends with the answer."""
    length, coding, closing = False, None, False
    for name, value in headers:
        if name == b"content-length":
            length = True
        elif name == b"transfer-encoding":
            coding = value.lower()
        elif name == b"connection":
            closing = closing or b"close" in value.lower()
    return length, coding, closing
