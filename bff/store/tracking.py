"""The wire of client-side tracking: what Redis pushes and answers is handled in the callback that receives it.

A push that has arrived is so heard of before any request that arrives with it or after it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError

from bff.store.dedicated import ReplyStream

_QUESTION: Final = b"HELLO 3\r\n"
"""Asked again on a connection that speaks RESP3 already, this changes nothing; the answer names the server's role."""


class Refused(Exception):
    """The server does not do this, or not for this user."""


class TrackingStream(ReplyStream):
    """Reads what comes on a connection that speaks RESP3.

    Args:
        transport: the connection.
        on_written: is given the keys that were written, or None where all were.
        on_proof: is given the time that `ask` was given, once it is answered by a primary.
        on_end: is called at once where the connection ends.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        on_written: Callable[[Iterable[bytes] | None], None],
        on_proof: Callable[[float], None],
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(transport)
        self._on_written, self._on_proof, self._on_end = on_written, on_proof, on_end
        self.asked: deque[float] = deque()
        """When the questions were asked that are still to be answered."""

    def track(self, prefix: str) -> None:
        """Ask for the names of all keys with this prefix that are written from now on."""
        self.transport.write(f"CLIENT TRACKING ON BCAST PREFIX {prefix}\r\n".encode())

    def ask(self, now: float) -> None:
        """Ask for a proof that all writes up to now have been heard of."""
        self.asked.append(now)
        self.transport.write(_QUESTION)

    def take(self, reply: Any) -> None:
        """Handle a push or an answer."""
        if isinstance(reply, hiredis.PushNotification):
            if reply[0] == b"invalidate":
                self._on_written(reply[1])
        elif isinstance(reply, hiredis.ReplyError):
            self.end(Refused())
        elif isinstance(reply, dict):
            if reply.get(b"role") != b"master":
                self.end(RedisConnectionError("the server is not the primary"))
            elif not self.ended.done():
                self._on_proof(self.asked.popleft())

    def end(self, reason: Exception) -> None:
        """Stop what counts on this connection, at once."""
        self._on_end()
        super().end(reason)
