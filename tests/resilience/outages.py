"""A Redis that tests may stop, freeze and start again, and the calls of a crowd."""

import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx2
import redis

from bff.config.embedded_redis import EmbeddedRedis
from tests.integration.visitors import eventually
from tests.integration.wire import Watch
from tests.live import LiveProxy, Sandbox


class OwnRedis:
    """A server of one test's own; it comes back under the same address, with what it had."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._server = EmbeddedRedis.start(directory)
        self.url = self._server.url

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._server = EmbeddedRedis.start(self._directory)
        assert self._server.url == self.url

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Let nobody be answered for a while, as a machine that swaps or a network that drops everything."""
        with self.client() as client:
            pid = int(client.info("server")["process_id"])
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def silent_server() -> Iterator[str]:
    """Run what accepts every connection and says nothing; yield its address as a Redis URL."""
    connections: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    connections.append(listener.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
    for connection in connections:
        connection.close()


def end_locks(url: str) -> int:
    """Let the lifetime of every lock be over, and say how many there were."""
    with redis.Redis.from_url(url) as client:
        locks = list(client.scan_iter(match="*:lock", count=1000))
        return int(client.delete(*locks)) if locks else 0


def crowd(
    proxies: Sequence[LiveProxy], path: str, cookie: str, *, times: int = 100
) -> tuple[Counter[int], list[str]]:
    """Ask all proxies at once with one cookie; return the statuses, and the Set-Cookie values if any."""
    limits = httpx2.Limits(max_connections=times, max_keepalive_connections=times)
    headers = {"X-CSRF": "1", "Cookie": f"bff={cookie}"}
    clients = [
        httpx2.Client(base_url=proxy.url, headers=headers, limits=limits, trust_env=False, timeout=60)
        for proxy in proxies
    ]
    gate = threading.Barrier(times)

    def ask(number: int) -> httpx2.Response:
        gate.wait()
        return clients[number % len(clients)].get(path)

    with ThreadPoolExecutor(times) as pool:
        answers = list(pool.map(ask, range(times)))
    for client in clients:
        client.close()
    cookies = [value for answer in answers for value in answer.headers.get_list("set-cookie")]
    return Counter(answer.status_code for answer in answers), cookies


def expire(sandbox: Sandbox, session_id: str) -> None:
    """End the access token of one Emporix session; the proxy is not told."""
    assert sandbox.control("POST", "/expire", {"access": True, "sessionId": session_id})["tokens"]


def session_of(sandbox: Sandbox, browser: httpx2.Client) -> str:
    """Return the Emporix session that this browser's requests are sent with."""
    watch = Watch(sandbox)
    assert browser.get("/api/site/acmeshop/sites").status_code == 200
    return str(watch.of("/site/acmeshop/sites")[0]["sessionId"])


def reached(watch: Watch, path: str) -> None:
    """Wait until a request for the path is upstream."""
    eventually(lambda: bool(watch.of(path)))
