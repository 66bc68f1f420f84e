"""One client's HTTP/1.1 connection: strict targets, bounded heads, and no endless waiting.

uvicorn waits for ever for a head that does not end, a body that does not come and an answer that nobody reads. Here
a sweep once a second ends what is late, for which a request pays with a few assignments and no timer.
"""

import asyncio
import logging
import secrets
from enum import Enum, auto
from http import HTTPStatus
from math import inf
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bff.errors import BffError, InvalidRequest, RequestTimeout
from bff.middleware.security_headers import security_fields
from bff.problems import problem_response
from bff.telemetry import REQUESTS, event, request_id

_MOST_HEAD_BYTES: Final = 128 * 1024
_MOST_PIPELINED: Final = 32
_log = logging.getLogger(__name__)


class Phase(Enum):
    """What the connection is waiting for."""

    QUIET = auto()  # a request
    HEAD = auto()  # the rest of a head
    BODY = auto()  # the rest of a body
    REST = auto()  # the rest of a body whose request has its answer already
    ANSWER = auto()  # the application
    ENDING = auto()  # the client's end, whatever it still sends
    CLOSING = auto()  # what was sent to be read


class Http1Connection(HttpToolsProtocol):
    """uvicorn's connection with deadlines, all in seconds, and problem details where no request could be made out.

    Attributes:
        quiet_seconds: how long nothing may come between requests; longer than load balancers keep an idle
            connection, or they race its end.
        head_seconds: how long a head may take from its first byte.
        body_seconds: how far a body may lag behind `body_rate`.
        body_rate: bytes a second that a body must bring.
        reader_seconds: how long a client may leave what was sent to it unread.
        linger_seconds: how long the rest of a refused request is taken in, so that a reset does not outrun the
            answer (RFC 9112 §9.6).
    """

    quiet_seconds: ClassVar[float] = 75.0
    head_seconds: ClassVar[float] = 10.0
    body_seconds: ClassVar[float] = 20.0
    body_rate: ClassVar[float] = 512.0
    reader_seconds: ClassVar[float] = 60.0
    linger_seconds: ClassVar[float] = 5.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._phase = Phase.QUIET
        self._deadline = inf
        self._unread_since: float | None = None
        self._pending_bytes = 0
        self._wait(Phase.QUIET, self.quiet_seconds)

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.ENDING:
            return
        self._pending_bytes += len(data)
        super().data_received(data)
        if self._pending_bytes > _MOST_HEAD_BYTES and self._phase in {Phase.HEAD, Phase.BODY}:
            # One field that does not end, of a head or a trailer: the parser would keep all of it.
            self.send_400_response("a longer field than anybody needs")

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _MOST_PIPELINED:
            raise ValueError("more requests ahead of their answers than anybody sends")
        self._head_bytes = 0
        self._wait(Phase.HEAD, self.head_seconds)
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._measure(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._measure(name, value)
        if self._phase is Phase.HEAD:  # a trailer is no header field (RFC 9110 §6.5.1)
            super().on_header(name, value.rstrip(b" \t"))  # RFC 9112 §5: the parser takes off what is before

    def on_headers_complete(self) -> None:
        """Let a `#` of the target reach the application in its path, where it is refused.

        The parser would cut the target there in silence, and what is matched would not be what was sent
        (RFC 9112 §3.2 knows no fragment in a target).
        """
        path, mark, query = self.url.partition(b"?")
        if b"#" in query:
            path += b"#"
        self.url = path.replace(b"#", b"%23") + mark + query.partition(b"#")[0]
        super().on_headers_complete()
        self._pending_bytes = 0
        self._wait(Phase.BODY, self.body_seconds)

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
            self._wait(Phase.QUIET, self.quiet_seconds)
        else:
            self._wait(Phase.ANSWER, inf)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self.cycle.response_complete:
            return  # one that was asked for in the meantime comes next
        if self._phase is Phase.ANSWER:
            self._wait(Phase.QUIET, self.quiet_seconds)
        elif self._phase is Phase.BODY:
            self._wait(Phase.REST, self.linger_seconds)

    def pause_writing(self) -> None:
        self._unread_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP/1.1 request; `msg` is uvicorn's."""
        self._refuse(InvalidRequest("The request is malformed", log_detail=msg))

    def sweep(self) -> None:
        """End the connection if its client is late; called about once a second."""
        now = self.loop.time()
        if self._unread_since is not None and now > self._unread_since + self.reader_seconds:
            self.transport.abort()
        elif self.transport.is_closing() and self._phase is not Phase.CLOSING:
            self._wait(Phase.CLOSING, self.reader_seconds)
        elif self._held():
            self._deadline = max(self._deadline, now + self.body_seconds)
        elif now > self._deadline:
            self._end()

    def _held(self) -> bool:
        """Say whether it is the client that waits for us."""
        if self._phase is Phase.BODY and self.cycle.waiting_for_100_continue:
            return True
        return self._phase in {Phase.HEAD, Phase.BODY} and self.flow.read_paused

    def _end(self) -> None:
        if self._phase in {Phase.HEAD, Phase.BODY}:
            self._refuse(RequestTimeout())
        elif self._phase is Phase.CLOSING:
            self.transport.abort()
        else:
            self.transport.close()

    def _refuse(self, error: BffError) -> None:
        """Answer in the application's place, and take in what may still come until the client ends."""
        cycle = getattr(self, "cycle", None)  # uvicorn's own annotation forgets that there may be none yet
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
            if self._phase is Phase.BODY:  # it will not come to its end
                cycle.disconnected = True
                cycle.message_event.set()
            if self.pipeline or cycle.response_started or self._phase is not Phase.BODY:
                # Another answer within this one, or before it, would be taken for it (CWE-444).
                self._wait(Phase.ENDING, self.reader_seconds)
                return
        self._wait(Phase.ENDING, self.linger_seconds)
        self.flow.resume_reading()
        self.transport.write(self._rendered(error))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS has no such half
            self.transport.close()

    def _rendered(self, error: BffError) -> bytes:
        name = secrets.token_hex(16)
        token = request_id.set(name)
        response = problem_response(error)
        REQUESTS.labels("other", "other", str(error.status)).inc()
        event(_log, "request_refused", level=logging.WARNING, code=error.code, status=error.status)
        request_id.reset(token)
        named = [(b"connection", b"close"), (b"x-request-id", name.encode())]
        said = security_fields(secure=getattr(self.config, "secure", False))
        fields = [*self.server_state.default_headers, *response.raw_headers, *said, *named]
        line = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n".encode()
        head = b"".join(b"%s: %s\r\n" % field for field in fields)
        return b"".join((line, head, b"\r\n", bytes(response.body)))

    def _measure(self, *parts: bytes) -> None:
        self._head_bytes += sum(map(len, parts))
        if self._head_bytes > _MOST_HEAD_BYTES:
            raise ValueError("a longer head than anybody needs")  # the parser makes a 400 of it

    def _wait(self, phase: Phase, seconds: float) -> None:
        self._phase = phase
        self._deadline = self.loop.time() + seconds
