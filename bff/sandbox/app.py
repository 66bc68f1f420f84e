"""Composing the sandbox."""

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
    answers,
    auth,
    carts,
    checkout,
    context,
    federation,
    items,
    places,
    profile,
    shop,
)
from bff.sandbox import control as control_plane
from bff.sandbox.echo import Echo
from bff.sandbox.injector import FaultInjector
from bff.sandbox.recording import Recorder, templates_of
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
    *checkout.ROUTES,
    *shop.ROUTES,
    *places.ROUTES,
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
    """Return a sandbox upstream; `app.state.world` holds all it knows.

    Args:
        knobs: how it behaves; the defaults follow the documentation.
        control: whether `/__sandbox__/` and the echo routes exist.
        clock: the time, in seconds since the epoch.
        log: gets the record of every request once it is answered.
    """
    world = World(knobs or Knobs(), clock)
    routes = build(world, _ENTRIES)
    if control:
        echo = Echo(world)
        routes = [*(Route(path, echo) for path in ECHO_PATHS), *build(world, control_plane.ROUTES), *routes]
    middleware = [
        Middleware(Recorder, world=world, templates=templates_of(_served(control=control)), log=log),
        Middleware(FaultInjector, world=world),
    ]
    handlers = {answers.SandboxError: answers.render, HTTPException: _unrouted}
    app = Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)
    app.router.redirect_slashes = False
    app.state.world = world
    return app


def _served(*, control: bool) -> list[tuple[str, str]]:
    echoed = [(method, path) for path in ECHO_PATHS for method in _METHODS] if control else []
    served = [(entry.method, entry.path) for entry in _ENTRIES]
    heads = [("HEAD", path) for method, path in served if method == "GET"]
    return echoed + served + heads


async def _unrouted(_request: Request, exc: Exception) -> Response:
    """Answer for paths and methods that no service has, in the gateway's shape."""
    status = exc.status_code if isinstance(exc, HTTPException) else 500
    fault = answers.gateway(
        status, "Unable to identify proxy for host", "messaging.adaptors.http.flow.NotFound"
    )
    return JSONResponse(fault.body, status)
