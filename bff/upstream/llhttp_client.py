"""The upstream client for proxied calls, on asyncio and httptools (llhttp).

A library client spends most of a proxied call's time on what forwarding does not need: models of URLs, headers and
cookies, and a pool that looks at every connection. This one writes the request's bytes and hands on the answer's.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from typing import Final

import httpx2

from bff.errors import BffError, InvalidRequest
from bff.upstream.connection import WireRequest
from bff.upstream.exchange import Exchange
from bff.upstream.options import ClientOptions
from bff.upstream.pool import ConnectionPool
from bff.upstream.protocol import Header, RequestContent

_RESEND_SECONDS: Final = 2.0
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
_BODYLESS_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})


class LlhttpClient:
    """The upstream over sockets of its own.

    Args:
        upstream_url: the origin that every request goes to, whatever its target says.
        options: connections, deadlines and retries.
        tls: checks the upstream's certificate; by default the system's trust decides.
    """

    def __init__(
        self, upstream_url: str, options: ClientOptions, *, tls: ssl.SSLContext | None = None
    ) -> None:
        scheme, _, netloc = upstream_url.partition("://")
        self._host = b"host: " + netloc.rstrip("/").encode("ascii") + b"\r\n"
        if scheme == "https" and tls is None:
            tls = httpx2.create_ssl_context(trust_env=False)
        self._pool = ConnectionPool(upstream_url, options, tls if scheme == "https" else None)
        self._resend_safe = options.resend_safe

    async def open(self, method: str, target: bytes, headers: list[Header], body: RequestContent) -> Exchange:
        """See `UpstreamClient.open`.

        Raises:
            InvalidRequest: a field or the target has a byte that would end its line.
        """
        request = self._request(method, target, headers, body)
        resend = self._resend_safe and body is None and method in _SAFE_METHODS
        connection = await self._pool.acquire(sent_once=not resend)
        began = asyncio.get_running_loop().time()
        try:
            return await connection.send(request)
        except BffError:
            # Upstream may have closed an idle connection at the same moment; after a while it is something else.
            soon = asyncio.get_running_loop().time() - began < _RESEND_SECONDS
            if not (resend and connection.broke and soon):
                raise
        return await (await self._pool.acquire(fresh=True)).send(request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._pool.aclose()

    def _request(
        self, method: str, target: bytes, headers: list[Header], body: RequestContent
    ) -> WireRequest:
        lines = [b"%s %s HTTP/1.1\r\n" % (method.encode("ascii"), target), self._host]
        length = None
        for name, value in headers:
            lines.append(b"%s: %s\r\n" % (name, value))
            if name == b"content-length":
                length = int(value)
        content, stream = (body, None) if body is None or isinstance(body, bytes) else (b"", body)
        if length is None:
            lines.append(_framing(method, content, stream))
        head = b"".join(lines)
        if head.count(b"\n") != len(lines) - (lines[-1] == b"") or head.count(b"\r") != head.count(b"\n"):
            raise InvalidRequest("a header field or the path ends its line")
        if b" " in target:
            raise InvalidRequest("the path has a blank")
        return WireRequest(b"%s\r\n%s" % (head, content or b""), method == "HEAD", stream, length)


def _framing(method: str, content: bytes | None, stream: AsyncIterator[bytes] | None) -> bytes:
    """Return the field that says how long the body is, or nothing where no body is expected (RFC 9110 §8.6)."""
    if stream is not None:
        return b"transfer-encoding: chunked\r\n"
    if content is None and method in _BODYLESS_METHODS:
        return b""
    return b"content-length: %d\r\n" % len(content or b"")
