"""Logs: one JSON object a line, with allow-listed fields only, so that no secret can slip in."""

import json
import logging
import sys
import traceback
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Final, TextIO

request_id: ContextVar[str] = ContextVar("request_id", default="-")


_FIELDS: Final = frozenset(
    {
        "code", "durationMs", "ended", "method", "outcome", "reason", "route", "status",
    }
)  # fmt: skip


def event(logger: logging.Logger, name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log one event with allow-listed fields; others are dropped."""
    logger.log(level, name, extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """Renders a record as one JSON object a line: allow-listed fields, no exception texts."""

    def format(self, record: logging.LogRecord) -> str:
        # Of other loggers it is not known that their sentences hold no secret: only the place is told.
        spoken = record.name.partition(".")[0] == "bff" or record.name == "uvicorn.error"
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage() if spoken else "a library's message",
            "requestId": request_id.get(),
        }
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        line |= {name: value for name, value in fields.items() if name in _FIELDS}
        if record.exc_info and record.exc_info[0] is not None:
            # An exception's own text may quote a request: its kind and its frames say where to look.
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = [
                f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line, default=str)


def configure_logging(stream: TextIO | None = None, *, level: int = logging.INFO) -> None:
    """Send everything that is logged in this process to `stream` (standard error) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # The server's access log quotes whole request lines, and sign-ons have codes and tokens in theirs.
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    access.disabled = True
