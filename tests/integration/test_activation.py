"""A listening socket that is handed over as systemd does it, to real processes."""

import subprocess
import sys

import pytest

from tests.commands import settings_only
from tests.integration.visitors import ME, customer
from tests.live import LiveProxy, Sandbox, environment, free_port

HAND_OVER = """
import os, socket, sys
port, sockets, *arguments = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", int(port)))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
environ = os.environ | {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": sockets}
os.execve(sys.executable, [sys.executable, "-m", "bff", *arguments], environ)
"""


def handing_over(port: int, sockets: str) -> list[str]:
    return [sys.executable, "-c", HAND_OVER, str(port), sockets]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_socket_that_was_handed_over_is_served(sandbox: Sandbox, redis_url: str, workers: str) -> None:
    """Nobody else could listen on that port: it is taken."""
    port = free_port()
    environ = environment(sandbox, redis_url)
    program = handing_over(port, "1")
    with LiveProxy(environ, "--workers", workers, port=port, program=program) as proxy:
        with customer(proxy) as browser:
            assert browser.get(ME).status_code == 200
        assert proxy.stop() == 0


def test_two_sockets_are_a_failed_start(sandbox: Sandbox, redis_url: str) -> None:
    port = free_port()
    settings = environment(sandbox, redis_url, BFF_PUBLIC_ORIGIN=f"http://127.0.0.1:{port}")
    ended = subprocess.run(
        [*handing_over(port, "2"), "serve"],
        env=settings_only(settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 3, ended.stderr
    assert "one ListenStream" in ended.stderr


def test_a_socket_for_another_process_is_left_alone(
    sandbox: Sandbox, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    with LiveProxy(environment(sandbox, redis_url), fork=False) as proxy, customer(proxy) as browser:
        assert browser.get(ME).status_code == 200
