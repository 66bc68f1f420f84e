"""A whole deployment in the test's own process, and mutations of it: layers around it that make it misbehave."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from bff.app import Proxy
from bff.config.settings import load_settings
from bff.conformance import wire
from bff.conformance.check import Outcome, Row
from bff.conformance.probe import Options, Probe
from bff.conformance.run import CHECKS
from bff.conformance.wire import Target
from bff.sandbox.app import create_sandbox
from bff.server.listening import listening
from bff.server.process import BackgroundServer, configured
from tests.conformance.layers import Layer, Layered
from tests.conformance.relay import Head, relayed
from tests.live import ADA, CLIENT_ID, TENANT, new_key

ALLOWED = "https://app.shop.example"
_JUDGES = ("field-", "leak-")  # these look at what the others were answered
_LOOKED_AT = {"cookie-httponly", "carrier-no-cookie", "csrf-own-origin", "error-403", "error-404"}


@dataclass(frozen=True)
class Mutation:
    """One way in which a deployment misbehaves, and the rows that must say so.

    Attributes:
        name: what is wrong with the deployment.
        fails: the rows that must fail.
        layer: stands in front of the proxy.
        behind: stands between the proxy and the upstream.
        head: changes the bytes of a request's head before the proxy reads them.
        secure: over https.
        settings: what is configured otherwise than usual.
        waits: how long the checks wait, where the misbehaviour is to let them wait.
    """

    name: str
    fails: set[str]
    layer: Layer | None = None
    behind: Layer | None = None
    head: Head | None = None
    secure: bool = False
    settings: dict[str, str] = field(default_factory=dict)
    waits: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name.replace(" ", "-")


@dataclass(frozen=True)
class Deployment:
    """A proxy and its upstream, served."""

    target: Target
    proxy: Layered
    upstream: Layered

    @asynccontextmanager
    async def mutated(self, mutation: Mutation) -> AsyncIterator[Target]:
        """Put a mutation on, yield where to reach the deployment, and take the mutation off."""
        async with AsyncExitStack() as taking_off:
            taking_off.enter_context(self.proxy.behind(mutation.layer))
            taking_off.enter_context(self.upstream.behind(mutation.behind))
            if mutation.head is None:
                yield self.target
            else:
                yield await taking_off.enter_async_context(relayed(self.target, mutation.head))


class Deployments:
    """Deployments that serve all tests of their settings.

    Args:
        redis_url: where they all keep their sessions.
        tls: the certificate of those over https.
        ending: ends them.
    """

    def __init__(self, redis_url: str, tls: Path, ending: AsyncExitStack) -> None:
        self._redis_url = redis_url
        self._tls = tls
        self._ending = ending
        self._served: dict[object, Deployment] = {}

    async def _of(self, mutation: Mutation) -> Deployment:
        key = (mutation.secure, *sorted(mutation.settings.items()))
        if key not in self._served:
            served = _deployed(self._redis_url, mutation.settings, self._tls if mutation.secure else None)
            self._served[key] = await self._ending.enter_async_context(served)
        return self._served[key]

    @asynccontextmanager
    async def serving(self, mutation: Mutation) -> AsyncIterator[Target]:
        """Yield where to reach a deployment of the mutation's settings, with the mutation."""
        async with (await self._of(mutation)).mutated(mutation) as target:
            yield target


@asynccontextmanager
async def _deployed(redis_url: str, settings: dict[str, str], tls: Path | None) -> AsyncIterator[Deployment]:
    sandbox = create_sandbox()
    upstream = Layered(sandbox, sandbox)
    scheme = "https" if tls else "http"
    certified = {"ssl_certfile": str(tls), "ssl_keyfile": str(tls)} if tls else {}
    with listening("127.0.0.1", 0) as behind, listening("127.0.0.1", 0) as front:
        target = Target(scheme, "127.0.0.1", front.getsockname()[1])
        origin = f"http://127.0.0.1:{behind.getsockname()[1]}"
        proxy = Layered(Proxy(load_settings(_environment(target, origin, redis_url) | settings)), sandbox)
        async with _served(upstream, behind), _served(proxy, front, secure=target.secure, **certified):
            yield Deployment(target, proxy, upstream)


@asynccontextmanager
async def _served(app: ASGIApp, listener: socket.socket, **options: Any) -> AsyncIterator[None]:
    server = BackgroundServer(configured(app, lifespan="on", **options))
    task = asyncio.ensure_future(server.serve(sockets=[listener]))
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        await task


def _environment(target: Target, upstream: str, redis_url: str) -> dict[str, str]:
    provider = {"authorize_url": f"{upstream}/idp/authorize", "client_id": CLIENT_ID}
    return {
        "BFF_TENANT": TENANT,
        "BFF_CLIENT_ID": CLIENT_ID,
        "BFF_UPSTREAM_URL": upstream,
        "BFF_PUBLIC_ORIGIN": target.origin,
        "BFF_ALLOWED_ORIGINS": ALLOWED,
        "BFF_KEYS": new_key(),
        "BFF_REDIS_URL": redis_url,
        "BFF_LOGIN_RATE": "100000/60",
        "BFF_GUEST_RATE": "100000/60",
        "BFF_ACCOUNT_RATE": "100000/60",
        "BFF_REFRESH_RATE": "100000/60",
        "BFF_SSO": json.dumps({"sandbox": provider}),
    }


def everything() -> Options:
    """What a caller can say of such a deployment."""
    return Options(TENANT, ALLOWED, "sandbox", ADA["email"], ADA["password"])


async def looked(target: Target, wanted: set[str]) -> list[Row]:
    """Run the checks that are wanted, with what they need."""
    judged = any(name.startswith(_JUDGES) for name in wanted)
    needed = wanted | _LOOKED_AT if judged else wanted
    probe = Probe(target, everything())
    return [await one.row(probe) for one in CHECKS if one.id in needed]


async def assert_caught(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Let a deployment misbehave: the rows that are about it must fail."""
    for name, seconds in mutation.waits.items():
        monkeypatch.setattr(wire, name, seconds)
    async with deployments.serving(mutation) as target:
        found = await looked(target, mutation.fails)
    failed = {row.id for row in found if row.outcome is Outcome.FAIL}
    assert mutation.fails <= failed, {row.id: row.seen for row in found if row.id in mutation.fails - failed}
