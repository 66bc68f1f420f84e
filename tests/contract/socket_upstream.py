"""An upstream on a real socket that does with each connection what a test says."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

_PATIENCE_SECONDS = 30


class Connection:
    """One connection that a client has made."""

    def __init__(
        self, upstream: "SocketUpstream", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._upstream = upstream
        self._writer = writer
        self.reader = reader

    async def head(self) -> list[bytes]:
        """Read a request's head and return its lines."""
        raw = await self.reader.readuntil(b"\r\n\r\n")
        lines = raw.removesuffix(b"\r\n\r\n").split(b"\r\n")
        self._upstream.heads.append(lines)
        return lines

    async def send(self, whole: bytes) -> None:
        self._writer.write(whole)
        await self._writer.drain()

    async def answer(self, body: bytes, *fields: bytes, status: bytes = b"200 OK") -> None:
        """Read a request's head and send a whole answer; the connection stays open."""
        await self.head()
        await self.send(answer(body, *fields, status=status))

    async def left(self) -> None:
        """Wait until the client has closed the connection."""
        while await self.reader.read(65536):
            pass

    def reset(self) -> None:
        """Close the connection with a reset (RFC 9293 §3.5.2)."""
        raw = self._writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Serve = Callable[[Connection], Awaitable[None]]


class SocketUpstream:
    """Counts connections and keeps the head of every request."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()
        self.heads: list[list[bytes]] = []
        self.connections = 0
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    await self._serve(Connection(self, reader, writer))
        finally:
            writer.close()
            self._tasks.discard(task)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def serving(serve: Serve) -> AsyncIterator[SocketUpstream]:
    """Serve each connection so; it is closed when `serve` returns."""
    upstream = SocketUpstream(serve)
    server = await asyncio.start_server(upstream.accept, "127.0.0.1", 0, backlog=1024)
    upstream.port = server.sockets[0].getsockname()[1]
    try:
        yield upstream
    finally:
        server.close()
        await upstream.close()
        await server.wait_closed()


def answer(body: bytes, *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """Return an answer with its length."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body
