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

from bff.auth.aliases import Aliases
from bff.auth.drop_in import DropIn
from bff.auth.endpoints import AuthEndpoints
from bff.auth.login_state import LoginStates, Provider
from bff.auth.return_to import ReturnTo
from bff.auth.sso import SsoEndpoints
from bff.emporix.auth import EmporixAuth
from bff.emporix.carts import EmporixCarts
from bff.errors import BffError
from bff.middleware.carriers import SessionCarriers
from bff.middleware.problem_details import problem_response
from bff.middleware.session_layer import SessionLayer
from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.session import Carrier, Lifetimes
from bff.sessions.anonymous import AnonymousSessions
from bff.sessions.cart_merge import CartMerger
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.login import CustomerLogin
from bff.sessions.refresh import TokenRefresher
from bff.sessions.request_session import RequestSession
from bff.sessions.shared_token import SharedToken
from bff.sessions.tasks import Tasks
from bff.store.connection import connect
from bff.store.customer_index import RedisCustomerIndex
from bff.store.locks import Locks
from bff.store.redis_store import AnyRedis, RedisSessionStore
from bff.upstream.token_calls import TokenCallClient
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
    store: RedisSessionStore
    index: RedisCustomerIndex
    tasks: Tasks
    limits: Tries
    carts: EmporixCarts
    emporix: EmporixAuth
    manager: SessionLifecycle
    sign_on: CustomerLogin
    door: SessionLayer
    app: ASGIApp

    def browser(self, **headers: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.app), base_url=ORIGIN, headers={"X-CSRF": "1"} | headers
        )


def a_visit(carrier: Carrier = Carrier.COOKIE) -> RequestSession:
    return RequestSession(carrier, "192.0.2.1", "a browser")


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
    client = TokenCallClient("http://upstream.test", transport=httpx2.ASGITransport(upstream))
    emporix = EmporixAuth(client, tenant=TENANT, client_id="storefront", clock=clock)
    store = RedisSessionStore(
        redis, ring.record_sealer(), TENANT, clock=clock, random_bytes=secrets.token_bytes
    )
    index = RedisCustomerIndex(redis, store, ring, TENANT, lifetime=7_776_000, clock=clock)
    tasks, limits = Tasks(), Tries()
    locks = Locks(store, clock=asyncio.get_running_loop().time, jitter=lambda: 0.5)
    lifetimes = Lifetimes(86_400, 604_800)
    guests = AnonymousSessions(store, emporix, lifetimes, clock=clock, random_bytes=secrets.token_bytes)
    shared = SharedToken(
        store, emporix, locks, tasks, ring.digest("shared guest"),
        lifetime=lifetimes.absolute, skew=60, site_code=site_code, clock=clock,
    )  # fmt: skip
    renewer = TokenRefresher(store, emporix, guests, shared, locks, tasks, skew=60, clock=clock)
    manager = SessionLifecycle(
        store, emporix, guests, shared, renewer, locks, tasks, limits, index, clock=clock
    )
    carts = EmporixCarts(client, tenant=TENANT)
    sign_on = CustomerLogin(
        manager, store, emporix, guests, renewer, locks, tasks, limits, index,
        CartMerger(carts, site_code=site_code), customers=Lifetimes(1_209_600, 7_776_000), clock=clock,
    )  # fmt: skip
    credentials = SessionCarriers(ring, cookie_name="bff", secure=False, same_site="strict")
    door = SessionLayer(
        manager, credentials, public_origin=ORIGIN, allowed_origins=(), drop_in=drop_in, clock=clock
    )
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


def _routed(
    manager: SessionLifecycle, sign_on: CustomerLogin, door: SessionLayer, ring: KeyRing
) -> Starlette:
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
