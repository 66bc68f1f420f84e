"""Logs: one JSON object a line, with allow-listed fields only, so that no secret can slip in."""

import asyncio
import json
import logging
import sys
import time
import traceback
from collections import deque
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from threading import RLock
from typing import Any, Final, TextIO

from bff.telemetry.terminal import TerminalFormatter, wants_colour

request_id: ContextVar[str] = ContextVar("request_id", default="-")
_JSON: Final = json.JSONEncoder(default=str)
_NUMBERS: Final = (int, float)
_MILLISECONDS: Final = tuple(f'{number:03d}+00:00", ' for number in range(1000))
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


class FrequentEvent:
    """An event that is logged very often, with the same fields each time but for how long it took.

    Args:
        logger: its own.
        name: what happened.
        level: how much that matters.
        fields: those that are not on the allow list are dropped.
    """

    __slots__ = ("_fields", "_level", "_logger", "_name", "_source", "_text")

    def __init__(self, logger: logging.Logger, name: str, level: int, fields: Mapping[str, Any]) -> None:
        self._logger = logger
        self._name = name
        self._level = level
        self._fields = fields
        self._source = _source(level, logger.name, name)
        self._text = _members(fields)

    def log(self, seconds: float, trace_id: str | None = None) -> None:
        """Log it once more; a line that only a `LineHandler` would get is written without a record of it."""
        logger, level = self._logger, self._level
        if not logger.isEnabledFor(level):
            return
        handler = _only_handler(logger, level)
        if handler is None:
            trace = {} if trace_id is None else {"traceId": trace_id}
            fields = {**self._fields, **trace, "durationMs": round(seconds * 1000, 1)}
            event(logger, self._name, level=level, **fields)
            return
        text = self._text if trace_id is None else self._text + _members({"traceId": trace_id})
        tenths = round(seconds * 10_000)  # digits by a float's format would cost as much as half of the line
        text = f'{text}, "durationMs": {tenths // 10}.{tenths % 10}'
        handler.take(_line(time.time(), self._source, text) + "\n", level)  # noqa: TID251 - as a record does


class LineHandler(logging.Handler):
    """Writes the lines of one turn of the event loop at once, at its end; errors and lines outside of it at once.

    Nothing waits for a timer, so that a line is there as soon as whoever caused it can look for it.

    Args:
        stream: where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self.stream = stream
        self._lines: deque[str] = deque()  # any thread may append to it
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writing = RLock()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record."""
        try:
            line = self.format(record) + "\n"
        except Exception:  # noqa: BLE001 - a line that cannot be made must not fail a request
            self.handleError(record)
        else:
            self.take(line, record.levelno)

    def take(self, line: str, level: int) -> None:
        """Write a line, its end included, of this level."""
        self._lines.append(line)
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
            return
        if level >= logging.ERROR:
            self.flush()
        elif self._loop is not running:  # it may be one that has ended
            self._loop = running
            running.call_soon(self.flush)

    def flush(self) -> None:
        """Write what is there; called at exit, too."""
        lines = self._lines
        with self._writing:
            self._loop = None
            text = ""
            while lines:
                text += lines.popleft()
            try:
                self.stream.write(text)
                self.stream.flush()
            except (OSError, ValueError):  # a log that nobody takes must not fail a request
                pass


def _only_handler(logger: logging.Logger, level: int) -> LineHandler | None:
    """Return the handler that gets a line of this logger, where there is no other one and the line would be JSON.

    Handlers and filters may come and go at any time.
    """
    handlers = logger.handlers
    filters = logger.filters
    while logger.propagate and logger.parent is not None:
        logger = logger.parent
        if logger.handlers:
            handlers = handlers + logger.handlers if handlers else logger.handlers
    if filters or len(handlers) != 1:
        return None
    only = handlers[0]
    if type(only) is not LineHandler or type(only.formatter) is not JsonFormatter:
        return None
    return None if only.filters or level < only.level else only


@lru_cache(maxsize=2)
def _time_of(second: int) -> str:
    """Return how the lines of a second begin."""
    return f'{{"time": "{datetime.fromtimestamp(second, UTC).isoformat()[:_SECONDS_LENGTH]}.'


class JsonFormatter(logging.Formatter):
    """Formats a log record as one line of JSON, with allow-listed fields and without exception messages."""

    def format(self, record: logging.LogRecord) -> str:
        text = _members(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            # The message of an exception may quote a request, so only its type and its frames are written.
            frames = [
                f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}"
                for frame in traceback.extract_tb(record.exc_info[2])
            ]
            text += f', "exception": {_member(record.exc_info[0].__name__)}, "frames": {_member(frames)}'
        return _line(record.created, _source(record.levelno, record.name, _message(record)), text)


def _line(created: float, source: str, text: str) -> str:
    """Return one line: when, by what, of which request, and its fields."""
    second = int(created)
    part = _MILLISECONDS[int((created - second) * 1000)]
    return f"{_time_of(second)}{part}{source}{encode_basestring_ascii(request_id.get())}{text}}}"


def _members(fields: Mapping[str, Any]) -> str:
    """Return those that are on the allow list, one by one: an encoder for all would be made anew for each line."""
    text = ""
    for name, value in fields.items():
        if name in _FIELDS:
            text += f', "{name}": {_member(value)}'
    return text


def _message(record: logging.LogRecord) -> str:
    """Return the event; the messages of other libraries may contain secrets, so their logger's name stands for them."""
    if record.name.partition(".")[0] == "bff" or record.name == "uvicorn.error":
        return record.getMessage()
    return "library_message"


@lru_cache(maxsize=256)
def _source(level: int, logger: str, message: str) -> str:
    """Return the members that are the same for every event of one kind."""
    level_name = _member(logging.getLevelName(level).lower())
    return f'"level": {level_name}, "logger": {_member(logger)}, "event": {_member(message)}, "requestId": '


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
