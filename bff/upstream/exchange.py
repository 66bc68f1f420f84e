"""One request on a connection, and its answer as it comes."""

import asyncio
from collections.abc import AsyncIterator
from math import inf
from typing import Final, Protocol

from bff.errors import BadUpstreamAnswer, UpstreamTimeout, UpstreamUnavailable
from bff.upstream.failures import ClosedUnanswered
from bff.upstream.protocol import Header

_MOST_BUFFERED_BYTES: Final = 64 * 1024
_ENDS: Final = frozenset({b"content-length", b"transfer-encoding"})
"""Fields that say where a body ends; without them it ends with the connection."""


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
    """The answer to one request: an `UpstreamAnswer`.

    Attributes:
        head_only: the request was a HEAD, whose answer has no body whatever it announces (RFC 9110 §9.3.2).
        begun: the head is there.
        complete: the whole answer is there, if not read yet.
        reusable: the connection can take another request after this one.
        broken: the connection broke, or what came is not HTTP: the request may be sent again if it is safe.
        listens: the request is out: upstream may not be silent for long.
        paused: upstream is not read from, because enough is unread.
        released: it came whole, and the connection has done with it.
        unread: what is here of the body, and `unread_bytes` how much that is.

    Args:
        line: the connection that it is on.
        read_seconds: the longest wait for bytes.
        head_by: when the head must be there, by the event loop's clock.
    """

    __slots__ = (
        "_failure",
        "_head_by",
        "_heard",
        "_last_heard_at",
        "_line",
        "_read_seconds",
        "_waiter",
        "begun",
        "broken",
        "complete",
        "head_only",
        "headers",
        "listens",
        "paused",
        "released",
        "reusable",
        "status",
        "unread",
        "unread_bytes",
    )

    def __init__(self, line: Line, read_seconds: float, head_by: float = inf) -> None:
        self._line = line
        self._read_seconds = read_seconds
        self._head_by = head_by
        self._waiter: asyncio.Future[None] | None = None
        self._last_heard_at = 0.0
        self._failure: Exception | None = None
        self._heard = True
        self.paused = self.listens = self.released = False
        self.head_only = False
        self.begun = self.complete = self.reusable = self.broken = False
        self.status = self.unread_bytes = 0
        self.headers: list[Header] = []
        self.unread: list[bytes] = []

    # What callers use

    def more(self) -> asyncio.Future[None]:
        """Return what is done when more has happened.

        Raises:
            UpstreamUnavailable, UpstreamTimeout, BadUpstreamAnswer: there is no more; see `bff.upstream.failures`.
        """
        if self._failure is not None:
            raise self._failure
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        return waiter

    def whole(self) -> bytes | None:
        """Return the body where all of it is here; None: `chunks` has it."""
        if not self.complete or self.paused:
            return None
        return self._taken()

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; reading stops while more is here than is asked for."""
        while True:
            if self.unread:
                chunk = self._taken()
                if self.paused:
                    self.paused = False
                    self._line.resume_reading()
                yield chunk
            elif self.complete:
                return
            else:
                await self.more()

    def _taken(self) -> bytes:
        chunks = self.unread
        self.unread, self.unread_bytes = [], 0
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def aclose(self) -> None:
        """Give the connection back, or close it where the answer is not complete."""
        self._line.finish(self)

    # What the connection calls

    def hear(self) -> None:
        """Something has arrived, and is parsed."""
        self._heard = True
        if self.unread_bytes > _MOST_BUFFERED_BYTES and not (self.paused or self.complete):
            self.paused = True
            self._line.pause_reading()
        self._wake()

    def check(self, now: float) -> None:
        """Give up an upstream that has been silent for too long, or whose head is overdue."""
        if not self.listens:
            return
        if not self.begun and now > self._head_by:
            self.fail(UpstreamTimeout(log_detail="the deadline of the request"))
        elif self._heard or not self._waits():  # nobody waits for bytes: the reader is slow, not upstream
            self._heard = False
            self._last_heard_at = now
        elif now > self._last_heard_at + self._read_seconds:
            self.fail(UpstreamTimeout(log_detail="silence in the body" if self.begun else "no answer"))

    def lose(self, error: Exception | None) -> None:
        """The connection is closed, by an error or in order."""
        self.reusable = False
        if self.complete or self._failure is not None:
            return
        if self.begun and error is None and _ENDS.isdisjoint([name for name, _ in self.headers]):
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

    def refuse(self, detail: str) -> None:
        """End the answer here, because what came is none."""
        if self._failure is None:
            self.broken = True
            self.fail(BadUpstreamAnswer(log_detail=detail))

    def _waits(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
