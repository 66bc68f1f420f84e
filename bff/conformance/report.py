"""What a run found, for people and for programs."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Final

from bff.conformance.check import Outcome, Row

_WIDEST: Final = 160


def exit_code(rows: Sequence[Row]) -> int:
    """Return 1 where anything failed, else 0."""
    return int(any(row.outcome is Outcome.FAIL for row in rows))


def table(origin: str, rows: Sequence[Row]) -> str:
    """Return the rows as a text with aligned columns, and a summary below."""
    cells = [(row.outcome.value, row.id, row.title, row.source, _plain(row.seen)) for row in rows]
    heads = ("", "check", "what must hold", "source", "seen")
    widths = [max(len(line[at]) for line in (heads, *cells)) for at in range(4)]
    lines = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line[:4], widths, strict=True)), line[4]])
        for line in (heads, *cells)
    ]
    return "\n".join([*(line.rstrip() for line in lines), "", f"{origin}: {summary(rows)}", ""])


def machine_readable(origin: str, rows: Sequence[Row]) -> str:
    """Return the rows as one JSON object."""
    found = [
        {"id": row.id, "title": row.title, "source": row.source, "outcome": row.outcome.value}
        | {"seen": _plain(row.seen)}
        for row in rows
    ]
    report = {"target": origin, "failed": bool(exit_code(rows)), "rows": found}
    return json.dumps(report, indent=2) + "\n"


def summary(rows: Sequence[Row]) -> str:
    """Return how many ended how."""
    counted = Counter(row.outcome for row in rows)
    return ", ".join(f"{counted[outcome]} {outcome.value}" for outcome in Outcome)


def _plain(text: str) -> str:
    """Return a text that moves no cursor: what was seen comes from somebody else's server."""
    safe = "".join(one if one.isascii() and one.isprintable() else "?" for one in text)
    return safe if len(safe) <= _WIDEST else safe[: _WIDEST - 3] + "..."
