"""A request's body on its way upstream: small ones are kept so that they can be sent again, others stream."""

from collections.abc import AsyncIterator, Iterable
from typing import Final

from starlette.types import Receive

from bff.errors import BodyTooLarge, InvalidRequest

REPLAYABLE_BYTES: Final = 64 * 1024


class ClientLeft(Exception):
    """The client closed its connection."""


class RequestBody:
    """Reads a body from ASGI once, with a limit.

    Args:
        headers: the request's, as ASGI gives them.
        receive: ASGI's receive.
        limit: the most bytes that are taken.

    Raises:
        BodyTooLarge: the announced length is over the limit.
        InvalidRequest: the announced length is no length.
    """

    def __init__(self, headers: Iterable[tuple[bytes, bytes]], receive: Receive, limit: int) -> None:
        self._receive = receive
        self._limit = limit
        self._length, chunked = _framing(headers)
        self._empty = not chunked and not self._length
        self._kept: bytes | None = None
        self.replayable = self._empty or (not chunked and (self._length or 0) <= REPLAYABLE_BYTES)
        if self._length is not None and self._length > limit:
            raise BodyTooLarge

    async def content(self) -> bytes | AsyncIterator[bytes] | None:
        """Return what to send: nothing, the bytes, or the stream; the first two any number of times."""
        if self._empty:
            return None
        if not self.replayable:
            return self._stream()
        if self._kept is None:
            self._kept = b"".join([chunk async for chunk in self._stream()])
        return self._kept

    async def left(self) -> None:
        """Return when the client has left; only for when the body has been read."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _stream(self) -> AsyncIterator[bytes]:
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


def _framing(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int | None, bool]:
    """Return the announced length, and whether the body comes in chunks (RFC 9112 §6.3)."""
    length: int | None = None
    chunked = False
    for name, value in headers:
        if name == b"transfer-encoding":
            chunked = True
        elif name == b"content-length":
            if not value.isdigit() or len(value) > 18 or length not in {None, int(value)}:
                raise InvalidRequest("Content-Length is not one length")
            length = int(value)
    return length, chunked
