"""The seam between the proxy and whatever speaks HTTP to the upstream; httpx2 stands behind it now.

One pool of its own, so that no flood of proxied calls starves the renewals. Bytes go as they are: the target is
not parsed again, no header is added but the framing, no body is decoded, no cookie kept, no redirect followed.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Final

import httpx2

from bff.errors import BadUpstreamAnswer, UpstreamTimeout, UpstreamUnavailable
from bff.upstream.protocol import Header
from bff.upstream.token_calls import no_cookies

_SAFE: Final = frozenset({"GET", "HEAD"})
_TIMEOUT: Final = httpx2.Timeout(connect=2.0, read=60.0, write=30.0, pool=2.0)
_LIMITS: Final = httpx2.Limits(max_connections=500, max_keepalive_connections=200, keepalive_expiry=30.0)


class HttpxAnswer:
    """An httpx2 response as an upstream answer."""

    __slots__ = ("_response",)

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Sequence[Header]:
        return self._response.headers.raw

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except httpx2.TimeoutException:
            raise UpstreamTimeout(log_detail="the body stalled") from None
        except (httpx2.TransportError, httpx2.StreamError) as exc:
            raise UpstreamUnavailable(log_detail=type(exc).__name__) from None

    async def aclose(self) -> None:
        await self._response.aclose()


class HttpxClient:
    """The upstream over httpx2.

    Args:
        upstream_url: the origin that every request goes to, whatever its path says.
        transport: stands in for the network, in tests.
    """

    def __init__(self, upstream_url: str, *, transport: httpx2.AsyncBaseTransport | None = None) -> None:
        self._url = httpx2.URL(upstream_url)
        host = self._url.netloc
        self._host: Header = (b"host", host)
        self._client = httpx2.AsyncClient(
            timeout=_TIMEOUT,
            limits=_LIMITS,
            follow_redirects=False,
            trust_env=False,
            cookies=no_cookies(),
            transport=transport,
        )

    async def open(
        self, method: str, target: bytes, headers: list[Header], body: bytes | AsyncIterator[bytes] | None
    ) -> HttpxAnswer:
        request = httpx2.Request(
            method, self._url, headers=[self._host, *headers], content=body, extensions={"target": target}
        )
        request.extensions["timeout"] = _TIMEOUT.as_dict()
        try:
            try:
                return await self._answer(request)
            except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
                # An idle connection that upstream closed at the same moment; nothing safe is lost by asking again.
                if method not in _SAFE or body is not None:
                    raise
                return await self._answer(request)
        except (httpx2.ConnectTimeout, httpx2.PoolTimeout) as exc:
            raise UpstreamUnavailable(log_detail=type(exc).__name__) from None
        except httpx2.TimeoutException as exc:
            raise UpstreamTimeout(log_detail=type(exc).__name__) from None
        except httpx2.ProtocolError as exc:
            raise BadUpstreamAnswer(log_detail=type(exc).__name__) from None
        except httpx2.TransportError as exc:
            raise UpstreamUnavailable(log_detail=type(exc).__name__) from None

    async def _answer(self, request: httpx2.Request) -> HttpxAnswer:
        response = await self._client.send(request, stream=True)
        if response.status_code > 599:  # no status of HTTP (RFC 9110 §15)
            await response.aclose()
            raise BadUpstreamAnswer(log_detail=f"status {response.status_code}")
        return HttpxAnswer(response)

    async def aclose(self) -> None:
        await self._client.aclose()
