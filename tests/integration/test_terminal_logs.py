"""`bff serve` on a terminal writes lines for people."""

import os
import pty
import subprocess
from typing import Final

import pytest

from tests.commands import settings_only
from tests.live import BFF, STARTED, Sandbox, environment, free_port

COLOUR: Final = "\x1b["


@pytest.mark.parametrize(("no_color", "readable"), [("", True), ("1", False)])
def test_a_terminal_shows_colour_unless_it_is_unwanted(
    sandbox: Sandbox,
    redis_url: str,
    no_color: str,
    readable: bool,  # noqa: FBT001
) -> None:
    port = free_port()
    settings = environment(sandbox, redis_url, BFF_PUBLIC_ORIGIN=f"http://127.0.0.1:{port}")
    end, terminal = pty.openpty()
    with subprocess.Popen(
        [*BFF, "serve", "--port", str(port)],
        env=settings_only(settings) | {"NO_COLOR": no_color},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        said = ""
        while STARTED not in said:
            said += os.read(end, 4096).decode()
        process.terminate()
    os.close(end)
    assert (COLOUR in said) is readable
    assert ('{"time"' in said) is not readable
