"""A session engine in front of a sandbox whose answers tests choose."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from bff.config.settings import load_settings
from bff.security.secret import Secret
from bff.session import Carrier, HeldSession, Session, Tombstone
from bff.sessions.engine import Engine
from bff.sessions.request_session import RequestSession
from bff.sessions.tasks import Tasks
from bff.upstream.token_calls import TokenCallClient
from bff.wiring import key_ring, session_backend, session_policy, session_ports
from tests.asgi_upstream import AsgiUpstream
from tests.live import ADA, TENANT, new_key
from tests.unit.support import Clock, Upstream

API_KEY = {"fault": {"faultstring": "Invalid ApiKey"}}
REFRESHES = "GET /customer*refresh*"
CUSTOMER_REFRESH = "refreshauthtoken"


@dataclass
class Shop:
    """A session engine in front of a sandbox."""

    engine: Engine
    upstream: Upstream
    clock: Clock

    def refuse(self, match: str, status: int, body: Any = None, **more: Any) -> None:
        self.upstream.fail(match, "error", status=status, body=body or {"message": "no"}, **more)

    async def guest(self) -> RequestSession:
        visitor = RequestSession(Carrier.COOKIE, "192.0.2.1", "agent")
        await self.engine.lifecycle.ensure_session(visitor)
        return visitor

    async def customer(self) -> RequestSession:
        visitor = await self.guest()
        await self.login(visitor)
        return visitor

    async def login(self, visitor: RequestSession) -> Session:
        return await self.engine.login.login(visitor, ADA["email"], Secret(ADA["password"]))

    async def stored(self, held: HeldSession | None) -> Session | Tombstone | None:
        assert held is not None
        return await self.engine.ports.store.load_fresh(held.ticket)


@asynccontextmanager
async def open_shop(redis_url: str) -> AsyncIterator[Shop]:
    """Build an engine of its own keys and upstream."""
    clock = Clock()
    settings = load_settings({
        "BFF_TENANT": TENANT,
        "BFF_CLIENT_ID": "storefront",
        "BFF_PUBLIC_ORIGIN": "http://localhost:8080",
        "BFF_KEYS": new_key(),
        "BFF_REDIS_URL": redis_url,
        "BFF_LOGIN_RATE": "1000/1",
        "BFF_GUEST_RATE": "1000/1",
    })  # fmt: skip
    ring, tasks = key_ring(settings, secrets.token_bytes), Tasks()
    backend = session_backend(settings, ring, clock=clock, random_bytes=secrets.token_bytes)
    upstream = Upstream(clock)
    token_calls = TokenCallClient(AsgiUpstream(upstream))
    ports = session_ports(
        settings, backend, token_calls, tasks, clock=clock, random_bytes=secrets.token_bytes
    )
    yield Shop(Engine(session_policy(settings, ring), ports), upstream, clock)
    await tasks.drain()
    await token_calls.aclose()
    await backend.aclose()
