"""An answer that gives something back when it is closed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine

from bff.upstream.protocol import UpstreamAnswer


class ReleasingAnswer:
    """An upstream answer whose place is taken until it is closed.

    Args:
        answer: the answer.
        release: gives the place back; is called once.
    """

    __slots__ = ("_answer", "_release", "headers", "status", "whole")

    released = False

    def __init__(self, answer: UpstreamAnswer, release: Callable[[], None]) -> None:
        self._answer = answer
        self._release: Callable[[], None] | None = release
        self.status = answer.status
        self.headers = answer.headers
        self.whole = answer.whole

    def chunks(self) -> AsyncIterator[bytes]:
        return self._answer.chunks()

    async def aclose(self) -> None:
        release, self._release = self._release, None
        try:
            await self._answer.aclose()
        finally:
            if release is not None:
                release()


class UnreadAnswer(ReleasingAnswer):
    """An answer that notes since when its client has not taken what came, and that can be broken off.

    Args:
        answer: the answer.
        release: gives the place back; is called once.
        part: which part of upstream it is of.
        unread: which answers are unread, and since when by the event loop's clock; those unread for longest come first.
            An answer for which upstream is waited for is not among them.
    """

    __slots__ = ("_reader", "_unread", "part")

    def __init__(
        self,
        answer: UpstreamAnswer,
        release: Callable[[], None],
        part: str,
        unread: "dict[UnreadAnswer, float]",
    ) -> None:
        super().__init__(answer, release)
        self.part = part
        self._reader: asyncio.Task[object] | None = None
        self._unread = unread

    async def chunks(self) -> AsyncIterator[bytes]:
        self._reader, loop = asyncio.current_task(), asyncio.get_running_loop()
        async for chunk in self._answer.chunks():
            self._unread[self] = loop.time()
            yield chunk
            self._unread.pop(self, None)
        await self.aclose()  # the client may still take long to read the end

    def aclose(self) -> Coroutine[object, object, None]:
        self._unread.pop(self, None)
        return super().aclose()

    def give_up(self) -> None:
        """Break off: end who passes the answer on, and who closes it then."""
        self._unread.pop(self, None)
        if self._reader is not None:
            self._reader.cancel()
