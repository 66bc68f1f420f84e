"""The HTTP client for token calls: its own pool, short deadlines, no cookies, no redirects, no proxies.

Emporix carries tokens in query strings, and the client library logs whole addresses: its loggers are
silenced here, and no exception of its that holds a request leaves this module.
"""

import asyncio
import logging
from collections.abc import Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final

import httpx2

from bff.errors import BadUpstreamAnswer, BffError, UpstreamTimeout, UpstreamUnavailable
from bff.telemetry.metrics import UPSTREAM_CALLS
from bff.upstream.protocol import Answer

DEADLINE_SECONDS: Final = 10.0
"""The longest that one token call may take, from the first try to the last byte."""

_CONNECT_TIMEOUT_SECONDS: Final = 2.0
_LARGEST_ANSWER_BYTES: Final = 1 << 20

for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


def no_cookies() -> CookieJar:
    """Return a jar that keeps nothing: a shared client would hand one visitor's cookies to the next."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=[]))


def failure_of(exc: Exception) -> BffError:
    """Return the one of three failures that an error of the library's means."""
    detail = type(exc).__name__
    if isinstance(exc, httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return UpstreamUnavailable(log_detail=detail)
    if isinstance(exc, TimeoutError | httpx2.TimeoutException):
        return UpstreamTimeout(log_detail=detail)
    # The library has one class for what is not HTTP and for a connection that ended early.
    early = "disconnected" in str(exc) or "closed connection" in str(exc)
    if isinstance(exc, httpx2.DecodingError | httpx2.ProtocolError) and not early:
        return BadUpstreamAnswer(log_detail=detail)
    return UpstreamUnavailable(log_detail=detail)


class TokenCallClient:
    """Sends token calls and reads the answers whole.

    Args:
        upstream_url: the origin of the Emporix API.
        deadline: seconds for one call, connecting and reading included.
        transport: stands in for the network, in tests.
    """

    def __init__(
        self,
        upstream_url: str,
        *,
        deadline: float = DEADLINE_SECONDS,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self._deadline = deadline
        self._client = httpx2.AsyncClient(
            base_url=upstream_url,
            timeout=httpx2.Timeout(deadline, connect=_CONNECT_TIMEOUT_SECONDS),
            limits=httpx2.Limits(max_connections=50, max_keepalive_connections=20, keepalive_expiry=30),
            follow_redirects=False,
            trust_env=False,
            cookies=no_cookies(),
            transport=transport,
            headers={"accept": "application/json", "user-agent": "emporix-bff"},
        )

    async def call(
        self,
        name: str,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        json: Mapping[str, object] | None = None,
        deadline: float | None = None,
    ) -> Answer:
        """Send one request, counted under `name`.

        Connecting is tried twice; anything that may have arrived is sent once.

        Raises:
            UpstreamTimeout: no whole answer within the deadline.
            UpstreamUnavailable: no connection, or one that broke.
            BadUpstreamAnswer: not HTTP, or an answer too large to be one of these.
        """
        request = self._client.build_request(method, path, params=query, headers=headers, json=json)
        outcome = "no answer"
        try:
            answer = await self._within(deadline or self._deadline, request)
            outcome = f"{answer.status // 100}xx"
            return answer
        finally:
            UPSTREAM_CALLS.labels(name, outcome).inc()

    async def _within(self, deadline: float, request: httpx2.Request) -> Answer:
        try:
            async with asyncio.timeout(deadline):
                try:
                    return await self._send(request)
                except httpx2.ConnectError:
                    return await self._send(request)
        except (TimeoutError, httpx2.DecodingError, httpx2.TransportError) as exc:
            failure = failure_of(exc)
        # Raised out here, the error has nothing of the library's in its context, where the request would be.
        raise failure

    async def _send(self, request: httpx2.Request) -> Answer:
        response = await self._client.send(request, stream=True)
        try:
            body = bytearray()
            async for chunk in response.aiter_bytes():
                body += chunk
                if len(body) > _LARGEST_ANSWER_BYTES:
                    raise BadUpstreamAnswer(log_detail="an answer too large for a token call")
        finally:
            await response.aclose()
        return Answer(response.status_code, response.headers, bytes(body))

    async def aclose(self) -> None:
        """Close the pool."""
        await self._client.aclose()
