"""One connection to the upstream, which takes one request at a time."""

import asyncio
import select
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from math import inf
from typing import Final, cast

from bff.deadline import ends_at
from bff.errors import UpstreamTimeout, UpstreamUnavailable
from bff.upstream.answer_parser import AnswerParser
from bff.upstream.exchange import Exchange
from bff.upstream.options import ClientOptions

_LAST_CHUNK: Final = b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """A connection that is open from `connection_made` to `connection_lost`.

    Args:
        options: how long it waits.
        ended: is called once, when it has taken its last request.
        idle: is called when it can take the next one.
    """

    def __init__(
        self,
        options: ClientOptions,
        *,
        ended: Callable[["Connection"], None],
        idle: Callable[["Connection"], None],
    ) -> None:
        self._options = options
        self._ended = ended
        self._idle = idle
        self._transport: asyncio.Transport | None = None
        self._poll = select.poll()
        self._parser = AnswerParser()
        self._exchange: Exchange | None = None
        self._sender: asyncio.Task[None] | None = None
        self._body_left = False
        self._writable: asyncio.Future[None] | None = None
        self.closed = False
        self.broke = False
        """It broke under its last request, or what came is not HTTP."""
        self.idle_since = self.sent_at = 0.0

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._poll.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    def data_received(self, data: bytes) -> None:
        exchange = self._exchange
        if exchange is None:
            self.close()  # nobody asked for anything
            return
        self._parser.feed(data)
        if exchange.complete and not (self._body_left or exchange.paused):
            exchange.released = True
            self.finish(exchange)

    def eof_received(self) -> None:
        # A peer that has closed its side has given its answer; what is not sent yet is not wanted any more.
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        exchange = self._exchange
        if exchange is not None:
            exchange.lose(exc)
        self.close()

    def pause_writing(self) -> None:
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    # What the pool and the client call

    def pause_reading(self) -> None:
        assert self._transport is not None
        if not self.closed:
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        assert self._transport is not None
        if not self.closed:
            self._transport.resume_reading()

    def stale(self) -> bool:
        """Return whether upstream has closed an idle connection, or sent what nobody asked for.

        The event loop may not have seen it yet; this asks the system.
        """
        return self.closed or bool(self._poll.poll(0))

    async def send(
        self,
        head: bytes,
        *,
        head_only: bool,
        stream: AsyncIterator[bytes] | None = None,
        length: int | None = None,
    ) -> Exchange:
        """Send a request and return when the answer's head is there.

        An answer that comes before the whole body is out is returned at once; the rest goes on being sent.

        Args:
            head: everything before the body, and a short body with it.
            head_only: it is a HEAD.
            stream: a body that comes bit by bit.
            length: how long that body is; None: it goes out in chunks (RFC 9112 §7.1).

        Raises:
            UpstreamUnavailable, UpstreamTimeout, BadUpstreamAnswer: see `bff.upstream.failures`.
            Exception: what reading the body raised.
        """
        assert self._transport is not None
        assert self._exchange is None
        # An upload takes as long as its client takes to send it.
        head_by = ends_at() if stream is None else inf
        exchange = self._exchange = Exchange(self, self._options.read_seconds, head_by)
        exchange.head_only = head_only
        self._parser.expect(exchange)
        self.sent_at = self._loop.time()
        self._transport.write(head)
        if stream is None:
            exchange.listens = True
        else:
            self._body_left = True
            self._sender = asyncio.ensure_future(self._send_body(exchange, stream, length))
        try:
            while not exchange.begun:
                await exchange.more()
        except BaseException:
            self.finish(exchange)
            raise
        return exchange

    def check(self, now: float) -> None:
        """Give up an answer that takes too long."""
        if self._exchange is not None:
            self._exchange.check(now)

    def finish(self, exchange: Exchange) -> None:
        """Take the next request, or close where this one's answer or body is not complete."""
        if exchange is not self._exchange:
            return
        self._exchange = None
        del self._parser.exchange
        if self._sender is not None:
            self._sender.cancel()
            self._sender = None
        self.broke = exchange.broken
        if self.closed or self._body_left or not exchange.reusable:
            self.close()
            return
        if not self._parser.between:
            self._parser = AnswerParser()
        self._idle(self)

    def close(self) -> None:
        """Close at once."""
        if self.closed:
            return
        self.closed = True
        self.resume_writing()
        assert self._transport is not None
        self._transport.abort()
        self._ended(self)

    async def _send_body(self, exchange: Exchange, stream: AsyncIterator[bytes], length: int | None) -> None:
        try:
            await self._pump(exchange, stream, length)
        except Exception as error:  # noqa: BLE001 - whoever waits for the answer learns of it
            exchange.fail(UpstreamUnavailable(log_detail="the body ended") if exchange.begun else error)
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    async def _pump(self, exchange: Exchange, stream: AsyncIterator[bytes], length: int | None) -> None:
        assert self._transport is not None
        sent = 0
        async for chunk in stream:
            if self.closed or exchange.complete:
                return
            if self._poll.poll(0):  # an answer before the body's end: a write that fails would lose it
                await asyncio.sleep(0)
            if chunk and not self.closed:
                self._transport.write(chunk if length is not None else b"%x\r\n%s\r\n" % (len(chunk), chunk))
                sent += len(chunk)
                await self._drained()
        if length is None:
            self._transport.write(_LAST_CHUNK)
        elif sent != length:
            raise UpstreamUnavailable(log_detail="the body is not as long as announced")
        self._body_left = False
        exchange.listens = True

    async def _drained(self) -> None:
        """Wait until upstream takes more, and let its answer in meanwhile."""
        if self._writable is None:
            await asyncio.sleep(0)
            return
        try:
            async with asyncio.timeout(self._options.write_seconds):
                await asyncio.shield(self._writable)
        except TimeoutError:
            raise UpstreamTimeout(log_detail="upstream does not read") from None
