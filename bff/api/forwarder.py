"""Sends a matched call upstream, with the session's token and without what a client may not send."""

from collections.abc import AsyncIterator, Callable
from typing import Final, Protocol

from bff.api.call import Call
from bff.api.headers import request_headers
from bff.api.paths import replace_owner
from bff.api.request_body import RequestBody
from bff.errors import ReauthenticationRequired
from bff.security.secret import Secret
from bff.telemetry.logs import request_id
from bff.tokens import UpstreamCredentials
from bff.upstream.breaker import Breakers
from bff.upstream.call_metrics import CountedCall
from bff.upstream.protocol import Header, UpstreamAnswer, UpstreamClient

_NOBODY_BEHIND: Final = frozenset({502, 503, 504})
"""What a gateway says where the service behind it does not answer."""


class Resolver(Protocol):
    """Puts the session's own id where a drop-in client sends an alias."""

    def resolved(self, text: bytes, session_id: Secret) -> bytes: ...

    def resolved_stream(self, chunks: AsyncIterator[bytes], session_id: Secret) -> AsyncIterator[bytes]: ...


class Forwarder:
    """Sends calls to one upstream.

    Args:
        upstream: speaks HTTP to it.
        breakers: stop the calls of a route that keep failing.
        tenant: sent along as upstream wants it.
        clock: seconds since the epoch.
        resolver: puts the real session id where a drop-in client sends an alias; None leaves every byte as it is.
    """

    def __init__(
        self,
        upstream: UpstreamClient,
        breakers: Breakers,
        *,
        tenant: str,
        clock: Callable[[], float],
        resolver: Resolver | None = None,
    ) -> None:
        self._upstream = upstream
        self._breakers = breakers
        self._tenant: Header = (b"emporix-tenant", tenant.encode("ascii"))
        self._clock = clock
        self._resolver = resolver

    async def send(self, call: Call, credentials: UpstreamCredentials, body: RequestBody) -> UpstreamAnswer:
        """Send a call and return when the answer's head is there; whoever calls closes the answer.

        Raises:
            ReauthenticationRequired: the route needs a saas token, and the session's has ended.
            ClientLeft: the client left while its body was read.
            BffError: there is no answer.
        """
        query = call.query and _owned_query(call, credentials)
        headers = request_headers(call.fields, own=self._own_headers(call, credentials))
        content = None if body.empty else await body.content()
        if self._resolver is not None and credentials.session_id is not None:
            query = self._resolver.resolved(query, credentials.session_id)
            if content is not None:
                # The alias and the id need not be of one length.
                headers = [field for field in headers if field[0] != b"content-length"]
            if isinstance(content, bytes):
                content = self._resolver.resolved(content, credentials.session_id)
            elif content is not None:
                content = self._resolver.resolved_stream(content, credentials.session_id)
        target = call.path.target + b"?" + query if query else call.path.target
        streamed = content is not None and not isinstance(content, bytes)
        service = call.path.segments[0]
        with (
            CountedCall("api", service) as counted,
            self._breakers.watch(call.route.name, service, blameless=streamed) as watched,
        ):
            answer = await self._upstream.open(call.method, target, counted.traced(headers), content)
            counted.status = answer.status
            watched.failed = answer.status in _NOBODY_BEHIND
        return answer

    def _own_headers(self, call: Call, credentials: UpstreamCredentials) -> list[Header]:
        route = call.route
        own = [
            (b"authorization", b"Bearer " + credentials.access.reveal().encode("ascii")),
            self._tenant,
            (b"x-request-id", request_id.get().encode("ascii")),
        ]
        if route.session_id and credentials.session_id is not None:
            own.append((b"session-id", credentials.session_id.reveal().encode("ascii")))
        if route.chat_session:
            own.extend(header for header in call.fields.headers if header[0] == b"session-id")
        if route.saas_token != "no" and credentials.customer:  # noqa: S105
            ends = credentials.saas_expires_at
            if credentials.saas is not None and (ends is None or self._clock() < ends):
                own.append((b"saas-token", credentials.saas.reveal().encode("ascii")))
            elif route.saas_token == "required":  # noqa: S105
                raise ReauthenticationRequired
        return own


def _owned_query(call: Call, credentials: UpstreamCredentials) -> bytes:
    """Return the query, with the session's own ids where the route takes the owner from the session."""
    if not call.route.session_id:
        return call.query
    session_id = None if credentials.session_id is None else credentials.session_id.reveal()
    return replace_owner(call.query, session_id=session_id, customer_id=credentials.customer_id)
