"""The request's deadline, kept by proxied calls."""

import asyncio

from bff.deadline import DEADLINE_SECONDS, seconds_left
from bff.errors import UpstreamTimeout
from bff.upstream.protocol import Header, RequestContent, UpstreamAnswer, UpstreamClient


class WithinDeadline:
    """An upstream client that waits for an answer's head no longer than the request may take.

    An upload takes as long as its client takes to send it; the client below bounds each wait for upstream.

    Args:
        client: sends the requests.
    """

    def __init__(self, client: UpstreamClient) -> None:
        self._client = client

    async def open(
        self, method: str, target: bytes, headers: list[Header], body: RequestContent
    ) -> UpstreamAnswer:
        if body is not None and not isinstance(body, bytes):
            return await self._client.open(method, target, headers, body)
        try:
            async with asyncio.timeout(seconds_left(DEADLINE_SECONDS)):
                return await self._client.open(method, target, headers, body)
        except TimeoutError:
            failure = UpstreamTimeout(log_detail="the deadline of the request")
        raise failure

    async def aclose(self) -> None:
        await self._client.aclose()
