"""The seam between the proxy and whatever speaks HTTP to the upstream.

Everything above works with `UpstreamClient` and knows no HTTP library. A new client is one file beside this one and one
line in `tests/contract/upstream_clients.py`; the tests beside it say what every client must do. What watches over
calls, such as a deadline or a circuit breaker, is an `UpstreamClient` that holds another one: `bff.wiring` puts it
between them.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

Header = tuple[bytes, bytes]
RequestContent = bytes | AsyncIterator[bytes] | None

BODYLESS_STATUSES: Final = frozenset({204, 304})
"""Answers that have no body, whatever they announce (RFC 9110 §6.4.1)."""
SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
"""Methods that change nothing, so that a request may be sent again (RFC 9110 §9.2.1)."""


class UpstreamAnswer(Protocol):
    """An answer whose body is still on its way; whoever holds it closes it."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[Header]: ...

    @property
    def released(self) -> bool:
        """Whether all of it is here and it has given its connection back, so that it need not be closed."""
        ...

    def whole(self) -> bytes | None:
        """Return the body where all of it is here and `chunks` was not asked for it; None: `chunks` has it."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; raises `UpstreamUnavailable` or `UpstreamTimeout` where it breaks off."""
        ...

    async def aclose(self) -> None:
        """Give the connection back, or close it where the body was not read to its end."""
        ...


class UpstreamClient(Protocol):
    """Sends requests to one origin, each byte as it is.

    The target is not parsed again, no header is added but `Host` and the framing, no body is decoded, no cookie is
    kept, no redirect followed and no proxy of the environment used.
    """

    async def open(
        self, method: str, target: bytes, headers: list[Header], body: RequestContent
    ) -> UpstreamAnswer:
        """Send one request and return when the answer's head is there.

        Raises:
            UpstreamUnavailable: no connection, or one that broke.
            UpstreamTimeout: no answer in time.
            BadUpstreamAnswer: what came is no HTTP answer. See `bff.upstream.failures`.
        """
        ...

    async def aclose(self) -> None:
        """Close all connections."""
        ...


@dataclass(frozen=True, slots=True)
class WholeAnswer:
    """An upstream answer, read to its end; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
