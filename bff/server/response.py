"""One request and its response on a client's connection: uvicorn's, with the head and a short body in one write."""

import asyncio
import socket
import struct
from typing import Any, Final

from uvicorn._types import ASGI3Application, ASGISendEvent
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from bff.server.draining import DRAINING

_SHORT_BYTES: Final = 16 * 1024
"""How long a body is copied behind its head; a longer one is not worth it."""
_RESET: Final = struct.pack("ii", 1, 0)
_BODYLESS_STATUSES: Final = frozenset({204, 304})
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_CONTROLS: Final = bytes(range(0x20)) + b"\x7f"
_NOT_IN_VALUES: Final = _CONTROLS.replace(b"\t", b"")
_NOT_IN_NAMES: Final = _CONTROLS + b'()<>@,;:[]={} \\"'


class ResponseCycle(RequestResponseCycle):
    """Holds a response's head back until the first part of its body, or until the event loop's next turn."""

    _held = b""
    _until_close = False

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Run the application. What it leaves incomplete ends here, and closes the connection."""
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException:  # the last resort, behind the application's own
            self.logger.exception("the application failed")
        self.release()
        if not self.response_complete and not self.disconnected:
            self.logger.error("the application's response is not complete")
            await self._give_up()
        self.on_response = _nothing

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

    def _head(self, status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
        """Return status line and fields, and learn from them how the body is framed (RFC 9112 §6)."""
        fields = _checked(fields)
        self.keep_alive = self.keep_alive and not DRAINING.begun
        closing = False
        for name, value in fields:
            if name in _FRAMING:
                closing = self._learn_framing(name, value) or closing
        lines = [*map(b": ".join, fields)]
        if not self.keep_alive and not closing:
            lines.append(b"connection: close")
        if self.chunked_encoding is None and self.scope["http_version"] == "1.0":
            self._until_close = True  # HTTP/1.0 has no chunks, and uvicorn keeps none of its connections open
        elif self._needs_chunks(status):
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked")
        return STATUS_LINE[status] + b"\r\n".join([*lines, b"", b""])

    def _needs_chunks(self, status: int) -> bool:
        bodyless = self.scope["method"] == "HEAD" or status in _BODYLESS_STATUSES
        return self.chunked_encoding is None and not bodyless

    def _learn_framing(self, name: bytes, value: bytes) -> bool:
        """Take what a field says of the body's framing; return whether it closes the connection."""
        if name == b"content-length":
            if self.chunked_encoding is None:
                self.expected_content_length, self.chunked_encoding = int(value), False
        elif name == b"transfer-encoding":
            if value.lower() == b"chunked":
                self.expected_content_length, self.chunked_encoding = 0, True
        elif b"close" in [option.strip() for option in value.lower().split(b",")]:
            self.keep_alive = False
            return True
        return False

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


def _checked(fields: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Refuse a field that would be read as another one, or as several (RFC 9110 §5.1, §5.5); names in lower case."""
    if not fields:
        return fields
    names, values = zip(*fields, strict=True)
    joined, together = b"".join(names), b"".join(values)
    if len(joined.translate(None, _NOT_IN_NAMES)) != len(joined):
        raise RuntimeError("the name of a header field is not valid")
    if len(together.translate(None, _NOT_IN_VALUES)) != len(together):
        raise RuntimeError("the value of a header field is not valid")
    if joined.islower():
        return fields
    return [(name.lower(), value) for name, value in fields]


def _nothing() -> None:
    """Do nothing: the next request is not this one's to begin."""
