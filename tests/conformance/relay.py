"""A relay in front of a deployment, for what a server reads differently before there is a request."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from bff.conformance.wire import Target

Head = Callable[[bytes], bytes]


@contextlib.asynccontextmanager
async def relayed(target: Target, change: Head) -> AsyncIterator[Target]:
    """Change the head of the first request of every connection, and pass on all else as it is.

    The relay has a port of its own, so it is not for rows that send the public origin.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        onward, out = await asyncio.open_connection(target.host, target.port)
        out.write(change(await reader.readuntil(b"\r\n\r\n")))
        await asyncio.gather(_piped(reader, out), _piped(onward, writer))

    async with await asyncio.start_server(serve, target.host, 0) as server:
        yield replace(target, port=server.sockets[0].getsockname()[1])


async def _piped(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes, and the end."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
