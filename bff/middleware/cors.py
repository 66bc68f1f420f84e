"""CORS with credentials for the configured origins only (Fetch Standard §3.2).

Error responses get the same CORS headers as others, because a storefront could not read them otherwise. A preflight
from an unknown origin is refused.
"""

from collections.abc import Iterable
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bff.errors import OriginNotAllowed
from bff.middleware import AREAS
from bff.problems import problem_response

_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_MAX_AGE: Final = b"600"
_EXPOSED_HEADERS: Final = (
    b"Content-Language, ETag, Link, Location, Retry-After, X-Next-Cursor, X-Prev-Cursor, X-Request-Id, "
    b"Version, X-Session-Version, X-Total-Count"
)


class Cors:
    """Adds CORS headers under `/auth` and `/api` and responds to preflight requests.

    Args:
        app: the wrapped ASGI application.
        origins: the public origin and the allowed origins.
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

        async def send_with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*_varying(message["headers"]), *self._approval(origin)]
            await send(message)

        await self._app(scope, receive, send_with_cors)

    async def _preflight(
        self, origin: bytes, headers: dict[bytes, bytes], scope: Scope, receive: Receive, send: Send
    ) -> None:
        scope["bff.route"] = "preflight"
        if origin not in self._origins:
            await problem_response(OriginNotAllowed())(scope, receive, send)
            return
        response_headers = [
            *self._approval(origin),
            (b"vary", b"Origin"),
            (b"access-control-max-age", _MAX_AGE),
        ]
        response_headers.append((b"access-control-allow-methods", _METHODS))
        if (requested := headers.get(b"access-control-request-headers")) is not None:
            response_headers.append((b"access-control-allow-headers", requested))
        await send({"type": "http.response.start", "status": 204, "headers": response_headers})
        await send({"type": "http.response.body", "body": b""})

    def _approval(self, origin: bytes | None) -> list[tuple[bytes, bytes]]:
        if origin is None or origin not in self._origins:
            return []
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", _EXPOSED_HEADERS),
        ]


def _varying(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    return [*headers, (b"vary", b"Origin")]
