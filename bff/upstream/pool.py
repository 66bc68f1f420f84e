"""Connections to one origin: bounded, the most recently used first, with a queue that does not wait for ever."""

import asyncio
import ssl
from collections import deque
from typing import Final
from urllib.parse import urlsplit

from bff.deadline import seconds_left
from bff.errors import UpstreamUnavailable
from bff.upstream.connection import Connection
from bff.upstream.failures import Busy, NotConnected
from bff.upstream.options import ClientOptions

_IDLE_SECONDS: Final = 30.0
_SWEEP_SECONDS: Final = 1.0
_PORTS: Final = {"http": 80, "https": 443}


class ConnectionPool:
    """Opens connections and hands them out, one request at a time.

    Every connection has one of a fixed number of slots, from before it is opened until it has ended. Addresses are
    looked up for each new connection and tried in turn, so that a changed DNS entry is followed.

    One sweep a second ends what takes too long, so that a request costs no timer.

    Args:
        url: the origin, as `scheme://host[:port]`.
        options: how many connections there may be, and how long one waits for them.
        tls: checks the upstream's certificate; None for http.
    """

    def __init__(self, url: str, options: ClientOptions, tls: ssl.SSLContext | None) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        self._options = options
        self._tls = tls
        self._free_slots = options.connections
        self._connections: set[Connection] = set()
        self._idle: deque[Connection] = deque()
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._swept_at = 0.0
        self._closed = False

    def at_hand(self, *, sent_once: bool) -> Connection | None:
        """Return a connection that was kept and can be used; None: `acquire` has one. See there."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed and not (sent_once and connection.stale()):
                return connection
            connection.close()
        return None

    async def acquire(self, *, fresh: bool = False, sent_once: bool = False) -> Connection:
        """Return a connection for one request.

        Args:
            fresh: open a new one, because a kept one has just broken.
            sent_once: the request cannot be sent again, so make sure that upstream has not closed a kept connection.

        Raises:
            NotConnected: upstream cannot be reached.
            UpstreamUnavailable: all are in use, or none could be opened in time.
        """
        while True:
            connection = None if fresh else self.at_hand(sent_once=sent_once)
            if connection is not None:
                return connection
            if self._free_slots:
                self._free_slots -= 1
                return await self._open()
            connection = self._idle.pop() if self._idle else await self._next_given()
            if connection is None:
                return await self._open()
            if not connection.closed and not fresh and not (sent_once and connection.stale()):
                return connection
            connection.close()  # its slot is free again

    async def aclose(self) -> None:
        """Close all connections; who waits for one learns that there is none."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
        waiting, self._waiters = self._waiters, deque()
        for waiter in waiting:
            if not waiter.done():
                waiter.set_exception(UpstreamUnavailable(log_detail="the client is closed"))
        for connection in list(self._connections):
            connection.close()

    async def _next_given(self) -> Connection | None:
        """Return a connection that somebody gives back, or None: the right to open one."""
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(seconds_left(self._options.pool_seconds)):
                return await waiter
        except BaseException as error:
            self._take_back(waiter)
            if isinstance(error, TimeoutError):
                raise Busy(log_detail="no free connection", retry_after=1) from None
            raise

    def _take_back(self, waiter: "asyncio.Future[Connection | None]") -> None:
        """One who waited has left, perhaps at the moment at which its turn came."""
        if not waiter.done() or waiter.cancelled():
            waiter.cancel()
        elif waiter.exception() is None:
            given = waiter.result()
            if given is None:
                self._free_slot()
            elif not given.closed:
                self._keep(given)

    async def _open(self) -> Connection:
        """Open a connection in a slot that the caller has taken."""
        try:
            connection = await self._connected()
        except BaseException:
            self._free_slot()
            raise
        self._connections.add(connection)
        if self._sweeper is None:
            self._sweep_later()
        return connection

    async def _connected(self) -> Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(seconds_left(self._options.connect_seconds)):
                _, connection = await loop.create_connection(
                    self._new_connection, self._host, self._port, ssl=self._tls
                )
        except TimeoutError:
            raise UpstreamUnavailable(log_detail="no connection in time") from None
        except OSError as error:
            raise NotConnected(log_detail=type(error).__name__) from None
        if connection.closed or self._closed:
            connection.close()
            raise NotConnected(log_detail="closed at once")
        return connection

    def _new_connection(self) -> Connection:
        return Connection(self._options, ended=self._forget, idle=self._keep)

    def _forget(self, connection: Connection) -> None:
        """A connection has ended."""
        if connection in self._connections:
            self._connections.discard(connection)
            if connection in self._idle:
                self._idle.remove(connection)
            self._free_slot()

    def _free_slot(self) -> None:
        if not self._hand_over(None):
            self._free_slots += 1

    def _keep(self, connection: Connection) -> None:
        """A connection can take the next request."""
        if self._waiters and self._hand_over(connection):
            return
        connection.idle_since = self._swept_at
        self._idle.append(connection)
        if len(self._idle) > self._options.idle_connections:
            self._idle[0].close()

    def _hand_over(self, connection: Connection | None) -> bool:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return True
        return False

    def _sweep_later(self) -> None:
        seconds, loop = min(_SWEEP_SECONDS, self._options.read_seconds / 4), asyncio.get_running_loop()
        self._swept_at = loop.time()
        self._sweeper = loop.call_later(seconds, self._sweep)

    def _sweep(self) -> None:
        """End answers that take too long, and connections that have been idle for long; the oldest come first."""
        self._sweeper = None
        now = asyncio.get_running_loop().time()
        for connection in list(self._connections):
            connection.check(now)
        while self._idle and self._idle[0].idle_since < now - _IDLE_SECONDS:
            self._idle[0].close()
        if self._connections:
            self._sweep_later()
