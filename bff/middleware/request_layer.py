"""The outermost layer: a request id on every line and answer, the caller's address, one log line, no stack traces."""

import logging
import re
import secrets
from collections.abc import Callable, Sequence
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.addresses import Network, client_address
from bff.errors import InternalError
from bff.middleware import AREAS
from bff.middleware.problem_details import problem_response
from bff.telemetry.logs import event, request_id
from bff.telemetry.metrics import REQUEST_SECONDS, REQUESTS

_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_log = logging.getLogger("bff.access")


class RequestLayer:
    """Pure ASGI middleware; see the module.

    Args:
        app: what it wraps.
        trusted_proxies: networks whose `X-Forwarded-For` is believed, walked from the right.
        monotonic: seconds, for durations.
    """

    def __init__(
        self, app: ASGIApp, *, trusted_proxies: Sequence[Network], monotonic: Callable[[], float]
    ) -> None:
        self._app = app
        self._trusted = tuple(trusted_proxies)
        self._monotonic = monotonic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = self._monotonic()
        given = _header(scope, b"x-request-id")
        name = given if given is not None and _REQUEST_ID.fullmatch(given) else secrets.token_hex(16).encode()
        token = request_id.set(name.decode("ascii"))
        scope["bff.client"] = client_address(scope, self._trusted)
        status = 0

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", name)]
            await send(message)

        try:
            await self._app(scope, receive, named)
        except Exception:  # noqa: BLE001 - the last resort
            _log.exception("unexpected")
            if not status:
                await problem_response(InternalError())(scope, receive, named)
        finally:
            self._told(scope, status, self._monotonic() - began)
            request_id.reset(token)

    def _told(self, scope: Scope, status: int, seconds: float) -> None:
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = scope.get("bff.route") or getattr(scope.get("route"), "path", "other")
        area = scope["path"].split("/")[1] if scope["path"].startswith(AREAS) else "other"
        REQUESTS.labels(route, method, str(status)).inc()
        REQUEST_SECONDS.labels(area).observe(seconds)
        event(_log, "request", route=route, method=method, status=status, durationMs=round(seconds * 1000, 1))


def _header(scope: Scope, wanted: bytes) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == wanted), None)
