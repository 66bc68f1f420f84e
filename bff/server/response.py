"""One request and its response on a client's connection: uvicorn's, with the head and a short body in one write."""

import asyncio
import socket
import struct
from typing import Any, Final, cast

from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
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
        """Run the application; uvicorn closes the connection after it where the response is not complete."""

        async def released(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
            try:
                await app(scope, receive, send)
            finally:
                self.release()

        await super().run_asgi(released)
        if self.response_started and not self.response_complete:
            self._break_off()

    async def send(self, message: ASGISendEvent) -> None:
        """Take the response's head, or the next part of its body."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        wanted = "http.response.body" if self.response_started else "http.response.start"
        if self.response_complete or message["type"] != wanted:
            raise RuntimeError(f"{message['type']} was sent where the next is {wanted}, or nothing")
        fields = cast("dict[str, Any]", message)
        if self.response_started:
            self._send_body(fields.get("body", b""), more=fields.get("more_body", False))
            return
        self.response_started = True
        self.waiting_for_100_continue = False
        self._held = self._head(fields["status"], [*self.default_headers, *fields.get("headers", ())])
        asyncio.get_running_loop().call_soon(self.release)

    def _break_off(self) -> None:
        """End an answer that is not whole, where closing in order would hide that, or wait for who does not read."""
        if self.disconnected or not (self._until_close or self.flow.write_paused):
            return
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.transport.abort()

    def release(self) -> None:
        """Send the head, where it still waits for a body."""
        if self._held:
            head, self._held = self._held, b""
            if not self.disconnected:
                self.transport.write(head)

    def _head(self, status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
        """Return status line and fields, and learn from them how the body is framed (RFC 9112 §6)."""
        _check(fields)
        lines = [STATUS_LINE[status]]
        self.keep_alive = self.keep_alive and not DRAINING.begun
        closing = False
        for name, value in fields:
            lowered = name.lower()
            if lowered in _FRAMING:
                closing = self._learn_framing(lowered, value) or closing
            lines.append(b"%b: %b\r\n" % (lowered, value))
        if not self.keep_alive and not closing:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["http_version"] == "1.0":
            self._until_close = True  # HTTP/1.0 has no chunks, and uvicorn keeps none of its connections open
        elif self._needs_chunks(status):
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        return b"".join(lines)

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


def _check(fields: list[tuple[bytes, bytes]]) -> None:
    """Refuse a field that would be read as another one, or as several (RFC 9110 §5.1, §5.5)."""
    names = b"".join([name for name, _ in fields])
    values = b"".join([value for _, value in fields])
    if len(names.translate(None, _NOT_IN_NAMES)) != len(names):
        raise RuntimeError("the name of a header field is not valid")
    if len(values.translate(None, _NOT_IN_VALUES)) != len(values):
        raise RuntimeError("the value of a header field is not valid")
