"""Draws the dashboard's panels in their places, from the series that its queries found."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.dashboard.board import Board, Panel
from tests.dashboard.legend import LINE, Entry, legend
from tests.dashboard.prometheus import EVERY_SECONDS
from tests.dashboard.scales import clock, shown, ticks
from tests.svg import picture, text

COLUMN: Final = 44
ROW: Final = 34
MARGIN: Final = 10
_GAP: Final = 8
_HEAD: Final = 58
_MOST_TIMES: Final = 6
_APART: Final = (10, 30, 60, 300, 600, 3600, 86_400)
"""Seconds between two times on an axis."""
_COLOURS: Final = (
    "#3b7dd8", "#d9822b", "#2e9e5b", "#c43c4f", "#8a63d2", "#0e9aa7", "#b5891a", "#d053a0", "#7a8490", "#8c6d53",
)  # fmt: skip
"""Each can be told from a white ground and from a black one."""
_STYLE: Final = (
    ".panel{fill:#ffffff;stroke:#d0d7de}.ground{fill:#f6f8fa}.grid{stroke:#8c959f;stroke-opacity:.3}"
    ".mark{stroke:#d1242f;stroke-dasharray:4 3;stroke-opacity:.7}"
    ".line{fill:none;stroke-width:1.5;stroke-linejoin:round;stroke-linecap:round}"
    ".board{font-size:18px;font-weight:bold}.row{font-size:15px;font-weight:bold}.title{font-weight:bold}"
    ".small,.legend{font-size:11px}.none{font-size:15px;fill-opacity:.6}"
    "@media(prefers-color-scheme:dark){.panel{fill:#161b22;stroke:#30363d}.ground{fill:#0d1117}}"
)


@dataclass(frozen=True)
class Line:
    """One series of a panel: what the legend calls it, and its points (seconds, value)."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Mark:
    """An alert that began to fire, so many seconds after the beginning."""

    name: str
    at: float


@dataclass(frozen=True)
class Found:
    """What there is to be drawn.

    Attributes:
        lines: by the panel's title.
        marks: across every graph.
        seconds: how long it took.
        about: a line of text on how it was made.
    """

    lines: Mapping[str, Sequence[Line]]
    marks: Sequence[Mark]
    seconds: float
    about: str

    def without_a_point(self, board: Board) -> list[str]:
        """Return the titles of the panels that have nothing to show."""
        return [one.title for one in board.panels if one.queries and not self.of(one)]

    def of(self, panel: Panel) -> list[Line]:
        """Return the lines of a panel that have a point."""
        return [line for line in self.lines.get(panel.title, ()) if line.points]


@dataclass(frozen=True)
class _Area:
    """Where a panel's graph is drawn, in pixels, and what its axes go to."""

    left: float
    top: float
    right: float
    bottom: float
    seconds: float
    highest: float

    def x(self, seconds: float) -> float:
        return self.left + (self.right - self.left) * seconds / self.seconds

    def y(self, value: float) -> float:
        return self.bottom - (self.bottom - self.top) * value / self.highest


def drawn(board: Board, found: Found) -> str:
    """Return the picture."""
    width = 24 * COLUMN + 2 * MARGIN - _GAP
    height = _HEAD + ROW * max(one.place.y + one.place.h for one in board.panels) + MARGIN
    fired = ", ".join(f"{one.name} ({clock(one.at)})" for one in found.marks) or "none"
    parts = [
        text(MARGIN, 26, board.title, kind="board"),
        text(MARGIN, 46, f"{found.about} Dashed lines: alerts that began to fire: {fired}.", kind="small"),
    ]
    for panel in board.panels:
        parts += _graph(panel, found) if panel.queries else _heading(panel)
    return picture(width, height, board.title, parts, _STYLE)


def pieces(points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """Yield what is drawn in one stroke: where a value is missing, there is a gap."""
    piece: list[tuple[float, float]] = []
    for point in points:
        if piece and point[0] - piece[-1][0] > 1.5 * EVERY_SECONDS:
            yield piece
            piece = []
        piece.append(point)
    if piece:
        yield piece


def _corner(panel: Panel) -> tuple[int, int]:
    return MARGIN + panel.place.x * COLUMN, _HEAD + panel.place.y * ROW


def _heading(panel: Panel) -> list[str]:
    x, y = _corner(panel)
    return [text(x, y + 22, panel.title, kind="row")]


def _graph(panel: Panel, found: Found) -> Iterator[str]:
    x, y = _corner(panel)
    width, height = panel.place.w * COLUMN - _GAP, panel.place.h * ROW - _GAP
    yield f'<rect class="panel" x="{x}" y="{y}" width="{width}" height="{height}" rx="3"/>'
    yield text(x + 10, y + 20, panel.title, kind="title")
    lines = found.of(panel)
    if not lines:
        yield text(x + width / 2, y + height / 2, "No data", kind="none", anchor="middle")
        return
    entries, rows = legend([line.name for line in lines], width - 20)
    scale = ticks(max(value for line in lines for _, value in line.points), panel.unit)
    bottom = y + height - 24 - rows * LINE
    area = _Area(x + 64, y + 34, x + width - 20, bottom, found.seconds, scale[-1])
    yield from _axes(area, scale, panel.unit)
    for at, line in enumerate(lines):
        yield _stroke(area, line, _colour(at))
    yield from _marks(area, found.marks)
    for entry in entries:
        yield from _named(entry, x + 10, bottom + 32)


def _axes(area: _Area, scale: Sequence[float], unit: str) -> Iterator[str]:
    for value in scale:
        at = round(area.y(value), 1)
        yield f'<path class="grid" d="M{area.left:g} {at:g}H{area.right:g}"/>'
        yield text(area.left - 6, at + 4, shown(value, unit, scale[-1]), kind="small", anchor="end")
    apart = next(one for one in _APART if one * _MOST_TIMES >= area.seconds)
    for seconds in range(0, int(area.seconds) + 1, apart):
        yield text(round(area.x(seconds)), area.bottom + 15, clock(seconds), kind="small", anchor="middle")


def _marks(area: _Area, marks: Sequence[Mark]) -> Iterator[str]:
    for mark in marks:
        yield f'<path class="mark" d="M{area.x(mark.at):.0f} {area.top:g}V{area.bottom:g}"/>'


def _stroke(area: _Area, line: Line, colour: str) -> str:
    strokes = [
        "M" + "L".join(f"{area.x(at):.0f} {area.y(value):.0f}" for at, value in piece) + "h0"
        for piece in pieces(line.points)
    ]
    return f'<path class="line" stroke="{colour}" d="{"".join(strokes)}"/>'


def _named(entry: Entry, x: float, y: float) -> Iterator[str]:
    left, base = x + entry.x, y + entry.row * LINE
    if entry.line is not None:
        yield f'<path class="line" stroke="{_colour(entry.line)}" d="M{left:g} {base - 4:g}h10"/>'
    yield text(left + 14, base, entry.words, kind="legend")


def _colour(at: int) -> str:
    return _COLOURS[at % len(_COLOURS)]
