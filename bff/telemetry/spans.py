"""Where the spans of traces begin: in the same places where metrics count.

Nothing is recorded until `record_with` says where to, until then each place costs one look. `bff.telemetry.traces`
records them; it is imported only where traces are wanted. No query, id, address or token becomes part of a span.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import Final, Protocol, TypeVar

T = TypeVar("T")

TRACE_FIELDS: Final = frozenset({b"traceparent", b"tracestate"})
"""The header fields that say where in a trace a request belongs (W3C Trace Context)."""


class Span(Protocol):
    """Something that has begun; what begins in the same task before its end is a part of it."""

    @property
    def trace_id(self) -> str: ...

    def fields(self) -> list[tuple[bytes, bytes]]:
        """Return header fields that make what the receiver does a part of this."""
        ...

    def end(
        self,
        attributes: Mapping[str, str | int],
        *,
        name: str | None = None,
        error: str | None = None,
        failed: bool = False,
    ) -> None:
        """End it.

        Args:
            attributes: what it was, in words from small fixed sets.
            name: a better name than the one it began with.
            error: which error it ended with.
            failed: whether that is shown as a failure.
        """
        ...


class Recorder(Protocol):
    """Begins spans."""

    def request(self, traceparent: Sequence[bytes], tracestate: Sequence[bytes]) -> Span:
        """Begin the answer to a request, as a part of what the client says that it belongs to."""
        ...

    def call(self, operation: str) -> Span:
        """Begin a call to Emporix."""
        ...

    def step(self, name: str) -> Span:
        """Begin a part of the work."""
        ...


class _Step:
    """Records the block."""

    __slots__ = ("_span",)

    def __init__(self, span: Span) -> None:
        self._span = span

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _at: TracebackType | None
    ) -> None:
        # The text of an exception may quote a request: only its kind is recorded.
        self._span.end({}, error=None if kind is None else kind.__name__, failed=kind is not None)


_NOT_RECORDED: Final = nullcontext()
_recorder: Recorder | None = None


def record_with(recorder: Recorder | None) -> None:
    """Record all spans of this process with this one from now on; None records nothing."""
    global _recorder  # noqa: PLW0603 - as with metrics, there is one of it in a process
    _recorder = recorder


def request_span(field: Callable[[bytes], Sequence[bytes]]) -> Span | None:
    """Begin the answer to a request, whose header fields `field` finds by name."""
    return None if _recorder is None else _recorder.request(field(b"traceparent"), field(b"tracestate"))


def call_span(operation: str) -> Span | None:
    """Begin a call to upstream."""
    return None if _recorder is None else _recorder.call(operation)


def recorded(name: str, work: Coroutine[None, None, T]) -> Coroutine[None, None, T]:
    """Return work that is recorded as a part of what the request took; every request does it."""
    return work if _recorder is None else _recorded(name, work)


async def _recorded(name: str, work: Coroutine[None, None, T]) -> T:
    with step(name):
        return await work


def step(name: str) -> AbstractContextManager[None]:
    """Record the block as a part of what the request took."""
    return _NOT_RECORDED if _recorder is None else _Step(_recorder.step(name))
