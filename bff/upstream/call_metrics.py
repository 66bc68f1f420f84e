"""What metrics say of calls to upstream: how they ended, and how long that took."""

from collections.abc import Callable
from functools import lru_cache
from time import perf_counter
from types import TracebackType
from typing import Self

from bff.errors import BffError, NotAsked
from bff.telemetry.metrics import UPSTREAM_CALLS, UPSTREAM_SECONDS


class CountedCall:
    """Counts and times the call in the block.

    Args:
        area: `api` or `token calls`.
        call: a service of the API, or the name of a token call; from a small fixed set.

    Attributes:
        status: of the answer; 0 while there is none.
    """

    __slots__ = ("_began", "_labels", "status")

    def __init__(self, area: str, call: str) -> None:
        self._labels = area, call
        self._began = 0.0
        self.status = 0

    def __enter__(self) -> Self:
        self._began = perf_counter()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        count, observe = _meters(*self._labels, self._outcome(error))
        count()
        if not isinstance(error, NotAsked):
            observe(perf_counter() - self._began)

    def _outcome(self, error: BaseException | None) -> str:
        if self.status:
            return f"{self.status // 100}xx"
        if isinstance(error, NotAsked):
            return "not asked"
        # What is no failure of a server is the client's: it left, or sent what nobody takes.
        return "no answer" if isinstance(error, BffError) and error.status >= 500 else "abandoned"


@lru_cache(maxsize=1024)
def _meters(area: str, call: str, outcome: str) -> tuple[Callable[[], None], Callable[[float], None]]:
    return UPSTREAM_CALLS.labels(area, call, outcome).inc, UPSTREAM_SECONDS.labels(area, call).observe
