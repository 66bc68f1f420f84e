"""How many requests one client may have under way at once, so that nobody takes every upstream connection.

Behind one address may be an office or a carrier: what is above the bound waits for a moment, first come, first served,
and is refused only where too many wait already, or where the wait gets long.
"""

import asyncio
from typing import Final

from bff.addresses import networks_of
from bff.errors import TooManyRequests

WAIT_SECONDS: Final = 2.0
WAITING_EACH: Final = 8
"""How many may wait for each one that may be under way."""

_SHARES: Final = (1.0, 1.5, 2.0)
"""What a /64, a /56 and a /48 may have, as multiples of what one client may: a site has thousands of the first."""

Networks = tuple[str, ...]


class StreamLimit:
    """Counts the requests of each client network that are under way in this process.

    Counted here and not in Redis: the connections that it protects are this process's own.

    Args:
        most: requests of one client at once; an IPv6 client is its /64, and its /56 and /48 have bounds of their own.
        wait_seconds: how long a request that is one too many waits before it is refused.
    """

    def __init__(self, most: int, *, wait_seconds: float = WAIT_SECONDS) -> None:
        self._bounds = tuple(int(most * share) for share in _SHARES)
        self._wait_seconds = wait_seconds
        self._under_way: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._queues: dict[str, dict[asyncio.Future[None], Networks]] = {}

    def admitted(self, client: str) -> Networks | None:
        """Count a request of `client`, a network address, if there is room; `release` counts the result no more."""
        networks = networks_of(client)
        if not self._fits(self._under_way, networks, 1):
            return None
        _increase(self._under_way, networks)
        return networks

    async def admitted_later(self, client: str) -> Networks:
        """Count a request of `client` as soon as there is room.

        Raises:
            TooManyRequests: too many requests of that client wait already, or this one waited for too long.
        """
        waiting = networks_of(client)
        await self._wait(waiting)
        return waiting

    def _fits(self, count: dict[str, int], networks: Networks, times: int) -> bool:
        for one, most in zip(networks, self._bounds, strict=False):  # noqa: SIM110 - a generator costs more
            if count.get(one, 0) >= most * times:
                return False
        return True

    async def _wait(self, networks: Networks) -> None:
        if not self._fits(self._waiting, networks, WAITING_EACH):
            raise _too_many()
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault(networks[-1], {})
        queue[turn] = networks
        _increase(self._waiting, networks)
        try:
            async with asyncio.timeout(self._wait_seconds):
                await turn
        except TimeoutError:
            if not _came(turn):
                raise _too_many() from None
        except asyncio.CancelledError:
            if _came(turn):
                self.release(networks)
            raise
        finally:
            _decrease(self._waiting, networks)
            queue.pop(turn, None)
            if not queue:
                self._queues.pop(networks[-1], None)

    def release(self, networks: Networks) -> None:
        """Count a request no more, and let in those that wait and have room now, in their order."""
        _decrease(self._under_way, networks)
        queue = self._queues.get(networks[-1])
        if queue is not None:
            self._let_in(queue, networks)

    def _let_in(self, queue: dict[asyncio.Future[None], Networks], networks: Networks) -> None:
        for turn, waiting in list(queue.items()):
            if self._under_way.get(networks[-1], 0) >= self._bounds[len(networks) - 1]:
                break
            if not turn.done() and self._fits(self._under_way, waiting, 1):
                del queue[turn]
                _increase(self._under_way, waiting)
                turn.set_result(None)


def _came(turn: asyncio.Future[None]) -> bool:
    return turn.done() and not turn.cancelled()


def _increase(count: dict[str, int], networks: Networks) -> None:
    for network in networks:
        count[network] = count.get(network, 0) + 1


def _decrease(count: dict[str, int], networks: Networks) -> None:
    for network in networks:
        count[network] -= 1
        if not count[network]:
            del count[network]


def _too_many() -> TooManyRequests:
    return TooManyRequests("This address has too many requests under way", retry_after=1, cause="streams")
