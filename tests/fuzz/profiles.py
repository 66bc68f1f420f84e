"""How long a fuzz target runs: the same small budget in every `make test`, or FUZZ_SECONDS of something new.

A target is a Hypothesis test under `@fuzzed(examples)`, below `@given`'s place in the reading order:

    @fuzzed(40)
    @given(text())
    def test_…(value: str) -> None: …

or, where there is no function to decorate (a state machine), a loop around it:

    for _ in rounds():
        run_state_machine_as_test(Machine, settings=budget(20))

`quick`, the default, draws the same examples in every run. `long`, chosen by FUZZ_SECONDS=N, draws new ones round after
round until the N seconds that a file has are spent, shared evenly by the file's targets. What fails is kept
in `.hypothesis` and tried first by the next long run. Start it with `make fuzz`, which also lifts pytest's timeout.
"""

import functools
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final, ParamSpec

from hypothesis import HealthCheck, core, settings
from hypothesis.vendor.pretty import RepresentationPrinter

P = ParamSpec("P")

SECONDS: Final = float(os.environ.get("FUZZ_SECONDS", "0"))
"""What a file of targets may spend; 0 is the quick budget."""

_ROUND: Final = 200
_targets: Counter[str] = Counter()


def load() -> None:
    """Register both profiles and load the one that the environment asks for.

    No test has a deadline, since none measures time. What a slow machine draws is drawn all the same.
    """
    patient = settings(deadline=None, print_blob=True)
    settings.register_profile("quick", patient, derandomize=True)
    settings.register_profile("long", patient, suppress_health_check=[HealthCheck.too_slow])
    settings.load_profile("long" if SECONDS else "quick")
    # schemathesis' plugin, loaded by now, has swapped the printer for one that prints no values: of everybody's tests.
    core.RepresentationPrinter = RepresentationPrinter  # type: ignore[attr-defined]


def budget(examples: int) -> settings:
    """Return settings for one round: `examples` in the quick budget, more of them in the long one.

    A target's fixture is the process that it is run at: it is the same one for all examples on purpose.
    """
    return settings(
        max_examples=max(_ROUND, examples) if SECONDS else examples,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


def rounds(seconds: float = SECONDS) -> Iterator[int]:
    """Yield at least once, and again until `seconds` have passed."""
    until, number = time.monotonic() + seconds, 0
    while not number or time.monotonic() < until:
        yield number
        number += 1


def fuzzed(examples: int, shares: int = 1) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Make a target of a test under `@given`.

    Args:
        examples: how many the quick budget draws.
        shares: how many tests `parametrize` makes of it.
    """

    def decorate(test: Callable[P, None]) -> Callable[P, None]:
        _targets[test.__module__] += shares
        bounded = budget(examples)(test)

        @functools.wraps(bounded)
        def run(*args: P.args, **kwargs: P.kwargs) -> None:
            for _ in rounds(SECONDS / _targets[test.__module__]):
                bounded(*args, **kwargs)

        return run

    return decorate
