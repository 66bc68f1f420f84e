"""The report of a run, as a table or as JSON."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Final

from bff.conformance.check import Outcome, Row

_MAX_WIDTH: Final = 160


def exit_code(rows: Sequence[Row]) -> int:
    """Return 1 if a check failed, otherwise 0."""
    return int(any(row.outcome is Outcome.FAIL for row in rows))


def table(origin: str, rows: Sequence[Row]) -> str:
    """Return the rows as text with aligned columns, and a summary below."""
    cells = [(row.outcome.value, row.id, row.title, row.source, _printable(row.seen)) for row in rows]
    headings = ("", "check", "requirement", "source", "seen")
    widths = [max(len(line[at]) for line in (headings, *cells)) for at in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line[:4], widths, strict=True)), line[4]])
        for line in (headings, *cells)
    ]
    return "\n".join([*(line.rstrip() for line in lines), "", f"{origin}: {summary(rows)}", ""])


def machine_readable(origin: str, rows: Sequence[Row]) -> str:
    """Return the rows as one JSON object."""
    found = [
        {"id": row.id, "title": row.title, "source": row.source, "outcome": row.outcome.value}
        | {"seen": _printable(row.seen)}
        for row in rows
    ]
    report = {"target": origin, "failed": bool(exit_code(rows)), "rows": found}
    return json.dumps(report, indent=2) + "\n"


def summary(rows: Sequence[Row]) -> str:
    """Return the number of rows for each outcome."""
    counted = Counter(row.outcome for row in rows)
    return ", ".join(f"{counted[outcome]} {outcome.value}" for outcome in Outcome)


def _printable(text: str) -> str:
    """Return the text shortened and without control characters, because it comes from a server under test."""
    safe = "".join(one if one.isascii() and one.isprintable() else "?" for one in text)
    return safe if len(safe) <= _MAX_WIDTH else safe[: _MAX_WIDTH - 3] + "..."
