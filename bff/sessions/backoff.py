"""Backing off: a call that has failed is not made again for a while, by no replica."""

import logging
from contextlib import suppress
from math import ceil
from typing import Final

from bff.errors import BffError, StoreUnavailable, TooManyRequests, UpstreamUnavailable
from bff.sessions.ports import Ports
from bff.telemetry.logs import event

_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 30.0
_MOST_DOUBLINGS: Final = 5
_log = logging.getLogger(__name__)


class Backoff:
    """Remembers that a call failed, and until when it is not made again.

    The pause is what upstream asked for with `Retry-After`; else it doubles with every failure, and half of it is
    random. All replicas keep it.

    Args:
        name: stands for the call in the store; a hash.
        ports: the store, the clock and the source of the random half.
    """

    def __init__(self, name: bytes, ports: Ports) -> None:
        self._name = name
        self._store = ports.store
        self._clock = ports.clock
        self._random_bytes = ports.random_bytes
        self._failures = 0
        self._until = 0.0

    def check(self) -> None:
        """Ask nobody.

        Raises:
            UpstreamUnavailable: a pause that is known here is not over.
        """
        left = self._until - self._clock()
        if left > 0:
            raise UpstreamUnavailable("Emporix was asked in vain a moment ago", retry_after=ceil(left))

    async def check_all(self) -> None:
        """Ask the store for pauses that other replicas have begun.

        Raises:
            UpstreamUnavailable: the pause is not over.
            StoreUnavailable: the store does not answer.
        """
        until = await self._store.paused_until(self._name)
        if until is not None and until > self._until:
            self._until, self._failures = until, self._failures + 1
        self.check()

    def succeeded(self) -> None:
        """Begin with a short pause at the next failure."""
        self._failures = 0

    async def failed(self, error: BffError) -> BffError:
        """Begin a pause, and return the error that callers get: what can be tried again says when."""
        seconds = error.given_retry_after or self._next_pause()
        self._failures += 1
        self._until = self._clock() + seconds
        event(_log, "backoff", level=logging.WARNING, code=error.code, durationMs=round(seconds * 1000))
        with suppress(StoreUnavailable):  # then this replica alone keeps the pause
            await self._store.pause(self._name, self._until)
        if isinstance(error, TooManyRequests | UpstreamUnavailable):
            return UpstreamUnavailable(log_detail=error.log_detail, retry_after=ceil(seconds))
        return error

    def _next_pause(self) -> float:
        doubled = 2.0 ** min(self._failures, _MOST_DOUBLINGS)
        longest = min(_FIRST_PAUSE_SECONDS * doubled, _LONGEST_PAUSE_SECONDS)
        return longest * (1 + self._random_bytes(1)[0] / 256) / 2
