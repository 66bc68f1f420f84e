"""A panel's legend: names one after the other in as few rows as they need."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

LINE: Final = 15
_MOST_ROWS: Final = 5
_BEFORE, _AFTER = 14, 14
_LETTER: Final = 6.1
"""How wide a letter is on average, in pixels."""


@dataclass(frozen=True)
class Entry:
    """A name in the legend.

    Attributes:
        words: the name.
        line: which line of the graph it belongs to; None where it counts those that are left out.
        x: where it begins.
        row: counted from 0.
    """

    words: str
    line: int | None
    x: float
    row: int


def legend(names: Sequence[str], width: float) -> tuple[list[Entry], int]:
    """Return the names in their places, and how many rows they take; what finds no place is counted at the end."""
    entries = _placed(names, width)
    kept = [one for one in entries if one.row < _MOST_ROWS]
    if len(kept) < len(entries):
        last = kept.pop()
        kept.append(Entry(f"and {len(entries) - len(kept)} more", None, last.x, last.row))
    return kept, kept[-1].row + 1 if kept else 0


def _placed(names: Sequence[str], width: float) -> list[Entry]:
    entries: list[Entry] = []
    x, row = 0.0, 0
    for line, name in enumerate(names):
        needed = _BEFORE + _LETTER * len(name)
        if x and x + needed > width:
            x, row = 0.0, row + 1
        entries.append(Entry(name, line, x, row))
        x += needed + _AFTER
    return entries
