"""A client's HTTP/1.1 connection with strict request targets, limited heads and timeouts.

uvicorn has no timeout for an incomplete request head, an incomplete body or a response that the client does not read.
Here every connection has a deadline, and the server checks all connections once a second. A request costs a few
assignments and no timer.
"""

import asyncio
import logging
import re
import secrets
from enum import Enum, auto
from http import HTTPStatus
from math import inf
from typing import ClassVar, Final

import httptools
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bff.errors import BffError, InvalidRequest, RequestTimeout
from bff.middleware.problem_details import problem_response
from bff.middleware.security_headers import security_fields
from bff.server.connections import ConnectionLimit
from bff.telemetry.logs import event, request_id
from bff.telemetry.metrics import REQUESTS

_MAX_HEAD_BYTES: Final = 128 * 1024
_MAX_FIELDS: Final = 100
_MAX_PIPELINED: Final = 32
_OTHER_PROTOCOL: Final = re.compile(rb"(?<! ) +(?:RTSP|ICE)/[0-9]\.[0-9][\r\n]")
_log = logging.getLogger(__name__)


class Phase(Enum):
    """What the connection is waiting for."""

    IDLE = auto()  # the next request
    HEAD = auto()  # the rest of a request head
    BODY = auto()  # the rest of a request body
    DISCARD = auto()  # the rest of a request body that was answered before its end
    RESPONSE = auto()  # the application's response
    CLOSING = auto()  # the client to close the connection; whatever it still sends is ignored


class Http1Connection(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 protocol with timeouts, and with problem details as the response to a malformed request.

    Attributes:
        quiet_seconds: how long a connection may be idle between requests. It must be longer than the idle timeout of
            the load balancer, which may otherwise send a request to a connection that is just being closed.
        head_seconds: how long a request head may take, from its first byte.
        body_seconds: how many seconds a request body may lag behind `body_rate`.
        body_rate: the minimum rate, in bytes per second, at which a client must send a body and read a response.
        reader_seconds: how many seconds a client may lag behind `body_rate` when it reads a response.
        linger_seconds: how long to read and discard the rest of a refused request. Closing earlier would reset the
            connection, and the client might lose the response (RFC 9112 §9.6).
    """

    quiet_seconds: ClassVar[float] = 75.0
    head_seconds: ClassVar[float] = 10.0
    body_seconds: ClassVar[float] = 20.0
    body_rate: ClassVar[float] = 512.0
    reader_seconds: ClassVar[float] = 60.0
    linger_seconds: ClassVar[float] = 5.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._current_cycle: RequestResponseCycle | None = None
        self._unread_since: float | None = None
        self._unread_bytes = 0
        self._deadline: float = inf
        self._pending_bytes = 0
        self._recent = bytearray()
        self._limit: ConnectionLimit | None = getattr(self.config, "connections", None)
        if self._limit is None or self._limit.admit(self, self.client[0] if self.client else ""):
            self._wait(Phase.IDLE, self.quiet_seconds)
        else:
            self.give_way()

    def give_way(self) -> None:
        """Close the connection, which has no request, because there are too many."""
        self._wait(Phase.CLOSING, inf)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.CLOSING:
            return
        self._unset_keepalive_if_required()
        self._pending_bytes += len(data)
        if self._phase is not Phase.HEAD:
            self._recent.clear()
        self._recent += data
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # the upgrade is ignored, and the connection is closed after the response
        except httptools.HttpParserError:
            self.send_400_response("not an HTTP/1.1 request")
            return
        if self._pending_bytes > _MAX_HEAD_BYTES and self._phase in {Phase.HEAD, Phase.BODY, Phase.DISCARD}:
            # A header or trailer field that does not end: the parser would buffer all of it.
            self.send_400_response("header field too long")

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise ValueError("too many pipelined requests")
        self._head_bytes = 0
        self._head_fields = 0
        self._wait(Phase.HEAD, self.head_seconds)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count_head_bytes(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count_head_bytes(name, value)
        self._head_fields += 1
        if self._head_fields > _MAX_FIELDS:
            raise ValueError("too many header fields")
        if self._phase is Phase.HEAD:  # a trailer field is not a header field (RFC 9110 §6.5.1)
            super().on_header(
                name, value.rstrip(b" \t")
            )  # RFC 9112 §5; the parser strips leading blanks only

    def on_headers_complete(self) -> None:
        """Keep a `#` of the request target in the path, where the application refuses it.

        A request target has no fragment (RFC 9112 §3.2). uvicorn would silently cut the target at the `#`, and the
        application would match another path than the client sent.
        """
        self._check_head()
        path, mark, query = self.url.partition(b"?")
        if b"#" in query:
            path += b"#"
        self.url = path.replace(b"#", b"%23") + mark + query.partition(b"#")[0]
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # the parser has dropped whatever followed the head
        self._pending_bytes = 0
        self._wait(Phase.BODY, self.body_seconds)

    def _check_head(self) -> None:
        """Refuse heads that the parser accepts but that servers may interpret differently (RFC 9112 §3.2, §6.1)."""
        version = self.parser.get_http_version()
        names = [name for name, _ in self.headers]
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if version not in {"1.0", "1.1"} or self._speaks_another_protocol():
            raise ValueError("unsupported protocol version")
        if names.count(b"host") > 1 or (version == "1.1" and b"host" not in names):
            raise ValueError("not exactly one Host header")
        if codings and (codings != [b"chunked"] or version == "1.0"):
            raise ValueError("unsupported transfer coding")
        if self.parser.should_upgrade() and (
            codings or any(name == b"content-length" and value.strip(b"0") for name, value in self.headers)
        ):
            # The parser would take the body first for another protocol and then for a request (CWE-444).
            raise ValueError("upgrade request with a body")
        if version == "1.0":
            self.expect_100_continue = False  # RFC 9110 §10.1.1

    def _speaks_another_protocol(self) -> bool:
        """Return whether the request line ends with RTSP/1.1, say: the parser takes that too and does not tell.

        It stands somewhere in what was received since the head began, behind this request's own target.
        """
        others = _OTHER_PROTOCOL.finditer(self._recent)
        return any(self._recent.endswith(self.url, 0, other.start()) for other in others)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._current_cycle = cycle
        if cycle.scope["http_version"] == "1.0":
            app = _without_chunks(app, cycle)
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Signal the disconnect to the request that is being handled; uvicorn signals the last pipelined one only."""
        super().connection_lost(exc)
        if self._limit is not None:
            self._limit.forget(self)
        if self._current_cycle is not None and not self._current_cycle.response_complete:
            self._current_cycle.disconnected = True
            self._current_cycle.message_event.set()

    def on_body(self, body: bytes) -> None:
        self._pending_bytes = 0
        if self._phase is Phase.BODY:
            latest = self.loop.time() + self.body_seconds
            self._deadline = min(self._deadline + len(body) / self.body_rate, latest)
        super().on_body(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._pending_bytes = 0
        if self.cycle.response_complete:
            self._wait(Phase.IDLE, self.quiet_seconds)
        else:
            self._wait(Phase.RESPONSE, inf)

    def on_response_complete(self) -> None:
        if self._phase is Phase.CLOSING and len(self.pipeline) == 1 and self.cycle.disconnected:
            self.pipeline.clear()  # only the malformed request is left
            self.transport.close()
        super().on_response_complete()
        if not self.cycle.response_complete:
            return  # the next pipelined request is handled now
        if self._phase is Phase.RESPONSE:
            self._wait(Phase.IDLE, self.quiet_seconds)
        elif self._phase is Phase.BODY:
            self._wait(Phase.DISCARD, self.linger_seconds)

    def pause_writing(self) -> None:
        self._watch_reader()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Respond to a malformed request. uvicorn calls this too; `msg` is the reason for the log."""
        self._refuse(InvalidRequest("The request is malformed"), msg)

    def sweep(self) -> None:
        """Close the connection if the client has missed a deadline; called about once a second."""
        now, closing = self.loop.time(), self.transport.is_closing()
        if closing and self._unread_since is None:
            self._watch_reader()
        if self._unread_since is not None and self._reads_too_slowly(now, self._unread_since):
            self.transport.abort()
        elif self._client_must_wait():
            self._deadline = max(self._deadline, now + self.body_seconds)
        elif now > self._deadline and not closing:
            self._time_out()

    def _watch_reader(self) -> None:
        self._unread_since = self.loop.time()
        self._unread_bytes = self.transport.get_write_buffer_size()

    def _reads_too_slowly(self, now: float, since: float) -> bool:
        """Return whether the client reads too slowly; every byte read since the last sweep extends its deadline."""
        left = self.transport.get_write_buffer_size()
        read, self._unread_bytes = self._unread_bytes - left, left
        self._unread_since = min(now, since + max(0, read) / self.body_rate)
        return now > self._unread_since + self.reader_seconds

    def _client_must_wait(self) -> bool:
        """Return whether the client cannot send now, because the server has not asked for more or does not read."""
        if self._phase is Phase.BODY and self.cycle.waiting_for_100_continue:
            return True
        return self._phase in {Phase.HEAD, Phase.BODY} and self.flow.read_paused

    def _time_out(self) -> None:
        if self._phase in {Phase.HEAD, Phase.BODY}:
            self._refuse(RequestTimeout(), f"{self._phase.name.lower()} timeout")
        else:
            self.transport.close()

    def _refuse(self, error: BffError, reason: str) -> None:
        """Respond in place of the application, then discard input until the client closes the connection."""
        if self._phase is Phase.DISCARD:  # this request has been answered
            self.transport.close()
            return
        cycle = getattr(
            self, "cycle", None
        )  # unset before the first request, which uvicorn's annotation ignores
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
            if self._phase is Phase.BODY and cycle.response_started:
                self._wait(Phase.CLOSING, inf)
                self.transport.close()
                return
            if self._phase is Phase.BODY:  # the rest of the body will not arrive
                cycle.disconnected = True
                cycle.message_event.set()
            if self.pipeline or cycle.response_started or self._phase is not Phase.BODY:
                # A response written inside or before another one would be mistaken for it (CWE-444).
                self._wait(Phase.CLOSING, inf)
                return
        self._wait(Phase.CLOSING, self.linger_seconds)
        self.flow.resume_reading()
        self.transport.write(self._refusal(error, reason))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS cannot close one direction only
            self.transport.close()

    def _refusal(self, error: BffError, reason: str) -> bytes:
        """Log and count a refused request; return the response as bytes."""
        refused_id = secrets.token_hex(16)
        token = request_id.set(refused_id)
        response = problem_response(error)
        REQUESTS.labels("other", "other", str(error.status)).inc()
        log_fields = {"code": error.code, "status": error.status, "reason": reason}
        event(_log, "request_refused", level=logging.WARNING, **log_fields)
        request_id.reset(token)
        connection = [(b"connection", b"close"), (b"x-request-id", refused_id.encode())]
        security = security_fields(secure=getattr(self.config, "secure", False))
        headers = [*self.server_state.default_headers, *response.raw_headers, *security, *connection]
        line = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n".encode()
        head = b"".join(b"%s: %s\r\n" % header for header in headers)
        return b"".join((line, head, b"\r\n", bytes(response.body)))

    def _count_head_bytes(self, *parts: bytes) -> None:
        self._head_bytes += sum(map(len, parts))
        if self._head_bytes > _MAX_HEAD_BYTES:
            raise ValueError("request head too large")  # the parser turns this into a 400

    def _wait(self, phase: Phase, seconds: float) -> None:
        self._phase = phase
        if self._limit is not None:
            self._limit.mark(self, idle=phase is Phase.IDLE)
        self._deadline = self.loop.time() + seconds


def _without_chunks(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """Send responses without a Content-Length unchunked, because HTTP/1.0 has no chunked coding (RFC 9112 §6.1).

    Such a response ends where the connection ends; uvicorn never keeps an HTTP/1.0 connection open.
    """

    async def wrapped_app(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        no_length = False

        async def wrapped_send(message: ASGISendEvent) -> None:
            nonlocal no_length
            if message["type"] == "http.response.start":
                no_length = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
                if no_length:
                    cycle.chunked_encoding = False
            elif no_length and message["type"] == "http.response.body":
                # uvicorn refuses a body longer than the announced length, and here none was announced
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, wrapped_send)

    return wrapped_app
