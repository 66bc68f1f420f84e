"""What the dashboard's file says: its rows, its panels and their queries."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

BOARD: Final = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards" / "bff.json"


@dataclass(frozen=True)
class Place:
    """Where something stands, in Grafana's grid of 24 columns."""

    x: int
    y: int
    w: int
    h: int


@dataclass(frozen=True)
class Query:
    """What is asked of Prometheus, and how each series of the answer is called."""

    expression: str
    legend: str

    def filled(self, rate_interval: str) -> str:
        """Return the query as Grafana sends it."""
        return self.expression.replace("$__rate_interval", rate_interval)

    def name(self, labels: Mapping[str, str]) -> str:
        """Return what the legend calls the series with these labels."""
        return re.sub(r"{{(\w+)}}", lambda found: labels.get(found[1], ""), self.legend).strip()


@dataclass(frozen=True)
class Panel:
    """A graph; or the heading of a row, which has no queries."""

    title: str
    place: Place
    unit: str = ""
    queries: tuple[Query, ...] = ()


@dataclass(frozen=True)
class Board:
    """The whole dashboard.

    Attributes:
        title: its name.
        panels: with the headings of rows, in the order of the file.
        marks: the queries whose results are shown as points in time, across every graph.
    """

    title: str
    panels: tuple[Panel, ...]
    marks: tuple[Query, ...]


def board(described: Mapping[str, Any]) -> Board:
    """Read a dashboard's JSON."""
    marks = [Query(one["expr"], one["titleFormat"]) for one in described["annotations"]["list"]]
    return Board(described["title"], tuple(map(_panel, described["panels"])), tuple(marks))


def shipped() -> Board:
    """Read the dashboard that is in `deploy`."""
    return board(json.loads(BOARD.read_text("utf-8")))


def _panel(described: Mapping[str, Any]) -> Panel:
    place = Place(**{side: int(described["gridPos"][side]) for side in "xywh"})
    if described["type"] == "row":
        return Panel(described["title"], place)
    queries = [Query(one["expr"], one["legendFormat"]) for one in described["targets"]]
    return Panel(described["title"], place, described["fieldConfig"]["defaults"]["unit"], tuple(queries))
