"""The composition root: settings become parts, parts become one ASGI application."""

import asyncio
import logging
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from bff.api.delivery import Delivery
from bff.api.endpoint import ApiEndpoint
from bff.api.forwarder import Forwarder
from bff.api.route_file import RouteTableError, read_route_table
from bff.api.routes import RoutesInForce, RouteTable
from bff.auth.aliases import Aliases
from bff.auth.drop_in import DropIn
from bff.auth.endpoints import AuthEndpoints
from bff.auth.login_state import LoginStates, Provider
from bff.auth.placeholders import Placeholders
from bff.auth.return_to import ReturnTo
from bff.auth.sso import NAVIGATIONS, SsoEndpoints
from bff.config.settings import ConfigurationError, Settings, load_settings
from bff.config.settings_files import SettingsFiles
from bff.errors import NotFound
from bff.health import health_endpoints, metrics_endpoint
from bff.middleware.carriers import SessionCarriers
from bff.middleware.cors import Cors
from bff.middleware.origin_check import OriginCheck
from bff.middleware.problem_details import with_problem_details
from bff.middleware.request_layer import RequestLayer, RequestPolicy
from bff.middleware.routing import EndpointRouter
from bff.middleware.security_headers import security_fields
from bff.middleware.session_layer import BY_ROUTE, Selection, SessionLayer
from bff.middleware.stream_limit import StreamLimit
from bff.security.keyring import KeyRing, RandomBytes
from bff.server.draining import DRAINING, Draining
from bff.sessions.engine import Engine
from bff.sessions.tasks import Tasks
from bff.store.options import Clock
from bff.telemetry.logs import configure_logging, event, set_level
from bff.telemetry.process import KeyMetrics
from bff.wiring import (
    Connections,
    key_pairs,
    key_ring,
    open_connections,
    session_policy,
    session_ports,
    start_traces,
)

_FINISH_SECONDS: Final = 20.0
_TRACES_SECONDS: Final = 3.0
_HEALTH_PATHS: Final = frozenset({"/livez", "/readyz"})
_log = logging.getLogger(__name__)


class Proxy:
    """The proxy as an ASGI application.

    Args:
        settings: what it is to be.
        draining: whether the process has been told to end, and by when.
        fallback: serves every path that is not the proxy's own, such as a storefront on the same origin.
        clock: seconds since the epoch.
        random_bytes: the source of ids, secrets and nonces.
        connections: stand in for those that the settings name.

    Attributes:
        keys: what everything is sealed with.
        routes: what a visitor can reach below `/api`.

    Raises:
        RouteTableError: the operator's route file is wrong.
        ValueError: the Redis URL is none.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        draining: Draining | None = None,
        fallback: ASGIApp | None = None,
        clock: Clock = time.time,  # noqa: TID251 - the one place where the wall clock comes in
        random_bytes: RandomBytes = secrets.token_bytes,
        connections: Connections | None = None,
    ) -> None:
        self.keys = ring = key_ring(settings, random_bytes)
        self.routes = RoutesInForce(_route_table(settings))
        self._draining = draining or Draining()
        self._collector = settings.traces
        self._tasks = Tasks()
        self._connections = connections or open_connections(
            settings, ring, clock=clock, random_bytes=random_bytes
        )
        ports = session_ports(
            settings, self._connections, ring, self._tasks, clock=clock, random_bytes=random_bytes
        )
        self.engine = Engine(session_policy(settings, ring), ports)
        self._auth = _auth_router(settings, ring, self.engine)
        self._health = EndpointRouter(
            health_endpoints(ports.store, self._connections.backend.unready, self._draining)
        )
        carriers = _carriers(settings, ring)
        origins = OriginCheck(
            settings.public_origin,
            settings.allowed_origins,
            same_site=settings.cookie_samesite,
            drop_in=settings.drop_in,
        )
        self._auth_layer, self._api_layer = (
            SessionLayer(select, self.engine.lifecycle, carriers, origins, clock)
            for select in (
                self._auth.select,
                _api_selection(settings, ring, self.engine, self._connections, self.routes),
            )
        )
        self._lifespan = Router(lifespan=self._closing)
        self._fallback = fallback or _nothing_here
        self._stack = RequestLayer(self._dispatch, _request_policy(settings), monotonic=time.monotonic)

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return self._stack(scope, receive, send)

    def endpoints(self) -> EndpointRouter:
        """Return what the proxy serves by itself, `/api` aside."""
        return EndpointRouter([*self._auth.endpoints, *self._health.endpoints])

    def admin_endpoints(self) -> EndpointRouter:
        """Return what the second listener serves."""
        return EndpointRouter([*self._health.endpoints, metrics_endpoint()])

    def admin(self) -> ASGIApp:
        """Return the application of the second listener."""
        return with_problem_details(self.admin_endpoints())

    def _dispatch(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] != "http":
            return self._lifespan(scope, receive, send)
        path = scope["path"]
        if path.startswith("/api/"):
            return self._api_layer(scope, receive, send)
        if path.startswith("/auth/"):
            return self._auth_layer(scope, receive, send)
        if path in _HEALTH_PATHS:
            return self._health(scope, receive, send)
        return self._fallback(scope, receive, send)

    @asynccontextmanager
    async def _closing(self, _app: object) -> AsyncIterator[None]:
        """Wait for nobody at the start: an outage then heals without a restart. The log says what ails Redis."""
        self._connections.backend.unready.look()
        self._connections.backend.census.begin()
        traces = start_traces(self._collector)
        try:
            yield
        finally:
            await self.aclose()
            if traces is not None:
                await asyncio.to_thread(traces.stop, min(_TRACES_SECONDS, self._draining.seconds_left()))

    async def aclose(self) -> None:
        """End what was begun, then close every connection: tokens that upstream has issued must be stored."""
        try:
            async with asyncio.timeout(min(_FINISH_SECONDS, self._draining.seconds_left())):
                await self._tasks.drain()
        except TimeoutError:
            _log.warning("unfinished work at the end")
            await self._tasks.cancel()  # while there is a Redis to give its locks back to
        await self._connections.aclose()


class ReloadingProxy(Proxy):
    """The proxy of a worker process, which takes other keys and routes while it runs.

    Args:
        environ: the settings; files that they name may change.

    Raises:
        ConfigurationError: they are wrong.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._files = SettingsFiles(environ)  # before they are read, so that no change is missed
        settings = load_settings(environ)
        set_level(settings.log_level)
        super().__init__(settings, draining=DRAINING)
        self._redis_url = settings.redis_url
        metrics = KeyMetrics()
        metrics.show(self.keys.kids)
        self.keys.on_replace(lambda: metrics.show(self.keys.kids))

    def reload(self, *, asked: bool) -> None:
        """Read keys and routes again where `asked`, or where a file has changed; wrong ones leave them as they are."""
        if asked:
            self._files.note()
        elif not self._files.changed():
            return
        try:
            settings = load_settings(self._environ)
        except ConfigurationError as error:
            event(_log, "keys_not_reloaded", level=logging.ERROR, reason="; ".join(error.mistakes))
            return
        replaced = self.keys.replace(key_pairs(settings))
        event(_log, "keys_reloaded", outcome=_outcome(replaced=replaced))
        if settings.routes_file is not None:
            self._reload_routes(settings)
        if settings.redis_url != self._redis_url:
            self._redis_url = settings.redis_url
            self._connections.backend.use_url(settings.redis_url)

    def _reload_routes(self, settings: Settings) -> None:
        try:
            table = _route_table(settings)
        except RouteTableError as error:
            reason = "; ".join(f"BFF_ROUTES_FILE: {mistake}" for mistake in error.mistakes)
            event(_log, "routes_not_reloaded", level=logging.ERROR, reason=reason)
            return
        event(_log, "routes_reloaded", outcome=_outcome(replaced=self.routes.replace(table)))


def _outcome(*, replaced: bool) -> str:
    return "replaced" if replaced else "same"


def from_environment() -> ReloadingProxy:
    """Build the proxy of a worker process."""
    configure_logging()
    return ReloadingProxy(os.environ)


def _request_policy(settings: Settings) -> RequestPolicy:
    return RequestPolicy(
        trusted_proxies=settings.trusted_proxies,
        security_fields=security_fields(secure=settings.secure),
        cors=Cors((settings.public_origin, *settings.allowed_origins)),
        streams=StreamLimit(settings.client_streams),
    )


def _carriers(settings: Settings, ring: KeyRing) -> SessionCarriers:
    return SessionCarriers(
        ring,
        cookie_name=settings.cookie_name,
        secure=settings.secure,
        same_site=settings.cookie_samesite,
    )


def _auth_router(settings: Settings, ring: KeyRing, engine: Engine) -> EndpointRouter:
    states = LoginStates(
        ring,
        cookie_name=settings.cookie_name,
        secure=settings.secure,
        random_bytes=engine.ports.random_bytes,
    )
    providers = {
        name: Provider(one.authorize_url, one.client_id, one.scope, one.config)
        for name, one in settings.sso.items()
    }
    auth = AuthEndpoints(engine, assisted=settings.assisted)
    return_to = ReturnTo(settings.public_origin, settings.allowed_origins)
    sso = SsoEndpoints(engine, states, providers, return_to, public_origin=settings.public_origin)
    return EndpointRouter([*auth.endpoints(), *sso.endpoints()], navigations=NAVIGATIONS)


def _api_selection(
    settings: Settings, ring: KeyRing, engine: Engine, connections: Connections, routes: RoutesInForce
) -> Callable[[Scope], Selection]:
    """Return what finds the endpoint of a call: drop-in mode's where it is on, else the proxied API."""
    aliases = Aliases(ring.digest("session alias")) if settings.drop_in else None
    api = ApiEndpoint(
        engine,
        routes,
        Forwarder(
            connections.upstream,
            connections.breakers,
            tenant=settings.tenant,
            clock=engine.ports.clock,
            resolver=aliases,
        ),
        Delivery(settings.upstream_url),
        max_body_bytes=settings.max_body_bytes,
    )
    if aliases is None:
        proxied = Selection(api, BY_ROUTE)
        return lambda _scope: proxied
    placeholders = Placeholders(ring.digest("token placeholder"))
    return DropIn(engine, aliases, placeholders, api, tenant=settings.tenant).select


def _route_table(settings: Settings) -> RouteTable:
    return read_route_table(settings.tenant, settings.routes_file, drop_in=settings.drop_in)


async def _nothing_here(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise NotFound
