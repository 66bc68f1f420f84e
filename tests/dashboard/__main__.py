"""`make dashboard`: shop over three replicas while faults strike, and draw what the dashboard shows of it.

A real Prometheus scrapes the replicas, and answers every query of the dashboard's panels. Says at the end which panels
had nothing to show.
"""

import argparse
import asyncio
import random  # noqa: TID251 - a soak that can be done again
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx2

from tests.dashboard.board import BOARD, Board, Panel, shipped
from tests.dashboard.drawing import Found, Line, Mark, drawn
from tests.dashboard.prometheus import RATE_INTERVAL, Prometheus, Span, prometheus
from tests.live import ADA, Sandbox, new_key
from tests.resilience.ground import Ground
from tests.resilience.servers import program, single
from tests.resilience.shoppers import client
from tests.soak import SHOPPERS, TOKENS, Soak, report

PICTURE: Final = BOARD.parents[2] / "docs" / "dashboard.svg"
_REFUSED: Final[Sequence[tuple[str, str, dict[str, str], dict[str, str] | None]]] = (
    ("POST", "/auth/login", {}, ADA),
    ("GET", "/api/nothing", {"X-CSRF": "1"}, None),
    ("POST", "/auth/login", {"X-CSRF": "1"}, ADA | {"password": "wrong-password"}),
)
"""A forged request, one that no route allows, and a wrong password: no shopper of the soak sends these."""
_KEY_DAYS: Final = (30, 200)


def keys() -> str:
    """Return keys of different age, as `bff keys new` would have made them."""
    days = [datetime.now(UTC) - timedelta(one) for one in _KEY_DAYS]
    return ",".join(f"k{day:%Y%m%d}-{at:06}:{new_key().partition(':')[2]}" for at, day in enumerate(days))


async def _refused(ground: Ground, seconds: float) -> None:
    """Send what is refused, several times a second."""
    end = time.monotonic() + seconds
    async with client() as http:
        while time.monotonic() < end:
            for at, (method, path, headers, body) in enumerate(_REFUSED):
                url = ground.replicas[at % len(ground.replicas)].url + path
                with suppress(httpx2.TransportError):
                    await http.request(method, url, headers=headers, json=body, timeout=5)
            await asyncio.sleep(0.5)


async def _soaked(soak: Soak, seconds: float) -> Span:
    begin = datetime.now(UTC).timestamp()
    await asyncio.gather(soak.run(seconds), _refused(soak.ground, seconds))
    return Span(begin, begin + seconds)


def _found(board: Board, server: Prometheus, span: Span, about: str) -> Found:
    lines = {one.title: list(_lines(one, server, span)) for one in board.panels if one.queries}
    marks = sorted(_marks(board, server, span), key=lambda one: one.at)
    return Found(lines, marks, span.end - span.begin, about)


def _lines(panel: Panel, server: Prometheus, span: Span) -> Iterator[Line]:
    for query in panel.queries:
        for series in server.asked(query.filled(RATE_INTERVAL), span):
            yield Line(query.name(series.labels), series.points)


def _marks(board: Board, server: Prometheus, span: Span) -> Iterator[Mark]:
    first: dict[str, float] = {}
    for query in board.marks:
        for series in server.asked(query.filled(RATE_INTERVAL), span):
            name = query.name(series.labels)
            first[name] = min(first.get(name, span.end), *(at for at, _ in series.points))
    return (Mark(name, at) for name, at in first.items())


def _run(ending: ExitStack, redis: str, options: argparse.Namespace) -> Sequence[str]:
    server, sandbox = ending.enter_context(single(redis)), ending.enter_context(Sandbox())
    ground = Ground(sandbox, server, ending, BFF_KEYS=keys(), BFF_SESSION_CACHE="")
    sandbox.control("PATCH", "/knobs", TOKENS)
    admins = {f"bff-{at}:9090": port for at, port in enumerate(ground.admins, start=1)}
    scraping = ending.enter_context(prometheus(admins))
    soak = Soak(ground, options.seed)
    span = asyncio.run(_soaked(soak, options.seconds))
    sys.stdout.write(report(soak.ledger, options.seed))
    about = (
        f"{SHOPPERS} visitors, {len(admins)} replicas and {soak.ledger.counts['faults']} faults "
        f"in {options.seconds:g} seconds."
    )
    board = shipped()
    found = _found(board, scraping, span, about)
    options.picture.write_text(drawn(board, found), "utf-8")
    return found.without_a_point(board)


def main() -> int:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(prog="make dashboard", description=__doc__)
    parser.add_argument("--seconds", type=float, default=150)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1_000_000))
    parser.add_argument("--picture", type=Path, default=PICTURE, help="where it is written")
    options = parser.parse_args()
    redis = program()
    if redis is None:
        parser.error("there is no redis-server or valkey-server here")
    with ExitStack() as ending:
        empty = _run(ending, redis, options)
    sys.stdout.write(f"{options.picture}: panels without data: {', '.join(empty) or 'none'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
