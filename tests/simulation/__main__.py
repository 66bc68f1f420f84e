"""Run seeds of the simulation, or replay one with a trace of what happened: `python -m tests.simulation --help`."""

import argparse
import logging
import sys
import time

from tests.simulation.run import run

_SHOWN = 20


def main() -> int:
    """Run what the command line asks for; 1 where an invariant did not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seeds", type=int, default=10_000, help="how many seeds to run")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one alone, with a trace")
    options = parser.parse_args()
    logging.disable()
    if options.seed is not None:
        return _replay(options.seed)
    began, failed = time.perf_counter(), []
    for seed in range(options.first, options.first + options.seeds):
        violation = run(seed)
        if violation is not None:
            failed.append(seed)
            if len(failed) <= _SHOWN:
                print(f"seed {seed}: {violation}", flush=True)  # noqa: T201
    seconds = time.perf_counter() - began
    print(f"{options.seeds} seeds in {seconds:.0f} s, {len(failed)} failed: {failed[:_SHOWN]}")  # noqa: T201
    return int(bool(failed))


def _replay(seed: int) -> int:
    violation = run(seed, on_trace=print)
    print(f"seed {seed}: {violation or 'all invariants hold'}")  # noqa: T201
    return int(violation is not None)


if __name__ == "__main__":
    sys.exit(main())
