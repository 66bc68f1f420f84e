"""The alerts: promtool tries them, and everything that they name is there."""

import re
import subprocess

import pytest
import yaml

from bff.errors import ALL_ERRORS
from tests.deployment.manifests import DEPLOY, documents
from tests.deployment.queries import PROMTOOL, RULES, mistakes, needs_promtool, rules

ALERTS = [one for one in rules() if "alert" in one]
TRIED = RULES.with_name("alerts.test.yml")


@needs_promtool
def test_each_alert_fires_for_its_cause_and_for_nothing_else() -> None:
    done = subprocess.run(
        [PROMTOOL, "test", "rules", TRIED.name],
        cwd=TRIED.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried_and_a_healthy_shop_too() -> None:
    (tried,) = documents(TRIED)
    expected = [
        {re.search(r'alertname="(\w+)"', sample["labels"])[1] for sample in query["exp_samples"]}  # type: ignore[index]
        for group in tried["tests"]
        for query in group["promql_expr_test"]
    ]
    assert set() in expected
    assert set().union(*expected) == {one["alert"] for one in ALERTS}


@needs_promtool
def test_prometheus_accepts_its_configuration_and_the_rules() -> None:
    file = DEPLOY / "prometheus" / "prometheus.yml"
    done = subprocess.run([PROMTOOL, "check", "config", file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{sum(1 for _ in rules())} rules found" in done.stdout


@pytest.mark.parametrize("rule", list(rules()), ids=lambda one: one.get("alert") or one["record"])
def test_a_rule_names_only_what_the_proxy_exports(rule: dict[str, str]) -> None:
    assert mistakes(rule["expr"]) == []
    codes = {code for one in re.findall(r'code=~?"([^"]*)"', rule["expr"]) for code in one.split("|")}
    assert codes <= {error.code for error in ALL_ERRORS}


@pytest.mark.parametrize(
    ("query", "wrong"),
    [
        ("rate(bff_requests_total[5m]) > 0", []),
        ("sum by (fault) (rate(bff_nothing_total[5m]))", ["by fault", "bff_nothing_total"]),
        ('bff_workers{area="api"} > 1 and bff_connections', ["bff_workers{area}"]),
        ("sum by (area) (bff_workers)", ["by area"]),
        ("bff_request_seconds > 1", ["bff_request_seconds"]),
    ],
)
def test_a_query_that_names_what_there_is_not_is_noticed(query: str, wrong: list[str]) -> None:
    assert mistakes(query) == wrong


@pytest.mark.parametrize("alert", ALERTS, ids=lambda one: str(one["alert"]))
def test_an_alert_says_what_it_is(alert: dict[str, dict[str, str]]) -> None:
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}


def test_the_rules_for_the_operator_of_kubernetes_are_the_same() -> None:
    (resource,) = documents(DEPLOY / "kubernetes" / "components" / "monitoring" / "rules.yaml")
    assert resource["kind"] == "PrometheusRule"
    assert resource["spec"] == yaml.safe_load(RULES.read_text("utf-8"))
