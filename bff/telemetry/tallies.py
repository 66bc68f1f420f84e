"""What is counted with every request, as plain numbers: the metrics library takes a lock for each of them.

The library is told before metrics are read, a moment after something was counted, and when the process ends.
"""

import asyncio
import atexit
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final

from prometheus_client import Counter, Histogram
from prometheus_client.metrics_core import Metric

_FLUSH_SECONDS: Final = 0.05
BOUNDS: Final = tuple(sorted({0.0005, 0.001, 0.0025, 1.5, *Histogram.DEFAULT_BUCKETS}))
"""The upper bounds, in seconds, that durations are counted between."""


class TalliedHistogram(Histogram):
    """A histogram that takes many durations at once; its bounds are among `BOUNDS`."""

    def add(self, counts: Sequence[int], seconds: float) -> None:
        """Add durations.

        Args:
            counts: how many there are up to each of `BOUNDS`.
            seconds: their sum.
        """
        self._sum.inc(seconds)
        for bound, count in zip(BOUNDS, counts, strict=True):
            if count:
                self._buckets[bisect_left(self._upper_bounds, bound)].inc(count)


class Count:
    """Counts what happens often; there are few of them.

    Args:
        counter: gets the numbers.
    """

    __slots__ = ("_counter", "_number")

    def __init__(self, counter: Counter) -> None:
        self._counter = counter
        self._number = 0

    def add(self) -> None:
        """Count one."""
        if not self._number:
            _await_flush(self)
        self._number += 1

    def flush(self) -> None:
        """Tell the library."""
        number, self._number = self._number, 0
        self._counter.inc(number)


class Tally:
    """Counts and times what is of one kind.

    Args:
        counter: gets the numbers; None: only the durations count.
        histograms: get the durations.
    """

    __slots__ = ("_counter", "_counts", "_histograms", "_seconds", "_waits")

    def __init__(self, counter: Counter | None, *histograms: TalliedHistogram) -> None:
        self._counter = counter
        self._histograms = histograms
        self._counts = [0] * len(BOUNDS)
        self._seconds = 0.0
        self._waits = False

    def add(self, seconds: float) -> None:
        """Count one that took so long."""
        self._counts[bisect_left(BOUNDS, seconds)] += 1
        self._seconds += seconds
        if not self._waits:
            self._waits = True
            _await_flush(self)

    def flush(self) -> None:
        """Tell the library."""
        counts, seconds = self._counts, self._seconds
        self._counts, self._seconds, self._waits = [0] * len(BOUNDS), 0.0, False
        if self._counter is not None:
            self._counter.inc(sum(counts))
        for histogram in self._histograms:
            histogram.add(counts, seconds)


_waiting: Final[list[Count | Tally]] = []
"""Those that have counted something; kept here so that none is lost when its owner drops it."""


def _await_flush(one: Count | Tally) -> None:
    """Pass its counts on soon, so that a reader in another worker sees them."""
    if not _waiting:
        with suppress(RuntimeError):  # without a loop: when somebody reads, or at the end
            asyncio.get_running_loop().call_later(_FLUSH_SECONDS, flush)
    _waiting.append(one)


def flush() -> None:
    """Pass everything that was counted on to the library."""
    while _waiting:
        _waiting.pop().flush()


class FlushFirst:
    """Has no metrics of its own: as the first one of a registry, it brings those of the others up to date."""

    def collect(self) -> Iterable[Metric]:
        """Flush."""
        flush()
        return ()


atexit.register(flush)
