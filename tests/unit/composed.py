"""The sign-on side of the proxy put together in process: a real Redis, a sandbox upstream, a clock that tests turn."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx2
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.crypto import KeyRing
from bff.emporix.auth import EmporixAuth
from bff.emporix.carts import EmporixCarts
from bff.emporix.client import EmporixClient
from bff.endpoints.auth import AuthEndpoints
from bff.endpoints.door import Door
from bff.endpoints.drop_in import DropIn
from bff.endpoints.return_to import ReturnTo
from bff.endpoints.sso import SsoEndpoints
from bff.errors import BffError
from bff.problems import problem_response
from bff.secret import Secret
from bff.sessions.aliases import Aliases
from bff.sessions.carts import CartMerger
from bff.sessions.connection import connect
from bff.sessions.credentials import Credentials
from bff.sessions.guests import Guests, SharedGuest
from bff.sessions.index import SessionIndex
from bff.sessions.locks import Locks
from bff.sessions.login_state import LoginStates, Provider
from bff.sessions.manager import SessionManager
from bff.sessions.models import Carrier, Lifetimes
from bff.sessions.renewal import Renewer
from bff.sessions.signon import SignOn
from bff.sessions.store import AnyRedis, SessionStore
from bff.sessions.tasks import Tasks
from bff.sessions.visits import Visit
from tests.unit.support import TENANT, Clock, Upstream, new_ring

ORIGIN = "http://shop.test"
PROVIDER = "http://idp.test/authorize"


@dataclass
class Tries:
    """Rate limits that only count."""

    guests: list[str] = field(default_factory=list)
    logins: list[tuple[str, str]] = field(default_factory=list)
    sign_ons: list[str] = field(default_factory=list)

    async def guest(self, client: str) -> None:
        self.guests.append(client)

    async def login(self, client: str, account: str) -> None:
        self.logins.append((client, account))

    async def sign_on(self, client: str) -> None:
        self.sign_ons.append(client)


@dataclass
class Composed:
    """One replica, its parts and itself as an ASGI application."""

    clock: Clock
    upstream: Upstream
    redis: AnyRedis
    store: SessionStore
    index: SessionIndex
    tasks: Tasks
    limits: Tries
    carts: EmporixCarts
    emporix: EmporixAuth
    manager: SessionManager
    sign_on: SignOn
    door: Door
    app: ASGIApp

    def browser(self, **headers: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.app), base_url=ORIGIN, headers={"X-CSRF": "1"} | headers
        )


def a_visit(carrier: Carrier = Carrier.COOKIE) -> Visit:
    return Visit(carrier, "192.0.2.1", "a browser")


@asynccontextmanager
async def composed(
    redis_url: str,
    *,
    clock: Clock | None = None,
    upstream: Upstream | None = None,
    ring: KeyRing | None = None,
    site_code: str | None = None,
    drop_in: bool = False,
) -> AsyncIterator[Composed]:
    """Compose a replica; two of them with one ring, clock and upstream share their sessions."""
    clock, ring = clock or Clock(), ring or new_ring()
    upstream = upstream or Upstream(clock)
    redis = connect(Secret(redis_url))
    client = EmporixClient("http://upstream.test", transport=httpx2.ASGITransport(upstream))
    emporix = EmporixAuth(client, tenant=TENANT, client_id="storefront", clock=clock)
    store = SessionStore(redis, ring.record_sealer(), TENANT, clock=clock, random_bytes=secrets.token_bytes)
    index = SessionIndex(redis, store, ring, TENANT, lifetime=7_776_000, clock=clock)
    tasks, limits = Tasks(), Tries()
    locks = Locks(store, clock=asyncio.get_running_loop().time, jitter=lambda: 0.5)
    lifetimes = Lifetimes(86_400, 604_800)
    guests = Guests(store, emporix, lifetimes, clock=clock, random_bytes=secrets.token_bytes)
    shared = SharedGuest(
        store, emporix, locks, tasks, ring.digest("shared guest"),
        lifetime=lifetimes.absolute, skew=60, site_code=site_code, clock=clock,
    )  # fmt: skip
    renewer = Renewer(store, emporix, guests, shared, locks, tasks, skew=60, clock=clock)
    manager = SessionManager(
        store, emporix, guests, shared, renewer, locks, tasks, limits, index, clock=clock
    )
    carts = EmporixCarts(client, tenant=TENANT)
    sign_on = SignOn(
        manager, store, emporix, guests, renewer, locks, tasks, limits, index,
        CartMerger(carts, site_code=site_code), customers=Lifetimes(1_209_600, 7_776_000), clock=clock,
    )  # fmt: skip
    credentials = Credentials(ring, cookie_name="bff", secure=False, same_site="strict")
    door = Door(manager, credentials, public_origin=ORIGIN, allowed_origins=(), drop_in=drop_in, clock=clock)
    aliases = Aliases(ring.digest("session alias"))
    app = _App(
        _routed(manager, sign_on, door, ring),
        DropIn(manager, sign_on, door, aliases, tenant=TENANT, clock=clock),
    )
    try:
        yield Composed(
            clock, upstream, redis, store, index, tasks, limits, carts, emporix, manager, sign_on, door, app
        )
    finally:
        await tasks.drain()
        await client.aclose()
        await redis.aclose()


def _routed(manager: SessionManager, sign_on: SignOn, door: Door, ring: KeyRing) -> Starlette:
    sso = SsoEndpoints(
        sign_on,
        door,
        LoginStates(ring, cookie_name="bff", secure=False, random_bytes=secrets.token_bytes),
        {
            "main": Provider(PROVIDER, "shop", "openid email", "site_DE"),
            "bare": Provider(PROVIDER + "?a=b", "shop"),
        },
        ReturnTo(ORIGIN, ("https://app.test",)),
        public_origin=ORIGIN,
    )
    return Starlette(routes=[*AuthEndpoints(manager, sign_on, door).routes(), *sso.routes()])


class _App:
    """Drop-in paths to the one, all others to the other."""

    def __init__(self, routed: Starlette, drop_in: DropIn) -> None:
        self._routed = routed
        self._drop_in = drop_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["bff.client"] = "192.0.2.1"
        handler = self._drop_in.handler(scope)
        if handler is None:
            await self._routed(scope, receive, send)
            return
        try:
            await self._drop_in(handler, scope, receive, send)
        except BffError as error:
            await problem_response(error)(scope, receive, send)


def fields(answer: httpx2.Response) -> dict[str, Any]:
    """Return a JSON answer's members."""
    return dict(answer.json())
