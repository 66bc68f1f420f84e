"""Creates the sandbox application."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from bff.sandbox import (
    accounts,
    agents,
    answers,
    approvals,
    auth,
    carts,
    categories,
    checkout,
    commands,
    company,
    context,
    coupons,
    federation,
    items,
    orders,
    places,
    pricing,
    profile,
    quotes,
    returns,
    shipping,
    shop,
    unused,
)
from bff.sandbox import control as control_plane
from bff.sandbox.echo import Echo
from bff.sandbox.injector import FaultInjector
from bff.sandbox.recording import Recorder, template_index
from bff.sandbox.routing import Entry, build
from bff.sandbox.state import Knobs
from bff.sandbox.world import World

ECHO_PATHS: Final = ("/product/{tenant}/products/__echo__", "/cart/{tenant}/carts/__echo__")
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
_ENTRIES: Final[tuple[Entry, ...]] = (
    *auth.ROUTES,
    *federation.ROUTES,
    *accounts.ROUTES,
    *profile.ROUTES,
    *context.ROUTES,
    *carts.ROUTES,
    *items.ROUTES,
    *commands.ROUTES,
    *coupons.ROUTES,
    *checkout.ROUTES,
    *orders.ROUTES,
    *shop.ROUTES,
    *categories.ROUTES,
    *pricing.ROUTES,
    *places.ROUTES,
    *shipping.ROUTES,
    *quotes.ROUTES,
    *returns.ROUTES,
    *approvals.ROUTES,
    *company.ROUTES,
    *agents.ROUTES,
    *unused.ROUTES,
)


def _now() -> float:
    return datetime.now(UTC).timestamp()


def create_sandbox(
    knobs: Knobs | None = None,
    *,
    control: bool = False,
    clock: Callable[[], float] = _now,
    log: Callable[[dict[str, Any]], None] | None = None,
) -> Starlette:
    """Return a sandbox upstream; `app.state.world` has all of its state.

    Args:
        knobs: how the sandbox behaves; the defaults follow the documentation of Emporix.
        control: whether `/__sandbox__/` and the echo routes exist.
        clock: returns the time in seconds since the epoch.
        log: called with the record of every request after its response.
    """
    world = World(knobs or Knobs(), clock)
    routes = build(world, _ENTRIES)
    if control:
        echo = Echo(world)
        routes = [*(Route(path, echo) for path in ECHO_PATHS), *build(world, control_plane.ROUTES), *routes]
    middleware = [
        Middleware(
            Recorder, world=world, template_of=template_index(_served_routes(control=control)), log=log
        ),
        Middleware(FaultInjector, world=world),
    ]
    handlers = {answers.SandboxError: answers.render, HTTPException: _not_found}
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.world = world
    return app


def _served_routes(*, control: bool) -> list[tuple[str, str]]:
    echo_routes = [(method, path) for path in ECHO_PATHS for method in _METHODS] if control else []
    routes = [(entry.method, entry.path) for entry in _ENTRIES]
    head_routes = [("HEAD", path) for method, path in routes if method == "GET"]
    return echo_routes + routes + head_routes


async def _not_found(_request: Request, exc: Exception) -> Response:
    """Return an error of the gateway for a path or method that no service has."""
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    error = answers.gateway(
        status, "Unable to identify proxy for host", "messaging.adaptors.http.flow.NotFound"
    )
    return JSONResponse(error.body, status)
