"""The cost of the token scan: microseconds per response in-process, and whole requests with and without the scan.

Run it with `python -m tests.bench_scan`. Both proxies are measured in turn, with the same upstream and Redis; only the
ratio of the two results is meaningful on another machine.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
import timeit
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import brotli
import httpx2

from bff.api.token_scan import BodySearch, found_in_head, searchable
from bff.config.embedded_redis import EmbeddedRedis
from tests.bench import PATH, Run, child, report
from tests.live import TENANT, LiveProxy, free_port, new_key

# `bff serve` without the scan, and otherwise unchanged.
OFF = """
import sys
from bff.api import delivery
delivery.searchable = lambda headers: False
delivery.found_in_head = lambda headers, own: None
from bff.__main__ import main
sys.exit(main())
"""
OWN = (b"aB3dE6gH9jK2mN5pQ8sT1vW4yZ7b", b"eyJhbGciOiJIUzI1NiJ9." + b"x" * 180)
HEADERS = [
    *((b"content-type", b"application/json"), (b"content-length", b"2000"), (b"etag", b'"abc"')),
    *((b"x-total-count", b"7"), (b"content-language", b"en"), (b"cache-control", b"private, no-store")),
]


def microseconds(items: int) -> None:
    """Print the cost of scanning a response with this many products, plain and compressed."""
    body = json.dumps(
        [{"id": f"product-{n}", "name": "Morgengruß", "text": 'A "fine"\u00e9 cup / 2'} for n in range(items)]
    ).encode()
    zipped, packed = gzip.compress(body), brotli.compress(body)
    costs = {
        "to search or not": lambda: searchable(HEADERS),
        "head": lambda: found_in_head(HEADERS, OWN),
        "plain": lambda: BodySearch(HEADERS, OWN).feed(body),
        "gzip": lambda: BodySearch([*HEADERS, (b"content-encoding", b"gzip")], OWN).feed(zipped),
        "br": lambda: BodySearch([*HEADERS, (b"content-encoding", b"br")], OWN).feed(packed),
        "a parse": lambda: json.loads(body),
    }
    found_out = {name: min(timeit.repeat(cost, number=1000, repeat=5)) * 1000 for name, cost in costs.items()}
    results = "  ".join(f"{name} {cost:.1f}" for name, cost in found_out.items())
    sys.stdout.write(f"{len(body):6} bytes, {len(zipped):5} as gzip, microseconds: {results}\n")


@contextmanager
def unscanned(environ: Mapping[str, str]) -> Iterator[tuple[str, int]]:
    """Run the proxy without the scan and yield its URL and its process id."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    whole = {**os.environ, **environ, "BFF_PUBLIC_ORIGIN": url}
    process = subprocess.Popen(
        [sys.executable, "-c", OFF, "serve", "--port", str(port)], env=whole, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            try:
                httpx2.get(url + "/livez", trust_env=False)
                break
            except httpx2.TransportError:
                time.sleep(0.05)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench_scan", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=32)
    options = parser.parse_args()
    for items in (3, 28, 200):
        microseconds(items)
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        redis = ending.enter_context(EmbeddedRedis.start(folder / "redis"))
        source, _ = ending.enter_context(child("upstream"))
        plain, plain_pid = ending.enter_context(child("naive", source, redis.url))
        environ = {
            "BFF_TENANT": TENANT, "BFF_CLIENT_ID": "bench", "BFF_UPSTREAM_URL": source, "BFF_KEYS": new_key(),
            "BFF_REDIS_URL": redis.url, "BFF_DRAIN_SECONDS": "0",
        }  # fmt: skip
        scanned = ending.enter_context(LiveProxy(environ))
        without, without_pid = ending.enter_context(unscanned(environ))
        asked = {"X-CSRF": "1", "Accept-Encoding": "gzip, deflate, br"}
        runs = {
            "plain Starlette proxy": Run(plain, plain_pid, f"/api{PATH}", {}),
            "with the scan": Run(scanned.url, scanned.process.pid, f"/api{PATH}", asked),
            "without": Run(without, without_pid, f"/api{PATH}", asked),
        }
        report(runs, options)


if __name__ == "__main__":
    main()
