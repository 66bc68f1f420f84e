"""The wire of client-side tracking: what Redis pushes and answers is handled in the callback that receives it.

No task stands between the socket and the cache. A push that has arrived is so heard of before any request that
arrives with it or after it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

import hiredis
from redis.exceptions import ConnectionError as RedisConnectionError

_QUESTION: Final = b"HELLO 3\r\n"
"""Asked again on a connection that speaks RESP3 already, this changes nothing; the answer names the server's role."""


class Refused(Exception):
    """The server does not do this, or not for this user."""


class TrackingStream(asyncio.Protocol):
    """Takes over a connection on which the client has logged in, and reads what comes.

    Args:
        transport: the connection; its protocol so far is told of its end.
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
        self._transport = transport
        self._former = transport.get_protocol()
        self._reader = hiredis.Reader(notEnoughData=Ellipsis)
        self._on_written, self._on_proof, self._on_end = on_written, on_proof, on_end
        self.ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        """Has the reason once the connection is of no more use."""
        self.asked: deque[float] = deque()
        """When the questions were asked that are still to be answered."""
        transport.set_protocol(self)

    def track(self, prefix: str) -> None:
        """Ask for the names of all keys with this prefix that are written from now on."""
        self._transport.write(f"CLIENT TRACKING ON BCAST PREFIX {prefix}\r\n".encode())

    def ask(self, now: float) -> None:
        """Ask for a proof that all writes up to now have been heard of."""
        self.asked.append(now)
        self._transport.write(_QUESTION)

    def data_received(self, data: bytes) -> None:
        """Handle every push and answer that is whole."""
        self._reader.feed(data)
        try:
            while (reply := self._reader.gets()) is not Ellipsis:
                self._take(reply)
        except hiredis.ProtocolError:
            self._end(RedisConnectionError("this is not RESP3"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the client know, too: it waits for this where it closes a connection."""
        self._end(RedisConnectionError("the connection has ended"))
        self._former.connection_lost(exc)

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.PushNotification):
            if reply[0] == b"invalidate":
                self._on_written(reply[1])
        elif isinstance(reply, hiredis.ReplyError):
            self._end(Refused())
        elif isinstance(reply, dict):
            if reply.get(b"role") != b"master":
                self._end(RedisConnectionError("the server is not the primary"))
            elif not self.ended.done():
                self._on_proof(self.asked.popleft())

    def _end(self, reason: Exception) -> None:
        self._on_end()
        if not self.ended.done():
            self.ended.set_result(reason)
