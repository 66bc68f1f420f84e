"""How many requests one client may have under way at once, so that nobody takes every upstream connection."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bff.addresses import networks_of
from bff.errors import TooManyRequests

_SHARES: Final = (1.0, 1.5, 2.0)
"""What a /64, a /56 and a /48 may have, as multiples of what one client may: a site has thousands of the first."""


class StreamLimit:
    """Counts the requests of each client network that are under way in this process.

    Counted here and not in Redis: the connections that it protects are this process's own.

    Args:
        most: requests of one client at once; an IPv6 client is its /64, and its /56 and /48 have bounds of their own.
    """

    def __init__(self, most: int) -> None:
        self._bounds = tuple(int(most * share) for share in _SHARES)
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def admit(self, client: str) -> Iterator[None]:
        """Count a request of `client`, a network address, for the block.

        Raises:
            TooManyRequests: that client has as many under way as it may.
        """
        networks = networks_of(client)
        if any(self._under_way[one] >= most for one, most in zip(networks, self._bounds, strict=False)):
            raise TooManyRequests("This address has too many requests under way", retry_after=1)
        for network in networks:
            self._under_way[network] += 1
        try:
            yield
        finally:
            for network in networks:
                self._under_way[network] -= 1
                if not self._under_way[network]:
                    del self._under_way[network]
