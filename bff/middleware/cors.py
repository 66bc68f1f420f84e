"""CORS with credentials for the configured origins only (Fetch Standard §3.2).

Error responses get the same CORS headers as others, because a storefront could not read them otherwise. A preflight
from an unknown origin is refused.
"""

from collections.abc import Iterable
from typing import Final

from starlette.types import Scope

from bff.errors import OriginNotAllowed
from bff.upstream.protocol import Header

_METHODS: Final = b"GET, HEAD, POST, PUT, PATCH, DELETE"
_MAX_AGE_SECONDS: Final = b"600"
_EXPOSED: Final = (
    b"Content-Language, ETag, Link, Location, Retry-After, X-Next-Cursor, X-Prev-Cursor, X-Request-Id, "
    b"Version, X-Session-Version, X-Total-Count"
)
_VARY: Final[Header] = (b"vary", b"Origin")
_UNAPPROVED: Final = (_VARY,)


class Cors:
    """The CORS fields of answers and preflights.

    Args:
        origins: the public origin and the allowed ones.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._approvals: dict[bytes, tuple[Header, ...]] = {
            origin.encode("ascii"): (
                _VARY,
                (b"access-control-allow-origin", origin.encode("ascii")),
                (b"access-control-allow-credentials", b"true"),
                (b"access-control-expose-headers", _EXPOSED),
            )
            for origin in origins
        }

    def fields(self, origin: bytes | None) -> tuple[Header, ...]:
        """Return the fields of an answer to a request from `origin`."""
        return self._approvals.get(origin or b"", _UNAPPROVED)

    def preflight_fields(self, scope: Scope) -> list[Header]:
        """Return the fields that approve a preflight.

        Raises:
            OriginNotAllowed: it comes from an origin that is not named.
        """
        headers = dict(scope["headers"])
        if headers[b"origin"] not in self._approvals:
            raise OriginNotAllowed(cause="preflight")
        fields = [(b"access-control-max-age", _MAX_AGE_SECONDS), (b"access-control-allow-methods", _METHODS)]
        if (wanted := headers.get(b"access-control-request-headers")) is not None:
            fields.append((b"access-control-allow-headers", wanted))
        return fields


def is_preflight(scope: Scope) -> bool:
    """Return whether a request is a CORS preflight (Fetch Standard §3.2.2)."""
    if scope["method"] != "OPTIONS":
        return False
    return {name for name, _ in scope["headers"]} >= {b"origin", b"access-control-request-method"}
