"""The runbooks: each alert has its place, and what they ask for is there."""

import json
import re
from pathlib import Path

import pytest

from tests.deployment.dockerfile import ROOT
from tests.deployment.queries import assert_prometheus_understands, mistakes, needs_promtool, rules
from tests.test_documents import anchors

PAGES = sorted((ROOT / "deploy" / "docs" / "runbooks").glob("*.md"))
ALERTS = [one for one in rules() if "alert" in one]


def queries(page: Path) -> list[str]:
    """Return the queries that a page has for Prometheus, also those in a line of text."""
    text = page.read_text("utf-8")
    blocks = re.findall(r"```promql\n(.*?)\n```", text, re.DOTALL)
    return blocks + re.findall(r"`((?:sum|count|increase|histogram_quantile)[ (][^`]*)`", text)


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: str(one["alert"]))
def test_an_alert_leads_to_a_heading_of_a_page_that_names_it(alert: dict[str, dict[str, str]]) -> None:
    path, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    page = ROOT / path
    assert page in PAGES
    assert anchor in anchors(page)
    assert f"`{alert['alert']}`" in page.read_text("utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_names_only_alerts_and_log_lines_that_there_are(page: Path) -> None:
    text = page.read_text("utf-8")
    assert set(re.findall(r"`(Bff[A-Z]\w+)`", text)) <= {one["alert"] for one in ALERTS}
    code = "\n".join(file.read_text("utf-8") for file in (ROOT / "bff").rglob("*.py"))
    named = re.findall(r'"event": "([^"]+)"', text)
    patterns = re.findall(r'"event": "\(?([^"]+?)\)?"', text)
    assert len(patterns) == len(named)
    for pattern in patterns:
        for event in _alternatives(pattern):
            assert json.dumps(event) in code, event


def _alternatives(pattern: str) -> list[str]:
    """Return the events that a pattern of `grep -E` stands for."""
    optional = re.fullmatch(r"(.*)\((\w+)\)\?(.*)", pattern)
    if optional is not None:
        return [optional[1] + optional[3], "".join(optional.groups())]
    return pattern.split("|")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_pages_queries_name_only_what_the_proxy_exports(page: Path) -> None:
    asked = queries(page)
    assert asked
    assert [mistakes(one) for one in asked] == [[] for _ in asked]


@needs_promtool
def test_prometheus_understands_every_query(tmp_path: Path) -> None:
    asked = [one for page in PAGES for one in queries(page)]
    assert_prometheus_understands(asked, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_read_at_night(page: Path) -> None:
    text = page.read_text("utf-8")
    assert len(text.splitlines()) <= 85
    if page.stem != "README":
        assert {"Find out", "Do", "Afterwards"} <= set(re.findall(r"^## (.+)$", text, re.MULTILINE))
