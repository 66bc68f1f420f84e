"""The upstream client for proxied calls, on asyncio and httptools (llhttp).

A library client spends most of a proxied call's time on what forwarding does not need: models of URLs, headers and
cookies, and a pool that looks at every connection. This one writes the request's bytes and hands on the answer's.
"""

import asyncio
import ssl
from typing import Final

from bff.errors import BffError, InvalidRequest
from bff.upstream.exchange import Exchange
from bff.upstream.options import ClientOptions
from bff.upstream.pool import ConnectionPool
from bff.upstream.protocol import SAFE_METHODS, Header, RequestContent
from bff.upstream.trust import upstream_trust

_RESEND_SECONDS: Final = 2.0
_CR, _LF, _BLANK = b"\r\n "  # as numbers, which are looked for much faster than bytes
_BODYLESS_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


class LlhttpClient:
    """The upstream over sockets of its own.

    Args:
        upstream_url: the origin that every request goes to, whatever its target says.
        options: connections, deadlines and retries.
        tls: checks the upstream's certificate; by default a new `upstream_trust`.
    """

    def __init__(
        self, upstream_url: str, options: ClientOptions, *, tls: ssl.SSLContext | None = None
    ) -> None:
        scheme, _, netloc = upstream_url.partition("://")
        self._host = b"host: " + netloc.rstrip("/").encode("ascii")
        trust = (tls or upstream_trust(upstream_url)) if scheme == "https" else None
        self._pool = ConnectionPool(upstream_url, options, trust)
        self._resend_safe = options.resend_safe

    async def open(self, method: str, target: bytes, headers: list[Header], body: RequestContent) -> Exchange:
        """See `UpstreamClient.open`.

        Raises:
            InvalidRequest: a field or the target has a byte that would end its line.
        """
        head, head_only = self._head(method, target, headers, body), method == "HEAD"
        stream = None if body is None or isinstance(body, bytes) else body
        length = None if stream is None else _length(headers)
        resend = self._resend_safe and body is None and method in SAFE_METHODS
        connection = self._pool.at_hand(sent_once=not resend) or await self._pool.acquire(
            sent_once=not resend
        )
        try:
            return await connection.send(head, head_only=head_only, stream=stream, length=length)
        except BffError:
            # Upstream may have closed an idle connection at the same moment; after a while it is something else.
            soon = asyncio.get_running_loop().time() - connection.sent_at < _RESEND_SECONDS
            if not (resend and connection.broke and soon):
                raise
        connection = await self._pool.acquire(fresh=True)
        return await connection.send(head, head_only=head_only)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    def _head(self, method: str, target: bytes, headers: list[Header], body: RequestContent) -> bytes:
        lines = [b"%s %s HTTP/1.1" % (method.encode("ascii"), target), self._host]
        lines += map(b": ".join, headers)
        if body is not None or method not in _BODYLESS_METHODS:
            lines += _framing(headers, body)
        text = b"".join(lines)
        if _CR in text or _LF in text:
            raise InvalidRequest("a header field or the path ends its line")
        if _BLANK in target:
            raise InvalidRequest("the path has a blank")
        lines += b"", body if isinstance(body, bytes) else b""
        return b"\r\n".join(lines)


def _framing(headers: list[Header], body: RequestContent) -> list[bytes]:
    """Return the field that says how long the body is, where none of the call's does (RFC 9110 §8.6)."""
    if _length(headers) is not None:
        return []
    if body is None or isinstance(body, bytes):
        return [b"content-length: %d" % len(body or b"")]
    return [b"transfer-encoding: chunked"]


def _length(headers: list[Header]) -> int | None:
    return next((int(value) for name, value in headers if name == b"content-length"), None)
