"""A client's HTTP/1.1 connection with strict request targets, limited heads and timeouts.

uvicorn has no timeout for an incomplete request head, an incomplete body or a response that the client does not read.
Here every connection has a deadline, and the server checks all connections once a second. A request costs a few
assignments and no timer.
"""

import asyncio
import select
from math import inf
from typing import Any, ClassVar, Final

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from bff.errors import BffError, InvalidRequest, RequestTimeout
from bff.middleware import READ_FIELDS, WHOLE_BODY
from bff.server.connections import ConnectionLimit
from bff.server.draining import DRAINING
from bff.server.head import (
    MAX_HEAD_BYTES,
    RequestFields,
    check_trailers,
    read_fields,
    speaks_another_protocol,
    split_head,
)
from bff.server.phase import Phase
from bff.server.refusal import refusal
from bff.server.response import ResponseCycle
from bff.server.target import target_fields

_MAX_PIPELINED: Final = 32

# A member of an enum costs more to look up than the rest of what asks for it.
_IDLE, _HEAD, _BODY, _DISCARD, _RESPONSE, _CLOSING = Phase


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
        spare_seconds: how long a connection without a request is kept once nobody listens any more, counted from the
            last request on any of them.
        most_fields: header and trailer fields of a request.
    """

    quiet_seconds: ClassVar[float] = 75.0
    head_seconds: ClassVar[float] = 10.0
    body_seconds: ClassVar[float] = 20.0
    body_rate: ClassVar[float] = 512.0
    reader_seconds: ClassVar[float] = 60.0
    linger_seconds: ClassVar[float] = 5.0
    spare_seconds: ClassVar[float] = 1.0
    most_fields: ClassVar[int] = 100
    _phase: Phase

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._current_cycle: RequestResponseCycle | None = None
        self._read_before: RequestFields | None = None
        self._idle = False
        self._unread_since: float | None = None
        self._unread_bytes = 0
        self._deadline: float = inf
        self._pending_bytes = 0
        self._recent: list[bytes] = []
        self._of_every_scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "extensions": {WHOLE_BODY: {}},
        }
        self._limit: ConnectionLimit | None = getattr(self.config, "connections", None)
        if self._limit is None or self._limit.admit(self, self.client[0] if self.client else ""):
            self._wait(_IDLE, self.quiet_seconds)
        else:
            self.give_way()

    def give_way(self) -> None:
        """Close the connection, which has no request, because there are too many."""
        self._wait(_CLOSING, inf)
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        if self._phase is _CLOSING:
            return
        self._pending_bytes += len(data)
        self._read_before = None
        if self._phase is _IDLE:
            data, self._read_before = split_head(data)
        if self._phase is not _HEAD:
            self._recent = []
        self._recent.append(data)
        try:
            self.parser.feed_data(data)
            if self.headers and self._phase is not _HEAD:
                self._check_trailers()
        except httptools.HttpParserUpgrade:
            return  # the upgrade is ignored, and the connection is closed after the response
        except (httptools.HttpParserError, ValueError):
            self.send_400_response("not an HTTP/1.1 request")
            return
        if self._pending_bytes > MAX_HEAD_BYTES and self._phase in {_HEAD, _BODY, _DISCARD}:
            # A header or trailer field that does not end: the parser would buffer all of it.
            self.send_400_response("header field too long")

    def on_message_begin(self) -> None:
        if len(self.pipeline) >= _MAX_PIPELINED:
            raise ValueError("too many pipelined requests")
        self.url = b""
        self.headers = []
        if DRAINING.begun:
            DRAINING.last_request = self.loop.time()
        self._wait(_HEAD, self.head_seconds)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Begin the request; see `target_fields` for what uvicorn would do otherwise."""
        # What comes from now on are trailer fields, which are no header fields (RFC 9110 §6.5.1).
        given, self.headers = self.headers, []
        upgrade, read_before = self.parser.should_upgrade(), self._read_before
        if read_before is not None:  # `split_head` splits HTTP/1.1 alone
            version, fields, self._read_before = "1.1", read_before, None
        else:
            version, fields = self.parser.get_http_version(), read_fields(given)
            if version not in {"1.0", "1.1"} or speaks_another_protocol(self._recent, self.url):
                raise ValueError("unsupported protocol version")
        self._fields = fields
        fields.check(self.url, version, self.most_fields, upgrade=upgrade)
        scope: Any = {
            **self._of_every_scope,
            "http_version": version,
            "headers": fields.headers,
            READ_FIELDS: fields.by_name,
            "state": self.app_state.copy(),
            "method": self.parser.get_method().decode("ascii"),
            **target_fields(self.url),
        }
        self.scope = scope
        waiting = self.cycle is not None and not self.cycle.response_complete  # type: ignore[redundant-expr]
        # Not by keyword, which costs as much again with a class.
        self.cycle = ResponseCycle(
            scope,
            self.transport,
            self.flow,
            self.server_state.default_headers,
            self.on_response_complete,
            self.tasks,
        )
        self.cycle.keep_alive = version != "1.0" and self.parser.should_keep_alive()
        if upgrade:
            self.cycle.keep_alive = False  # the parser has dropped whatever followed the head
        # RFC 9110 §10.1.1
        self.cycle.waiting_for_100_continue = version != "1.0" and fields.expects_continue
        if waiting:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))
        else:
            self._start_asgi_task(self.cycle, self.app)
        self._pending_bytes = 0
        self._phase, self._deadline = _BODY, self.loop.time() + self.body_seconds

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._current_cycle = cycle
        self.tasks.add(self.loop.create_task(cycle.run_asgi(app)))

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
        if self._phase is _BODY:
            latest = self.loop.time() + self.body_seconds
            self._deadline = min(self._deadline + len(body) / self.body_rate, latest)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._pending_bytes = 0
        if self.headers:
            self._check_trailers()
        if self.cycle.response_complete:
            self._wait(_IDLE, self.quiet_seconds)
            return
        self.cycle.more_body = False
        self.cycle.message_event.set()
        self._phase, self._deadline = _RESPONSE, inf

    def _check_trailers(self) -> None:
        check_trailers(self.headers, len(self._fields.headers), self.most_fields)

    def on_response_complete(self) -> None:
        if self._phase is _CLOSING and len(self.pipeline) == 1 and self.cycle.disconnected:
            self.pipeline.clear()  # only the malformed request is left
            self.transport.close()
        self._start_next()
        if not self.cycle.response_complete:
            return  # the next pipelined request is handled now
        if self._phase is _RESPONSE:
            self._wait(_IDLE, self.quiet_seconds)
        elif self._phase is _BODY and self.cycle.keep_alive:
            self._wait(_DISCARD, self.linger_seconds)
        elif self._phase is _BODY:
            self._linger()

    def _start_next(self) -> None:
        """Begin the next pipelined request. uvicorn would set a timer where there is none; `sweep` needs none."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())

    def shutdown(self) -> None:
        """Close the connection when it is idle; a request that has begun to come in is still answered."""
        if self._phase in {_BODY, _RESPONSE}:
            super().shutdown()
        elif self._phase is _IDLE and DRAINING.begun:
            # Its next request may be on its way: a balancer looks elsewhere once it has been refused a connection.
            self._deadline = min(self._deadline, self.loop.time() + self.spare_seconds)
        elif self._phase is _IDLE or (self._phase is _HEAD and not DRAINING.begun):
            self.transport.close()

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
        if self._phase is _BODY and self.cycle.waiting_for_100_continue:
            return True
        return self._phase in {_HEAD, _BODY} and self.flow.read_paused

    def _time_out(self) -> None:
        if self._phase in {_HEAD, _BODY}:
            self._refuse(RequestTimeout(), f"{self._phase.name.lower()} timeout")
        elif not self._may_be_used():
            self.transport.close()

    def _may_be_used(self) -> bool:
        """Return whether a request may be on its way on this idle connection.

        While the server ends, a balancer that uses one connection of its own will use the next ones too.
        """
        if self._phase is not _IDLE:
            return False
        used = DRAINING.begun and self.loop.time() < DRAINING.last_request + self.spare_seconds
        return used or _has_input(self.transport)

    def _refuse(self, error: BffError, reason: str) -> None:
        """Respond in place of the application, then discard input until the client closes the connection."""
        if self._phase is _DISCARD:  # this request has been answered
            self.transport.close()
            return
        cycle = getattr(
            self, "cycle", None
        )  # unset before the first request, which uvicorn's annotation ignores
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
            if self._phase is _BODY and cycle.response_started:
                self._wait(_CLOSING, inf)
                self.transport.close()
                return
            if self._phase is _BODY:  # the rest of the body will not arrive
                cycle.disconnected = True
                cycle.message_event.set()
            if self.pipeline or cycle.response_started or self._phase is not _BODY:
                # A response written inside or before another one would be mistaken for it (CWE-444).
                self._wait(_CLOSING, inf)
                return
        self.flow.resume_reading()
        secure = getattr(self.config, "secure", False)
        self.transport.write(refusal(error, reason, self.server_state.default_headers, secure=secure))
        self._linger()

    def _linger(self) -> None:
        """End the response, then discard input until the client closes the connection."""
        self._wait(_CLOSING, self.linger_seconds)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS cannot close one direction only
            self.transport.close()

    def _wait(self, phase: Phase, seconds: float) -> None:
        idle = phase is _IDLE
        if self._limit is not None and idle is not self._idle:
            self._limit.mark(self, idle=idle)
        self._phase, self._idle = phase, idle
        self._deadline = self.loop.time() + seconds


def _has_input(transport: asyncio.Transport) -> bool:
    """Return whether something waits to be read: closing the connection now would reset it."""
    waiting = select.poll()
    waiting.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
    return bool(waiting.poll(0))
