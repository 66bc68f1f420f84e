"""Which graph of the dashboard shows what an alert warns of."""

from pathlib import Path
from typing import Final

from tests.dashboard.board import shipped
from tests.deployment.scrapes import BEGIN, END, Scrape, answered

GRAPHS: Final = {
    "BffDown": "Replicas, workers and version",
    "BffReplicaDown": "Replicas, workers and version",
    "BffWorkerMissing": "Replicas, workers and version",
    "BffFailing": "Share of failed requests",
    "BffEmporixFailing": "Share of failed requests",
    "BffEmporixSlow": "Time of calls, p95",
    "BffBreakerOpen": "Breakers, and no free connection",
    "BffNoFreeConnection": "Breakers, and no free connection",
    "BffAnswersWithheld": "Calls that failed",
    "BffRedisFailing": "What Redis did not do",
    "BffRedisRefusesWrites": "What Redis did not do",
    "BffLimitsOpen": "What Redis did not do",
    "BffRedisSlow": "Time of operations, p99",
    "BffSessionCacheOff": "Session cache",
    "BffInvalidationsLate": "Session cache",
    "BffRefreshesFail": "Token refreshes",
    "BffCustomersLoggedOut": "Token refreshes",
    "BffPasswordsTried": "Logins",
    "BffLoginsLimited": "Refused by a check or a limit",
    "BffForgeriesRefused": "Refused by a check or a limit",
    "BffSaturated": "Requests and connections",
    "BffMemoryHigh": "Memory",
    "BffFilesRunOut": "Open files",
    "BffKeyOld": "Age of the keys in use",
    "BffKeyKept": "Age of the keys in use",
}


def assert_shown(alert: str, before: Scrape, after: Scrape | None, folder: Path) -> None:
    """Assert that the alert's graph looks otherwise once its cause is there."""
    (panel,) = [one for one in shipped().panels if one.title == GRAPHS[alert]]
    asked = [query.filled("5m") for query in panel.queries]
    well, ill = (answered(before, after, asked, folder, minute=minute) for minute in (BEGIN - 5, END))
    assert well != ill, f"{alert} is not to be seen in the graph {panel.title}"
