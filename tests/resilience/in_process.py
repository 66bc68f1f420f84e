"""The whole proxy in a test's own process and event loop, so that the test can cancel its requests and set its time."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final

import httpx2
from starlette.types import Message

from bff.app import Proxy
from bff.config.settings import load_settings

ORIGIN: Final = "http://127.0.0.1:8080"


class Replica:
    """One proxy, served as a server serves it: lifespan and requests."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._proxy = Proxy(load_settings({**environ, "BFF_PUBLIC_ORIGIN": ORIGIN}))
        self._told: asyncio.Queue[Message] = asyncio.Queue()
        self._said: asyncio.Queue[Message] = asyncio.Queue()
        self._lifespan: asyncio.Task[None] | None = None

    async def start(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
        self._lifespan = asyncio.ensure_future(self._proxy(scope, self._told.get, self._said.put))
        await self._tell("startup")

    async def stop(self) -> None:
        """Shut down as a server does that has ended its last request."""
        if self._lifespan is not None:
            await self._tell("shutdown")
            await self._lifespan
            self._lifespan = None

    def browser(self, cookie: str | None = None) -> httpx2.AsyncClient:
        """A client with a cookie jar of its own, that sends what a storefront's page sends."""
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self._proxy),
            base_url=ORIGIN,
            headers={"X-CSRF": "1"},
            cookies={} if cookie is None else {"bff": cookie},
            trust_env=False,
        )

    async def _tell(self, event: str) -> None:
        await self._told.put({"type": f"lifespan.{event}"})
        said = await self._said.get()
        assert said["type"] == f"lifespan.{event}.complete", said


@asynccontextmanager
async def replica(environ: Mapping[str, str]) -> AsyncIterator[Replica]:
    """Run a proxy with these settings while the block lasts."""
    one = Replica(environ)
    await one.start()
    try:
        yield one
    finally:
        await one.stop()
