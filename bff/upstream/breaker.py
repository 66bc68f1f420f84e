"""Circuit breakers: a call that keeps failing is not made for a while, so that nobody waits for it in vain.

There is one for each route and each kind of token call, so that one that is slow or broken takes no other with it. A
refusal (4xx) is an answer like any other, and so is one that makes no sense. What failed here, as for want of a free
connection, says nothing of upstream.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from typing import Final, Self

from bff.errors import NotAsked, Paused, UpstreamTimeout, UpstreamUnavailable
from bff.telemetry.logs import event
from bff.telemetry.metrics import UPSTREAM_BREAKER
from bff.upstream.failures import ClosedUnanswered

TOKEN_CALLS_AREA: Final = "token calls"  # noqa: S105 - a label
_FAILURES_TO_OPEN: Final = 10
_FIRST_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE_SECONDS: Final = 16.0
_UNANSWERED: Final = (UpstreamUnavailable, UpstreamTimeout, ClosedUnanswered)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Breaker:
    """The breaker of one call; it is open while there is a pause."""

    name: str
    area: str
    failures: int = 0
    pause: float = 0.0
    next_probe: float = 0.0


class Breakers:
    """All breakers of this process.

    Args:
        monotonic: seconds.
        random_bytes: the source of the random half of a pause, so that not all replicas probe at once.
    """

    def __init__(self, *, monotonic: Callable[[], float], random_bytes: Callable[[int], bytes]) -> None:
        self._monotonic = monotonic
        self._random_bytes = random_bytes
        self._breakers: dict[str, _Breaker] = {}

    def watch(self, name: str, area: str, *, blameless: bool = False) -> "WatchedCall":
        """Return the block in which a call is made; while the breaker is open, only a probe gets into it.

        Args:
            name: which breaker; from a small fixed set.
            area: stands for it in metrics; from a small fixed set.
            blameless: a failure may be the client's own, as with a body that it is slow to send.
        """
        breaker = self._breakers.get(name)
        if breaker is None:
            breaker = self._breakers[name] = _Breaker(name, area)
        watched = WatchedCall(self, breaker)
        watched.blameless = blameless
        return watched

    def admit(self, breaker: _Breaker) -> None:
        """Let a call begin although the breaker is open.

        Raises:
            Paused: this is no probe.
        """
        left = breaker.next_probe - self._monotonic()
        if left > 0:
            _count(breaker, "refused")
            raise Paused(
                "Emporix has not answered this for a while, so it is not asked now", retry_after=ceil(left)
            )
        breaker.pause = min(2 * breaker.pause, _LONGEST_PAUSE_SECONDS)
        self._wait(breaker)
        _count(breaker, "probed")

    def answered(self, breaker: _Breaker, *, failed: bool) -> None:
        """Count a failure, or a success after one."""
        if failed:
            self._failed(breaker)
        else:
            self._succeeded(breaker)

    def _failed(self, breaker: _Breaker) -> None:
        breaker.failures += 1
        if breaker.failures >= _FAILURES_TO_OPEN and not breaker.pause:
            breaker.pause = _FIRST_PAUSE_SECONDS
            self._wait(breaker)
            _count(breaker, "opened")
            event(_log, "breaker_opened", level=logging.WARNING, route=breaker.name)

    def _succeeded(self, breaker: _Breaker) -> None:
        breaker.failures = 0
        if breaker.pause:
            breaker.pause = 0.0
            _count(breaker, "closed")
            event(_log, "breaker_closed", route=breaker.name)

    def _wait(self, breaker: _Breaker) -> None:
        """Let no probe through for half a pause and a random part of the other half."""
        breaker.next_probe = self._monotonic() + breaker.pause * (1 + self._random_bytes(1)[0] / 256) / 2


class WatchedCall:
    """A call whose breaker learns how it ends.

    Attributes:
        blameless: no failure counts.
        failed: the answer is as bad as none.
    """

    __slots__ = ("_breaker", "_breakers", "blameless", "failed")

    def __init__(self, breakers: Breakers, breaker: _Breaker) -> None:
        self._breakers = breakers
        self._breaker = breaker
        self.blameless = self.failed = False

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            Paused: the breaker is open.
        """
        if self._breaker.pause:
            self._breakers.admit(self._breaker)
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None:
            if self.failed or self._breaker.failures:
                self._breakers.answered(self._breaker, failed=self.failed)
        elif isinstance(error, _UNANSWERED) and not isinstance(error, NotAsked) and not self.blameless:
            self._breakers.answered(self._breaker, failed=True)


def _count(breaker: _Breaker, happened: str) -> None:
    UPSTREAM_BREAKER.labels(breaker.area, happened).inc()
