"""This proxy, as its users run it: every check on, a log line a request, a second listener with the metrics."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.bench.ground import Contender, Ground, NotInstalled
from tests.bench.names import OURS, OVER_TLS, TWO_WORKERS, UNCACHED
from tests.bench.processes import on_core
from tests.bench.request_log import RequestLog
from tests.bench.wire import CUSTOMER, FIRST, LARGE_ANSWER
from tests.live import ADA, BFF, CLIENT_ID, TENANT, LiveProxy, free_port, new_key

# `bff` for which the upstream's certificate is one of the system's, and otherwise unchanged.
_TRUSTING = """
import os, ssl, sys
paths = ssl.get_default_verify_paths()._replace(openssl_cafile=os.environ["BENCH_TRUSTED"])
ssl.get_default_verify_paths = lambda: paths
from bff.__main__ import main
sys.exit(main())
"""
_VISITORS = 50
_CUSTOMERS = 10


def settings(ground: Ground, **changes: str) -> dict[str, str]:
    """Return the settings of a proxy before the upstream of the bench."""
    many = "1000000/60"
    return {
        "BFF_TENANT": TENANT,
        "BFF_CLIENT_ID": CLIENT_ID,
        "BFF_UPSTREAM_URL": ground.upstream.url,
        "BFF_KEYS": new_key(),
        "BFF_REDIS_URL": ground.redis,
        "BFF_DRAIN_SECONDS": "0",
        # One machine is all visitors here: its bounds are those of thousands.
        "BFF_CLIENT_STREAMS": "4000",
        "BFF_CLIENT_CONNECTIONS": "4000",
        "BFF_ADMIN_PORT": str(free_port()),
        **dict.fromkeys(("BFF_LOGIN_RATE", "BFF_GUEST_RATE", "BFF_ACCOUNT_RATE", "BFF_REFRESH_RATE"), many),
    } | changes


@contextmanager
def ours(ground: Ground) -> Iterator[Contender]:
    with _proxy(OURS, settings(ground)) as one:
        yield one


@contextmanager
def uncached(ground: Ground) -> Iterator[Contender]:
    environ = settings(ground, BFF_SESSION_CACHE="0")
    with _proxy(UNCACHED, environ, only=frozenset({FIRST, CUSTOMER})) as one:
        yield one


@contextmanager
def over_tls(ground: Ground) -> Iterator[Contender]:
    environ = settings(
        ground, BFF_UPSTREAM_URL=ground.upstream.tls_url, BENCH_TRUSTED=str(ground.upstream.certificate)
    )
    program = (sys.executable, "-c", _TRUSTING)
    with _proxy(OVER_TLS, environ, program=program, only=frozenset({FIRST, LARGE_ANSWER})) as one:
        yield one


@contextmanager
def counted(ground: Ground, prefix: Path, **changes: str) -> Iterator[Contender]:
    """Run the proxy under valgrind, which counts its instructions into files whose names begin with `prefix`."""
    counting = ("valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={prefix}")
    with _proxy(OURS, settings(ground, **changes), program=(*counting, *BFF)) as one:
        yield one


@contextmanager
def two_workers(ground: Ground) -> Iterator[Contender]:
    if (os.cpu_count() or 1) < 2:
        raise NotInstalled("this machine has one core")
    with _proxy(TWO_WORKERS, settings(ground), workers=2, only=frozenset({FIRST})) as one:
        yield one


@contextmanager
def _proxy(
    name: str,
    environ: Mapping[str, str],
    *,
    workers: int = 1,
    program: Sequence[str] = BFF,
    only: frozenset[str] = frozenset(),
) -> Iterator[Contender]:
    arguments = ("--workers", str(workers)) if workers > 1 else ()
    with on_core(measured=True, cores=workers):
        proxy = LiveProxy(environ, *arguments, program=program, fork=False)
    with proxy:
        csrf = {"X-CSRF": "1", "Origin": proxy.url}
        visitors = {
            "guest": [csrf | _session(proxy, customer=False) for _ in range(_VISITORS)],
            "customer": [csrf | _session(proxy, customer=True) for _ in range(_CUSTOMERS)],
            "none": [csrf],
        }
        log = RequestLog(proxy.log_path)
        yield Contender(
            name, proxy.port, proxy.process.pid, visitors, only=only, cores=workers, proxy=proxy, log=log
        )


def _session(proxy: LiveProxy, *, customer: bool) -> dict[str, str]:
    with proxy.browser() as browser:
        began = browser.post("/auth/login", json=ADA) if customer else browser.post("/auth/anonymous")
        began.raise_for_status()
        return {"Cookie": f"bff={browser.cookies['bff']}"}
