"""What metrics and traces say of calls to upstream: how they ended, and how long that took."""

from time import perf_counter
from types import TracebackType
from typing import Final, Self

from bff.errors import BffError, NotAsked
from bff.telemetry.metrics import UPSTREAM_CALLS, calls_of
from bff.telemetry.spans import TRACE_FIELDS, Span, call_span
from bff.upstream.protocol import Header

_OUTCOMES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")
_NO_FAILURES: Final = frozenset({"1xx", "2xx", "3xx"})


class CountedCall:
    """Counts and times the call in the block, which is a span of the trace where traces are on.

    Args:
        area: `api` or `token calls`.
        call: a service of the API, or the name of a token call; from a small fixed set.

    Attributes:
        status: of the answer; 0 while there is none.
    """

    __slots__ = ("_began", "_labels", "_span", "status")

    def __init__(self, area: str, call: str) -> None:
        self._labels = area, call
        self._began = 0.0
        self._span: Span | None = None
        self.status = 0

    def __enter__(self) -> Self:
        self._began = perf_counter()
        self._span = call_span(self._labels[1])
        return self

    def traced(self, headers: list[Header]) -> list[Header]:
        """Return the call's headers; where traces are on, they name its span, and not what the client named."""
        if self._span is None:
            return headers
        return [*(one for one in headers if one[0].lower() not in TRACE_FIELDS), *self._span.fields()]

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        outcome = _OUTCOMES[self.status // 100] if self.status else _without_answer(error)
        if isinstance(error, NotAsked):
            UPSTREAM_CALLS.labels(*self._labels, outcome).inc()
        else:
            calls_of(*self._labels, outcome).add(perf_counter() - self._began)
        if self._span is not None:
            self._end(self._span, outcome)

    def _end(self, span: Span, outcome: str) -> None:
        attributes: dict[str, str | int] = {"bff.area": self._labels[0], "bff.outcome": outcome}
        if self.status:
            attributes["http.response.status_code"] = self.status
        failed = outcome not in _NO_FAILURES
        span.end(attributes, error=str(self.status or outcome) if failed else None, failed=failed)


def _without_answer(error: BaseException | None) -> str:
    if isinstance(error, NotAsked):
        return "not asked"
    # What is no failure of a server is the client's: it left, or sent what nobody takes.
    return "no answer" if isinstance(error, BffError) and error.status >= 500 else "abandoned"
