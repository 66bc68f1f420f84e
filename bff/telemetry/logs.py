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
    """Log an event. Fields that are not on the allow list are dropped."""
    logger.log(level, name, extra={"fields": fields})


class JsonFormatter(logging.Formatter):
    """Formats a log record as one line of JSON, with allow-listed fields and without exception messages."""

    def format(self, record: logging.LogRecord) -> str:
        # The messages of other libraries may contain secrets, so only the name of their logger is written.
        trusted = record.name.partition(".")[0] == "bff" or record.name == "uvicorn.error"
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage() if trusted else "library_message",
            "requestId": request_id.get(),
        }
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        line |= {name: value for name, value in fields.items() if name in _FIELDS}
        if record.exc_info and record.exc_info[0] is not None:
            # The message of an exception may quote a request, so only its type and its frames are written.
            line["exception"] = record.exc_info[0].__name__
            line["frames"] = [
                f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
        return json.dumps(line, default=str)


def configure_logging(stream: TextIO | None = None, *, level: int = logging.INFO) -> None:
    """Write all logs of this process to `stream`, by default standard error, as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in ("uvicorn", "uvicorn.error"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    # The server's access log quotes request targets, and those of SSO logins contain codes and tokens.
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False
    access.disabled = True
