"""A TCP proxy that breaks a line between two processes, in the ways in which networks and servers do."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit

PATIENCE: Final = 30.0
SLOW_SECONDS: Final = 0.1
_GARBAGE: Final = b"\x16\x03\x01\x02 this is another protocol \x00\xff\r\n"
_LINGER_ZERO: Final = struct.pack("ii", 1, 0)
T = TypeVar("T")


class Mode(Enum):
    """What happens on the line.

    Attributes:
        PASS: everything is passed on.
        HUNG: nothing is passed on until the mode changes, as where a network drops every packet.
        SLOW: every answer comes late, piece by piece.
        CUT: half of the next answer, then a reset.
        HALF_CLOSED: the server has closed its side and is silent, and takes what is sent.
        GARBAGE: every answer is bytes of another protocol.
        REFUSED: nobody listens.
    """

    PASS = "pass"
    HUNG = "hung"
    SLOW = "slow"
    CUT = "cut"
    HALF_CLOSED = "half closed"
    GARBAGE = "garbage"
    REFUSED = "refused"


@dataclass
class Hold:
    """Answers to chosen HTTP requests that wait here until a test lets them through.

    Attributes:
        requests: how their first lines begin.
        waiting: how many answers wait, or have waited.
    """

    requests: tuple[bytes, ...]
    waiting: int = 0
    released: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class _Line:
    """One connection: who has connected, and where it leads."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    there: asyncio.StreamReader
    to: asyncio.StreamWriter
    held: Hold | None = None


class FaultProxy:
    """Runs in a thread of its own, so that its methods may be called from any other.

    Args:
        target: the URL of what stands behind it.

    Attributes:
        port: where it listens, always the same.
    """

    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._scheme, self._target = parts.scheme, (parts.hostname, parts.port)
        self._loop = asyncio.new_event_loop()
        self._mode = Mode.PASS
        self._hold: Hold | None = None
        self._lines: set[_Line] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="fault proxy")
        self._thread.start()
        self._moving = asyncio.Event()
        self._moving.set()
        self.port = 0
        self._listener: asyncio.Server | None = None
        self._call(self._listen())

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    def turn(self, mode: Mode) -> None:
        """Let this happen on the line from now on."""
        self._call(self._turn(mode))

    def reset(self) -> int:
        """Reset every connection on both sides (RFC 9293 §3.5.2), and say how many there were."""
        return self._call(self._reset())

    @contextmanager
    def holding(self, *requests: bytes) -> Iterator[Hold]:
        """Hold back the answers to requests that begin so, until the block ends or they are released."""
        hold = Hold(requests)
        self._hold = hold
        try:
            yield hold
        finally:
            self._hold = None
            self.release(hold)

    def release(self, hold: Hold) -> None:
        self._loop.call_soon_threadsafe(hold.released.set)

    def close(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port, backlog=1024)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _turn(self, mode: Mode) -> None:
        before, self._mode = self._mode, mode
        if mode is Mode.REFUSED and self._listener is not None:
            self._listener.close()
            self._listener = None
            await self._reset()
        if before is Mode.REFUSED and mode is not Mode.REFUSED:
            await self._listen()
        if mode is Mode.HUNG:
            self._moving.clear()
        else:
            self._moving.set()

    async def _reset(self) -> int:
        lines = list(self._lines)
        for line in lines:
            _abort(line.writer)
            _abort(line.to)
        return len(lines)

    async def _end(self) -> None:
        await self._turn(Mode.PASS)
        if self._listener is not None:
            self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._moving.wait()
            there, to = await asyncio.open_connection(*self._target)
        except OSError:
            _abort(writer)
            return
        line = _Line(reader, writer, there, to)
        self._lines.add(line)
        ways = [asyncio.ensure_future(self._requests(line)), asyncio.ensure_future(self._answers(line))]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._lines.discard(line)
            to.close()
            writer.close()

    async def _requests(self, line: _Line) -> None:
        while chunk := await _received(line.reader):
            await self._moving.wait()
            hold = self._hold
            if hold is not None and chunk.startswith(hold.requests):
                line.held = hold
            line.to.write(chunk)
            await line.to.drain()

    async def _answers(self, line: _Line) -> None:
        while chunk := await _received(line.there):
            await self._held(line)
            await self._moving.wait()
            if not await self._passed(chunk, line.writer):
                return

    async def _held(self, line: _Line) -> None:
        hold, line.held = line.held, None
        if hold is not None:
            hold.waiting += 1
            await hold.released.wait()

    async def _passed(self, chunk: bytes, writer: asyncio.StreamWriter) -> bool:
        """Pass on an answer, as far as it may go; say whether the line lives on."""
        match self._mode:
            case Mode.SLOW:
                await asyncio.sleep(SLOW_SECONDS)
            case Mode.CUT:
                writer.write(chunk[: len(chunk) // 2])
                await asyncio.sleep(0.01)
                _abort(writer)
                return False
            case Mode.HALF_CLOSED:
                if writer.can_write_eof() and not writer.is_closing():
                    writer.write_eof()
                await asyncio.sleep(PATIENCE)
                return False
            case Mode.GARBAGE:
                chunk = _GARBAGE
            case _:
                pass
        writer.write(chunk)
        await writer.drain()
        return True


async def _received(reader: asyncio.StreamReader) -> bytes:
    """Return what came; nothing where the connection has ended, however it did."""
    try:
        return await reader.read(65_536)
    except OSError:
        return b""


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close a connection with a reset instead of a FIN."""
    if not writer.transport.is_closing():
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        writer.transport.abort()
