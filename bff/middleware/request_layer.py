"""The outermost layer, around every request.

It gives the request an id, finds the client's address, answers preflights, limits what one client has under way, and
renders every error. One `send` wrapper gives every answer its fields: the session's, security, CORS, request id.
"""

import asyncio
import logging
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.addresses import Network, client_address, within
from bff.deadline import DEADLINE_SECONDS, deadline_in, uncounted
from bff.errors import BffError, CutShort, InternalError
from bff.memo import Memo
from bff.middleware import AREAS, WHOLE_BODY
from bff.middleware.cors import Cors, is_preflight
from bff.middleware.header_fields import HeaderFields, fields_of
from bff.middleware.request_context import RequestContext, add_request_context
from bff.middleware.security_headers import missing_fields
from bff.middleware.stream_limit import StreamLimit
from bff.telemetry.logs import FrequentEvent, event, request_id
from bff.telemetry.metrics import REFUSALS, requests_of
from bff.telemetry.spans import Span, request_span
from bff.telemetry.tallies import Tally
from bff.upstream.protocol import Header

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_ID_BYTES: Final = 16
_IDS_AT_ONCE: Final = 64
_LONGEST_USUAL_NAMES: Final = 1024
_name_of: Final = itemgetter(0)
_PROBES: Final = frozenset({"/livez", "/readyz"})
_REFUSED: Final = frozenset({403, 413, 429})
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_VERBS: Final = tuple(f"{method} " for method in _METHODS)
_UNTRUSTED: Final = (
    "X-Forwarded-For from a peer that BFF_TRUSTED_PROXIES does not name: if a load balancer sent it, all its visitors "
    "share one set of limits; name its network there"
)
_log = logging.getLogger("bff.access")


@dataclass(frozen=True, slots=True)
class RequestPolicy:
    """What holds for every request.

    Attributes:
        trusted_proxies: networks whose `X-Forwarded-For` is believed, walked from the right.
        security_fields: fields that every answer has, unless it sets them itself.
        cors: who may call from another origin.
        streams: how many requests one client may have under way.
    """

    trusted_proxies: Sequence[Network]
    security_fields: Sequence[Header]
    cors: Cors
    streams: StreamLimit


class RequestLayer:
    """Pure ASGI middleware; see the module.

    Args:
        app: what it wraps.
        policy: what holds for every request.
        monotonic: seconds, for durations.
    """

    def __init__(self, app: ASGIApp, policy: RequestPolicy, *, monotonic: Callable[[], float]) -> None:
        self._app = app
        self._policy = policy
        self._trusted = tuple(policy.trusted_proxies)
        self._monotonic = monotonic
        self._warned = False
        self._missing = Memo[tuple[bytes, ...], list[Header]](
            lambda names: missing_fields(names, policy.security_fields),
            longest=_LONGEST_USUAL_NAMES,
            length=lambda names: sum(map(len, names)),
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._monotonic()
        fields = fields_of(scope)
        name = _request_id(fields)
        token = request_id.set(name.decode("ascii"))
        context = add_request_context(scope, RequestContext(client_address(scope, self._trusted), fields))
        span = None if scope["path"] in _PROBES else request_span(fields.every)
        if b"x-forwarded-for" in fields.names() and not self._warned:
            self._warn_of_untrusted_proxy(scope)
        status = 0
        error: BffError | None = None

        async def enveloped(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = self._fields(scope, context, message["headers"], name)
                if WHOLE_BODY in message and WHOLE_BODY not in scope.get("extensions", {}):
                    body = message.pop(WHOLE_BODY)
                    await send(message)
                    message = {"type": "http.response.body", "body": body}
            await send(message)

        try:
            await self._admitted(scope, context, receive, enveloped)
        except (Exception, asyncio.CancelledError) as exc:  # noqa: BLE001 - the last resort
            error = _as_refusal(exc)
            if not status:
                answer = context.session_answer
                response = context.render_error(error, {} if answer is None else answer.members())
                await response(scope, receive, enveloped)
        finally:
            _record(scope, context, status, error, self._monotonic() - began, span)
            request_id.reset(token)

    def _warn_of_untrusted_proxy(self, scope: Scope) -> None:
        """Say once if somebody forwards requests who is not trusted: then all who come that way count as one client."""
        peer = scope["client"][0] if scope.get("client") else ""
        if not within(peer, self._trusted):
            self._warned = True
            event(_log, "untrusted_proxy", level=logging.ERROR, reason=_UNTRUSTED)

    async def _admitted(self, scope: Scope, context: RequestContext, receive: Receive, send: Send) -> None:
        """Answer a preflight, and hand on what this client may still have under way."""
        if not scope["path"].startswith(AREAS):
            await self._app(scope, receive, send)
            return
        if is_preflight(scope):
            context.route = "preflight"
            fields = self._policy.cors.preflight_fields(scope)
            await send({"type": "http.response.start", "status": 204, "headers": fields})
            await send({"type": "http.response.body", "body": b""})
            return

        async def received() -> Message:
            with uncounted():
                return await receive()

        streams = self._policy.streams
        with deadline_in(DEADLINE_SECONDS):
            networks = streams.admitted(context.client) or await streams.admitted_later(context.client)
            try:
                await self._app(scope, received, send)
            finally:
                streams.release(networks)

    def _fields(
        self, scope: Scope, context: RequestContext, headers: Sequence[Header], name: bytes
    ) -> list[Header]:
        """Return an answer's own fields with those that the layers add; `name` is the request's id."""
        fields = [*headers]
        if context.session_answer is not None:
            fields += context.session_answer.fields()
        fields += self._missing[tuple(map(_name_of, fields))]
        if scope["path"].startswith(AREAS):
            fields += self._policy.cors.fields(context.fields.first(b"origin"))
        fields.append((b"x-request-id", name))
        return fields


class _RequestIds:
    """Random ids, of which the system is asked for many at once."""

    def __init__(self) -> None:
        self._ready: list[bytes] = []

    def next(self) -> bytes:
        """Return 128 random bits, in hexadecimal digits."""
        if not self._ready:
            digits = secrets.token_hex(_ID_BYTES * _IDS_AT_ONCE).encode()
            self._ready = [digits[at : at + 2 * _ID_BYTES] for at in range(0, len(digits), 2 * _ID_BYTES)]
        return self._ready.pop()


_IDS: Final = _RequestIds()


def _request_id(fields: HeaderFields) -> bytes:
    given = fields.first(b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given
    return _IDS.next()


def _as_refusal(error: BaseException) -> BffError:
    """Return the error to answer with; the server cancels what still runs when the process has to end."""
    match error:
        case BffError():
            return error
        case asyncio.CancelledError():
            return CutShort()
        case _:
            _log.error("unexpected", exc_info=error)
            return InternalError()


def _record(
    scope: Scope,
    context: RequestContext,
    status: int,
    error: BffError | None,
    seconds: float,
    span: Span | None,
) -> None:
    """Count and log one request, and end its span."""
    method, path = scope["method"], scope["path"]
    if method not in _METHODS:
        method = "other"
    route = context.route or str(getattr(scope.get("route"), "path", "other"))
    area = path[1 : path.index("/", 1)] if path.startswith(AREAS) else "other"
    trace_id = None
    if error is not None and status in _REFUSED:
        REFUSALS.labels(error.code, error.cause).inc()
    if span is not None:
        trace_id = span.trace_id
        _end(span, route, method, status, error)
    kind = None if error is None else type(error)
    tally, line = _kind(route, method, status, area, kind)  # type: ignore[arg-type]  # a class has a hash
    tally.add(seconds)
    line.log(seconds, trace_id)


@lru_cache(maxsize=8192)
def _kind(
    route: str, method: str, status: int, area: str, error: type[BffError] | None
) -> tuple[Tally, FrequentEvent]:
    """Return what counts and what logs requests of one kind."""
    code = "none" if error is None else error.code
    tally = requests_of(route, method, status, code, _at_fault(area, status, error), area)
    fields: dict[str, Any] = {"route": route, "method": method, "status": status}
    if error is not None:
        fields["code"] = code
    level = logging.DEBUG if status == 200 and route in _PROBES else logging.INFO
    return tally, FrequentEvent(_log, "request", level, fields)


def _end(span: Span, route: str, method: str, status: int, error: BffError | None) -> None:
    template = route.rpartition(" ")[2] if route.startswith(_VERBS) else route
    attributes: dict[str, str | int] = {"http.request.method": method, "http.route": template}
    if status:
        attributes["http.response.status_code"] = status
    code = None if error is None else error.code
    span.end(attributes, name=f"{method} {template}", error=code, failed=status >= 500)


def _at_fault(area: str, status: int, error: type[BffError] | None) -> str:
    """Return who failed: an error status of a proxied call without an error of ours came from Emporix."""
    if error is not None:
        return error.at_fault if error.status >= 500 else "none"
    return "emporix" if area == "api" and status >= 500 else "none"
