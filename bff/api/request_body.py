"""The body of a request that is forwarded: a small body is buffered so that it can be sent again, others stream."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.types import Receive

from bff.errors import BodyTooLarge, InvalidRequest
from bff.middleware.header_fields import HeaderFields, OfFields

REPLAYABLE_BYTES: Final = 64 * 1024


class ClientLeft(Exception):
    """The client closed the connection before it had sent the whole body."""


class RequestBody:
    """Reads the body of an ASGI request once, up to a limit.

    Attributes:
        empty: whether there is none.
        replayable: whether `content` may be called more than once.

    Args:
        fields: the header fields of the request.
        receive: ASGI's receive.
        limit: the maximum number of bytes.

    Raises:
        BodyTooLarge: Content-Length is over the limit.
        InvalidRequest: Content-Length is not valid.
    """

    def __init__(self, fields: HeaderFields, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._length, chunked = _framing_of[fields]
        self.empty = not chunked and not self._length
        self._buffered: bytes | None = None
        self._reading = False
        self._read: asyncio.Event | None = None
        self.replayable = self.empty or (not chunked and (self._length or 0) <= REPLAYABLE_BYTES)
        if self._length is not None and self._length > limit:
            raise BodyTooLarge

    async def content(self) -> bytes | AsyncIterator[bytes] | None:
        """Return the body to send: None if it is empty, bytes if it is replayable, otherwise a stream."""
        if self.empty:
            return None
        if not self.replayable:
            return self._stream()
        if self._buffered is None:
            self._buffered = b"".join([chunk async for chunk in self._stream()])
        return self._buffered

    async def left(self) -> None:
        """Wait until the client disconnects. A body that is still being read has its own reader, which notices that."""
        if self._reading:
            self._read = asyncio.Event()
            await self._read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _stream(self) -> AsyncIterator[bytes]:
        self._reading = True
        try:
            read = 0
            while True:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                chunk = message.get("body", b"")
                read += len(chunk)
                if read > self._limit:
                    raise BodyTooLarge
                if chunk:
                    yield chunk
                if not message.get("more_body", False):
                    return
        finally:
            self._reading = False
            if self._read is not None:
                self._read.set()


def _framing(fields: HeaderFields) -> tuple[int | None, bool]:
    """Return the Content-Length, if any, and whether the body is chunked (RFC 9112 §6.3)."""
    length: int | None = None
    for value in fields.every(b"content-length"):
        if not value.isdigit() or len(value) > 18 or length not in {None, int(value)}:
            raise InvalidRequest("Content-Length is not valid")
        length = int(value)
    return length, b"transfer-encoding" in fields.names()


_framing_of: Final = OfFields(_framing)
