"""The composition root: from settings to an ASGI application. Only this module and `__main__` read settings."""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from limits.aio.storage import RedisClusterStorage, RedisStorage, Storage
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.api.endpoint import ApiEndpoint
from bff.api.forwarder import Forwarder
from bff.api.route_file import load_route_table
from bff.api.routes import RouteTable
from bff.auth.aliases import Aliases
from bff.auth.drop_in import DropIn
from bff.auth.endpoints import AuthEndpoints
from bff.auth.login_state import LoginStates, Provider
from bff.auth.return_to import ReturnTo
from bff.auth.sso import SsoEndpoints
from bff.config.settings import Settings, load_settings
from bff.emporix.auth import EmporixAuth
from bff.emporix.carts import EmporixCarts
from bff.errors import BffError, InternalError, InvalidRequest, MethodNotAllowed, NotFound
from bff.health import health_routes, metrics_route
from bff.middleware.carriers import SessionCarriers
from bff.middleware.cors import Cors
from bff.middleware.problem_details import problem_response
from bff.middleware.request_layer import RequestLayer
from bff.middleware.security_headers import SecurityHeaders
from bff.middleware.session_layer import SessionLayer
from bff.middleware.stream_limit import StreamLimit
from bff.security.keyring import KeyRing
from bff.server.process import DRAINING
from bff.session import Lifetimes
from bff.sessions.anonymous import AnonymousSessions
from bff.sessions.cart_merge import CartMerger
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.login import CustomerLogin
from bff.sessions.refresh import TokenRefresher
from bff.sessions.shared_token import SharedToken
from bff.sessions.tasks import Tasks
from bff.store.connection import TIMEOUT_SECONDS, connect
from bff.store.customer_index import RedisCustomerIndex
from bff.store.locks import Locks
from bff.store.rate_limits import RedisRateLimits
from bff.store.redis_store import AnyRedis, RedisSessionStore
from bff.telemetry.logs import configure_logging
from bff.upstream.httpx_client import HttpxClient
from bff.upstream.token_calls import TokenCallClient

_FINISH_SECONDS: Final = 20.0
_log = logging.getLogger(__name__)

Clock = Callable[[], float]


class Proxy:
    """The proxy as an ASGI application.

    Args:
        settings: what it is to be.
        draining: whether the process has been told to end.
        fallback: serves every path that is not the proxy's own, such as a storefront on the same origin.
        clock: seconds since the epoch.
        random_bytes: the source of ids, secrets and nonces.

    Raises:
        RouteTableError: the operator's route file is wrong.
        ValueError: the Redis URL is none.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        draining: Callable[[], bool] = lambda: False,
        fallback: ASGIApp | None = None,
        clock: Clock = time.time,  # noqa: TID251 - the one place where the wall clock comes in
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._redis = connect(settings.redis_url)
        self._emporix = TokenCallClient(settings.upstream_url)
        self._upstream = HttpxClient(settings.upstream_url)
        self._tasks = Tasks()
        ring = _ring(settings, random_bytes)
        self.store = RedisSessionStore(
            self._redis, ring.record_sealer(), settings.tenant, clock=clock, random_bytes=random_bytes
        )
        self.index = _index(settings, self._redis, self.store, ring, clock)
        manager, sign_on = self._sessions(settings, ring, clock, random_bytes)
        credentials = SessionCarriers(
            ring,
            cookie_name=settings.cookie_name,
            secure=settings.secure,
            same_site=settings.cookie_samesite,
        )
        self._door = door = SessionLayer(
            manager,
            credentials,
            public_origin=settings.public_origin,
            allowed_origins=settings.allowed_origins,
            drop_in=settings.drop_in,
            clock=clock,
        )
        aliases = Aliases(ring.digest("session alias")) if settings.drop_in else None
        sso = SsoEndpoints(
            sign_on,
            door,
            LoginStates(
                ring, cookie_name=settings.cookie_name, secure=settings.secure, random_bytes=random_bytes
            ),
            {
                name: Provider(one.authorize_url, one.client_id, one.scope, one.config)
                for name, one in settings.sso.items()
            },
            ReturnTo(settings.public_origin, settings.allowed_origins),
            public_origin=settings.public_origin,
        )
        drop_in = (
            None
            if aliases is None
            else DropIn(manager, sign_on, door, aliases, tenant=settings.tenant, clock=clock)
        )
        self._api = ApiEndpoint(
            door, manager, _route_table(settings), self._forwarder(settings, aliases, clock), drop_in
        )
        self._health = health_routes(self.store, draining)
        self._own = Starlette(
            routes=[*AuthEndpoints(manager, sign_on, door).routes(), *sso.routes(), *self._health],
            lifespan=self._lifespan,
            exception_handlers={HTTPException: self._unrouted, Exception: _unexpected},
        )
        self._own.router.redirect_slashes = False
        self._fallback = fallback or self._own
        self._most = settings.max_body_bytes
        self._stack: ASGIApp = RequestLayer(
            SecurityHeaders(
                Cors(
                    StreamLimit(
                        ServerErrorMiddleware(self._dispatch, handler=_unexpected),
                        most=settings.client_streams,
                    ),
                    origins=(settings.public_origin, *settings.allowed_origins),
                ),
                secure=settings.secure,
            ),
            trusted_proxies=settings.trusted_proxies,
            monotonic=time.monotonic,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._stack(scope, receive, send)

    def admin(self) -> ASGIApp:
        """Return what the second listener serves."""
        return Starlette(routes=[*self._health, metrics_route()], exception_handlers={HTTPException: _told})

    async def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._own(scope, receive, send)
        elif scope["path"].startswith("/api/"):
            await self._api(scope, receive, send)
        elif scope["path"].startswith("/auth/"):
            scope["bff.most"] = self._most
            await self._own(scope, receive, send)
        elif scope["path"] in {"/livez", "/readyz"}:
            await self._own(scope, receive, send)
        else:
            await self._fallback(scope, receive, send)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Nothing is asked of Redis or upstream at the start: an outage then heals without a restart."""
        try:
            yield
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """End what was begun, then close every connection: a renewal that upstream has answered must be stored."""
        try:
            async with asyncio.timeout(_FINISH_SECONDS):
                await self._tasks.drain()
        except TimeoutError:
            _log.warning("unfinished work at the end")
        await self._emporix.aclose()
        await self._upstream.aclose()
        await self._redis.aclose()

    async def _unrouted(self, request: Request, exc: Exception) -> Response:
        """Answer what no route takes; below `/auth` the caller must have proven itself all the same."""
        path = request.scope["path"]
        if path.startswith("/auth/") and not path.startswith("/auth/sso/"):
            try:
                self._door.knock(request.scope)
            except BffError as error:
                return problem_response(error)
        return await _told(request, exc)

    def _sessions(
        self, settings: Settings, ring: KeyRing, clock: Clock, random_bytes: Callable[[int], bytes]
    ) -> tuple[SessionLifecycle, CustomerLogin]:
        store, tasks = self.store, self._tasks
        emporix = EmporixAuth(
            self._emporix, tenant=settings.tenant, client_id=settings.client_id, clock=clock
        )
        guest = Lifetimes(settings.guest_idle_seconds, settings.guest_max_seconds)
        customer = Lifetimes(settings.customer_idle_seconds, settings.customer_max_seconds)
        locks = Locks(store, clock=time.monotonic, jitter=secrets.SystemRandom().random)
        guests = AnonymousSessions(store, emporix, guest, clock=clock, random_bytes=random_bytes)
        shared = SharedToken(
            store,
            emporix,
            locks,
            tasks,
            ring.digest("shared guest"),
            lifetime=guest.absolute,
            skew=settings.refresh_skew_seconds,
            site_code=settings.site_code,
            clock=clock,
        )
        renewer = TokenRefresher(
            store, emporix, guests, shared, locks, tasks, skew=settings.refresh_skew_seconds, clock=clock
        )
        limits = RedisRateLimits(
            _counters(settings, self._redis),
            settings.tenant,
            login=(settings.login_rate.count, settings.login_rate.seconds),
            guest=(settings.guest_rate.count, settings.guest_rate.seconds),
            clock=clock,
        )
        manager = SessionLifecycle(
            store, emporix, guests, shared, renewer, locks, tasks, limits, self.index, clock=clock
        )
        carts = CartMerger(EmporixCarts(self._emporix, tenant=settings.tenant), site_code=settings.site_code)
        sign_on = CustomerLogin(
            manager,
            store,
            emporix,
            guests,
            renewer,
            locks,
            tasks,
            limits,
            self.index,
            carts,
            customers=customer,
            clock=clock,
        )
        return manager, sign_on

    def _forwarder(self, settings: Settings, aliases: Aliases | None, clock: Clock) -> Forwarder:
        return Forwarder(
            self._upstream,
            upstream_origin=settings.upstream_url,
            tenant=settings.tenant,
            max_body_bytes=settings.max_body_bytes,
            clock=clock,
            resolver=aliases,
        )


@asynccontextmanager
async def session_index(settings: Settings) -> AsyncIterator[tuple[RedisSessionStore, RedisCustomerIndex]]:
    """Open the sessions for an operator's command, and close the connection after it."""
    redis = connect(settings.redis_url)
    ring = _ring(settings, secrets.token_bytes)
    clock = time.time  # noqa: TID251 - the commands' wall clock
    store = RedisSessionStore(
        redis, ring.record_sealer(), settings.tenant, clock=clock, random_bytes=secrets.token_bytes
    )
    try:
        yield store, _index(settings, redis, store, ring, clock)
    finally:
        await redis.aclose()


def from_environment() -> Proxy:
    """Build the proxy of a worker process."""
    configure_logging()
    return Proxy(load_settings(os.environ), draining=DRAINING)


def _ring(settings: Settings, random_bytes: Callable[[int], bytes]) -> KeyRing:
    return KeyRing([(spec.kid, spec.key) for spec in settings.keys], settings.tenant, random_bytes)


def _index(
    settings: Settings, redis: AnyRedis, store: RedisSessionStore, ring: KeyRing, clock: Clock
) -> RedisCustomerIndex:
    lifetime = settings.customer_max_seconds
    return RedisCustomerIndex(redis, store, ring, settings.tenant, lifetime=lifetime, clock=clock)


def _route_table(settings: Settings) -> RouteTable:
    extra = None if settings.routes_file is None else settings.routes_file.read_text(encoding="utf-8")
    return load_route_table(settings.tenant, extra)


def _counters(settings: Settings, redis: AnyRedis) -> Storage:
    """Return where rate limits are counted: the sessions' Redis, through the same pool where that can be."""
    if not isinstance(redis, Redis):
        uri = settings.redis_url.reveal().replace("redis+cluster://", "async+redis+cluster://", 1)
        timeout = {"socket_timeout": TIMEOUT_SECONDS, "socket_connect_timeout": TIMEOUT_SECONDS}
        return RedisClusterStorage(
            uri, wrap_exceptions=True, implementation="redispy", key_prefix="bff:limits", **timeout
        )
    return RedisStorage(
        "async+redis://localhost:6379",
        wrap_exceptions=True,
        implementation="redispy",
        key_prefix="bff:limits",
        connection_pool=redis.connection_pool,  # type: ignore[arg-type]
    )


async def _unexpected(_request: Request, _exc: Exception) -> Response:
    """Render what nobody foresaw; the middleware raises it again, and the outermost layer logs it."""
    return problem_response(InternalError())


async def _told(request: Request, exc: Exception) -> Response:
    """Render what the router raises in the one shape that errors have here."""
    assert isinstance(exc, HTTPException)
    if exc.status_code == 405:
        return problem_response(MethodNotAllowed(headers=(("Allow", _methods(request)),)))
    return problem_response(NotFound() if exc.status_code == 404 else InvalidRequest())


def _methods(request: Request) -> str:
    """List what a path is there for: the router names the first of several routes only (RFC 9110 §10.2.1)."""
    routes = (route for route in request.app.routes if isinstance(route, Route))
    matching = (route.methods or () for route in routes if route.matches(request.scope)[0] is not Match.NONE)
    return ", ".join(sorted({method for methods in matching for method in methods}))
