"""The figures of the bench as Markdown tables and as a chart."""

from collections.abc import Sequence
from html import escape

from tests.bench.goals import Goal
from tests.bench.names import NAIVE, OURS
from tests.bench.results import Results

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
            "| | requests/s | p50 ms | p99 ms | CPU µs each | MiB | errors | this proxy against it |",
            "|---|---|---|---|---|---|---|---|",
        ]
        lines += [_row(results, scenario, name) for name in results.names(scenario)]
    return "\n".join([*lines, "", ""])


def _row(results: Results, scenario: str, name: str) -> str:
    figures = (
        f"{results.median(scenario, name, lambda run: run.rate):,.0f}",
        f"{results.median(scenario, name, lambda run: run.p50):.2f}",
        f"{results.median(scenario, name, lambda run: run.p99):.1f}",
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
    bars = sorted(
        (results.median(scenario, name, lambda run: run.cpu), name) for name in results.names(scenario)
    )
    widest = max(cpu for cpu, _ in bars)
    height = 40 + len(bars) * (_BAR + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" role="img"',
        f'font-family="sans-serif" font-size="13"><title>CPU time of one request: {escape(scenario)}</title>',
        f'<text x="8" y="20">CPU microseconds of one request ({escape(scenario)}); shorter is better</text>',
    ]
    for at, (cpu, name) in enumerate(bars):
        y = 34 + at * (_BAR + _GAP)
        width = max(1, round(cpu / widest * (_WIDTH - _LEFT - 70)))
        colour = "#1f6feb" if name == OURS else "#c0392b" if name == NAIVE else "#8a8f98"
        parts += [
            f'<text x="{_LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{_LEFT}" y="{y}" width="{width}" height="{_BAR}" fill="{colour}"/>',
            f'<text x="{_LEFT + width + 6}" y="{y + 15}">{cpu:.0f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
