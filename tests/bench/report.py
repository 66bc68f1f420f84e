"""The figures of the bench as a Markdown table and as a chart."""

import statistics
from collections import defaultdict
from html import escape

from tests.bench.contenders import NAIVE, OURS
from tests.bench.load import Load

_BAR, _GAP, _LEFT, _WIDTH = 20, 8, 210, 760


class Results:
    """Every run's figures, by scenario and contender.

    Args:
        resting: the memory that each contender had before its first request.
    """

    def __init__(self, resting: dict[str, int]) -> None:
        self.resting = resting
        self._runs: dict[str, dict[str, list[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(list))

    def add(self, scenario: str, name: str, load: Load, cpu: float, memory: int) -> None:
        """Take the figures of one run."""
        each = cpu / load.requests * 1e6 if load.requests else float("inf")
        row = (load.rate, load.p50, load.p99, each, float(load.errors), memory / 2**20)
        self._runs[scenario][name].append(row)

    def scenarios(self) -> list[str]:
        return list(self._runs)

    def medians(self, scenario: str) -> dict[str, list[float]]:
        """Return each contender's rate, p50, p99, CPU microseconds, errors and MiB."""
        return {
            name: [statistics.median(column) for column in zip(*rows, strict=True)]
            for name, rows in self._runs[scenario].items()
        }


def table(results: Results) -> str:
    """Return a table for each scenario; a ratio is the smaller of those of requests and of CPU time."""
    lines = [
        "",
        "At rest: " + ", ".join(f"{n} {b / 2**20:.0f} MiB" for n, b in results.resting.items()) + ".",
    ]
    for scenario in results.scenarios():
        medians = results.medians(scenario)
        lines += [
            "",
            f"**{scenario}**",
            "",
            "| | requests/s | p50 ms | p99 ms | CPU µs each | MiB | errors | this proxy against it |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for name, (rate, p50, p99, cpu, errors, memory) in medians.items():
            against = _against(medians, name)
            figures = f"{rate:,.0f} | {p50:.2f} | {p99:.1f} | {cpu:.0f} | {memory:.0f} | {errors:.0f}"
            lines.append(f"| {name} | {figures} | {against} |")
    return "\n".join([*lines, "", ""])


def _against(medians: dict[str, list[float]], other: str) -> str:
    if OURS not in medians or other == OURS:
        return ""
    ours, its = medians[OURS], medians[other]
    if not its[0]:
        return ""
    by_cpu = its[3] / ours[3] if ours[3] else float("inf")
    return f"{min(ours[0] / its[0], by_cpu):.2f} × (requests {ours[0] / its[0]:.2f}, CPU {by_cpu:.2f})"


def chart(results: Results) -> str:
    """Return the CPU time of each contender's request in the first scenario, as bars."""
    scenario = results.scenarios()[0]
    bars = sorted((row[3], name) for name, row in results.medians(scenario).items())
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
