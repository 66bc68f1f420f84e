"""The rounds: every scenario with everybody in turn."""

from collections.abc import Sequence

from tests.bench.checks import check_log, logged_when_quiet
from tests.bench.contenders import Contender
from tests.bench.load import Generator
from tests.bench.processes import on_core
from tests.bench.report import Results
from tests.bench.usage import cpu_seconds, memory
from tests.bench.wire import Scenario, request_bytes


def measured(
    running: Sequence[Contender],
    scenarios: Sequence[Scenario],
    send: Generator,
    *,
    rounds: int,
    seconds: float,
) -> Results:
    """Return what so many rounds came to; one more before them warms up and counts for nothing."""
    results = Results({one.name: memory(one.pid) for one in running})
    for number in range(rounds + 1):
        for scenario in scenarios:
            for one in running:
                if one.name not in scenario.without:
                    _run(one, scenario, send, seconds if number else 1.0, results if number else None)
    return results


def _run(
    one: Contender, scenario: Scenario, send: Generator, seconds: float, results: Results | None
) -> None:
    wires = request_bytes(scenario, one.port, one.visitors[scenario.visitor])
    lines, spent = logged_when_quiet(one), cpu_seconds(one.pid)
    with on_core(measured=False):
        load = send(one.port, wires, scenario.connections, seconds)
    spent = cpu_seconds(one.pid) - spent
    check_log(one, lines, load, scenario.connections)
    if results is not None:
        results.add(scenario.name, one.name, load, spent, memory(one.pid))
