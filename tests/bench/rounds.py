"""The rounds: every scenario with everybody in turn."""

import threading
from collections.abc import Callable, Sequence

from tests.bench.checks import check_log, logged, until_idle
from tests.bench.ground import Contender
from tests.bench.load import Generator
from tests.bench.processes import on_core
from tests.bench.results import Results, Run
from tests.bench.usage import cpu_seconds, memory
from tests.bench.wire import SCENARIOS, Scenario, request_bytes

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
) -> Results:
    """Return what so many rounds came to; one more before them warms up and counts for nothing."""
    for one in running:
        until_idle(one)
    results = Results({one.name: memory(one.pid) for one in running})
    turns = in_turn(scenarios)
    for number in range(rounds + 1):
        for scenario in turns:
            for one in running:
                if not one.takes_part(scenario.name, scenario.visitor):
                    continue
                run = run_once(one, scenario, send, seconds if number else _WARM_SECONDS)
                if number:
                    results.add(scenario.name, one.name, run)
    return results


def in_turn(scenarios: Sequence[Scenario]) -> list[Scenario]:
    """Return each scenario as often as it is measured in a round; those of several times alternate."""
    most = max(scenario.times for scenario in scenarios)
    return [scenario for at in range(most) for scenario in scenarios if at < scenario.times]


def run_once(
    one: Contender,
    scenario: Scenario,
    send: Generator,
    seconds: float,
    held: Callable[[int], int] = memory,
) -> Run:
    """Send the requests of a scenario for a while; return what that came to.

    Args:
        one: who answers them.
        scenario: what is asked.
        send: what sends them.
        seconds: for how long at least.
        held: tells how much memory a process has.
    """
    wires = request_bytes(scenario, one.port, one.visitors[scenario.visitor])
    seconds = max(seconds, scenario.least_seconds)
    lines, spent = logged(one), cpu_seconds(one.pid)
    seen: list[int] = []
    with on_core(measured=False, cores=one.cores):
        looking = threading.Timer(seconds * _FULL_AT, lambda: seen.append(held(one.pid)))
        looking.start()
        load = send(one.port, wires, scenario.connections, seconds)
        looking.join()
    spent = cpu_seconds(one.pid) - spent
    until_idle(one)
    check_log(one, lines, load, _MOST_UNFINISHED)
    return Run.of(load, spent, seen[0])
