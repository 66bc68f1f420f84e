"""Queries of Prometheus: which metrics and labels they name, and which there are."""

import json
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from bff.telemetry.metrics import REGISTRY
from tests.bench.processes import program
from tests.deployment.manifests import DEPLOY, documents

RULES = DEPLOY / "prometheus" / "alerts.yml"
PROMTOOL = program("promtool") or "promtool"
needs_promtool = pytest.mark.skipif(
    program("promtool") is None and "CI" not in os.environ,
    reason="promtool is not installed (Debian: prometheus)",
)
_TARGET = {"job", "instance"}
"""What Prometheus adds to every sample."""
_WORDS = {"and", "or", "unless", "by", "on", "group_left", "offset", "ignoring", "without", "bool"}


def exported() -> dict[str, set[str]]:
    """Return the labels of everything that can be asked for, by its name."""
    found = {"up": set(_TARGET), "ALERTS": {"alertname", "alertstate", "severity"}}
    for metric in set(REGISTRY._names_to_collectors.values()):
        assert isinstance(metric, MetricWrapperBase)
        labels = _TARGET | set(metric._labelnames)
        name = metric._name
        if isinstance(metric, Histogram):
            found |= {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}
        elif isinstance(metric, Counter):
            found[f"{name}_total"] = labels
        elif isinstance(metric, Gauge):
            found[name] = labels | ({"pid"} if metric._multiprocess_mode == "liveall" else set())
    return found


def rules() -> Iterator[dict[str, str]]:
    """Yield every rule of the file, recordings first."""
    (described,) = documents(RULES)
    for group in described["groups"]:
        yield from group["rules"]


def known() -> dict[str, set[str]]:
    """Return what is exported, and what the rules record."""
    recorded = {one["record"]: {"fault"} for one in rules() if "record" in one}
    return exported() | recorded


def mistakes(query: str) -> list[str]:
    """Return every metric, and every label of one, that the query names and the proxy does not have."""
    there = known()
    found = [
        f"{name}{{{label}}}"
        for name, inside in re.findall(r"([\w:]+)\{([^}]*)\}", query)
        for label in re.findall(r'(\w+)\s*(?:=|!=|=~|!~)\s*"', inside)
        if label not in there.get(name, ())
    ]
    grouped = re.findall(r"\b(?:by|on|group_left|without|ignoring) *\(([^)]*)\)", query)
    names = _names(query)
    labels = {label for name in names for label in there.get(name, ())}
    found += [f"by {label}" for one in grouped for label in re.findall(r"\w+", one) if label not in labels]
    return found + [name for name in names if name not in there]


def assert_prometheus_understands(asked: Sequence[str], folder: Path) -> None:
    """Let promtool read each of these queries."""
    group = [{"record": f"q{at}", "expr": one} for at, one in enumerate(asked)]
    file = folder / "queries.yml"
    file.write_text(json.dumps({"groups": [{"name": "queries", "rules": group}]}), "utf-8")
    done = subprocess.run([PROMTOOL, "check", "rules", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(asked)} rules found" in done.stdout


def _names(query: str) -> list[str]:
    """Return the metrics that a query names."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]', "", query)
    bare = re.sub(r"\b(by|on|group_left|without|ignoring) *\([^)]*\)", "", bare)
    bare = re.sub(r"\boffset +\w+", "", bare)
    words = re.findall(r"(?<![\w.])([A-Za-z_][\w:]*+)(?! *\()", bare)
    return [one for one in words if one not in _WORDS]
