"""A small HTTP balancer: keeps connections to replicas, asks for their health, and counts what goes wrong with them."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

HEALTH_SECONDS: Final = 0.2
_BROKEN: Final = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class _Replica:
    port: int
    ready: bool = False
    idle: deque[Streams] = field(default_factory=deque)

    def kept(self) -> Streams | None:
        """Take a connection that is kept, newest first."""
        while self.idle:
            reader, writer = self.idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None


class Balancer:
    """Gives requests to ready replicas in turn. It sends nothing twice, so that every failure of a replica is seen.

    Attributes:
        url: where it listens.
        resets: connections that were refused, or that broke before an answer was whole.
    """

    def __init__(self, ports: Sequence[int]) -> None:
        self._replicas = [_Replica(port) for port in ports]
        self._turn = 0
        self._running: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.resets = 0

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._hold(asyncio.ensure_future(self._serve(reader, writer)))

    def watch(self) -> None:
        """Ask for every replica's health from now on."""
        for replica in self._replicas:
            self._hold(asyncio.ensure_future(self._watch(replica)))

    async def close(self) -> None:
        for task in list(self._running):
            task.cancel()
        for writer in self._writers:
            writer.close()
        closing = (writer.wait_closed() for writer in self._writers)
        await asyncio.gather(*self._running, *closing, return_exceptions=True)

    async def all_ready(self) -> None:
        while not all(replica.ready for replica in self._replicas):  # noqa: ASYNC110 - three who come and go
            await asyncio.sleep(HEALTH_SECONDS / 4)

    async def _open(self, port: int) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        self._writers.add(writer)
        return reader, writer

    def _hold(self, task: asyncio.Task[None]) -> None:
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _watch(self, replica: _Replica) -> None:
        while True:
            replica.ready = await self._is_ready(replica.port)
            await asyncio.sleep(HEALTH_SECONDS)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                writer.write(await self._answer(await _message(reader)))
                await writer.drain()
        writer.close()

    async def _answer(self, request: bytes) -> bytes:
        replica = self._next()
        try:
            reader, writer = replica.kept() or await self._open(replica.port)
            writer.write(request)
            answer = await _message(reader)
        except (OSError, asyncio.IncompleteReadError):
            self.resets += 1
            return _BROKEN
        if b"\r\nconnection: close" in answer.partition(b"\r\n\r\n")[0].lower():
            writer.close()
        else:
            replica.idle.append((reader, writer))
        return answer

    async def _is_ready(self, port: int) -> bool:
        try:
            async with asyncio.timeout(1):
                reader, writer = await self._open(port)
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: balancer\r\nConnection: close\r\n\r\n")
                line = await reader.readline()
        except (OSError, TimeoutError):
            return False
        writer.close()
        self._writers.discard(writer)
        return b" 200 " in line

    def _next(self) -> _Replica:
        ready = [replica for replica in self._replicas if replica.ready] or self._replicas
        self._turn += 1
        return ready[self._turn % len(ready)]


async def _message(reader: asyncio.StreamReader) -> bytes:
    """Read one request or answer whole (RFC 9112 §6.3); here each has a length, is chunked, or has no body."""
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:] if b":" in line)
    if fields.get(b"transfer-encoding", b"").strip() == b"chunked":
        return head + await _chunks(reader)
    return head + await reader.readexactly(int(fields.get(b"content-length", b"0")))


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    whole = bytearray()
    while True:
        line = await reader.readuntil(b"\r\n")
        chunk = await reader.readexactly(int(line, 16) + 2)
        whole += line + chunk
        if chunk == b"\r\n":
            return bytes(whole)


@asynccontextmanager
async def balancing(ports: Sequence[int]) -> AsyncIterator[Balancer]:
    """Run a balancer in front of these replicas while the block lasts."""
    balancer = Balancer(ports)
    server = await asyncio.start_server(balancer.accept, "127.0.0.1", 0, backlog=1024)
    balancer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    balancer.watch()
    try:
        await balancer.all_ready()
        yield balancer
    finally:
        server.close()
        await balancer.close()
        await server.wait_closed()
