"""A relay in front of a real Redis, by which tests make it slow, deaf or mute."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote, urlsplit


class Relay:
    """Stands between a client and Redis, and can be slow, deaf or mute.

    Attributes:
        url: where it listens.
        delay: seconds that every reply is kept back.
        deaf: what clients send is taken and never passed on.
        mute: of so many further scripts the commands are passed on and the replies are lost.
        round_trips: how often a client has sent something and waited for the reply; a pipeline counts once, and a
            connection that only listens does not.
    """

    def __init__(self, target: str) -> None:
        self._target = target
        self._running: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()
        self.url = ""
        self.delay = 0.0
        self.deaf = False
        self.mute = 0
        self.round_trips = 0

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def reset(self) -> int:
        """Reset every client's connection (RFC 9293 §3.5.2), and say how many there were."""
        alive = [writer for writer in self._clients if not writer.is_closing()]
        for writer in alive:
            raw = writer.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        return len(alive)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._clients.add(writer)
        try:
            there, to = await self._connect()
            try:
                await self._pass(reader, writer, there, to)
            finally:
                to.close()
        finally:
            writer.close()
            self._clients.discard(writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        parts = urlsplit(self._target)
        if parts.scheme == "unix":
            return await asyncio.open_unix_connection(unquote(parts.path))
        return await asyncio.open_connection(parts.hostname, parts.port)

    async def _pass(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        there: asyncio.StreamReader,
        to: asyncio.StreamWriter,
    ) -> None:
        """Pass on what both sides send until one of them has ended."""
        lost, asked = asyncio.Event(), asyncio.Event()
        ways = [
            asyncio.ensure_future(self._commands(reader, to, lost, asked)),
            asyncio.ensure_future(self._replies(there, writer, lost, asked)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)

    async def _commands(
        self,
        reader: asyncio.StreamReader,
        to: asyncio.StreamWriter,
        lost: asyncio.Event,
        asked: asyncio.Event,
    ) -> None:
        listens, counted = False, 0
        while chunk := await _received(reader):
            if not listens and b"TRACKING" in chunk:
                listens = True
                self.round_trips -= counted
            if not listens and not asked.is_set():
                counted += 1
                self.round_trips += 1
            asked.set()
            if self.deaf:
                continue
            if self.mute and b"EVALSHA" in chunk:
                self.mute -= 1
                lost.set()
            to.write(chunk)
            await to.drain()

    async def _replies(
        self,
        there: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        lost: asyncio.Event,
        asked: asyncio.Event,
    ) -> None:
        while chunk := await _received(there):
            asked.clear()
            await asyncio.sleep(self.delay)
            if not lost.is_set():
                writer.write(chunk)
                await writer.drain()


async def _received(reader: asyncio.StreamReader) -> bytes:
    """Return what came; nothing where the connection has ended, however it did."""
    try:
        return await reader.read(65_536)
    except ConnectionError:
        return b""


@asynccontextmanager
async def relaying(target: str, port: int = 0) -> AsyncIterator[Relay]:
    """Run a relay in front of the Redis at `target`, on this port, or on any that is free."""
    relay = Relay(target)
    server = await asyncio.start_server(relay.accept, "127.0.0.1", port)
    relay.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield relay
    finally:
        server.close()
        await relay.close()
        await server.wait_closed()
