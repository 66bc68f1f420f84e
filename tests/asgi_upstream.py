"""An upstream client whose upstream is an ASGI application in the same process."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

from bff.upstream.failures import ClosedUnanswered
from bff.upstream.protocol import Header, RequestContent


@dataclass
class AsgiAnswer:
    """What the application sent, whole."""

    released = False
    status: int = 0
    headers: Sequence[Header] = ()
    body: list[bytes] = field(default_factory=list)

    def whole(self) -> bytes | None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        for chunk in self.body:
            yield chunk

    async def aclose(self) -> None:
        return


class AsgiUpstream:
    """Sends each request to an application, which runs to its end before the answer is there.

    An application that raises `ConnectionResetError` breaks the connection.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def open(
        self, method: str, target: bytes, headers: list[Header], body: RequestContent
    ) -> AsgiAnswer:
        answer, content = AsgiAnswer(), _chunks(body)
        read, ended = asyncio.Event(), asyncio.Event()

        async def receive() -> Message:
            async for chunk in content:
                return {"type": "http.request", "body": chunk, "more_body": True}
            if not read.is_set():
                read.set()
                return {"type": "http.request", "body": b"", "more_body": False}
            await ended.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer.status, answer.headers = message["status"], list(message.get("headers", ()))
                return
            if message.get("body"):
                answer.body.append(message["body"])
            if not message.get("more_body"):
                ended.set()

        if isinstance(body, bytes) and all(name.lower() != b"content-length" for name, _ in headers):
            headers = [*headers, (b"content-length", b"%d" % len(body))]
        try:
            await self._app(_scope(method, target, headers), receive, send)
        except ConnectionResetError:
            raise ClosedUnanswered(log_detail="the application broke the connection") from None
        assert ended.is_set(), "an answer without an end"
        return answer

    async def aclose(self) -> None:
        return


def _scope(method: str, target: bytes, headers: list[Header]) -> Scope:
    path, _, query = target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(b"host", b"upstream.test"), *((name.lower(), value) for name, value in headers)],
        "client": ("127.0.0.1", 123),
        "server": ("upstream.test", 80),
    }


async def _chunks(body: RequestContent) -> AsyncIterator[bytes]:
    if isinstance(body, bytes):
        yield body
    elif body is not None:
        async for chunk in body:
            yield chunk
