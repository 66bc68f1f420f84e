"""What a proxy says of itself before and after something, as promtool takes it: as if that went on for a while."""

import json
import math
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.deployment.queries import PROMTOOL, RULES
from tests.live import TLS

BEGIN, END = 130, 155
"""Minutes: the cause is there from the one to the other, long enough for every alert's `for`."""
_FIRING = 'group by (alertname) (ALERTS{alertstate="firing"})'


@dataclass(frozen=True)
class Scrape:
    """One look at the admin port.

    Attributes:
        counts: what only grows, by series.
        states: the others.
    """

    counts: dict[str, float]
    states: dict[str, float]

    def total(self, name: str) -> float:
        """Return the sum of all series of this name."""
        both = self.counts | self.states
        return sum(value for series, value in both.items() if series.partition("{")[0] == name)


def scrape(port: int) -> Scrape:
    """Ask the admin port as Prometheus does."""
    answer = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, verify=TLS, timeout=20)
    counts: dict[str, float] = {}
    states: dict[str, float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            labels = {**sample.labels, "instance": "a", "job": "bff"}
            inside = ",".join(f"{name}={json.dumps(value)}" for name, value in sorted(labels.items()))
            # No number is what a gauge without a value has; a series of promtool's tests cannot say that.
            if not sample.name.endswith("_created") and not math.isnan(sample.value):
                kept = states if family.type == "gauge" else counts
                kept[f"{sample.name}{{{inside}}}"] = sample.value
    return Scrape(counts, states)


def firing(before: Scrape, after: Scrape | None, folder: Path, *, other: bool = False) -> set[str]:
    """Return the alerts that fire where what came between these two comes again every minute.

    Args:
        before: while all was well.
        after: with the cause; None if nobody answers any more.
        folder: for the files.
        other: there is another replica, which answers.
    """
    (found,) = answered(before, after, [_FIRING], folder, other=other)
    return labelled(found, "alertname")


def answered(
    before: Scrape,
    after: Scrape | None,
    queries: Sequence[str],
    folder: Path,
    *,
    other: bool = False,
    minute: int = END,
) -> list[str]:
    """Return what each query finds in this minute, as promtool writes it, with all rules at work."""
    series = {'up{instance="a",job="bff"}': _state(1, 0 if after is None else 1)}
    if other:
        series['up{instance="b",job="bff"}'] = _state(1, 1)
    series |= dict(_series(before, after or before))
    inputs = [{"series": name, "values": values} for name, values in series.items()]
    impossible = [{"labels": "nothing", "value": 0}]
    asked = [{"expr": one, "eval_time": f"{minute}m", "exp_samples": impossible} for one in queries]
    group = {"interval": "1m", "input_series": inputs, "promql_expr_test": asked}
    file = folder / "played.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "tests": [group]}), "utf-8")
    done = subprocess.run([PROMTOOL, "test", "rules", file], capture_output=True, text=True, check=False)
    found = re.findall(r"^ *got: (.*)$", done.stdout + done.stderr, re.MULTILINE)
    assert len(found) == len(queries), done.stdout + done.stderr
    return found


def labelled(found: str, label: str) -> set[str]:
    """Return the values of a label in what a query finds."""
    return set(re.findall(rf'\b{label}="([^"]*)"', found))


def _series(before: Scrape, after: Scrape) -> Iterator[tuple[str, str]]:
    for name, value in after.counts.items():
        first = before.counts.get(name, 0.0)
        yield name, f"{_number(first)}x{BEGIN - 1} {_number(first)}+{_number(value - first)}x{END - BEGIN}"
    now = datetime.now(UTC).timestamp()
    for name, value in after.states.items():
        # Here it is minute 155 after the epoch at the end, so points in time are put as far before that as they are.
        offset = now - 60 * END if "_timestamp_seconds" in name else 0
        yield name, _state(before.states.get(name, value) - offset, value - offset)


def _state(first: float, then: float) -> str:
    return f"{_number(first)}x{BEGIN - 1} {_number(then)}x{END - BEGIN}"


def _number(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
