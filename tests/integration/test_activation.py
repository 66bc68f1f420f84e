"""A listening socket that is handed over as systemd does it, to real processes."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.commands import settings_only
from tests.integration.visitors import ME, customer
from tests.live import STARTED, LiveProxy, Sandbox, environment, free_port

HAND_OVER = """
import os, socket, sys
port, sockets, *arguments = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", int(port)))
os.dup2(listener.fileno(), 3)
os.set_inheritable(3, True)
environ = os.environ | {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": sockets}
os.execve(sys.executable, [sys.executable, "-m", "bff", *arguments], environ)
"""

SERVICE_MANAGER = """
import os, signal, socket, sys
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
service = 0
signal.signal(signal.SIGTERM, lambda number, _: os.kill(service, number))
for _ in range(2):
    service = os.fork()
    if not service:
        os.dup2(listener.fileno(), 3)
        os.set_inheritable(3, True)
        environ = os.environ | {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        os.execve(sys.executable, [sys.executable, "-m", "bff", *sys.argv[2:]], environ)
    status = os.waitstatus_to_exitcode(os.waitpid(service, 0)[1])
sys.exit(status)
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


@pytest.mark.parametrize("workers", ["1", "2"])
def test_nobody_notices_a_restart_with_a_socket_that_stays(
    sandbox: Sandbox, redis_url: str, workers: str
) -> None:
    port = free_port()
    environ = environment(sandbox, redis_url)
    program = [sys.executable, "-c", SERVICE_MANAGER, str(port)]
    with (
        LiveProxy(environ, "--workers", workers, port=port, program=program) as proxy,
        ThreadPoolExecutor(1) as pool,
    ):

        def once() -> int:
            with proxy.browser() as browser:
                return browser.get("/auth/session").status_code

        def until_it_serves_again() -> set[int]:
            answers = set()
            while proxy.log.count(STARTED) < 2 * int(workers):
                answers.add(once())
            return answers | {once()}

        answers = pool.submit(until_it_serves_again)
        proxy.kill(signal.SIGTERM)
        assert answers.result() == {200}
        assert proxy.stop(signal.SIGTERM) == 0


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
