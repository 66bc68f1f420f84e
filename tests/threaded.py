"""A proxy in a thread of the test's own process, whose clock the test moves.

Settings, server and socket are as `bff serve` has them. What is about signals, workers, logs or memory needs a process.
"""

import asyncio
import secrets
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import redis

from bff.app import Proxy
from bff.config.settings import load_settings
from bff.server.listening import listening
from bff.server.process import BackgroundServer, configured
from bff.wiring import key_ring, open_connections
from tests.live import LiveProxy, free_port

_END_SECONDS = 30


class ThreadedProxy(LiveProxy):
    """Such a proxy.

    Only its clock moves: Redis and the sandbox stay in the present. So what is stored or issued is still there when
    the proxy must say by itself that it is over.

    Attributes:
        ahead: by how many seconds its clock is ahead of the time of day.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = {"BFF_PUBLIC_ORIGIN": self.url} | dict(environ)
        self.ahead = 0.0

    def now(self) -> float:
        return time.time() + self.ahead  # noqa: TID251 - the clock that is moved

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    def outlast_pauses(self, seconds: float) -> None:
        """Let so much time pass, and the pauses in the store with it."""
        self.ahead += seconds
        with redis.Redis.from_url(self.environ["BFF_REDIS_URL"]) as store:
            for key in store.scan_iter(match="*:pause"):
                store.delete(key)


@contextmanager
def threaded(environ: Mapping[str, str]) -> Iterator[ThreadedProxy]:
    """Serve a proxy with these settings while the block lasts."""
    proxy = ThreadedProxy(environ)
    settings = load_settings(proxy.environ)
    with listening("127.0.0.1", proxy.port) as listener:
        ring = key_ring(settings, secrets.token_bytes)
        opened = open_connections(settings, ring, clock=proxy.now, random_bytes=secrets.token_bytes)
        app = Proxy(settings, clock=proxy.now, connections=replace(opened, monotonic=proxy.monotonic))
        server = BackgroundServer(configured(app, secure=settings.secure))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listener])), name="proxy")
        thread.start()
        try:
            yield proxy
        finally:
            server.should_exit = True
            thread.join(_END_SECONDS)
        assert not thread.is_alive()
