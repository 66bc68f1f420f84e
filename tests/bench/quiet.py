"""Whether the measured core is quiet: other machines on the same silicon slow it down without taking any of its time.

A server that is measured at such a moment seems to take up to twice the CPU time for a request. So a fixed piece of
work is timed on the core before each run and after it. Everybody is held to the same bound.
"""

import json
import time
from collections.abc import Callable
from typing import Final

from tests.bench.processes import on_core

QUIET: Final = 1.15
"""By how much the piece of work may take longer than at its fastest."""

_LOOKS: Final = 150
"""How often it is looked at first."""
_AT_ONCE: Final = 3
"""How often the work is done for one look: what is not in the caches yet, or was interrupted, is not counted."""
_PAUSE: Final = 0.02
"""Seconds between two looks."""
_TIMES: Final = 4
_DOCUMENT: Final = json.dumps({f"name-{n}": [n, str(n), {"of": n}] for n in range(300)})


class Core:
    """A core, and how fast it is now beside its fastest so far.

    Args:
        timed: returns the CPU seconds that a fixed piece of work takes now.
        pause: waits for so many seconds.
    """

    def __init__(
        self, timed: Callable[[], float] | None = None, pause: Callable[[float], None] = time.sleep
    ) -> None:
        self._timed = timed or _timed
        self._pause = pause
        self._fastest = float("inf")
        for _ in range(_LOOKS):
            self.slowness()
            pause(_PAUSE)

    def slowness(self) -> float:
        """Return by how much the work takes longer now than at its fastest; 1 is as fast as ever."""
        now = min(self._timed() for _ in range(_AT_ONCE))
        self._fastest = min(self._fastest, now)
        return now / self._fastest

    def until_quiet(self, until: float) -> None:
        """Wait until the core is quiet, or until this time of the monotonic clock."""
        while self.slowness() > QUIET and time.monotonic() < until:
            self._pause(_PAUSE)


def _timed() -> float:
    """Do what a Python server does, too: make objects and look them up."""
    with on_core(measured=True):
        began = time.thread_time()
        for _ in range(_TIMES):
            for name, value in json.loads(_DOCUMENT).items():
                value[2][name.upper().encode()] = value
        return time.thread_time() - began
