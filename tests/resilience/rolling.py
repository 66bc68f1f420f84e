"""A rolling restart: one replica after the other ends and begins anew while visitors shop through a balancer."""

import asyncio
import signal
from collections import Counter
from dataclasses import dataclass
from typing import Final

import httpx2

from tests.live import TENANT, LiveProxy
from tests.resilience.balancer import Balancer, balancing
from tests.resilience.shoppers import CARTS, client

DRAIN_SECONDS: Final = 2
VISITORS: Final = 12
_STOCK: Final = f"/api/availability/{TENANT}/availability/search?site=main"
_ASKED: Final = ["morning-ledge"] * 100


@dataclass(frozen=True)
class Restarted:
    """What came of it.

    Attributes:
        statuses: of all requests.
        resets: that the balancer has seen.
        codes: with which the replicas ended.
    """

    statuses: Counter[str]
    resets: int
    codes: list[int]


async def restart_all(replicas: list[LiveProxy], requests: int) -> Restarted:
    """Restart every replica in turn while at least so many requests are made, and replace it in the list."""
    statuses: Counter[str] = Counter()
    over = asyncio.Event()
    async with balancing([one.port for one in replicas]) as balancer, client() as http:
        cookies = [await guest(http, balancer.url) for _ in range(VISITORS)]
        shopping = [asyncio.ensure_future(shop(http, balancer.url, one, statuses, over)) for one in cookies]
        codes = [await _restart(replicas, number, balancer) for number in range(len(replicas))]
        while statuses.total() < requests:  # noqa: ASYNC110 - twelve who count
            await asyncio.sleep(0.05)
        over.set()
        await asyncio.gather(*shopping)
        return Restarted(statuses, balancer.resets, codes)


async def _restart(replicas: list[LiveProxy], number: int, balancer: Balancer) -> int:
    old = replicas[number]
    code = await asyncio.to_thread(old.stop, signal.SIGTERM)
    old.close()
    replicas[number] = await asyncio.to_thread(LiveProxy, old.environ, port=old.port)
    await balancer.all_ready()
    return code


async def guest(http: httpx2.AsyncClient, url: str) -> str:
    """Come as a guest with a cart, and return the cookie."""
    answer = await http.get(url + CARTS, headers={"X-CSRF": "1"})
    assert answer.status_code == 200
    return answer.headers["set-cookie"].partition(";")[0]


async def shop(
    http: httpx2.AsyncClient, url: str, cookie: str, statuses: Counter[str], over: asyncio.Event
) -> None:
    """Read and write in turn, and count the answers."""
    headers = {"X-CSRF": "1", "Cookie": cookie}
    while not over.is_set():
        for method, path, body in (
            ("GET", CARTS, None),
            ("POST", _STOCK, _ASKED),
            ("GET", "/auth/session", None),
            ("POST", "/auth/anonymous", {}),
        ):
            answer = await http.request(method, url + path, json=body, headers=headers)
            statuses[f"{method} {answer.status_code}"] += 1
