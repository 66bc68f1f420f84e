"""Fixed header fields that tell browsers what these answers are not: pages, frames, scripts, guesses."""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_FIELDS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_HSTS: Final = (b"strict-transport-security", b"max-age=31536000")


def security_fields(*, secure: bool) -> tuple[tuple[bytes, bytes], ...]:
    """Return the fields of every answer; `secure` insists on https, over which the proxy is then reached."""
    return (*_FIELDS, _HSTS) if secure else _FIELDS


class SecurityHeaders:
    """Pure ASGI middleware: adds what an answer does not say itself.

    Args:
        app: what it wraps.
        secure: the proxy is reached over https (RFC 6797).
    """

    def __init__(self, app: ASGIApp, *, secure: bool) -> None:
        self._app = app
        self._fields = security_fields(secure=secure)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message["headers"])
                said = {name for name, _ in headers}
                headers.extend(field for field in self._fields if field[0] not in said)
                message["headers"] = headers
            await send(message)

        await self._app(scope, receive, guarded)
