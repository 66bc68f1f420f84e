"""For operators: alive, ready, metrics. Fixed bodies, nothing secret, upstream never asked."""

import asyncio
import os
from collections.abc import Callable
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bff.errors import StoreUnavailable
from bff.middleware.routing import Endpoint
from bff.store.protocol import SessionStore, Unready
from bff.telemetry.metrics import REGISTRY
from bff.telemetry.tallies import FlushFirst

READY_SECONDS: Final = 0.5
_HEADERS: Final = {"cache-control": "no-store"}


def health_endpoints(store: SessionStore, unready: Unready, draining: Callable[[], bool]) -> list[Endpoint]:
    """Return `/livez`, which depends on nothing, and `/readyz`, which asks Redis and the drain; why not is logged."""

    async def livez(_request: Request) -> Response:
        return PlainTextResponse("ok", headers=_HEADERS)

    async def readyz(_request: Request) -> Response:
        if not draining():
            ready = await _answers(store)
            unready.probed(ready=ready)
            if ready:
                return PlainTextResponse("ready", headers=_HEADERS)
        return PlainTextResponse("not ready", 503, headers=_HEADERS)

    return [
        Endpoint(Route("/livez", livez, methods=["GET"])),
        Endpoint(Route("/readyz", readyz, methods=["GET"])),
    ]


def metrics_endpoint() -> Endpoint:
    """Return `/metrics`, for the admin listener only; it speaks for all workers where there are several."""

    async def metrics(_request: Request) -> Response:
        registry = REGISTRY
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            registry.register(FlushFirst())
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST, headers=_HEADERS)

    return Endpoint(Route("/metrics", metrics, methods=["GET"]))


async def _answers(store: SessionStore) -> bool:
    try:
        async with asyncio.timeout(READY_SECONDS):
            await store.ping()
    except (StoreUnavailable, TimeoutError):
        return False
    return True
