"""Applications that the bench runs in processes of their own: the baselines, and an upstream that takes its time.

`python -m tests.bench.apps ROLE PORT ARGUMENT…`
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle

import httpx2
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from bff.security.secret import Secret
from bff.store.connection import connect
from tests.bench.wire import DOCUMENT, DOCUMENT_FIELDS, slow_answer_bytes

_SLOW_SECONDS = cycle([0.045 + 0.0002 * (21 * n % 51) for n in range(51)])
"""45 to 55 ms, 50 in the mean. After as long each time, connections would go in step, and wait for each other."""
_NOT_PASSED_ON = {"connection", "transfer-encoding", "keep-alive"}


def naive(upstream_url: str, redis_url: str) -> Starlette:
    """Return the proxy that one would write in an afternoon: no session rules, one lookup, one stream."""
    redis = connect(Secret(redis_url))
    limits = httpx2.Limits(max_connections=4000, max_keepalive_connections=4000)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with httpx2.AsyncClient(
            base_url=upstream_url, trust_env=False, limits=limits, timeout=30
        ) as client:
            app.state.client = client
            yield

    async def forward(request: Request) -> StreamingResponse:
        session = json.loads(await redis.get("naive") or b"{}")
        client: httpx2.AsyncClient = request.app.state.client
        outgoing = client.build_request(
            request.method,
            request.url.path.removeprefix("/api"),
            headers={
                "authorization": f"Bearer {session.get('token')}",
                "accept-encoding": request.headers.get("accept-encoding", "identity"),
            },
            content=await request.body(),
        )
        answer = await client.send(outgoing, stream=True)
        fields = {name: value for name, value in answer.headers.items() if name not in _NOT_PASSED_ON}
        return StreamingResponse(answer.aiter_raw(), answer.status_code, fields)

    routes = [Route("/api/{path:path}", forward, methods=["GET", "POST"])]
    return Starlette(routes=routes, lifespan=lifespan)


def bare() -> Starlette:
    """Return an application that answers with the document itself: what the server and Starlette alone cost."""

    async def document(_request: Request) -> Response:
        return Response(DOCUMENT, headers=dict(DOCUMENT_FIELDS))

    return Starlette(routes=[Route("/api/{path:path}", document, methods=["GET", "POST"])])


class SlowAnswer(asyncio.Protocol):
    """Answers each request after a while; reads nothing of it but its end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._answer = slow_answer_bytes()

    def data_received(self, data: bytes) -> None:
        for _ in range(data.count(b"\r\n\r\n")):
            self._loop.call_later(next(_SLOW_SECONDS), self._transport.write, self._answer)  # type: ignore[attr-defined]


async def slow(port: int) -> None:
    """Serve an upstream that answers each request about 50 ms later."""
    server = await asyncio.get_running_loop().create_server(SlowAnswer, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


def main(role: str, port: int, *arguments: str) -> None:
    """Serve one of them until the process is ended."""
    if role == "slow":
        uvloop.run(slow(port))
    app = naive(*arguments) if role == "naive" else bare()
    uvicorn.run(
        app, port=port, access_log=False, log_level="error", http="httptools", loop="uvloop", backlog=4096
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
