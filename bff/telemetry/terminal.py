"""Logs for a person at a terminal: one coloured line for each event, with nothing in it but its own colours."""

import json
import logging
import os
from collections.abc import Mapping
from typing import Any, Final, TextIO

_RESET: Final = "\x1b[0m"
_DIM: Final = "\x1b[2m"
_BOLD: Final = "\x1b[1m"
_COLOURS: Final = {
    "debug": "\x1b[2m",
    "info": "\x1b[32m",
    "warning": "\x1b[33m",
    "error": "\x1b[31m",
    "critical": "\x1b[31m",
}
_DATE_LENGTH: Final = len("2026-01-01T")
_TIME_LENGTH: Final = len("00:00:00.000")
_FIRST: Final = ("time", "level", "logger", "event", "requestId")
_QUOTED: Final = frozenset(" \"'=\\")


def wants_colour(stream: TextIO, environ: Mapping[str, str] = os.environ) -> bool:
    """Return whether somebody looks at this stream, and has not asked for no colour (no-color.org)."""
    return stream.isatty() and not environ.get("NO_COLOR")


class TerminalFormatter(logging.Formatter):
    """Shows what a line of the log says: time, level, event, its fields, and the request's id where there is one.

    Args:
        lines: makes the JSON line, and so decides what may be shown.
    """

    def __init__(self, lines: logging.Formatter) -> None:
        super().__init__()
        self._lines = lines

    def format(self, record: logging.LogRecord) -> str:
        """Return one line."""
        line: dict[str, Any] = json.loads(self._lines.format(record))
        level = line["level"]
        parts = [
            f"{_DIM}{line['time'][_DATE_LENGTH:][:_TIME_LENGTH]}{_RESET}",
            f"{_COLOURS.get(level, '')}{_shown(level):7}{_RESET}",
            f"{_BOLD}{_shown(line['event'])}{_RESET}",
            *(f"{_DIM}{name}={_RESET}{_shown(value)}" for name, value in line.items() if name not in _FIRST),
        ]
        if line["requestId"] != "-":
            parts.append(f"{_DIM}{_shown(line['requestId'])}{_RESET}")
        return " ".join(parts)


def _shown(value: Any) -> str:
    """Return a value as it can be printed: what a terminal would obey is escaped."""
    text = value if isinstance(value, str) else json.dumps(value)
    if not text.isprintable():
        return json.dumps(text).replace("\x7f", "\\u007f")
    return json.dumps(text, ensure_ascii=False) if _QUOTED & set(text) and isinstance(value, str) else text
