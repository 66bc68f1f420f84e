"""Who is measured: this proxy and what it is compared with. What is not installed is left out, with the reason."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx2

from tests.bench.processes import nginx_command, on_core, program, started
from tests.live import ADA, CLIENT_ID, TENANT, LiveProxy, free_port, new_key

NAIVE = "naive Starlette + httpx2"
OURS = "this proxy"
UNCACHED = "this proxy, session cache off"
_VISITORS = 50
_CUSTOMERS = 10
_EXPRESS = Path(__file__).with_name("express.js")


class NotInstalled(Exception):
    """A contender that this machine cannot run."""


@dataclass(frozen=True)
class Ground:
    """What every contender stands on."""

    upstream: str
    redis: str
    folder: Path


@dataclass(frozen=True)
class Contender:
    """A server that answers requests.

    Attributes:
        visitors: what its visitors send, by their kind; kinds that it does not know are not asked.
        proxy: the proxy's own process, to look at its log.
    """

    name: str
    port: int
    pid: int
    visitors: Mapping[str, list[dict[str, str]]] = field(repr=False)
    proxy: LiveProxy | None = None


_ANYBODY: Mapping[str, list[dict[str, str]]] = {kind: [{}] for kind in ("guest", "customer", "none")}


def contenders() -> dict[str, Callable[[Ground], AbstractContextManager[Contender]]]:
    """Return everybody, by name, in the order of the tables."""
    return {
        NAIVE: _naive,
        "bare Starlette": _bare,
        "nginx proxy_pass": _nginx,
        "Express": _express,
        OURS: _ours,
        UNCACHED: partial(_ours, name=UNCACHED, session_cache="0"),
    }


@contextmanager
def _naive(ground: Ground) -> Iterator[Contender]:
    with _app(NAIVE, "naive", ground.upstream, ground.redis) as one:
        yield one


@contextmanager
def _bare(_ground: Ground) -> Iterator[Contender]:
    with _app("bare Starlette", "bare") as one:
        yield one


@contextmanager
def _app(name: str, role: str, *arguments: str) -> Iterator[Contender]:
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.apps", role, str(port), *arguments]
    with started(command, port, measured=True) as pid:
        yield Contender(name, port, pid, _ANYBODY)


@contextmanager
def _nginx(ground: Ground) -> Iterator[Contender]:
    """Pass requests on without sessions: what a proxy in C costs."""
    if program("nginx") is None:
        raise NotInstalled("nginx is not installed")
    port = free_port()
    configuration = f"""upstream source {{ server {ground.upstream.removeprefix("http://")};
keepalive 4096; keepalive_requests 1000000000; }}
server {{ listen 127.0.0.1:{port} backlog=4096;
location /api/ {{ proxy_pass http://source/; proxy_http_version 1.1; proxy_set_header Connection ''; }} }}
"""
    with started(nginx_command(ground.folder / "proxy", configuration), port, measured=True) as pid:
        yield Contender("nginx proxy_pass", port, pid, _ANYBODY)


@contextmanager
def _express(ground: Ground) -> Iterator[Contender]:
    """Express with express-session, connect-redis and http-proxy-middleware, from the folder in BENCH_EXPRESS."""
    folder = os.environ.get("BENCH_EXPRESS", "")
    if not folder or shutil.which("node") is None:
        raise NotInstalled("BENCH_EXPRESS names no folder with its node_modules")
    port = free_port()
    environ = {
        "PORT": str(port),
        "UPSTREAM": ground.upstream,
        "REDIS": ground.redis,
        "NODE_PATH": f"{folder}/node_modules",
        "NODE_ENV": "production",
    }
    with started(["node", str(_EXPRESS)], port, measured=True, environ=environ) as pid:
        cookies = [
            httpx2.get(f"http://127.0.0.1:{port}/login", trust_env=False)
            .headers["set-cookie"]
            .partition(";")[0]
            for _ in range(_VISITORS)
        ]
        visitors = [{"Cookie": cookie} for cookie in cookies]
        yield Contender("Express", port, pid, {"guest": visitors, "customer": visitors, "none": [{}]})


@contextmanager
def _ours(ground: Ground, *, name: str = OURS, session_cache: str = "") -> Iterator[Contender]:
    """Run the proxy as its users do: every check on, a log line a request, a second listener with the metrics."""
    many = "1000000/60"
    environ = {
        "BFF_TENANT": TENANT,
        "BFF_CLIENT_ID": CLIENT_ID,
        "BFF_UPSTREAM_URL": ground.upstream,
        "BFF_KEYS": new_key(),
        "BFF_REDIS_URL": ground.redis,
        "BFF_SESSION_CACHE": session_cache,
        "BFF_DRAIN_SECONDS": "0",
        # One machine is all visitors here: its bounds are those of thousands.
        "BFF_CLIENT_STREAMS": "4000",
        "BFF_CLIENT_CONNECTIONS": "4000",
        "BFF_ADMIN_PORT": str(free_port()),
        **dict.fromkeys(("BFF_LOGIN_RATE", "BFF_GUEST_RATE", "BFF_ACCOUNT_RATE", "BFF_REFRESH_RATE"), many),
    }
    with on_core(measured=True):
        proxy = LiveProxy(environ, fork=False)
    with proxy:
        csrf = {"X-CSRF": "1", "Origin": proxy.url}
        visitors = {
            "guest": [csrf | _session(proxy, customer=False) for _ in range(_VISITORS)],
            "customer": [csrf | _session(proxy, customer=True) for _ in range(_CUSTOMERS)],
            "none": [csrf],
        }
        yield Contender(name, proxy.port, proxy.process.pid, visitors, proxy)


def _session(proxy: LiveProxy, *, customer: bool) -> dict[str, str]:
    with proxy.browser() as browser:
        began = browser.post("/auth/login", json=ADA) if customer else browser.post("/auth/anonymous")
        began.raise_for_status()
        return {"Cookie": f"bff={browser.cookies['bff']}"}
