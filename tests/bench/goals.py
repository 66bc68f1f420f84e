"""What this proxy is to reach, and whether a run says that it does."""

import os
from collections.abc import Iterator
from dataclasses import dataclass

from tests.bench.names import EXPRESS, ITSELF, NAIVE, NGINX, OPENIDC, OURS, OVER_TLS, TWO_WORKERS, UNCACHED
from tests.bench.results import Results, Run
from tests.bench.wire import (
    FIRST,
    LARGE_ANSWER,
    NO_SESSION,
    ONE_CONNECTION,
    SLOW_200,
    SLOW_1000,
    SLOW_2000,
)

_IDEAL_200 = 4000
"""Requests a second of 200 connections whose answers take 50 ms."""
_LOAD_CORES = 2
"""How many cores load, upstream and Redis need of their own beside two workers."""


@dataclass(frozen=True)
class Goal:
    """One line of the table.

    Attributes:
        what: what was measured.
        bound: what it is held to.
        found: what it came to.
        unit: what both are counted in.
        most: whether the bound is the most that it may be, not the least.
        aim: what would be better still.
    """

    what: str
    bound: float
    found: float
    unit: str = "×"
    most: bool = False
    aim: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the figure is within the bound, as it is printed."""
        found = round(self.found, self._digits)
        return found <= self.bound if self.most else found >= self.bound

    def row(self) -> str:
        sign = "≤" if self.most else "≥"
        aim = "" if self.aim is None else f", aim {self._shown(self.aim)}"
        wanted = f"{sign} {self._shown(self.bound)} {self.unit}{aim}"
        holds = "yes" if self.holds else "**no**"
        return f"| {self.what} | {wanted} | {self._shown(self.found)} {self.unit} | {holds} |"

    @property
    def _digits(self) -> int:
        return 2 if abs(self.bound) < 10 and self.unit else 0

    def _shown(self, figure: float) -> str:
        return f"{figure:,.{self._digits}f}"


def reached(results: Results) -> list[Goal]:
    """Return a line for every goal that this run measured."""
    return [*_ratios(results), *_many_connections(results), *_variants(results)]


def _ratios(results: Results) -> Iterator[Goal]:
    for other, bound, aim in ((OPENIDC, 3, 4), (EXPRESS, 3.5, 5), (NAIVE, 9, 12), (NGINX, 0.16, 0.22)):
        if results.has(FIRST, OURS, other):
            found = results.ratio(FIRST, OURS, other).smaller
            yield Goal(f"{FIRST}, against {other}", bound, found, aim=aim)
    if results.has(FIRST, OURS) and results.has(NO_SESSION, OURS):
        found = results.near((NO_SESSION, OURS), (FIRST, OURS)).smaller
        yield Goal("2 KiB without a session, against with one", 1, found)
    if results.has(FIRST, UNCACHED, OPENIDC):
        found = results.ratio(FIRST, UNCACHED, OPENIDC).smaller
        yield Goal(f"{FIRST}, session cache off, against {OPENIDC}", 2, found)
    if results.has(ONE_CONNECTION, OURS, NGINX):
        ours, nginx = (ONE_CONNECTION, OURS), (ONE_CONNECTION, NGINX)
        found = results.between(ours, nginx, lambda one, two: one.p50 - two.p50)
        yield Goal(f"added p50 at one connection, against {NGINX}", 0.25, found, "ms", most=True)
    if results.has(LARGE_ANSWER, OURS, NGINX):
        found = results.ratio(LARGE_ANSWER, OURS, NGINX).smaller
        yield Goal(f"{LARGE_ANSWER}, against {NGINX}", 0.6, found)


def _many_connections(results: Results) -> Iterator[Goal]:
    if results.has(SLOW_200, OURS):
        rate = results.median(SLOW_200, OURS, lambda run: run.rate)
        yield Goal(f"{SLOW_200}, of {_IDEAL_200:,}/s", 95, rate / _IDEAL_200 * 100, "%")
    if results.has(SLOW_200, OURS, ITSELF):
        share = results.ratio(SLOW_200, OURS, ITSELF).requests * 100
        yield Goal(f"{SLOW_200}, of what there is with {ITSELF}", 95, share, "%")
    if results.has(SLOW_1000, OURS, EXPRESS):
        yield Goal(f"{SLOW_1000}, against {EXPRESS}", 3, results.ratio(SLOW_1000, OURS, EXPRESS).smaller)
    if results.has(SLOW_1000, OURS):
        p99 = results.median(SLOW_1000, OURS, lambda run: _p99(run, 1000))
        yield Goal(f"{SLOW_1000}, p99", 600, p99, "ms", most=True)
    if results.has(SLOW_2000, OURS):
        # As many wait at any time as there are connections: at this throughput, each for so long.
        over = results.median(SLOW_2000, OURS, lambda run: _p99(run, 2000) * run.rate / 2000 / 1000)
        yield Goal(f"{SLOW_2000}, p99 against the mean of its throughput", 2, over, most=True)
        errors = results.errors(SLOW_2000, OURS)
        yield Goal(f"{SLOW_2000}, errors in all rounds", 0, errors, "", most=True)


def _p99(run: Run, connections: int) -> float:
    """Return the p99; of a run that ended before each had its answer twice, nothing is known of the slow ones."""
    return run.p99 if run.requests >= 2 * connections else float("inf")


def _variants(results: Results) -> Iterator[Goal]:
    for scenario in (FIRST, LARGE_ANSWER):
        if results.has(scenario, OURS, OVER_TLS):
            found = results.near((scenario, OVER_TLS), (scenario, OURS)).smaller
            yield Goal(f"{scenario}, upstream over TLS, against plain", 0.7, found)
    if results.has(FIRST, OURS, TWO_WORKERS):
        ratio = results.near((FIRST, TWO_WORKERS), (FIRST, OURS))
        if (os.cpu_count() or 1) >= 2 + _LOAD_CORES:
            yield Goal("two workers on two cores, against one", 1.8, ratio.requests)
        else:
            what = f"two workers, against one, by the CPU time of a request (requests a second: {ratio.requests:.2f} ×)"
            yield Goal(what, 1.8, 2 * ratio.cpu)
