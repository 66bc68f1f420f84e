"""One request and its response on a client's connection: uvicorn's, with the head and a short body in one write."""

import asyncio
import logging
import socket
import struct
from collections.abc import Callable
from typing import Any, Final

from uvicorn._types import ASGI3Application, ASGISendEvent, HTTPScope
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from bff.memo import Memo
from bff.middleware import WHOLE_BODY
from bff.server.draining import DRAINING

Header = tuple[bytes, bytes]

_SHORT_BYTES: Final = 16 * 1024
"""How long a body is copied behind its head; a longer one is not worth it."""
_RESET: Final = struct.pack("ii", 1, 0)
_BODYLESS_STATUSES: Final = frozenset({204, 304})
_CONTROLS: Final = bytes(range(0x20)) + b"\x7f"
_NOT_IN_VALUES: Final = _CONTROLS.replace(b"\t", b"")
_NO_CONTROLS: Final = bytes.maketrans(_NOT_IN_VALUES, b"?" * len(_NOT_IN_VALUES))
"""For `translate`: bytes without control characters but tabs stay as they are."""
_NOT_IN_NAMES: Final = _CONTROLS + b'()<>@,;:[]={} \\"'
_LONGEST_USUAL_NAMES: Final = 1024


class ResponseCycle(RequestResponseCycle):
    """Holds a response's head back until the first part of its body, or until the event loop's next turn.

    A head may come with its whole body (`WHOLE_BODY`).

    Attributes:
        keep_alive: the connection may stay open.
        waiting_for_100_continue: the client waits for a 100 before it sends its body.

    Args:
        scope: the request.
        transport: the connection.
        flow: stops reading and writing on it.
        default_headers: fields of every response.
        on_response: is called when the response is complete.
        running: the tasks that are waited for at the end; this request's leaves them by itself.
    """

    # What a request begins with; uvicorn sets all of this for each of them.
    disconnected = response_started = response_complete = _until_close = False
    more_body = keep_alive = True
    waiting_for_100_continue = False
    logger = logging.getLogger("uvicorn.error")
    chunked_encoding: bool | None = None
    expected_content_length = 0
    _held = b""

    def __init__(
        self,
        scope: HTTPScope,
        transport: asyncio.Transport,
        flow: FlowControl,
        default_headers: list[Header],
        on_response: Callable[[], None],
        running: "set[asyncio.Task[None]]",
    ) -> None:
        self.scope = scope
        self.transport = transport
        self.flow = flow
        self.default_headers = default_headers
        self.on_response = on_response
        self._running = running
        self.message_event = asyncio.Event()
        self.body = bytearray()

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Run the application, then leave `running`. What it leaves incomplete ends here, and closes the connection."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException:  # the last resort, behind the application's own
            self.logger.exception("the application failed")
        try:
            self.release()
            if not self.response_complete and not self.disconnected:
                self.logger.error("the application's response is not complete")
                await self._give_up()
        finally:
            self.on_response = _nothing
            self._running.discard(asyncio.current_task())

    async def send(self, message: ASGISendEvent) -> None:
        """Take the response's head, or the next part of its body."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        wanted = "http.response.body" if self.response_started else "http.response.start"
        if self.response_complete or message["type"] != wanted:
            raise RuntimeError(f"{message['type']} was sent where the next is {wanted}, or nothing")
        if self.response_started:
            self._send_body(message.get("body", b""), more=message.get("more_body", False))  # type: ignore[arg-type]
            return
        self.response_started = True
        self.waiting_for_100_continue = False
        start: Any = message
        self._held = self._head(start["status"], [*self.default_headers, *start.get("headers", ())])
        if WHOLE_BODY in start:
            self._send_body(start[WHOLE_BODY], more=False)
        else:
            asyncio.get_running_loop().call_soon(self.release)

    async def _give_up(self) -> None:
        """End a response that was not begun, or is not whole."""
        if not self.response_started:
            await self.send_500_response()
        elif self._until_close or self.flow.write_paused:
            # Closing in order would hide that something is missing, or wait for who does not read.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()
        else:
            self.transport.close()

    def release(self) -> None:
        """Send the head, where it still waits for a body."""
        if self._held:
            head, self._held = self._held, b""
            if not self.disconnected:
                self.transport.write(head)

    def _head(self, status: int, fields: list[Header]) -> bytes:
        """Return status line and fields, and learn from them how the body is framed (RFC 9112 §6)."""
        names, values = zip(*fields, strict=True) if fields else ((), ())
        known = _known[names]
        _check(values)
        closing = bool(known.connection) and _closes(known.connection, values)
        self.keep_alive = self.keep_alive and not closing and not DRAINING.begun
        added = b"" if self.keep_alive or closing else b"connection: close\r\n"
        if known.codings and b"chunked" in [values[at].lower() for at in known.codings]:
            self.chunked_encoding = True
        elif known.lengths:
            self.expected_content_length, self.chunked_encoding = int(values[known.lengths[0]]), False
        elif self.scope["http_version"] == "1.0":
            self._until_close = True  # HTTP/1.0 has no chunks, and uvicorn keeps none of its connections open
        elif self.scope["method"] != "HEAD" and status not in _BODYLESS_STATUSES:
            self.chunked_encoding = True
            added += b"transfer-encoding: chunked\r\n"
        return b"%b%b%b\r\n" % (STATUS_LINE[status], known.lines % values, added)

    def _send_body(self, body: bytes, *, more: bool) -> None:
        if self.scope["method"] == "HEAD":
            self.expected_content_length, body = 0, b""
        elif self.chunked_encoding:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        elif not self._until_close:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("the body is longer than announced")
        if len(body) <= _SHORT_BYTES:
            body, self._held = self._held + body, b""
        else:
            self.release()
        if body:
            self.transport.write(body)
        if not more:
            self._complete()

    def _complete(self) -> None:
        if self.expected_content_length:
            raise RuntimeError("the body is shorter than announced")
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive and not self.more_body:
            self.transport.close()
        self.on_response()  # goes on reading where the request is answered before its end


class _Names:
    """What is known of response fields with these names in this order, whatever their values.

    Attributes:
        lines: the fields as they are sent, with a place for each value.
        connection: which of them are about the connection.
        codings: which give a transfer coding.
        lengths: which give the body's length.
    """

    __slots__ = ("codings", "connection", "lengths", "lines")

    def __init__(self, given: tuple[bytes, ...]) -> None:
        together = b"".join(given)
        if len(together.translate(None, _NOT_IN_NAMES)) != len(together):
            raise RuntimeError("the name of a header field is not valid")
        names = [name.lower() for name in given]
        self.lines = b"".join([name.replace(b"%", b"%%") + b": %b\r\n" for name in names])
        self.connection = _places(b"connection", names)
        self.codings = _places(b"transfer-encoding", names)
        self.lengths = _places(b"content-length", names)


_known: Final = Memo(_Names, longest=_LONGEST_USUAL_NAMES, length=lambda names: sum(map(len, names)))


def _places(wanted: bytes, names: list[bytes]) -> tuple[int, ...]:
    return tuple(at for at, name in enumerate(names) if name == wanted)


def _check(values: tuple[bytes, ...]) -> None:
    """Refuse a value that would be read as several fields (RFC 9110 §5.5)."""
    together = b"".join(values)
    if together.translate(_NO_CONTROLS) != together:
        raise RuntimeError("the value of a header field is not valid")


def _closes(places: tuple[int, ...], values: tuple[bytes, ...]) -> bool:
    """Return whether the fields at these places close the connection (RFC 9112 §9.6)."""
    return any(b"close" in map(bytes.strip, values[at].lower().split(b",")) for at in places)


def _nothing() -> None:
    """Do nothing: the next request is not this one's to begin."""
