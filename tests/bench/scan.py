"""The cost of the token scan: microseconds per response in-process, and whole requests with and without the scan.

Run it with `python -m tests.bench.scan`. Both proxies are measured in turn, with the same upstream and Redis; only the
ratio of the two results is meaningful on another machine.
"""

import argparse
import gzip
import json
import sys
import tempfile
import timeit
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import brotli

from bff.api.headers import ResponseHead, response_head
from bff.api.token_scan import found_in_body, found_in_head
from bff.security.needles import needles
from bff.security.secret import Secret
from tests.bench.ground import Contender, prepared
from tests.bench.load import generator
from tests.bench.ours import ours
from tests.bench.processes import started
from tests.bench.report import table
from tests.bench.rounds import measured
from tests.bench.wire import SCENARIOS
from tests.live import free_port

# `bff serve` without the scan, and otherwise unchanged.
OFF = """
import sys
from bff.api import delivery
delivery.searchable = lambda head: False
delivery.found_in_head = lambda head, own: None
delivery.found_in_body = lambda head, body, own: None
from bff.__main__ import main
sys.exit(main())
"""
OWN = needles([Secret("aB3dE6gH9jK2mN5pQ8sT1vW4yZ7b"), Secret("eyJhbGciOiJIUzI1NiJ9." + "x" * 180)])
HEADERS = [
    *((b"content-type", b"application/json"), (b"content-length", b"2000"), (b"etag", b'"abc"')),
    *((b"x-total-count", b"7"), (b"content-language", b"en"), (b"connection", b"keep-alive")),
]


def head(*coding: tuple[bytes, bytes]) -> ResponseHead:
    """Return the head of a response, as the client gets it."""
    return response_head([*HEADERS, *coding], upstream_origin="http://127.0.0.1", browser_cache=False)


def microseconds(items: int) -> None:
    """Print the cost of scanning a response with this many products, plain and compressed."""
    body = json.dumps(
        [{"id": f"product-{n}", "name": "Morgengruß", "text": 'A "fine"\u00e9 cup / 2'} for n in range(items)]
    ).encode()
    zipped, packed = gzip.compress(body), brotli.compress(body)
    bare, gzipped, br = head(), head((b"content-encoding", b"gzip")), head((b"content-encoding", b"br"))
    costs: dict[str, Callable[[], object]] = {
        "fields": head,
        "head": lambda: found_in_head(bare, OWN),
        "plain": lambda: found_in_body(bare, body, OWN),
        "gzip": lambda: found_in_body(gzipped, zipped, OWN),
        "br": lambda: found_in_body(br, packed, OWN),
        "a parse": lambda: json.loads(body),
    }
    found_out = {name: min(timeit.repeat(cost, number=1000, repeat=5)) * 1000 for name, cost in costs.items()}
    results = "  ".join(f"{name} {cost:.1f}" for name, cost in found_out.items())
    sys.stdout.write(f"{len(body):6} bytes, {len(zipped):5} as gzip, microseconds: {results}\n")


@contextmanager
def unscanned(scanned: Contender) -> Iterator[Contender]:
    """Run the same proxy without the scan."""
    assert scanned.proxy is not None
    port = free_port()
    environ = scanned.proxy.environ | {
        "BFF_PUBLIC_ORIGIN": f"http://127.0.0.1:{port}",
        "BFF_ADMIN_PORT": str(free_port()),
    }
    command = [sys.executable, "-c", OFF, "serve", "--port", str(port)]
    with started(command, port, measured=True, environ=environ) as pid:
        yield Contender("without the scan", port, pid, {"none": [{"X-CSRF": "1"}]})


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scan", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for items in (3, 28, 200):
        microseconds(items)
    with ExitStack() as ending:
        folder = Path(ending.enter_context(tempfile.TemporaryDirectory()))
        scanned = ending.enter_context(ours(ending.enter_context(prepared(folder))))
        without = ending.enter_context(unscanned(scanned))
        asked = [one for one in SCENARIOS if one.visitor == "none"]
        results = measured(
            [scanned, without], asked, generator()[1], rounds=options.rounds, seconds=options.seconds
        )
    sys.stdout.write(table(results))


if __name__ == "__main__":
    main()
