"""Whether this process has been told to end, and how much time is left until it has to have ended."""

import math
import time
from typing import Final

_KEPT_SECONDS: Final = 5.0
_KEPT_SHARE: Final = 0.25
"""How much of the whole time requests leave to work that goes on without them, such as storing tokens."""


class Draining:
    """Set once, by the server; read by `/readyz`, by every response, and by whatever is waited for at the end.

    Attributes:
        begun: whether the process has been told to end.
        last_request: when the last request since then came, by the event loop's clock.
    """

    def __init__(self) -> None:
        self.begun = False
        self.last_request = -math.inf
        self._deadline = math.inf
        self._kept_back = 0.0

    def __call__(self) -> bool:
        return self.begun

    def begin(self, total_seconds: float) -> None:
        """Begin to end; `total_seconds` are for everything from now on."""
        self.begun = True
        self._deadline = time.monotonic() + total_seconds
        self._kept_back = min(_KEPT_SECONDS, total_seconds * _KEPT_SHARE)

    def seconds_left(self) -> float:
        """Return what is left of the whole time; without a signal there is no end to it."""
        return max(self._deadline - time.monotonic(), 0.0)

    def seconds_for_requests(self) -> float:
        """Return how long requests may still take."""
        return max(self.seconds_left() - self._kept_back, 0.0)


DRAINING: Final = Draining()
