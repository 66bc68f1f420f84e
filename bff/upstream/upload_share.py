"""A share of the upstream connections for uploads: the rest is kept for requests whose body, if any, is there.

A request with a streamed body has its connection for as long as its client takes to send that body.
"""

import asyncio
from collections.abc import Coroutine

from bff.deadline import seconds_left
from bff.telemetry.metrics import UPSTREAM_BUSY
from bff.upstream.failures import Busy
from bff.upstream.protocol import Header, RequestContent, UpstreamAnswer, UpstreamClient
from bff.upstream.releasing import ReleasingAnswer


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

    def open(
        self, method: str, target: bytes, headers: list[Header], body: RequestContent
    ) -> Coroutine[object, object, UpstreamAnswer]:
        if body is None or isinstance(body, bytes):
            return self._client.open(method, target, headers, body)
        return self._upload(method, target, headers, body)

    async def _upload(
        self, method: str, target: bytes, headers: list[Header], body: RequestContent
    ) -> UpstreamAnswer:
        await self._take()
        try:
            answer = await self._client.open(method, target, headers, body)
        except BaseException:
            self._free.release()
            raise
        return ReleasingAnswer(answer, self._free.release)

    async def _take(self) -> None:
        try:
            async with asyncio.timeout(seconds_left(self._wait_seconds)):
                await self._free.acquire()
        except TimeoutError:
            UPSTREAM_BUSY.labels("uploads").inc()
            failure = Busy(log_detail="too many uploads", retry_after=1)
        else:
            return
        raise failure

    async def aclose(self) -> None:
        await self._client.aclose()
