"""The upstream client over httpx2."""

import logging
import ssl
from collections.abc import AsyncIterator, Sequence
from typing import Final

import httpx2

from bff.errors import BadUpstreamAnswer, BffError, UpstreamTimeout, UpstreamUnavailable
from bff.upstream.failures import Busy, ClosedUnanswered, MalformedBody, NoSuchStatus, NotConnected
from bff.upstream.options import ClientOptions
from bff.upstream.protocol import SAFE_METHODS, Header, RequestContent
from bff.upstream.trust import upstream_trust

_IDLE_SECONDS: Final = 30.0
_HIGHEST_STATUS: Final = 599

# The library logs whole addresses, and Emporix takes tokens in query strings.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class HttpxAnswer:
    """An httpx2 response as an upstream answer."""

    __slots__ = ("_response",)

    released = False

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    @property
    def status(self) -> int:
        return self._response.status_code

    @property
    def headers(self) -> Sequence[Header]:
        return self._response.headers.raw

    def whole(self) -> bytes | None:
        """Return None: httpx2 does not tell what is here."""
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._response.aiter_raw():
                yield chunk
        except (httpx2.TransportError, httpx2.StreamError) as exc:
            failure = _body_failure(exc)
        else:
            return
        raise failure  # out here it does not refer to the library's error, which holds the request

    async def aclose(self) -> None:
        await self._response.aclose()


class HttpxClient:
    """The upstream over httpx2.

    Args:
        upstream_url: the origin that every request goes to, whatever its target says.
        options: connections, deadlines and retries.
        tls: checks the upstream's certificate; by default a new `upstream_trust`.
    """

    def __init__(
        self, upstream_url: str, options: ClientOptions, *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._url = httpx2.URL(upstream_url)
        self._host: Header = (b"host", self._url.netloc)
        self._resend_safe = options.resend_safe
        self._timeout = httpx2.Timeout(
            connect=options.connect_seconds,
            read=options.read_seconds,
            write=options.write_seconds,
            pool=options.pool_seconds,
        )
        self._transport = _transport(options, tls or upstream_trust(upstream_url))

    async def open(
        self, method: str, target: bytes, headers: list[Header], body: RequestContent
    ) -> HttpxAnswer:
        request = httpx2.Request(
            method,
            self._url,
            headers=[self._host, *headers],
            content=body,
            extensions={"target": target, "timeout": self._timeout.as_dict()},
        )
        try:
            return await self._sent(
                request, resend=self._resend_safe and method in SAFE_METHODS and body is None
            )
        except httpx2.PoolTimeout as exc:
            failure: BffError = Busy(log_detail=type(exc).__name__, retry_after=1)
        except httpx2.TransportError as exc:
            failure = _head_failure(exc)
        raise failure  # out here it does not refer to the library's error, which holds the request

    async def _sent(self, request: httpx2.Request, *, resend: bool) -> HttpxAnswer:
        try:
            return await self._answer(request)
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError):
            # The upstream may have closed an idle connection at the same moment.
            if not resend:
                raise
        return await self._answer(request)

    async def _answer(self, request: httpx2.Request) -> HttpxAnswer:
        response = await self._transport.handle_async_request(request)
        if response.status_code > _HIGHEST_STATUS:
            await response.aclose()
            raise NoSuchStatus(log_detail=f"status {response.status_code}")
        return HttpxAnswer(response)

    async def aclose(self) -> None:
        await self._transport.aclose()


def _transport(options: ClientOptions, tls: ssl.SSLContext) -> httpx2.AsyncHTTPTransport:
    """Return the library's connections without its client.

    The client would keep one visitor's cookies for the next. With a jar that keeps none it still reads the cookies of
    every answer, in a time that is quadratic in the fields of the request.
    """
    limits = httpx2.Limits(
        max_connections=options.connections,
        max_keepalive_connections=options.idle_connections,
        keepalive_expiry=_IDLE_SECONDS,
    )
    return httpx2.AsyncHTTPTransport(verify=tls, limits=limits, trust_env=False)


def _head_failure(exc: httpx2.TransportError) -> BffError:
    """Map an error until the answer's head, see `bff.upstream.failures`."""
    detail = type(exc).__name__
    match exc:
        case httpx2.ConnectError():
            return NotConnected(log_detail=detail)
        case httpx2.ConnectTimeout():
            return UpstreamUnavailable(log_detail=detail)
        case httpx2.TimeoutException():
            return UpstreamTimeout(log_detail=detail)
        case httpx2.ProtocolError() if _ended_early(exc):
            return ClosedUnanswered(log_detail=detail)
        case httpx2.ProtocolError():
            return BadUpstreamAnswer(log_detail=detail)
        case _:
            return UpstreamUnavailable(log_detail=detail)


def _body_failure(exc: httpx2.TransportError | httpx2.StreamError) -> BffError:
    """Map an error in the answer's body, see `bff.upstream.failures`."""
    detail = type(exc).__name__
    match exc:
        case httpx2.TimeoutException():
            return UpstreamTimeout(log_detail="the body stalled")
        case httpx2.ProtocolError() if not _ended_early(exc):
            return MalformedBody(log_detail=detail)
        case _:
            return UpstreamUnavailable(log_detail=detail)


def _ended_early(exc: httpx2.ProtocolError) -> bool:
    """Tell a connection that ended too early from what is not HTTP: the library has one class for both."""
    return "disconnected" in str(exc) or "closed connection" in str(exc)
