"""What the runs came to. Every figure is a median over rounds, so that one slow moment decides nothing."""

import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from tests.bench.load import Load


@dataclass(frozen=True)
class Run:
    """One run: requests a second, latencies in ms, CPU µs each, requests that failed, bytes of memory, requests.

    Attributes:
        slowness: by how much the core was slower than at its fastest, before the run or after it.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    errors: int
    memory: int
    requests: int
    slowness: float = 1.0

    @classmethod
    def of(cls, load: Load, cpu_seconds: float, memory: int, slowness: float) -> Self:
        each = cpu_seconds / load.requests * 1e6 if load.requests else float("inf")
        return cls(load.rate, load.p50, load.p99, each, load.errors, memory, load.requests, slowness)


@dataclass(frozen=True)
class Ratio:
    """By how much one is better than another, in requests a second and in CPU time."""

    requests: float
    cpu: float

    @property
    def smaller(self) -> float:
        return min(self.requests, self.cpu)


class Results:
    """Every run's figures, by scenario and contender.

    Args:
        resting: the memory that each contender had before its first request.
    """

    def __init__(self, resting: dict[str, int]) -> None:
        self.resting = resting
        self._runs: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))

    def add(self, scenario: str, name: str, run: Run) -> None:
        """Take the figures of one run."""
        self._runs[scenario][name].append(run)

    def scenarios(self) -> list[str]:
        return list(self._runs)

    def names(self, scenario: str) -> list[str]:
        """Return who was measured in a scenario."""
        return list(self._runs[scenario])

    def has(self, scenario: str, *names: str) -> bool:
        """Say whether all of these were measured in a scenario."""
        return scenario in self._runs and all(name in self._runs[scenario] for name in names)

    def median(self, scenario: str, name: str, figure: Callable[[Run], float]) -> float:
        """Return the median of one figure."""
        return statistics.median(figure(run) for run in self._runs[scenario][name])

    def quiet(self, bound: float) -> tuple[int, int]:
        """Return how many runs were on a core that was no slower than that, and how many there were."""
        found = [
            run.slowness <= bound for row in self._runs.values() for runs in row.values() for run in runs
        ]
        return sum(found), len(found)

    def errors(self, scenario: str, name: str) -> int:
        """Return how many requests failed in all rounds."""
        return sum(run.errors for run in self._runs[scenario][name])

    def between(
        self, scenario: str, ours: str, other: str, figure: Callable[[Run, Run], float], *, than: str = ""
    ) -> float:
        """Return the median of what one figure says of two runs of the same round.

        Args:
            scenario: where both were measured.
            ours: whose run comes first.
            other: whose run comes second.
            figure: what is said of the two.
            than: the scenario of the second, where it is another one.
        """
        pairs = zip(self._runs[scenario][ours], self._runs[than or scenario][other], strict=True)
        return statistics.median(figure(one, two) for one, two in pairs)

    def ratio(self, scenario: str, ours: str, other: str, *, than: str = "") -> Ratio:
        """Return by how much `ours` is better than `other`, compared round by round."""
        return Ratio(
            self.between(scenario, ours, other, lambda one, two: _over(one.rate, two.rate), than=than),
            self.between(scenario, ours, other, lambda one, two: _over(two.cpu, one.cpu), than=than),
        )


def _over(one: float, two: float) -> float:
    """Return a quotient: of nothing to nothing it is 0."""
    return one / two if two else float("inf") if one else 0.0
