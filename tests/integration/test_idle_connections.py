"""Connections that nobody uses: they take neither every file descriptor nor anybody's place."""

import resource
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.integration.visitors import eventually
from tests.integration.wire import answer_on, dial, head
from tests.live import LiveProxy, Sandbox, environment

FEW_DESCRIPTORS = 128
MANY_DESCRIPTORS = 4096
AT_ONCE = 1500


@contextmanager
def soft_limit(descriptors: int) -> Iterator[None]:
    """Let processes that are begun in the block have so few open files, until they ask for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def closed(connection: socket.socket) -> bool:
    connection.settimeout(0.05)
    try:
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def served(proxy: LiveProxy) -> bool:
    with proxy.browser() as browser:
        return browser.get("/auth/session").status_code == 200


def test_an_idle_connection_makes_room_for_another_of_its_address(
    sandbox_process: Sandbox, redis_url: str
) -> None:
    settings = environment(sandbox_process, redis_url, BFF_CLIENT_CONNECTIONS="4")
    with LiveProxy(settings) as proxy, ExitStack() as stack:
        idle = [stack.enter_context(dial(proxy)) for _ in range(4)]
        eventually(lambda: served(proxy))
        eventually(lambda: closed(idle[0]))
        idle[3].settimeout(30)
        idle[3].sendall(head(proxy, "GET /auth/session HTTP/1.1"))
        assert answer_on(idle[3]).status == 200


def test_more_idle_connections_than_the_soft_limit_has_files(
    sandbox_process: Sandbox, redis_url: str
) -> None:
    settings = environment(sandbox_process, redis_url, BFF_CLIENT_CONNECTIONS="1000")
    with ExitStack() as stack:
        with soft_limit(FEW_DESCRIPTORS):
            proxy = stack.enter_context(LiveProxy(settings))
        idle = [stack.enter_context(dial(proxy)) for _ in range(2 * FEW_DESCRIPTORS - 60)]
        for connection in (idle[0], idle[-1]):
            connection.sendall(head(proxy, "GET /auth/session HTTP/1.1"))
            assert answer_on(connection).status == 200
        assert served(proxy)


def longest_queue() -> int:
    """Return how long the proxy's listen queue can be on this machine, or 0 where that does not say."""
    setting, (_, files) = Path("/proc/sys/net/core/somaxconn"), resource.getrlimit(resource.RLIMIT_NOFILE)
    if not setting.exists():
        return 0
    most = int(setting.read_text("ascii"))
    return most if files == resource.RLIM_INFINITY else min(most, files // 8)


@pytest.mark.skipif(longest_queue() < AT_ONCE, reason="this system allows no long listen queue")
def test_visitors_who_come_at_once_are_connected_at_once(sandbox_process: Sandbox, redis_url: str) -> None:
    """One who finds the queue full would try again after a second."""
    settings = environment(sandbox_process, redis_url, BFF_CLIENT_CONNECTIONS="2000")
    with LiveProxy(settings) as proxy, soft_limit(MANY_DESCRIPTORS), ExitStack() as stack:
        proxy.process.send_signal(signal.SIGSTOP)
        try:
            waiting = [stack.enter_context(dial(proxy)) for _ in range(AT_ONCE)]
        finally:
            proxy.process.send_signal(signal.SIGCONT)
        waiting[-1].sendall(head(proxy, "GET /auth/session HTTP/1.1"))
        assert answer_on(waiting[-1]).status == 200
