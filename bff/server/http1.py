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

import httptools
from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, ASGISendEvent, Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bff.errors import BffError, InvalidRequest, RequestTimeout
from bff.middleware.problem_details import problem_response
from bff.middleware.security_headers import security_fields
from bff.telemetry.logs import event, request_id
from bff.telemetry.metrics import REQUESTS

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


class Http1Connection(HttpToolsProtocol):
    """uvicorn's connection with deadlines, all in seconds, and problem details where no request could be made out.

    Attributes:
        quiet_seconds: how long nothing may come between requests; longer than load balancers keep an idle
            connection, or they race its end.
        head_seconds: how long a head may take from its first byte.
        body_seconds: how far a body may lag behind `body_rate`.
        body_rate: bytes a second that a body must bring, or a client take.
        reader_seconds: how far a client may lag behind `body_rate` in reading what was sent to it.
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
        self._answering: RequestResponseCycle | None = None
        self._unread_since: float | None = None
        self._unread_bytes = 0
        self._deadline: float = inf
        self._pending_bytes = 0
        self._wait(Phase.QUIET, self.quiet_seconds)

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.ENDING:
            return
        self._unset_keepalive_if_required()
        self._pending_bytes += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # nobody is upgraded, and the answer ends the connection
        except httptools.HttpParserError:
            self.send_400_response("no HTTP/1.1 request")
            return
        if self._pending_bytes > _MOST_HEAD_BYTES and self._phase in {Phase.HEAD, Phase.BODY, Phase.REST}:
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
        self._judge_head()
        path, mark, query = self.url.partition(b"?")
        if b"#" in query:
            path += b"#"
        self.url = path.replace(b"#", b"%23") + mark + query.partition(b"#")[0]
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self.cycle.keep_alive = False  # what came behind the head is lost
        self._pending_bytes = 0
        self._wait(Phase.BODY, self.body_seconds)

    def _judge_head(self) -> None:
        """Refuse what the parser lets through and two servers may read in two ways (RFC 9112 §3.2, §6.1)."""
        version = self.parser.get_http_version()
        names = [name for name, _ in self.headers]
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if version not in {"1.0", "1.1"}:
            raise ValueError("a version that is not spoken here")
        if names.count(b"host") > 1 or (version == "1.1" and b"host" not in names):
            raise ValueError("not exactly one host")
        if codings and (codings != [b"chunked"] or version == "1.0"):
            raise ValueError("a transfer coding that is not chunked alone")
        if self.parser.should_upgrade() and (
            codings or any(name == b"content-length" and value.strip(b"0") for name, value in self.headers)
        ):
            # The parser takes what follows such a head for another protocol, and then for a request (CWE-444).
            raise ValueError("a body and an upgrade")
        if version == "1.0":
            self.expect_100_continue = False  # RFC 9110 §10.1.1

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answering = cycle
        if cycle.scope["http_version"] == "1.0":
            app = _unchunked(app, cycle)
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application that is answering, too: uvicorn tells the one that was asked last."""
        super().connection_lost(exc)
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()

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
        if self._phase is Phase.ENDING and len(self.pipeline) == 1 and self.cycle.disconnected:
            self.pipeline.clear()  # only what broke is left
            self.transport.close()
        super().on_response_complete()
        if not self.cycle.response_complete:
            return  # one that was asked for in the meantime comes next
        if self._phase is Phase.ANSWER:
            self._wait(Phase.QUIET, self.quiet_seconds)
        elif self._phase is Phase.BODY:
            self._wait(Phase.REST, self.linger_seconds)

    def pause_writing(self) -> None:
        self._watch_reader()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._unread_since = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP/1.1 request; `msg` is uvicorn's."""
        self._refuse(InvalidRequest("The request is malformed"), msg)

    def sweep(self) -> None:
        """End the connection if its client is late; called about once a second."""
        now, closing = self.loop.time(), self.transport.is_closing()
        if closing and self._unread_since is None:
            self._watch_reader()
        if self._unread_since is not None and self._read_late(now, self._unread_since):
            self.transport.abort()
        elif self._held():
            self._deadline = max(self._deadline, now + self.body_seconds)
        elif now > self._deadline and not closing:
            self._end()

    def _watch_reader(self) -> None:
        self._unread_since = self.loop.time()
        self._unread_bytes = self.transport.get_write_buffer_size()

    def _read_late(self, now: float, since: float) -> bool:
        """Say whether what was sent stays unread; what was read since the last look buys time as a body does."""
        left = self.transport.get_write_buffer_size()
        taken, self._unread_bytes = self._unread_bytes - left, left
        self._unread_since = min(now, since + max(0, taken) / self.body_rate)
        return now > self._unread_since + self.reader_seconds

    def _held(self) -> bool:
        """Say whether it is the client that waits for us."""
        if self._phase is Phase.BODY and self.cycle.waiting_for_100_continue:
            return True
        return self._phase in {Phase.HEAD, Phase.BODY} and self.flow.read_paused

    def _end(self) -> None:
        if self._phase in {Phase.HEAD, Phase.BODY}:
            self._refuse(RequestTimeout(), f"late in its {self._phase.name.lower()}")
        else:
            self.transport.close()

    def _refuse(self, error: BffError, reason: str) -> None:
        """Answer in the application's place, and take in what may still come until the client ends."""
        if self._phase is Phase.REST:  # it has its answer
            self.transport.close()
            return
        cycle = getattr(self, "cycle", None)  # uvicorn's own annotation forgets that there may be none yet
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
            if self._phase is Phase.BODY and cycle.response_started:
                self._wait(Phase.ENDING, inf)
                self.transport.close()
                return
            if self._phase is Phase.BODY:  # it will not come to its end
                cycle.disconnected = True
                cycle.message_event.set()
            if self.pipeline or cycle.response_started or self._phase is not Phase.BODY:
                # Another answer within this one, or before it, would be taken for it (CWE-444).
                self._wait(Phase.ENDING, inf)
                return
        self._wait(Phase.ENDING, self.linger_seconds)
        self.flow.resume_reading()
        self.transport.write(self._rendered(error, reason))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS has no such half
            self.transport.close()

    def _rendered(self, error: BffError, reason: str) -> bytes:
        name = secrets.token_hex(16)
        token = request_id.set(name)
        response = problem_response(error)
        REQUESTS.labels("other", "other", str(error.status)).inc()
        told = {"code": error.code, "status": error.status, "reason": reason}
        event(_log, "request_refused", level=logging.WARNING, **told)
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


def _unchunked(app: ASGI3Application, cycle: RequestResponseCycle) -> ASGI3Application:
    """Let the connection's end be the end of an answer without a length: HTTP/1.0 has no chunks (RFC 9112 §6.1).

    uvicorn keeps no HTTP/1.0 connection anyway.
    """

    async def answering(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        unbounded = False

        async def sending(message: ASGISendEvent) -> None:
            nonlocal unbounded
            if message["type"] == "http.response.start":
                unbounded = all(name.lower() != b"content-length" for name, _ in message.get("headers", ()))
                if unbounded:
                    cycle.chunked_encoding = False
            elif unbounded and message["type"] == "http.response.body":
                # uvicorn counts down from what was announced, and here nothing was
                cycle.expected_content_length = len(message.get("body", b""))
            await send(message)

        await app(scope, receive, sending)

    return answering
