"""Logs: one JSON object a line, with allow-listed fields only, so that no secret can slip in."""

import asyncio
import json
import logging
import sys
import traceback
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any, Final, TextIO

from bff.telemetry.terminal import TerminalFormatter, wants_colour

request_id: ContextVar[str] = ContextVar("request_id", default="-")
_JSON: Final = json.JSONEncoder(default=str)
_NUMBERS: Final = (int, float)
_SECONDS_LENGTH: Final = len("2026-01-01T00:00:00")

_FIELDS: Final = frozenset(
    {
        "code", "durationMs", "ended", "method", "outcome", "reason", "route", "status",
        "traceId",
        # Of the audit trail; people are digests there, see `bff.sessions.audit`.
        "account", "by", "bySession", "client", "company", "customer", "how", "operator", "session",
    }
)  # fmt: skip


def event(logger: logging.Logger, name: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Log an event. Fields that are not on the allow list are dropped."""
    if logger.isEnabledFor(level):
        # Without a look at the caller's frame, which costs more than the line and is not in it.
        record = logging.LogRecord(logger.name, level, "", 0, name, None, None)
        record.fields = fields
        logger.handle(record)


class LineHandler(logging.Handler):
    """Writes the lines of one turn of the event loop at once, at its end; errors and lines outside of it at once.

    Nothing waits for a timer, so that a line is there as soon as whoever caused it can look for it.

    Args:
        stream: where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self._lines: list[str] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        try:
            self._lines.append(self.format(record))
        except Exception:  # noqa: BLE001 - a line that cannot be made must not fail a request
            self.handleError(record)
        if record.levelno >= logging.ERROR or not self._will_flush():
            self.flush()

    def flush(self) -> None:
        """Write what is there; called at exit, too."""
        with self.lock or nullcontext():
            text, self._loop = "".join([line + "\n" for line in self._lines]), None
            self._lines.clear()
            with suppress(OSError, ValueError):  # a log that nobody takes must not fail a request
                self.stream.write(text)
                self.stream.flush()

    def _will_flush(self) -> bool:
        """Return whether the running loop will write what is there; one that has ended does not count."""
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return False
        if self._loop is not running:
            self._loop = running
            running.call_soon(self.flush)
        return True


@lru_cache(maxsize=2)
def _time_of(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:_SECONDS_LENGTH]


class JsonFormatter(logging.Formatter):
    """Formats a log record as one line of JSON, with allow-listed fields and without exception messages."""

    def format(self, record: logging.LogRecord) -> str:
        # Member by member: an encoder is made anew for each object, which costs more than all of them.
        created = record.created
        parts = [
            f'{{"time": "{_time_of(int(created))}.{int(created % 1 * 1000):03d}+00:00", ',
            _source(record.levelname, record.name, _message(record)),
            f', "requestId": {_member(request_id.get())}',
        ]
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        for name, value in fields.items():
            if name in _FIELDS:
                parts.append(f', "{name}": {_member(value)}')
        if record.exc_info and record.exc_info[0] is not None:
            # The message of an exception may quote a request, so only its type and its frames are written.
            frames = [
                f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
            parts.append(
                f', "exception": {_member(record.exc_info[0].__name__)}, "frames": {_member(frames)}'
            )
        parts.append("}")
        return "".join(parts)


def _message(record: logging.LogRecord) -> str:
    """Return what is said; the messages of other libraries may contain secrets, so their logger's name must do."""
    if record.name.partition(".")[0] == "bff" or record.name == "uvicorn.error":
        return record.getMessage()
    return "library_message"


@lru_cache(maxsize=256)
def _source(level: str, logger: str, message: str) -> str:
    """Return the members that are the same for every event of one kind."""
    return f'"level": {_member(level.lower())}, "logger": {_member(logger)}, "event": {_member(message)}'


def _member(value: Any) -> str:
    if type(value) is str:
        return encode_basestring_ascii(value)
    return repr(value) if type(value) in _NUMBERS else _JSON.encode(value)


def configure_logging(stream: TextIO | None = None, *, level: int = logging.INFO) -> None:
    """Write all logs of this process to `stream`, by default standard error: readable on a terminal, else JSON."""
    # What no line says need not be found out for each of them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handler = LineHandler(stream or sys.stderr)
    lines = JsonFormatter()
    handler.setFormatter(TerminalFormatter(lines) if wants_colour(handler.stream) else lines)
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


def set_level(name: str) -> None:
    """Let lines of this level and above through; other libraries' from info on, and the audit trail always."""
    level = logging.getLevelNamesMapping()[name.upper()]
    logging.getLogger().setLevel(max(level, logging.INFO))
    logging.getLogger("bff").setLevel(level)
    logging.getLogger("bff.audit").setLevel(logging.INFO)
