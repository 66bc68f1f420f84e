"""The rounds: every scenario with everybody in turn."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial

from tests.bench.checks import check_log, logged, until_idle
from tests.bench.ground import Contender
from tests.bench.load import Generator
from tests.bench.processes import on_core
from tests.bench.quiet import QUIET, Core
from tests.bench.results import Results, Run
from tests.bench.usage import cpu_seconds, memory
from tests.bench.wire import SCENARIOS, Scenario, request_bytes

PATIENCE_SECONDS = 4.0
"""For how long it is waited for a quiet core, and a run is taken again that had none."""

_WARM_SECONDS = 1.0
_MOST_UNFINISHED = 2 * max(one.connections for one in SCENARIOS)
_FULL_AT = 0.7
"""When in a run the memory is looked at: all connections are there, and none has gone."""


def measured(
    running: Sequence[Contender],
    scenarios: Sequence[Scenario],
    send: Generator,
    *,
    rounds: int,
    seconds: float,
    patience: float = PATIENCE_SECONDS,
) -> Results:
    """Return what so many rounds came to; one more before them warms up and counts for nothing.

    Args:
        running: who is measured.
        scenarios: in what.
        send: what sends the requests.
        rounds: how often.
        seconds: the length of a run.
        patience: for how many seconds a quiet core is waited for, and a run taken again; the quietest counts.
    """
    core = Core()
    for one in running:
        until_idle(one)
    results = Results({one.name: memory(one.pid) for one in running})
    for number in range(rounds + 1):
        for scenario in scenarios:
            for one in running:
                if not one.takes_part(scenario.name, scenario.visitor):
                    continue
                if number:
                    again = partial(run_once, one, scenario, send, seconds, core)
                    results.add(scenario.name, one.name, quietest(again, core, patience))
                else:
                    run_once(one, scenario, send, _WARM_SECONDS, core)
    return results


def quietest(again: Callable[[], Run], core: Core, patience: float) -> Run:
    """Run until a run was quiet, or the patience is over; return the quietest.

    Which one that is depends on the core alone, never on what a run came to.
    """
    until = time.monotonic() + patience
    runs: list[Run] = []
    while not runs or (runs[-1].slowness > QUIET and time.monotonic() < until):
        core.until_quiet(until)
        runs.append(again())
    return min(runs, key=lambda run: run.slowness)


def run_once(
    one: Contender,
    scenario: Scenario,
    send: Generator,
    seconds: float,
    core: Core,
    held: Callable[[int], int] = memory,
) -> Run:
    """Send the requests of a scenario for a while; return what that came to.

    Args:
        one: who answers them.
        scenario: what is asked.
        send: what sends them.
        seconds: for how long at least.
        core: where the one who answers runs.
        held: tells how much memory a process has.
    """
    wires = request_bytes(scenario, one.port, one.visitors[scenario.visitor])
    seconds = max(seconds, scenario.least_seconds)
    before = core.slowness()
    lines, spent = logged(one), cpu_seconds(one.pid)
    seen: list[int] = []
    with on_core(measured=False, cores=one.cores):
        looking = threading.Timer(seconds * _FULL_AT, lambda: seen.append(held(one.pid)))
        looking.start()
        load = send(one.port, wires, scenario.connections, seconds)
        looking.join()
    spent, slowness = cpu_seconds(one.pid) - spent, max(before, core.slowness())
    until_idle(one)
    check_log(one, lines, load, _MOST_UNFINISHED)
    return Run.of(load, spent, seen[0], slowness)
