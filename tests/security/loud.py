"""A proxy that logs everything: every logger at DEBUG, asyncio's debug mode too.

Run as `python -m tests.security.loud WAY PORT`. WAY `formatted` sets every logger to DEBUG and renders as the product
does; `plain` leaves the levels as they are and repeats every message and exception word by word, as others would.
"""

import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bff.app import Proxy
from bff.config.settings import load_settings
from bff.server.listening import listening
from bff.server.process import ProxyServer, configured
from bff.telemetry.logs import configure_logging
from tests.live import LiveProxy, free_port

_ROOT: Final = Path(__file__).parents[2]
_LOUD: Final = (
    *("httpx2", "httpcore2.connection", "httpcore2.http11", "uvicorn", "uvicorn.access", "uvicorn.error"),
    *("redis", "asyncio", "limits", "starlette", "concurrent.futures"),
)


def run(way: str, port: int) -> None:
    """Serve as `bff serve` does, and talk about it."""
    configure_logging(level=logging.DEBUG)
    config = configured(Proxy(load_settings(os.environ)), log_level="debug")
    if way == "formatted":
        for name in {*logging.Logger.manager.loggerDict, *_LOUD}:
            logging.getLogger(name).setLevel(logging.DEBUG)
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("plain %(name)s %(levelname)s %(message)s"))
        logging.getLogger().addHandler(handler)
    with listening("127.0.0.1", port) as listener:
        ProxyServer(config).run(sockets=[listener])


class LoudProxy(LiveProxy):
    """Such a proxy as a process, for tests."""

    def __init__(self, environ: Mapping[str, str], way: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environ = {"BFF_PUBLIC_ORIGIN": self.url, "PYTHONASYNCIODEBUG": "1"} | dict(environ)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("BFF_")}
        self._log = tempfile.NamedTemporaryFile("w+b", prefix="bff-test-", suffix=".log")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.security.loud", way, str(self.port)],
            env=clean | self.environ,
            cwd=_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        try:
            self._await(self.url + "/livez")
        except BaseException:
            self.stop()
            raise


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]))
