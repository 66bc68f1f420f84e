"""On a terminal a line of the log is readable, and what a visitor has sent cannot steer the terminal."""

import io
import json
import logging
import os
import pty
import re
from collections.abc import Iterator
from typing import TextIO

import pytest

from bff.telemetry.logs import configure_logging, event, request_id
from bff.telemetry.terminal import wants_colour

COLOURS = re.compile(r"\x1b\[\d*m")


class Terminal:
    """A pseudo-terminal: what is written to `stream` is read from the other end."""

    def __init__(self) -> None:
        self._end, other = pty.openpty()
        self.stream: TextIO = os.fdopen(other, "w", encoding="utf-8")

    def read(self) -> str:
        return os.read(self._end, 65_536).decode().replace("\r\n", "\n")

    def close(self) -> None:
        self.stream.close()
        os.close(self._end)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.delenv("NO_COLOR", raising=False)
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    one = Terminal()
    yield one
    root.handlers[:] = handlers
    root.setLevel(level)
    one.close()


def say(stream: TextIO, name: str = "request", *, level: int = logging.INFO, **fields: object) -> None:
    configure_logging(stream)
    event(logging.getLogger("bff.test"), name, level=level, **fields)


def test_a_line_has_time_level_event_and_fields(terminal: Terminal) -> None:
    before = request_id.set("req-7")
    say(terminal.stream, method="GET", status=200, route="GET /product/{tenant}/products", durationMs=3.5)
    request_id.reset(before)
    line = terminal.read()
    assert COLOURS.search(line)
    plain = COLOURS.sub("", line)
    assert re.fullmatch(
        r"\d\d:\d\d:\d\d\.\d{3} info    request method=GET status=200 "
        r'route="GET /product/\{tenant\}/products" durationMs=3\.5 req-7\n',
        plain,
    )


def test_levels_differ_in_colour(terminal: Terminal) -> None:
    lines = []
    for level in (logging.INFO, logging.WARNING, logging.ERROR):
        say(terminal.stream, level=level)
        lines.append(terminal.read().split()[1])
    assert len(set(lines)) == 3


@pytest.mark.parametrize(
    "value",
    [
        "\x1b[2J\x1b]0;title\x07",
        "one\ntwo",
        "\r",
        "\x7f",
        "\x9b31m",
        "\u202eevil",
        "\u2028",
        "\x00",
        "\ud800",
    ],
    ids=ascii,
)
def test_nothing_in_a_value_is_obeyed(terminal: Terminal, value: str) -> None:
    before = request_id.set(value)
    say(terminal.stream, value, reason=value, route=[value])
    request_id.reset(before)
    line = terminal.read()
    assert COLOURS.sub("", line).removesuffix("\n").isprintable()
    assert value not in line


def test_a_field_that_is_not_allowed_is_not_shown(terminal: Terminal) -> None:
    say(terminal.stream, token="a-token", reason="why")
    line = terminal.read()
    assert "a-token" not in line
    assert "why" in line


def test_no_color_means_json(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    say(terminal.stream, status=200)
    assert json.loads(terminal.read())["status"] == 200


def test_what_is_no_terminal_gets_json(terminal: Terminal) -> None:
    text = io.StringIO()
    say(text, status=200)
    assert json.loads(text.getvalue())["status"] == 200


def test_an_empty_no_color_asks_for_nothing(terminal: Terminal) -> None:
    assert wants_colour(terminal.stream, {"NO_COLOR": ""})
    assert not wants_colour(terminal.stream, {"NO_COLOR": "1"})
