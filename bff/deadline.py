"""One deadline per request, known from the front to the last hop: token calls, the store, the proxied call's head.

It is a context variable, as the request's id is, so that nobody has to hand it on. Work that outlives its request has
none (`bff.sessions.tasks`): it has bounds of its own, and to cut it would lose what upstream has issued.
"""

import math
from asyncio import get_running_loop
from contextvars import Context, ContextVar, Token, copy_context
from typing import Final

DEADLINE_SECONDS: Final = 60.0
"""The longest that a request takes until the head of its answer, but for the time in which its client is waited for."""

_ends: ContextVar[float] = ContextVar("deadline", default=math.inf)


# Classes, because every request enters both, and a generator costs several times as much.


class deadline_in:  # noqa: N801 - it is used like a function
    """Give the block a deadline.

    Args:
        seconds: from now on.
    """

    __slots__ = ("_seconds", "_token")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def __enter__(self) -> None:
        self._token: Token[float] = _ends.set(get_running_loop().time() + self._seconds)

    def __exit__(self, *_: object) -> None:
        _ends.reset(self._token)


class uncounted:  # noqa: N801 - it is used like a function
    """Do not count the time that the block takes."""

    __slots__ = ("_began",)

    def __enter__(self) -> None:
        self._began = get_running_loop().time()

    def __exit__(self, *_: object) -> None:
        _ends.set(_ends.get() + get_running_loop().time() - self._began)


def ends_at() -> float:
    """Return when the request's time is over, by the event loop's clock."""
    return _ends.get()


def seconds_left(most: float) -> float:
    """Return how long a step may take that would take `most` seconds by itself."""
    return max(0.0, min(most, _ends.get() - get_running_loop().time()))


def without_deadline() -> Context:
    """Return a copy of this context for work that must finish."""
    context = copy_context()
    context.run(_ends.set, math.inf)
    return context
