"""The drawing of the dashboard: scales, gaps, legends, and panels that have nothing to show."""

import re
from collections.abc import Sequence
from xml.etree import ElementTree as ET

import pytest

from tests.dashboard.board import Board, board
from tests.dashboard.drawing import Found, Line, Mark, drawn, pieces
from tests.dashboard.legend import legend
from tests.dashboard.prometheus import Span, points
from tests.dashboard.scales import clock, shown, ticks

SVG = "{http://www.w3.org/2000/svg}"
TITLE = 'Requests <by> route & "kind"'
DESCRIBED = {
    "title": "A shop",
    "annotations": {"list": [{"expr": "ALERTS", "titleFormat": "{{alertname}}"}]},
    "panels": [
        {"type": "row", "title": "Traffic", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}},
        {
            "type": "timeseries",
            "title": TITLE,
            "gridPos": {"x": 12, "y": 1, "w": 12, "h": 8},
            "fieldConfig": {"defaults": {"unit": "reqps"}},
            "targets": [{"expr": "rate(a[$__rate_interval])", "legendFormat": "{{route}} {{kind}}"}],
        },
    ],
}


@pytest.fixture
def shop() -> Board:
    return board(DESCRIBED)


def found(*lines: Line, marks: Sequence[Mark] = ()) -> Found:
    return Found({TITLE: lines}, marks, 60, "Three visitors.")


def texts(svg: str) -> list[str]:
    return [one.text or "" for one in ET.fromstring(svg).iter(f"{SVG}text")]  # noqa: S314 - our own


def strokes(svg: str, kind: str = "line") -> list[str]:
    """Return the paths of a class, without those of legends."""
    paths = ET.fromstring(svg).iter(f"{SVG}path")  # noqa: S314 - our own
    return [one.attrib["d"] for one in paths if one.get("class") == kind and "h10" not in one.attrib["d"]]


@pytest.mark.parametrize(
    ("highest", "unit", "labels"),
    [
        (10, "ops", ["0 ops/s", "2.5 ops/s", "5 ops/s", "7.5 ops/s", "10 ops/s"]),
        (7.1, "short", ["0", "2", "4", "6", "8"]),
        (1300, "short", ["0 K", "0.5 K", "1 K", "1.5 K"]),
        (0.043, "s", ["0 ms", "20 ms", "40 ms", "60 ms"]),
        (90, "s", ["0 min", "0.5 min", "1 min", "1.5 min"]),
        (0.31, "percentunit", ["0%", "10%", "20%", "30%", "40%"]),
        (100 * 2**20, "bytes", ["0 MiB", "25 MiB", "50 MiB", "75 MiB", "100 MiB"]),
        (0, "reqps", ["0 req/s", "0.25 req/s", "0.5 req/s", "0.75 req/s", "1 req/s"]),
        (200, "d", ["0 days", "50 days", "100 days", "150 days", "200 days"]),
    ],
)
def test_an_axis_goes_in_round_steps_to_what_is_not_below_the_highest(
    highest: float, unit: str, labels: list[str]
) -> None:
    scale = ticks(highest, unit)
    assert scale[-1] >= highest
    assert [shown(value, unit, scale[-1]) for value in scale] == labels


def test_time_is_told_in_minutes_and_seconds() -> None:
    assert [clock(one) for one in (0, 59.6, 150)] == ["0:00", "1:00", "2:30"]


def test_what_is_no_number_is_a_gap_and_so_is_what_is_missing() -> None:
    values = [(100, "1"), (102, "2"), (104, "NaN"), (106, "3"), (108, "+Inf"), (114, "4"), (116, "5")]
    read = points(values, Span(100, 120))
    assert list(pieces(read)) == [[(0, 1), (2, 2)], [(6, 3)], [(14, 4), (16, 5)]]
    assert list(pieces([])) == []


def test_a_gap_is_not_drawn_over(shop: Board) -> None:
    (path,) = strokes(drawn(shop, found(Line("a", [(0, 1), (2, 2), (30, 1)]))))
    assert path.count("M") == 2


def test_a_line_lies_between_the_axes_of_its_panel(shop: Board) -> None:
    svg = drawn(shop, found(Line("a", [(0, 0), (30, 10), (60, 5)])))
    (path,) = strokes(svg)
    (left, low), (middle, high), (right, half) = (
        map(int, one.split()) for one in re.findall(r"\d+ \d+", path)
    )
    grid = [[float(one) for one in re.findall(r"[\d.]+", path)] for path in strokes(svg, "grid")]
    assert {(one[0], one[2]) for one in grid} == {(left, right)}
    assert [grid[0][1], grid[-1][1]] == [low, high]
    assert middle == pytest.approx((left + right) / 2, abs=1)
    assert half == pytest.approx((low + high) / 2, abs=1)


def test_titles_and_names_are_text_whatever_they_contain(shop: Board) -> None:
    name = shop.panels[1].queries[0].name({"route": "/a?<script>&", "other": "x"})
    assert name == "/a?<script>&"
    svg = drawn(shop, found(Line(name, [(0, 1)])))
    assert {"A shop", "Traffic", TITLE, name} <= set(texts(svg))
    assert "<script>" not in svg


def test_a_panel_without_a_point_says_so(shop: Board) -> None:
    empty = found(Line("a", []))
    assert "No data" in texts(drawn(shop, empty))
    assert empty.without_a_point(shop) == [TITLE]
    full = found(Line("a", []), Line("b", [(4, 0)]))
    assert "No data" not in texts(drawn(shop, full))
    assert full.without_a_point(shop) == []


def test_an_alert_is_a_mark_across_the_graph_and_named_above(shop: Board) -> None:
    svg = drawn(shop, found(Line("a", [(0, 1)]), marks=[Mark("BffDown", 30)]))
    assert len(strokes(svg, "mark")) == 1
    assert any("BffDown (0:30)" in one for one in texts(svg))


def test_a_query_is_sent_as_grafana_sends_it(shop: Board) -> None:
    assert shop.panels[1].queries[0].filled("8s") == "rate(a[8s])"
    assert shop.marks[0].name({"alertname": "BffDown"}) == "BffDown"


def test_a_legend_breaks_its_rows_and_counts_what_it_leaves_out() -> None:
    assert [(one.words, one.row) for one in legend(["a", "b"], 300)[0]] == [("a", 0), ("b", 0)]
    names = [f"a rather long name, {at}" for at in range(12)]
    entries, rows = legend(names, 340)
    assert rows == max(one.row for one in entries) + 1
    shown_names = [one.words for one in entries[:-1]]
    assert shown_names == names[: len(shown_names)]
    assert entries[-1].words == f"and {12 - len(shown_names)} more"
    assert legend([], 300) == ([], 0)
