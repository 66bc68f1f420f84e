"""Whether `make bench` knows a quiet core, and takes a run again that was not on one."""

from collections.abc import Iterator
from itertools import chain, repeat
from math import inf

import pytest

from tests.bench.quiet import QUIET, Core
from tests.bench.results import Results, Run
from tests.bench.rounds import quietest


def core(*seconds: float) -> tuple[Core, list[float]]:
    """Return a core on which a piece of work takes these seconds in turn, after it took one at first; and the waits."""
    waits: list[float] = []
    at_first: Iterator[float] = repeat(1.0, 450)
    later = chain.from_iterable(repeat(one, 3) for one in seconds)
    found = Core(chain(at_first, later).__next__, waits.append)
    waits.clear()
    return found, waits


def run(slowness: float, rate: float = 1000) -> Run:
    return Run(rate, 1, 5, 100, 0, 1 << 20, 4000, slowness)


def test_a_core_is_compared_with_its_fastest_so_far() -> None:
    busy, _ = core(1.9, 0.5, 1.0)
    assert [busy.slowness() for _ in range(3)] == [1.9, 1.0, 2.0]


def test_a_look_that_was_interrupted_is_not_counted() -> None:
    looks = chain(repeat(1.0, 450), [1.7, 1.0, 1.9])
    assert Core(looks.__next__, lambda _: None).slowness() == 1.0


def test_it_waits_until_the_core_is_quiet() -> None:
    busy, waits = core(1.9, 1.9, 1.1)
    busy.until_quiet(inf)
    assert len(waits) == 2


def test_it_does_not_wait_for_ever() -> None:
    busy, waits = core(1.9)
    busy.until_quiet(-inf)
    assert not waits


def test_a_run_is_taken_again_until_one_was_quiet() -> None:
    runs = iter([run(1.9), run(1.4), run(1.1), run(1.0)])
    quiet, _ = core(*repeat(1.0, 10))
    assert quietest(lambda: next(runs), quiet, 60).slowness == 1.1


@pytest.mark.parametrize("patience", [0.0, -1.0])
def test_without_patience_the_only_run_counts(patience: float) -> None:
    runs = iter([run(1.9)])
    quiet, _ = core(1.0)
    assert quietest(lambda: next(runs), quiet, patience).slowness == 1.9


def test_the_quietest_run_counts_whatever_it_came_to() -> None:
    runs = iter([run(1.9, 9000), run(1.2, 1000), run(QUIET, 500)])
    quiet, _ = core(*repeat(1.0, 10))
    assert quietest(lambda: next(runs), quiet, 60).rate == 500


def test_the_runs_on_a_quiet_core_are_counted() -> None:
    found = Results({})
    for slowness in (1.0, QUIET, 1.5):
        found.add("it", "them", run(slowness))
    assert found.quiet(QUIET) == (2, 3)
