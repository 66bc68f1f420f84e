"""How an upstream client connects and waits: one set of options for proxied calls, one for token calls.

Each has connections of its own, so that a flood of proxied calls cannot keep tokens from being refreshed.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """How a client connects, waits and tries again. Times are seconds.

    Attributes:
        connections: the most at once.
        idle_connections: the most that are kept for the next request.
        connect_seconds: for a connection to be made.
        pool_seconds: for a connection to be free, where all are in use.
        read_seconds: for each wait for bytes.
        write_seconds: for each write.
        resend_safe: a GET or HEAD without a body that a closing connection may have lost is sent once more.
    """

    connections: int
    idle_connections: int
    connect_seconds: float
    pool_seconds: float
    read_seconds: float
    write_seconds: float
    resend_safe: bool


@dataclass(frozen=True, slots=True)
class Shares:
    """How the connections of one client are shared out among the parts of upstream.

    Attributes:
        connections: all of them.
        of_one_part: the most that one part may have.
        kept: the last ones are kept for parts that have few.
        few: fewer than this is few.
        queue: how many requests may wait, in all.
        wait_seconds: for how long.
        unread_seconds: an answer whose client has not read on for so long is broken off for one who waits.
    """

    connections: int
    of_one_part: int
    kept: int
    few: int
    queue: int
    wait_seconds: float
    unread_seconds: float = 1.0


PROXIED_CALLS: Final = ClientOptions(
    connections=1000,
    idle_connections=500,
    connect_seconds=2.0,
    pool_seconds=2.0,
    read_seconds=60.0,
    write_seconds=30.0,
    resend_safe=True,
)

PROXIED_SHARES: Final = Shares(
    connections=1000, of_one_part=500, kept=200, few=50, queue=2000, wait_seconds=2.0
)
"""Two thousand visitors at once are served where a process answers a thousand a second."""

UPLOADS: Final = 300
"""How many of the connections for proxied calls uploads may have; the others are kept for everybody else."""

TOKEN_CALLS: Final = ClientOptions(
    connections=50,
    idle_connections=20,
    connect_seconds=2.0,
    pool_seconds=10.0,
    read_seconds=10.0,
    write_seconds=10.0,
    resend_safe=False,
)
"""A token call has a deadline of its own besides. It is never sent again: a GET may use up a refresh token."""

TOKEN_CALL_SHARES: Final = Shares(
    connections=50, of_one_part=35, kept=10, few=5, queue=1000, wait_seconds=3.0
)
