"""The figures of the bench as Markdown tables and as a chart."""

from collections.abc import Sequence

from tests.bench.goals import Goal
from tests.bench.names import NAIVE, OURS
from tests.bench.results import Results
from tests.svg import picture, text

_BAR, _GAP, _LEFT, _WIDTH = 20, 8, 210, 760


def goal_table(goals: Sequence[Goal]) -> str:
    """Return a table of goals, what they came to and whether they hold."""
    head = ["", "| goal | wanted | this run | holds |", "|---|---|---|---|"]
    return "\n".join([*head, *(goal.row() for goal in goals), ""]) if goals else ""


def table(results: Results) -> str:
    """Return a table for each scenario; a ratio is the smaller of those of requests and of CPU time."""
    if not results.scenarios():
        return ""
    lines = [
        "",
        "At rest: " + ", ".join(f"{n} {b / 2**20:.0f} MiB" for n, b in results.resting.items()) + ".",
    ]
    for scenario in results.scenarios():
        lines += [
            "",
            f"**{scenario}**",
            "",
            "| | requests/s | p50 ms | p99 ms | CPU µs each | median | MiB | errors | this proxy against it |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        lines += [_row(results, scenario, name) for name in results.names(scenario)]
    return "\n".join([*lines, "", ""])


def _row(results: Results, scenario: str, name: str) -> str:
    figures = (
        f"{results.rate(scenario, name):,.0f}",
        f"{results.median(scenario, name, lambda run: run.p50):.2f}",
        f"{results.median(scenario, name, lambda run: run.p99):.1f}",
        f"{results.cpu(scenario, name):.0f}",
        f"{results.median(scenario, name, lambda run: run.cpu):.0f}",
        f"{results.median(scenario, name, lambda run: run.memory) / 2**20:.0f}",
        f"{results.errors(scenario, name)}",
        _against(results, scenario, name),
    )
    return f"| {name} | {' | '.join(figures)} |"


def _against(results: Results, scenario: str, other: str) -> str:
    if other == OURS or not results.has(scenario, OURS):
        return ""
    ratio = results.ratio(scenario, OURS, other)
    return f"{ratio.smaller:.2f} × (requests {ratio.requests:.2f}, CPU {ratio.cpu:.2f})"


def chart(results: Results) -> str:
    """Return the CPU time of each contender's request in the first scenario, as bars."""
    scenario = results.scenarios()[0]
    bars = sorted((results.cpu(scenario, name), name) for name in results.names(scenario))
    widest = max(cpu for cpu, _ in bars)
    height = 40 + len(bars) * (_BAR + _GAP)
    parts = [text(8, 20, f"CPU microseconds of one request ({scenario}); shorter is better")]
    for at, (cpu, name) in enumerate(bars):
        y = 34 + at * (_BAR + _GAP)
        width = max(1, round(cpu / widest * (_WIDTH - _LEFT - 70)))
        colour = "#1f6feb" if name == OURS else "#c0392b" if name == NAIVE else "#8a8f98"
        parts += [
            text(_LEFT - 8, y + 15, name, anchor="end"),
            f'<rect x="{_LEFT}" y="{y}" width="{width}" height="{_BAR}" fill="{colour}"/>',
            text(_LEFT + width + 6, y + 15, f"{cpu:.0f}"),
        ]
    return picture(_WIDTH, height, f"CPU time of one request: {scenario}", parts)
