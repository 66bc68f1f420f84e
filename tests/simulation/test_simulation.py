"""Two thousand seeds of the simulation, always the same ones, and every seed that ever failed."""

from pathlib import Path
from typing import Final

import pytest

from tests.simulation.run import run

FAILED_ONCE: Final = Path(__file__).with_name("failed_once.txt")
FIRST: Final = 1_000_000
"""Not those that `make simulate` begins with."""
CASES: Final = 20
SEEDS_A_CASE: Final = 100


def seeds_that_failed_once() -> list[int]:
    lines = FAILED_ONCE.read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("case", range(CASES))
def test_the_invariants_hold(case: int) -> None:
    first = FIRST + case * SEEDS_A_CASE
    failed = [(seed, violation) for seed in range(first, first + SEEDS_A_CASE) if (violation := run(seed))]
    assert not failed


@pytest.mark.parametrize("seed", seeds_that_failed_once())
def test_a_seed_that_failed_once_does_not_fail_again(seed: int) -> None:
    assert run(seed) is None


def test_a_seed_always_does_the_same() -> None:
    traces: list[list[str]] = [[], []]
    for lines in traces:
        run(7, on_trace=lines.append)
    assert traces[0] == traces[1] != []
