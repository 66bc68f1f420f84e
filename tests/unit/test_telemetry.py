"""Logs are one JSON object a line, with allow-listed fields and without messages of other libraries."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from bff.security.secret import MASK, Secret
from bff.telemetry.logs import FrequentEvent, JsonFormatter, LineHandler, configure_logging, event, request_id
from bff.telemetry.metrics import REGISTRY
from bff.telemetry.terminal import TerminalFormatter


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    for handler in handlers:
        root.removeHandler(handler)
    text = io.StringIO()
    configure_logging(text, level=logging.DEBUG)
    yield text
    root.handlers[:] = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_with_the_request_id(stream: io.StringIO) -> None:
    token = request_id.set("req-7")
    event(logging.getLogger("bff.test"), "happened", code="no_session", status=401)
    request_id.reset(token)
    (line,) = lines(stream)
    assert line["event"] == "happened"
    assert line["requestId"] == "req-7"
    assert (line["code"], line["status"]) == ("no_session", 401)
    assert (line["level"], line["logger"]) == ("info", "bff.test")


def events(stream: io.StringIO) -> list[str]:
    """Return what the proxy has logged; a new event loop says something too."""
    return [line["event"] for line in lines(stream) if line["logger"] == "bff.test"]


async def turn() -> None:
    await asyncio.sleep(0)


@pytest.mark.anyio
async def test_lines_of_one_turn_of_the_loop_are_written_together_at_its_end(stream: io.StringIO) -> None:
    log = logging.getLogger("bff.test")
    event(log, "first")
    event(log, "second")
    assert not events(stream)
    await turn()
    assert events(stream) == ["first", "second"]
    event(log, "third")
    await turn()
    assert len(events(stream)) == 3


@pytest.mark.anyio
async def test_an_error_is_written_at_once_with_what_came_before(stream: io.StringIO) -> None:
    event(logging.getLogger("bff.test"), "before")
    event(logging.getLogger("bff.test"), "broken", level=logging.ERROR)
    assert events(stream) == ["before", "broken"]


def test_a_line_of_a_loop_that_has_ended_is_not_lost(stream: io.StringIO) -> None:
    async def last_word(name: str) -> None:
        event(logging.getLogger("bff.test"), name)

    for name in ("first", "second"):
        loop = asyncio.new_event_loop()
        loop.run_until_complete(last_word(name))
        loop.close()
    logging.getLogger().handlers[0].flush()
    assert events(stream) == ["first", "second"]


def test_a_log_that_nobody_takes_fails_nothing(stream: io.StringIO) -> None:
    stream.close()
    event(logging.getLogger("bff.test"), "happened")


def test_the_time_has_milliseconds_and_a_zone() -> None:
    record = logging.LogRecord("bff", logging.INFO, "x", 1, "text", None, None)
    record.created = 1764100000.0625
    assert json.loads(JsonFormatter().format(record))["time"] == "2025-11-25T19:46:40.062+00:00"


def test_line_outside_a_request_has_a_dash_as_request_id(stream: io.StringIO) -> None:
    logging.getLogger("bff.test").warning("outside")
    assert lines(stream)[0]["requestId"] == "-"


def test_fields_that_are_not_on_the_allow_list_are_dropped(stream: io.StringIO) -> None:
    event(logging.getLogger("bff.test"), "happened", token="t0ken", url="/?t=t0ken", status=200)
    assert "t0ken" not in stream.getvalue()
    assert lines(stream)[0]["status"] == 200


def test_a_secret_in_a_field_is_masked(stream: io.StringIO) -> None:
    event(logging.getLogger("bff.test"), "happened", reason=Secret("t0ken"))
    assert "t0ken" not in stream.getvalue()
    assert lines(stream)[0]["reason"] == MASK


@pytest.mark.parametrize("name", ["httpx2", "httpcore2", "redis", "asyncio", "bffling", "a.bff"])
def test_message_of_a_library_is_not_logged(stream: io.StringIO, name: str) -> None:
    logger = logging.Logger(name)  # noqa: LOG001 - not registered, so that no other test sees it
    logger.parent = logging.getLogger()
    logger.error("GET https://api.test/?refreshToken=%s", "t0ken")
    assert "t0ken" not in stream.getvalue()
    assert lines(stream)[0]["logger"] == name


@pytest.mark.parametrize("name", ["bff", "bff.access", "uvicorn.error"])
def test_message_of_the_proxy_or_server_is_logged(stream: io.StringIO, name: str) -> None:
    logging.getLogger(name).warning("started on %d", 80)
    assert lines(stream)[0]["event"] == "started on 80"


def test_exception_is_logged_with_its_type_and_frames_but_without_its_message(stream: io.StringIO) -> None:
    try:
        raise ValueError("the token is t0ken")  # noqa: TRY301
    except ValueError:
        logging.getLogger("bff.test").exception("unexpected")
    assert "t0ken" not in stream.getvalue()
    (line,) = lines(stream)
    assert line["exception"] == "ValueError"
    assert any("test_telemetry.py" in frame for frame in line["frames"])


def test_line_breaks_in_a_message_are_escaped(stream: io.StringIO) -> None:
    logging.getLogger("bff.test").warning('two\nlines "and" quotes\r\n{"event": "forged"}')
    (line,) = lines(stream)
    assert line["event"].startswith("two\nlines")


def test_uvicorns_own_handlers_are_removed(stream: io.StringIO) -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.addHandler(logging.NullHandler())
    configure_logging(stream)
    assert not logger.handlers
    assert logger.propagate


def test_access_log_of_the_server_is_disabled(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.access").info("GET /auth/sso/main/callback?code=t0ken")
    assert not stream.getvalue()
    assert logging.getLogger("uvicorn.access").disabled


def test_a_record_without_an_active_exception_has_no_frames() -> None:
    record = logging.LogRecord("bff", logging.INFO, "x", 1, "text", None, (None, None, None))
    assert "exception" not in json.loads(JsonFormatter().format(record))


def test_every_metric_has_the_prefix_and_labels_from_the_list() -> None:
    labels: set[str] = set()
    for metric in REGISTRY.collect():
        assert metric.name.startswith("bff_")
        labels |= {name for sample in metric.samples for name in sample.labels}
    requests, others = {"route", "method", "status", "area", "le"}, {"call", "outcome", "kind", "event"}
    assert labels <= requests | others | {
        "bound",
        "cache",
        "state",
        "key",
        "code",
        "fault",
        "cause",
        "operation",
        "kid",
        "version",
        "python",
        "reason",
        "error",
    }


class Alone:
    """Two loggers, one above the other, of which only a handler of the proxy's hears: pytest cannot find them."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        self.top = logging.Logger("bff.alone", logging.DEBUG)  # noqa: LOG001 - not registered
        self.logger = logging.Logger("bff.alone.deep")  # noqa: LOG001
        self.logger.parent = self.top
        self.handler = LineHandler(self.text)
        self.handler.setFormatter(JsonFormatter())
        self.top.addHandler(self.handler)

    def event(self, level: int = logging.INFO) -> FrequentEvent:
        fields = {"route": 'GET /"x"', "status": 200, "token": "t0ken"}
        return FrequentEvent(self.logger, "happened", level, fields)


@pytest.fixture
def alone() -> Alone:
    return Alone()


def timeless(stream: io.StringIO) -> list[str]:
    """Return the lines that are there, without their time."""
    return [line.partition(", ")[2] for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize("trace_id", [None, "4bf92f3577b34da6"])
@pytest.mark.parametrize("seconds", [0.0, 0.00004, 0.00006, 0.0123, 0.9999999, 1.23456, 61.5])
def test_a_frequent_event_has_the_line_of_any_other(
    alone: Alone, seconds: float, trace_id: str | None
) -> None:
    token = request_id.set("req-7")
    alone.event().log(seconds, trace_id)
    trace = {} if trace_id is None else {"traceId": trace_id}
    fields: dict[str, Any] = {"route": 'GET /"x"', "status": 200, **trace}
    fields["durationMs"] = round(seconds * 1000, 1)
    event(alone.logger, "happened", **fields)
    request_id.reset(token)
    ours, others = timeless(alone.text)
    assert ours == others
    assert lines(alone.text)[0]["requestId"] == "req-7"


def test_a_frequent_event_makes_no_record_where_nobody_else_listens(
    alone: Alone, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(logging, "LogRecord")
    alone.event().log(0.1)
    assert lines(alone.text)[0]["event"] == "happened"


def test_the_time_of_a_frequent_event_is_that_of_its_neighbours(alone: Alone) -> None:
    log = alone.top
    event(log, "before")
    alone.event().log(0.1)
    event(log, "after")
    times = [line["time"] for line in lines(alone.text)]
    assert times == sorted(times)
    assert {len(time) for time in times} == {len("2025-11-25T19:46:40.062+00:00")}


def test_a_frequent_event_that_is_below_the_level_has_no_line(alone: Alone) -> None:
    alone.top.setLevel(logging.INFO)
    alone.event(level=logging.DEBUG).log(0.1)
    alone.handler.setLevel(logging.ERROR)
    alone.event().log(0.1)
    assert not alone.text.getvalue()


@pytest.mark.parametrize("name", ["top", "logger"])
def test_whoever_listens_besides_hears_a_frequent_event(alone: Alone, name: str) -> None:
    others = io.StringIO()
    another = logging.StreamHandler(others)
    another.setFormatter(JsonFormatter())
    getattr(alone, name).addHandler(another)
    try:
        alone.event().log(0.0123, "4bf92f3577b34da6")
    finally:
        getattr(alone, name).removeHandler(another)
    assert timeless(others) == timeless(alone.text)
    assert lines(alone.text)[0]["durationMs"] == 12.3


@pytest.mark.parametrize("of_logger", [True, False])
def test_a_filter_sees_a_frequent_event(alone: Alone, *, of_logger: bool) -> None:
    place, seen = alone.logger if of_logger else alone.handler, list[str]()

    def refuse(record: logging.LogRecord) -> bool:
        seen.append(record.getMessage())
        return False

    place.addFilter(refuse)
    try:
        alone.event().log(0.1)
    finally:
        place.removeFilter(refuse)
    assert seen == ["happened"]
    assert not alone.text.getvalue()


def test_a_frequent_event_is_readable_where_lines_are(alone: Alone) -> None:
    alone.handler.setFormatter(TerminalFormatter(JsonFormatter()))
    alone.event().log(0.1)
    assert "happened" in alone.text.getvalue()
    assert not alone.text.getvalue().startswith("{")
