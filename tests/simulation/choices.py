"""What a seed decides: which faults a run has, how often, and what happens at every call to a server.

Each run has only some of the faults, so that rare ones are not always hidden behind frequent ones.
"""

import math
from enum import StrEnum
from random import Random  # noqa: TID251 - from a seed
from typing import Final


class Fault(StrEnum):
    """What may go wrong at a call to a server."""

    SLOW = "slow"
    FAIL_BEFORE = "fails before it arrives"
    FAIL_AFTER = "fails after it was done"
    LOSE_ANSWER = "its answer is lost"
    CUT = "the line is cut for a while"
    ODD = "an odd answer"
    KILL = "the replica is killed"
    FREEZE = "the replica is frozen"
    JUMP = "the replica's clock jumps"


_MOST_OFTEN: Final = {
    Fault.SLOW: 0.15,
    Fault.FAIL_BEFORE: 0.06,
    Fault.FAIL_AFTER: 0.06,
    Fault.LOSE_ANSWER: 0.04,
    Fault.CUT: 0.03,
    Fault.ODD: 0.10,
    Fault.KILL: 0.02,
    Fault.FREEZE: 0.03,
    Fault.JUMP: 0.02,
}
_DECISIVE: Final = frozenset({"REPLACE", "SUPERSEDE", "RETIRE", "EXTEND"})
"""The scripts in whose course most is decided: there more goes wrong."""
_DECISIVE_FACTOR: Final = 4.0
_QUIET_SHARE: Final = 0.1
_SHARE_OF_FAULTS: Final = 0.3
LONGEST_JUMP_SECONDS: Final = 600.0


class Choices:
    """All chances of one run, drawn from its seed.

    Args:
        seed: the same seed gives the same run.
    """

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        random = self.random
        self.quiet = random.random() < _QUIET_SHARE
        rates = {
            fault: most * random.random()
            for fault, most in _MOST_OFTEN.items()
            if not self.quiet and random.random() < _SHARE_OF_FAULTS
        }
        self.rates = rates
        self._any = 1.0 - math.prod(1.0 - rate for rate in rates.values())
        self.calm = False

    def fault(self, what: str) -> Fault | None:
        """Return what goes wrong at one call, if anything."""
        probability = self._any * (_DECISIVE_FACTOR if what in _DECISIVE else 1.0)
        if self.calm or not self.rates or self.random.random() >= probability:
            return None
        return self.random.choices(list(self.rates), list(self.rates.values()))[0]

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def between(self, least: float, most: float) -> float:
        return self.random.uniform(least, most)

    def pick(self, ready: int) -> int:
        """Return an index of so many."""
        return int(self.random.random() * ready)

    def random_bytes(self, size: int) -> bytes:
        """Return bytes for ids, secrets, marks and pauses."""
        return self.random.randbytes(size)
