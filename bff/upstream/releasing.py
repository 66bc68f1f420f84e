"""An answer that gives something back when it is closed."""

from collections.abc import AsyncIterator, Callable, Sequence

from bff.upstream.protocol import Header, UpstreamAnswer


class ReleasingAnswer:
    """An upstream answer whose place is taken until it is closed.

    Args:
        answer: the answer.
        release: gives the place back; is called once.
    """

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
