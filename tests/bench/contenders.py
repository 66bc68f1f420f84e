"""Who is measured: this proxy and what it is compared with. What is not installed is left out, with the reason."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import httpx2

from tests.bench.ground import ANYBODY, Contender, Ground, NotInstalled
from tests.bench.names import (
    BARE,
    EXPRESS,
    ITSELF,
    NAIVE,
    NGINX,
    OPENIDC,
    OURS,
    OVER_TLS,
    TWO_WORKERS,
    UNCACHED,
)
from tests.bench.openidc import openidc
from tests.bench.ours import ours, over_tls, two_workers, uncached
from tests.bench.processes import nginx_command, program, started
from tests.bench.wire import FIRST, MANY, ONE_CONNECTION, SLOW_200
from tests.live import free_port

_VISITORS = 50
_EXPRESS_APP = Path(__file__).with_name("express.js")


def contenders() -> dict[str, Callable[[Ground], AbstractContextManager[Contender]]]:
    """Return everybody, by name, in the order of the tables."""
    return {
        NAIVE: _naive,
        BARE: _bare,
        NGINX: _nginx,
        ITSELF: _itself,
        OPENIDC: openidc,
        EXPRESS: _express,
        OURS: ours,
        UNCACHED: uncached,
        OVER_TLS: over_tls,
        TWO_WORKERS: two_workers,
    }


@contextmanager
def _naive(ground: Ground) -> Iterator[Contender]:
    """Leave it out where it finishes nothing, and goes on with what nobody waits for while others are measured."""
    port = free_port()
    with _app("naive", port, ground.upstream.url, ground.redis) as pid:
        yield Contender(NAIVE, port, pid, ANYBODY, without=MANY)


@contextmanager
def _bare(_ground: Ground) -> Iterator[Contender]:
    port = free_port()
    with _app("bare", port) as pid:
        yield Contender(BARE, port, pid, ANYBODY, only=frozenset({FIRST, ONE_CONNECTION}))


@contextmanager
def _app(role: str, port: int, *arguments: str) -> Iterator[int]:
    command = [sys.executable, "-m", "tests.bench.apps", role, str(port), *arguments]
    with started(command, port, measured=True) as pid:
        yield pid


@contextmanager
def _nginx(ground: Ground) -> Iterator[Contender]:
    """Pass requests on without sessions: what a proxy in C costs."""
    if program("nginx") is None:
        raise NotInstalled("nginx is not installed")
    port = free_port()
    configuration = f"""upstream source {{ server {ground.upstream.url.removeprefix("http://")};
keepalive 4096; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port} backlog=4096;
location /api/ {{ proxy_pass http://source/; proxy_http_version 1.1; proxy_set_header Connection ''; }} }}
"""
    with started(nginx_command(ground.folder / "proxy", configuration), port, measured=True) as pid:
        yield Contender(NGINX, port, pid, ANYBODY)


@contextmanager
def _itself(ground: Ground) -> Iterator[Contender]:
    """Ask the upstream: on two cores it shares one with the load, and a wait of 50 ms gets longer."""
    source = ground.upstream
    yield Contender(ITSELF, source.own_port, source.pid, ANYBODY, only=frozenset({SLOW_200}))


@contextmanager
def _express(ground: Ground) -> Iterator[Contender]:
    """Express with express-session, connect-redis and http-proxy-middleware, from the folder in BENCH_EXPRESS."""
    folder = os.environ.get("BENCH_EXPRESS", "")
    if not folder or shutil.which("node") is None:
        raise NotInstalled("BENCH_EXPRESS names no folder with its node_modules")
    port = free_port()
    environ = {
        "PORT": str(port),
        "UPSTREAM": ground.upstream.url,
        "REDIS": ground.redis,
        "NODE_PATH": f"{folder}/node_modules",
        "NODE_ENV": "production",
    }
    with started(["node", str(_EXPRESS_APP)], port, measured=True, environ=environ) as pid:
        cookies = [
            httpx2.get(f"http://127.0.0.1:{port}/login", trust_env=False)
            .headers["set-cookie"]
            .partition(";")[0]
            for _ in range(_VISITORS)
        ]
        visitors = [{"Cookie": cookie} for cookie in cookies]
        yield Contender(EXPRESS, port, pid, {"guest": visitors, "customer": visitors, "none": [{}]})
