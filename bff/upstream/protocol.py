"""The seam between the proxy and whatever speaks HTTP to the upstream."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

Header = tuple[bytes, bytes]


class UpstreamAnswer(Protocol):
    """An answer whose body is still on its way; whoever holds it closes it."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> Sequence[Header]: ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body as it comes; raises `UpstreamUnavailable` or `UpstreamTimeout` where it breaks off."""
        ...

    async def aclose(self) -> None: ...


class UpstreamClient(Protocol):
    """Sends one request and returns when the answer's head is there.

    Raises:
        UpstreamUnavailable: no connection.
        UpstreamTimeout: no answer in time.
        BadUpstreamAnswer: what came is no HTTP answer.
    """

    async def open(
        self, method: str, target: bytes, headers: list[Header], body: bytes | AsyncIterator[bytes] | None
    ) -> UpstreamAnswer: ...

    async def aclose(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """An upstream answer, read whole."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
