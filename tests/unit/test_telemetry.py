"""Logs are one JSON object a line, with allow-listed fields and without messages of other libraries."""

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from bff.security.secret import MASK, Secret
from bff.telemetry.logs import JsonFormatter, configure_logging, event, request_id
from bff.telemetry.metrics import REGISTRY


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
