"""Sends a matched request upstream with a token, and streams the answer back.

The forwarder asks for a token and never sees a refresh token. An upstream 401 is met with one renewal and, where
the body can be sent again and the route allows it, one replay. What could be a token answer is searched before
anything of it is sent; the rest streams.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Final, Protocol

from starlette.types import Receive, Send

from bff.api.headers import request_headers, response_headers
from bff.api.paths import UpstreamPath, replace_owner
from bff.api.request_body import REPLAYABLE_BYTES, ClientLeft, RequestBody
from bff.api.routes import Route
from bff.api.token_scan import LIMIT, Finding, found_in_body, found_in_head, searchable
from bff.errors import (
    BadUpstreamAnswer,
    BffError,
    ReauthenticationRequired,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from bff.security.secret import Secret
from bff.telemetry.logs import event, request_id
from bff.telemetry.metrics import ANSWERS_WITHHELD
from bff.tokens import UpstreamCredentials
from bff.upstream.protocol import Header, UpstreamAnswer, UpstreamClient

_BODYLESS: Final = frozenset({204, 304})
_log = logging.getLogger(__name__)


class Authority(Protocol):
    """Says with what a request is sent, and what its answer tells the visitor's carrier."""

    async def grant(self) -> UpstreamCredentials: ...

    async def renewed(self, refused: UpstreamCredentials) -> UpstreamCredentials:
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
            BadUpstreamAnswer: the answer has a token in it; like all others, before anything of it was sent.
            BffError: what else keeps it from being sent.
        """
        body = RequestBody(call.headers, receive, self._max_body_bytes)
        try:
            answer, grant = await self._opened(call, authority, body)
        except ClientLeft:
            return 499
        try:
            extra = await authority.answered(answer.status)
            await self._respond(call, answer, grant, extra, body, send)
        finally:
            await answer.aclose()
        return answer.status

    async def _opened(
        self, call: Call, authority: Authority, body: RequestBody
    ) -> tuple[UpstreamAnswer, UpstreamCredentials]:
        """Return the answer, and with what the request was sent that it answers."""
        grant = await authority.grant()
        answer = await self._open(call, grant, body)
        if answer.status != 401:
            return answer, grant
        try:
            renewed = await authority.renewed(grant)
        except BaseException:
            await answer.aclose()
            raise
        if call.route.once or not body.replayable:
            return answer, grant  # the next call goes with the new token
        await answer.aclose()
        return await self._open(call, renewed, body), renewed

    async def _open(self, call: Call, grant: UpstreamCredentials, body: RequestBody) -> UpstreamAnswer:
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

    def _own_headers(self, route: Route, grant: UpstreamCredentials) -> list[Header]:
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
        self,
        call: Call,
        answer: UpstreamAnswer,
        grant: UpstreamCredentials,
        extra: list[Header],
        body: RequestBody,
        send: Send,
    ) -> None:
        headers = response_headers(
            answer.headers, upstream_origin=self._upstream_origin, browser_cache=call.route.browser_cache
        )
        if answer.status in _BODYLESS:
            # Of a 304 it says how long a 200 would be (RFC 9110 §8.6); the server takes it for a promise.
            headers = [field for field in headers if field[0] != b"content-length"]
        bodyless = call.method == "HEAD" or answer.status in _BODYLESS

        async def deliver() -> None:
            chunks = answer.chunks()
            _withhold(call, answer.status, found_in_head(headers, _own_tokens(grant)))
            if not bodyless and searchable(headers):
                chunks = await _begun(_searched(call, answer.status, headers, grant, chunks))
            await send({"type": "http.response.start", "status": answer.status, "headers": headers + extra})
            if bodyless:
                await send({"type": "http.response.body", "body": b""})
            else:
                await _pump(call, chunks, send)

        if bodyless or _length(headers) <= REPLAYABLE_BYTES:
            await deliver()
        else:
            await _while_listening(deliver(), body)


async def _searched(
    call: Call, status: int, headers: list[Header], grant: UpstreamCredentials, chunks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    """Yield what may leave: each chunk is judged together with all that came before it."""
    seen, own = b"", tuple(_own_tokens(grant))
    async for chunk in chunks:
        if chunk and len(seen) < LIMIT:
            seen += chunk
            _withhold(call, status, found_in_body(headers, seen, own))
        yield chunk


async def _begun(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Wait for the first chunk, which may be withheld; return all of them.

    Raises:
        BadUpstreamAnswer: it has a token in it. What breaks off otherwise breaks off after the head, as it came.
    """
    first, broken = b"", None
    try:
        first = await anext(chunks, b"")
    except (UpstreamUnavailable, UpstreamTimeout) as error:
        broken = error

    async def all_of_them() -> AsyncIterator[bytes]:
        if broken is not None:
            raise broken
        yield first
        async for chunk in chunks:
            yield chunk

    return all_of_them()


def _withhold(call: Call, status: int, finding: Finding | None) -> None:
    """Refuse to pass on what has a token in it."""
    if finding is None:
        return
    ANSWERS_WITHHELD.labels(finding).inc()
    event(_log, "answer_withheld", level=logging.ERROR, route=call.route.name, status=status, reason=finding)
    raise BadUpstreamAnswer("Emporix' answer to this has a token in it, or can not be searched for one")


def _own_tokens(grant: UpstreamCredentials) -> Iterator[bytes]:
    return (token.reveal().encode() for token in (grant.access, grant.saas) if token is not None)


async def _while_listening(delivery: Coroutine[None, None, None], body: RequestBody) -> None:
    """Stop reading a long or endless answer when nobody listens any more."""
    deliver = asyncio.ensure_future(delivery)
    listener = asyncio.ensure_future(body.left())
    try:
        await asyncio.wait({deliver, listener}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        listener.cancel()
        deliver.cancel()
        await asyncio.gather(deliver, listener, return_exceptions=True)
    if not deliver.cancelled():
        deliver.result()


async def _pump(call: Call, chunks: AsyncIterator[bytes], send: Send) -> None:
    try:
        async for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except BffError as broken:
        # The head is out: leaving the body unfinished is the only way left to say that it broke.
        if not isinstance(broken, BadUpstreamAnswer):  # that one was withheld, and is logged as such
            event(_log, "upstream_broke_off", level=logging.WARNING, route=call.route.name, code=broken.code)
        return
    await send({"type": "http.response.body", "body": b""})


def _length(headers: list[Header]) -> float:
    """Return the announced length of an answer; without one it may be endless."""
    return next((int(value) for name, value in headers if name == b"content-length"), float("inf"))
