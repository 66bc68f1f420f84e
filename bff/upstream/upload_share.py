"""A share of the upstream connections for uploads: the rest is kept for requests whose body, if any, is there.

A request with a streamed body has its connection for as long as its client takes to send that body.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from bff.errors import UpstreamUnavailable
from bff.upstream.protocol import Header, RequestContent, UpstreamAnswer, UpstreamClient


class UploadShare:
    """An upstream client that has only so many uploads under way at once.

    Args:
        client: sends the requests.
        most: connections that uploads may have, until their answers are closed.
        wait_seconds: how long an upload waits for one of them.
    """

    def __init__(self, client: UpstreamClient, *, most: int, wait_seconds: float) -> None:
        self._client = client
        self._free = asyncio.Semaphore(most)
        self._wait_seconds = wait_seconds

    async def open(
        self, method: str, target: bytes, headers: list[Header], body: RequestContent
    ) -> UpstreamAnswer:
        if body is None or isinstance(body, bytes):
            return await self._client.open(method, target, headers, body)
        await self._take()
        try:
            answer = await self._client.open(method, target, headers, body)
        except BaseException:
            self._free.release()
            raise
        return _UploadAnswer(answer, self._free.release)

    async def _take(self) -> None:
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            failure = UpstreamUnavailable(log_detail="too many uploads")
        else:
            return
        raise failure

    async def aclose(self) -> None:
        await self._client.aclose()


class _UploadAnswer:
    """The answer to an upload; its connection counts until it is closed."""

    __slots__ = ("_answer", "_release")

    def __init__(self, answer: UpstreamAnswer, release: Callable[[], None]) -> None:
        self._answer = answer
        self._release: Callable[[], None] | None = release

    @property
    def status(self) -> int:
        return self._answer.status

    @property
    def headers(self) -> Sequence[Header]:
        return self._answer.headers

    def whole(self) -> bytes | None:
        return self._answer.whole()

    def chunks(self) -> AsyncIterator[bytes]:
        return self._answer.chunks()

    async def aclose(self) -> None:
        release, self._release = self._release, None
        try:
            await self._answer.aclose()
        finally:
            if release is not None:
                release()
