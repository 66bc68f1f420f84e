"""CORS with credentials for the origins that are named, and for no other (Fetch Standard §3.2).

Errors carry the same fields as answers, or a storefront could not read why it was refused. A preflight from an
origin that is not named is not approved.
"""

from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.errors import OriginNotAllowed
from bff.middleware import AREAS
from bff.middleware.problem_details import problem_response

_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_MAX_AGE: Final = b"600"
_EXPOSED: Final = (
    b"Content-Language, ETag, Link, Location, Retry-After, X-Next-Cursor, X-Prev-Cursor, X-Request-Id, "
    b"Version, X-Session-Version, X-Total-Count"
)


class Cors:
    """Pure ASGI middleware over `/auth` and `/api`.

    Args:
        app: what it wraps.
        origins: the public origin and the allowed ones.
    """

    def __init__(self, app: ASGIApp, *, origins: Iterable[str]) -> None:
        self._app = app
        self._origins = frozenset(origin.encode("ascii") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(AREAS):
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        origin = headers.get(b"origin")
        if (
            scope["method"] == "OPTIONS"
            and origin is not None
            and b"access-control-request-method" in headers
        ):
            await self._preflight(origin, headers, scope, receive, send)
            return

        async def shared(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*_varying(message["headers"]), *self._approval(origin)]
            await send(message)

        await self._app(scope, receive, shared)

    async def _preflight(
        self, origin: bytes, headers: dict[bytes, bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["bff.route"] = "preflight"
        if origin not in self._origins:
            await problem_response(OriginNotAllowed())(scope, receive, send)
            return
        fields = [*self._approval(origin), (b"vary", b"Origin"), (b"access-control-max-age", _MAX_AGE)]
        fields.append((b"access-control-allow-methods", _METHODS))
        if (wanted := headers.get(b"access-control-request-headers")) is not None:
            fields.append((b"access-control-allow-headers", wanted))
        await send({"type": "http.response.start", "status": 204, "headers": fields})
        await send({"type": "http.response.body", "body": b""})

    def _approval(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        if origin is None or origin not in self._origins:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", _EXPOSED),
        ]


def _varying(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [*headers, (b"vary", b"Origin")]
