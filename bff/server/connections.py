"""How many connections clients may have, of one network and in all, so that nobody takes every file descriptor.

Where there are too many, the one that is idle for longest makes room: an idle connection may be closed at any time
(RFC 9112 §9.6), and a balancer that keeps many is not refused. Without an idle one the new connection is closed.
"""

import resource
from collections import Counter
from collections.abc import Sequence
from typing import Final, Protocol

from bff.addresses import Network, network_of, within
from bff.telemetry.metrics import CONNECTIONS_CLOSED

_MOST_DESCRIPTORS: Final = 65_536
_MOST_CONNECTIONS: Final = 10_000
_RESERVED: Final = 1300
"""Descriptors for the upstream's connections (1,050) and for Redis."""
_LONGEST_QUEUE: Final = 2048


class Connection(Protocol):
    """A client's connection."""

    def give_way(self) -> None:
        """Close it now; it is idle."""
        ...


class ConnectionLimit:
    """Counts the connections of this process.

    Args:
        most: connections in all.
        of_one: connections of one client network; an IPv6 client is its /64.
        trusted: the proxies in front, which bring the connections of many clients and are bounded in all only.
    """

    def __init__(self, most: int, of_one: int, trusted: Sequence[Network] = ()) -> None:
        self._most = most
        self._of_one = of_one
        self._trusted = tuple(trusted)
        self._open: dict[Connection, str] = {}
        self._of: Counter[str] = Counter()
        self._idle: dict[Connection, None] = {}  # both: the one that is idle for longest first
        self._idle_of: dict[str, dict[Connection, None]] = {}

    def admit(self, connection: Connection, peer: str) -> bool:
        """Count a new connection, and return whether there is room for it."""
        network = "" if within(peer, self._trusted) else network_of(peer)
        if network and self._of[network] >= self._of_one:
            CONNECTIONS_CLOSED.labels("address").inc()
            if not self._made_room(self._idle_of.get(network, {})):
                return False
        if len(self._open) >= self._most:
            CONNECTIONS_CLOSED.labels("all").inc()
            if not self._made_room(self._idle):
                return False
        self._open[connection] = network
        self._of[network] += 1
        return True

    def mark(self, connection: Connection, *, idle: bool) -> None:
        """Note that a connection has become idle, or is so no more."""
        network = self._open.get(connection)
        if network is None:
            return
        if idle:
            self._idle[connection] = self._idle_of.setdefault(network, {})[connection] = None
            return
        self._idle.pop(connection, None)
        idle_ones = self._idle_of.get(network, {})
        idle_ones.pop(connection, None)
        if not idle_ones:
            self._idle_of.pop(network, None)

    def forget(self, connection: Connection) -> None:
        """Count a connection no more, once it is closed."""
        self.mark(connection, idle=False)
        network = self._open.pop(connection, None)
        if network is None:
            return
        self._of[network] -= 1
        if not self._of[network]:
            del self._of[network]

    def _made_room(self, idle: dict[Connection, None]) -> bool:
        oldest = next(iter(idle), None)
        if oldest is None:
            return False
        self.forget(oldest)
        oldest.give_way()
        return True


def raised_descriptor_limit() -> int:
    """Raise this process's soft limit of open files to the hard one, and return how many it may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, _MOST_DESCRIPTORS) if hard == resource.RLIM_INFINITY else hard
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (ValueError, OSError):  # macOS refuses more than its kernel has, whatever the hard limit says
        return soft
    return wanted


def queue_within(descriptors: int) -> int:
    """Return how long the listen queue may be: all that waits in it is accepted at once, before any of it is counted.

    A connection that finds no place in it tries again after a second.
    """
    return min(_LONGEST_QUEUE, descriptors // 8)


def connections_within(descriptors: int) -> int:
    """Return how many connections fit into so many open files, beside everything else."""
    left = descriptors - _RESERVED - queue_within(descriptors)
    return min(_MOST_CONNECTIONS, max(left, descriptors // 4))
