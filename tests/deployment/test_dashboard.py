"""The dashboard: every query is one that the proxy answers, and what an alert warns of is to be seen."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from tests.dashboard.__main__ import PICTURE
from tests.dashboard.board import shipped
from tests.dashboard.drawing import Found, drawn
from tests.deployment.manifests import DEPLOY, documents
from tests.deployment.queries import (
    assert_prometheus_understands,
    exported,
    mistakes,
    needs_promtool,
    rules,
)

GRAFANA = DEPLOY / "grafana"
BOARD: dict[str, Any] = json.loads((GRAFANA / "dashboards" / "bff.json").read_text("utf-8"))
PANELS = [one for one in BOARD["panels"] if one["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]


def metrics(query: str) -> set[str]:
    """Return the metrics that a query names, a histogram by its own name."""
    named = set(re.findall(r"\b(?:bff_\w+|up)\b", query)) & set(exported())
    return {re.sub(r"_(bucket|count|sum)$", "", one) for one in named}


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: str(panel["title"]))
def test_a_panel_names_only_what_the_proxy_exports(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        assert mistakes(target["expr"]) == []
        labels = {label for name in metrics(target["expr"]) for label in _labels(name)} | {"fault"}
        assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= labels


def _labels(name: str) -> set[str]:
    return exported().get(name) or exported()[f"{name}_bucket"]


@needs_promtool
def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    asked = [one.replace("$__rate_interval", "1m") for one in QUERIES]
    assert_prometheus_understands(asked, tmp_path)


@pytest.mark.parametrize("rule", list(rules()), ids=lambda one: one.get("alert") or one["record"])
def test_what_an_alert_warns_of_is_on_the_dashboard(rule: dict[str, str]) -> None:
    shown = {name for query in QUERIES for name in metrics(query)}
    assert metrics(rule["expr"]) <= shown


def test_panels_do_not_lie_on_each_other() -> None:
    places = [
        (panel["gridPos"]["x"] + x, panel["gridPos"]["y"] + y)
        for panel in BOARD["panels"]
        for x in range(panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["h"])
    ]
    assert len(places) == len(set(places))
    assert max(x for x, _ in places) < 24
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def headings(svg: str) -> list[tuple[str | None, ...]]:
    """Return the headings of a picture, of rows and panels, with their places."""
    named = ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314 - our own
    return [(one.text, one.get("x"), one.get("y")) for one in named if one.get("class") in {"row", "title"}]


def test_the_picture_has_every_row_and_panel_where_the_dashboard_has_it() -> None:
    now = drawn(shipped(), Found({}, (), 1, ""))
    assert len(headings(now)) == len(BOARD["panels"])
    assert headings(PICTURE.read_text("utf-8")) == headings(now), "draw it again: make dashboard"


def test_grafana_finds_the_dashboard_and_it_finds_its_source() -> None:
    (provisioned,) = documents(GRAFANA / "provisioning" / "dashboards" / "bff.yaml")
    (provider,) = provisioned["providers"]
    (compose,) = documents(DEPLOY / "compose.yaml")
    mounted = compose["services"]["grafana"]["volumes"]
    assert f"./grafana/dashboards:{provider['options']['path']}:ro" in mounted
    (sources,) = documents(GRAFANA / "provisioning" / "datasources" / "prometheus.yaml")
    assert {panel["datasource"]["uid"] for panel in PANELS} == {one["uid"] for one in sources["datasources"]}
