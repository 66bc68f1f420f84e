"""The answers and requests of the bench, as bytes."""

import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from tests.live import TENANT

DOCUMENT = json.dumps([{"id": f"product-{n}", "name": "x" * 40} for n in range(28)]).encode()
LARGE = json.dumps([{"id": f"product-{n}", "name": "y" * 40} for n in range(3600)]).encode()[: 256 * 1024]
PACKED = gzip.compress(
    json.dumps([{"id": f"product-{n}", "name": f"{n:x}" * 40} for n in range(200)]).encode()
)
DOCUMENT_FIELDS = (
    ("Content-Type", "application/json"),
    ("Content-Language", "en"),
    ("ETag", '"6f1c0a8e"'),
    ("X-Total-Count", "28"),
    ("Cache-Control", "no-cache"),
    ("Vary", "Accept-Language"),
)

BESIDE_NGINX = frozenset({"Content-Type", "ETag"})
"""What an answer has by its document; all other fields nginx adds."""

PRODUCTS = f"/product/{TENANT}/products"
LARGE_PATH = f"{PRODUCTS}/large"
PACKED_PATH = f"{PRODUCTS}/packed"
SLOW_PATH = f"{PRODUCTS}/slow"
SEARCH_PATH = f"{PRODUCTS}/search"
WHAT_CAME_PATH = f"{PRODUCTS}/what-came"
"""Answers with the bearer that reached upstream."""

BROWSER_FIELDS = (
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/143.0.0.0"),
    ("Accept", "application/json"),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.8"),
    ("Accept-Encoding", "gzip, deflate, br, zstd"),
    ("Referer", "http://127.0.0.1/shop/products"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Sec-Fetch-Mode", "cors"),
    ("Sec-Fetch-Dest", "empty"),
)  # fmt: skip


@dataclass(frozen=True)
class Scenario:
    """What is asked, by whom, and over how many connections.

    Attributes:
        name: its line in the tables.
        path: what is asked of the upstream.
        visitor: `guest`, `customer` or `none`.
        connections: how many at once.
        body: what a POST brings; None: it is a GET.
        least_seconds: how long a run takes at least: many connections take a while to be there, and answer nothing for
            the first 50 ms, and connections to an upstream with TLS, closed since the last round, are made anew. What
            is compared with an ideal takes longest: begin and end of 4 seconds cost 1 % of them.
        times: how often it is measured in a round: what goals compare needs many chances of a quiet moment.
        ids: so many requests have an id of their own each, as from a front server that gives ids; 0: none has one.
    """

    name: str
    path: str = PRODUCTS
    visitor: str = "guest"
    connections: int = 32
    body: bytes | None = None
    least_seconds: float = 0.0
    times: int = 1
    ids: int = 0


FIRST = "2 KiB, guest"
OWN_IDS = "2 KiB, guest, ids of their own"
CUSTOMER = "2 KiB, customer"
NO_SESSION = "2 KiB, no session"
ONE_CONNECTION = "2 KiB, one connection"
LARGE_ANSWER = "256 KiB"
SLOW_200, SLOW_1000, SLOW_2000 = (f"50 ms, {number} connections" for number in (200, 1000, 2000))
MANY = frozenset({SLOW_1000, SLOW_2000})
SCENARIOS = (
    Scenario(FIRST, times=8),
    Scenario(OWN_IDS, ids=5_000),
    Scenario(CUSTOMER, visitor="customer"),
    Scenario(NO_SESSION, visitor="none", times=8),
    Scenario(ONE_CONNECTION, connections=1),
    Scenario("small POST", SEARCH_PATH, body=b'{"q":"name:shoe","pageSize":24}'),
    Scenario("gzip", PACKED_PATH),
    Scenario(LARGE_ANSWER, LARGE_PATH, least_seconds=1, times=4),
    Scenario(SLOW_200, SLOW_PATH, connections=200, least_seconds=10),
    Scenario(SLOW_1000, SLOW_PATH, connections=1000, least_seconds=4),
    Scenario(SLOW_2000, SLOW_PATH, connections=2000, least_seconds=4),
)


def slow_answer_bytes() -> bytes:
    """Return the document as a whole answer, with the fields that nginx does not add to it."""
    fields = "".join(f"{name}: {value}\r\n" for name, value in DOCUMENT_FIELDS if name in BESIDE_NGINX)
    return f"HTTP/1.1 200 OK\r\n{fields}Content-Length: {len(DOCUMENT)}\r\n\r\n".encode() + DOCUMENT


def request_bytes(scenario: Scenario, port: int, visitors: Sequence[dict[str, str]]) -> list[bytes]:
    """Return a request of each visitor, whole; where requests have ids, as many as there are ids."""
    ids = [{"X-Request-Id": f"bench-{number}"} for number in range(scenario.ids)] or [{}] * len(visitors)
    return [
        _request(scenario, port, {**dict(BROWSER_FIELDS), **visitor, **given})
        for visitor, given in zip(cycle(visitors), ids, strict=False)
    ]


def _request(scenario: Scenario, port: int, fields: dict[str, str]) -> bytes:
    body = scenario.body or b""
    if scenario.body is not None:
        fields = fields | {"Content-Type": "application/json", "Content-Length": str(len(body))}
    method = "GET" if scenario.body is None else "POST"
    lines = [f"{method} /api{scenario.path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
