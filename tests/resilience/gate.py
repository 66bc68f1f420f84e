"""A relay in front of the sandbox that holds back the answers to chosen calls until a test lets them through."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final, Self
from urllib.parse import urlsplit

from tests.integration.wire import PATIENCE

_NOT_COPIED: Final = {"connection", "content-length", "transfer-encoding"}


@dataclass
class Held:
    """The calls to one path that are held back.

    Attributes:
        path: of the requests; what follows a `?` does not count.
        arrived: upstream has done what one of them asked for, and its answer waits.
        released: the answers may go.
    """

    path: str
    arrived: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


class Gate(ThreadingHTTPServer):
    """Passes every request on to the sandbox, and its answer back.

    Args:
        sandbox_url: where the sandbox answers.
    """

    daemon_threads = True

    def __init__(self, sandbox_url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.target = urlsplit(sandbox_url).netloc
        self.held: list[Held] = []

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    @contextmanager
    def holding(self, path: str) -> Iterator[Held]:
        """Hold back the answers to calls of a path while the block lasts."""
        held = Held(path)
        self.held.append(held)
        try:
            yield held
        finally:
            self.held.remove(held)
            held.released.set()


class _Handler(BaseHTTPRequestHandler):
    server: Gate

    def relay(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        connection = http.client.HTTPConnection(self.server.target, timeout=PATIENCE)
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        for held in self.server.held:
            if held.path == self.path.partition("?")[0]:
                held.arrived.set()
                assert held.released.wait(PATIENCE)
        self.send_response_only(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in _NOT_COPIED:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = relay  # noqa: N815 - what http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""
