"""How many requests one client may have under way at once, so that nobody takes every upstream connection."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from bff.addresses import network_of
from bff.errors import TooManyRequests


class StreamLimit:
    """Counts the requests of each client network that are under way in this process.

    Counted here and not in Redis: the connections that it protects are this process's own.

    Args:
        most: requests of one client at once; an IPv6 client is its /64.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def admit(self, client: str) -> Iterator[None]:
        """Count a request of `client`, a network address, for the block.

        Raises:
            TooManyRequests: that client has as many under way as it may.
        """
        network = network_of(client)
        if self._under_way[network] >= self._most:
            raise TooManyRequests("This address has too many requests under way", retry_after=1)
        self._under_way[network] += 1
        try:
            yield
        finally:
            self._under_way[network] -= 1
            if not self._under_way[network]:
                del self._under_way[network]
