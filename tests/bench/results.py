"""What the runs came to.

Latencies and memory are medians over rounds. Requests a second and CPU time are those of the best round: others on the
same silicon can only make a run worse, and they hit some servers harder than others. Two measurements of one server are
hit alike: there, runs that were near each other are compared, and the median counts.
"""

import statistics
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from tests.bench.load import Load

Whose = tuple[str, str]
"""A scenario, and who was measured in it."""


@dataclass(frozen=True)
class Run:
    """One run: requests a second, latencies in ms, CPU µs each, requests that failed, bytes of memory, requests."""

    rate: float
    p50: float
    p99: float
    cpu: float
    errors: int
    memory: int
    requests: int

    @classmethod
    def of(cls, load: Load, cpu_seconds: float, memory: int) -> Self:
        each = cpu_seconds / load.requests * 1e6 if load.requests else float("inf")
        return cls(load.rate, load.p50, load.p99, each, load.errors, memory, load.requests)


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

    def rate(self, scenario: str, name: str) -> float:
        """Return the requests a second of the best round."""
        return max(run.rate for run in self._runs[scenario][name])

    def cpu(self, scenario: str, name: str) -> float:
        """Return the CPU microseconds of a request in the best round."""
        return min(run.cpu for run in self._runs[scenario][name])

    def errors(self, scenario: str, name: str) -> int:
        """Return how many requests failed in all rounds."""
        return sum(run.errors for run in self._runs[scenario][name])

    def between(self, one: Whose, two: Whose, figure: Callable[[Run, Run], float]) -> float:
        """Return the median of what one figure says of two runs near each other; both are measured as often."""
        (scenario, name), (other_scenario, other_name) = one, two
        pairs = zip(self._runs[scenario][name], self._runs[other_scenario][other_name], strict=True)
        return statistics.median(figure(first, second) for first, second in pairs)

    def ratio(self, scenario: str, ours: str, other: str) -> Ratio:
        """Return by how much `ours` is better than `other`, each in its best round."""
        return Ratio(
            _over(self.rate(scenario, ours), self.rate(scenario, other)),
            _over(self.cpu(scenario, other), self.cpu(scenario, ours)),
        )

    def near(self, one: Whose, two: Whose) -> Ratio:
        """Return by how much one is better than another in runs near each other, in the median."""
        return Ratio(
            self.between(one, two, lambda first, second: _over(first.rate, second.rate)),
            self.between(one, two, lambda first, second: _over(second.cpu, first.cpu)),
        )


def _over(one: float, two: float) -> float:
    """Return a quotient: of nothing to nothing it is 0."""
    return one / two if two else float("inf") if one else 0.0
