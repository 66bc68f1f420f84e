"""One deadline per request, known from the front to the last hop: token calls, the store, the proxied call's head.

It is a context variable, as the request's id is, so that nobody has to hand it on. Work that outlives its request has
none (`bff.sessions.tasks`): it has bounds of its own, and to cut it would lose what upstream has issued.
"""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Final

DEADLINE_SECONDS: Final = 60.0
"""The longest that a request takes until the head of its answer, but for the time in which its client is waited for."""

_ends: ContextVar[float] = ContextVar("deadline", default=math.inf)


@contextmanager
def deadline_in(seconds: float) -> Iterator[None]:
    """Give the block a deadline."""
    token = _ends.set(_now() + seconds)
    try:
        yield
    finally:
        _ends.reset(token)


@contextmanager
def uncounted() -> Iterator[None]:
    """Do not count the time that the block takes."""
    began = _now()
    try:
        yield
    finally:
        _ends.set(_ends.get() + _now() - began)


def seconds_left(most: float) -> float:
    """Return how long a step may take that would take `most` seconds by itself."""
    return max(0.0, min(most, _ends.get() - _now()))


def without_deadline() -> Context:
    """Return a copy of this context for work that must finish."""
    context = copy_context()
    context.run(_ends.set, math.inf)
    return context


def _now() -> float:
    return asyncio.get_running_loop().time()
