"""Sends a matched request upstream with a token, and streams the answer back.

The forwarder asks for a token and never sees a refresh token. An upstream 401 is met with one renewal and, where
the body can be sent again and the route allows it, one replay.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from starlette.types import Receive, Send

from bff.errors import BffError, ReauthenticationRequired
from bff.proxy.body import REPLAYABLE_BYTES, ClientLeft, RequestBody
from bff.proxy.headers import request_headers, response_headers
from bff.proxy.paths import UpstreamPath, replace_owner
from bff.proxy.routes import Route
from bff.proxy.upstream import Header, UpstreamAnswer, UpstreamClient
from bff.secret import Secret
from bff.sessions.models import Grant
from bff.telemetry import event, request_id

_BODYLESS: Final = frozenset({204, 304})
_log = logging.getLogger(__name__)


class Authority(Protocol):
    """Says with what a request is sent, and what its answer tells the visitor's carrier."""

    async def grant(self) -> Grant: ...

    async def renewed(self, refused: Grant) -> Grant:
        """Return another grant for one whose token upstream refused."""
        ...

    async def answered(self, status: int) -> list[Header]:
        """Do what this status means for the session, and return what the answer says of it."""
        ...


class Resolver(Protocol):
    """Puts the session's own id where a drop-in client sends an alias."""

    def resolved(self, text: bytes, session_id: Secret) -> bytes: ...

    def resolved_stream(self, chunks: AsyncIterator[bytes], session_id: Secret) -> AsyncIterator[bytes]: ...


@dataclass(frozen=True, slots=True)
class Call:
    """One request, matched and checked."""

    method: str
    path: UpstreamPath
    query: bytes = field(repr=False)
    headers: list[Header] = field(repr=False)
    route: Route


class Forwarder:
    """Forwards calls to one upstream.

    Args:
        upstream: what speaks HTTP to it.
        upstream_origin: where a `Location` counts as inside.
        tenant: sent along as upstream wants it.
        max_body_bytes: the most that a request may bring.
        clock: seconds since the epoch.
        resolver: puts the real session id where a drop-in client sends an alias; None leaves every byte as it is.
    """

    def __init__(
        self,
        upstream: UpstreamClient,
        *,
        upstream_origin: str,
        tenant: str,
        max_body_bytes: int,
        clock: Callable[[], float],
        resolver: Resolver | None = None,
    ) -> None:
        self._resolver = resolver
        self._upstream = upstream
        self._upstream_origin = upstream_origin
        self._tenant: Header = (b"emporix-tenant", tenant.encode("ascii"))
        self._max_body_bytes = max_body_bytes
        self._clock = clock

    async def forward(self, call: Call, authority: Authority, receive: Receive, send: Send) -> int:
        """Send the call on and its answer back; return the answer's status.

        Raises:
            BffError: before anything of an answer was sent.
        """
        body = RequestBody(call.headers, receive, self._max_body_bytes)
        try:
            answer = await self._opened(call, authority, body)
        except ClientLeft:
            return 499
        try:
            extra = await authority.answered(answer.status)
            await self._respond(call, answer, extra, body, send)
        finally:
            await answer.aclose()
        return answer.status

    async def _opened(self, call: Call, authority: Authority, body: RequestBody) -> UpstreamAnswer:
        grant = await authority.grant()
        answer = await self._open(call, grant, body)
        if answer.status != 401 or call.route.once:
            return answer
        try:
            renewed = await authority.renewed(grant)
        except BaseException:
            await answer.aclose()
            raise
        if not body.replayable:
            return answer
        await answer.aclose()
        return await self._open(call, renewed, body)

    async def _open(self, call: Call, grant: Grant, body: RequestBody) -> UpstreamAnswer:
        target, query = call.path.target, call.query
        if call.route.session_id and query:
            session_id = None if grant.session_id is None else grant.session_id.reveal()
            query = replace_owner(query, session_id=session_id, customer_id=grant.customer_id)
        headers = request_headers(call.headers, own=self._own_headers(call.route, grant))
        content = await body.content()
        if self._resolver is not None and grant.session_id is not None:
            query = self._resolver.resolved(query, grant.session_id)
            if content is not None:
                # The alias and the id need not be of one length.
                headers = [field for field in headers if field[0] != b"content-length"]
            if isinstance(content, bytes):
                content = self._resolver.resolved(content, grant.session_id)
            elif content is not None:
                content = self._resolver.resolved_stream(content, grant.session_id)
        return await self._upstream.open(
            call.method, target + b"?" + query if query else target, headers, content
        )

    def _own_headers(self, route: Route, grant: Grant) -> list[Header]:
        own = [
            (b"authorization", b"Bearer " + grant.access.reveal().encode("ascii")),
            self._tenant,
            (b"x-request-id", request_id.get().encode("ascii")),
        ]
        if route.session_id and grant.session_id is not None:
            own.append((b"session-id", grant.session_id.reveal().encode("ascii")))
        if route.saas_token != "no" and grant.customer:  # noqa: S105
            ends = grant.saas_expires_at
            if grant.saas is not None and (ends is None or self._clock() < ends):
                own.append((b"saas-token", grant.saas.reveal().encode("ascii")))
            elif route.saas_token == "required":  # noqa: S105
                raise ReauthenticationRequired
        return own

    async def _respond(
        self, call: Call, answer: UpstreamAnswer, extra: list[Header], body: RequestBody, send: Send
    ) -> None:
        headers = response_headers(
            answer.headers, upstream_origin=self._upstream_origin, browser_cache=call.route.browser_cache
        )
        await send({"type": "http.response.start", "status": answer.status, "headers": headers + extra})
        if call.method == "HEAD" or answer.status in _BODYLESS:
            await send({"type": "http.response.body", "body": b""})
            return
        if _length(headers) <= REPLAYABLE_BYTES:
            await self._pump(call, answer, send)
            return
        await self._pump_while_listening(call, answer, body, send)

    async def _pump_while_listening(
        self, call: Call, answer: UpstreamAnswer, body: RequestBody, send: Send
    ) -> None:
        """Stop reading a long or endless answer when nobody listens any more."""
        pump = asyncio.ensure_future(self._pump(call, answer, send))
        listener = asyncio.ensure_future(body.left())
        try:
            await asyncio.wait({pump, listener}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listener.cancel()
            pump.cancel()
            await asyncio.gather(pump, listener, return_exceptions=True)

    async def _pump(self, call: Call, answer: UpstreamAnswer, send: Send) -> None:
        try:
            async for chunk in answer.chunks():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except BffError as broken:
            # The head is out: leaving the body unfinished is the only way left to say that it broke.
            event(_log, "upstream_broke_off", level=logging.WARNING, route=call.route.name, code=broken.code)
            return
        await send({"type": "http.response.body", "body": b""})


def _length(headers: list[Header]) -> float:
    """Return the announced length of an answer; without one it may be endless."""
    return next((int(value) for name, value in headers if name == b"content-length"), float("inf"))
