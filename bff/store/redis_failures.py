"""How Redis fails, as one outcome: whatever goes wrong on the way to it, the store is unavailable."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import lru_cache
from time import perf_counter
from types import TracebackType
from typing import Any, Final

from redis.asyncio import Connection
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from bff.deadline import seconds_left
from bff.errors import StoreUnavailable
from bff.telemetry.metrics import REDIS_ERRORS, REDIS_SECONDS
from bff.telemetry.tallies import Tally

DEADLINE_SECONDS: Final = 1.5
"""No operation takes longer, retries and waiting for a connection included."""

FAILURES: Final = (RedisError, RedisClusterException, OSError, TimeoutError)
"""Everything that the client raises where a server is away, silent, refuses, or is not one."""


class _BrokenIsNamed:
    """Makes a connection that broke under a command one of the client's own connection errors, which it retries.

    uvloop raises a `RuntimeError` where something is written to a connection that was reset a moment ago. A cluster's
    client closes connections that another task is about to write to, which is then an `AttributeError`. The loop of
    Python 3.12 and newer goes on watching the socket of such a write after it is closed, and takes the next one that
    gets its number for it: there, nothing must be written.
    """

    _writer: asyncio.StreamWriter | None

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        """Send a command; the first of everything that touches a connection."""
        if self._writer is not None and self._writer.transport.is_closing():
            raise RedisConnectionError("the connection broke")
        try:
            await super().send_packed_command(*arguments, **options)  # type: ignore[misc]
        except (RuntimeError, AttributeError):
            raise RedisConnectionError("the connection broke") from None


def naming_broken(kind: type[Connection]) -> type[Connection]:
    """Return this class of connections, with every break reported as the client's own connection error."""
    return type(f"Named{kind.__name__}", (_BrokenIsNamed, kind), {})


class CountedOperation:
    """Counts and times what is asked of Redis in the block.

    That the server has forgotten a script is no failure: it is then sent again.

    Args:
        operation: what it is; from a small fixed set.
    """

    __slots__ = ("_began", "_operation")

    def __init__(self, operation: str) -> None:
        self._operation = operation
        self._began = 0.0

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _at: TracebackType | None
    ) -> None:
        if isinstance(error, NoScriptError):
            return
        if error is None or isinstance(error, FAILURES):
            _operations(self._operation).add(perf_counter() - self._began)
        if isinstance(error, FAILURES):
            REDIS_ERRORS.labels(self._operation, failure_kind(error)).inc()


def failure_kind(error: BaseException) -> str:
    """Return what kind of failure this is, for metrics."""
    match error:
        case TimeoutError() | RedisTimeoutError():
            return "timeout"
        case ResponseError() | AuthenticationError() | AuthorizationError():
            return "refused"
        case RedisConnectionError() | OSError():
            return "connection"
        case _:
            return "other"


@lru_cache(maxsize=64)
def _operations(operation: str) -> Tally:
    return Tally(None, REDIS_SECONDS.labels(operation))


@asynccontextmanager
async def unavailable_on_failure(operation: str, deadline: float | None = None) -> AsyncIterator[None]:
    """Raise `StoreUnavailable` for every failure of Redis in the block, and where the block takes too long.

    Args:
        operation: what is asked of Redis, for metrics; from a small fixed set.
        deadline: seconds for the whole block; None takes the usual `DEADLINE_SECONDS`.
    """
    try:
        with CountedOperation(operation):
            async with asyncio.timeout(seconds_left(deadline or DEADLINE_SECONDS)):
                yield
    except FAILURES as exc:
        # The exception's own text may hold an address with a password in it: only its kind is kept.
        raise StoreUnavailable(log_detail=type(exc).__name__) from None
