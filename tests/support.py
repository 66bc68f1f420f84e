"""What the unit and store tests share: a clock that they turn, a Redis that they disturb, a whole engine in process."""

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import httpx2
import pytest
from redis.asyncio import Redis
from starlette.types import Message, Receive, Scope, Send

from bff.app import Proxy
from bff.config.settings import Settings, load_settings
from bff.sandbox.app import create_sandbox
from bff.sandbox.faults import Fault
from bff.sandbox.state import Knobs
from bff.sandbox.world import World
from bff.security.secret import Secret
from bff.session import (
    Carrier,
    GuestContext,
    HeldSession,
    Session,
)
from bff.sessions.engine import Engine
from bff.sessions.ports import Ports
from bff.sessions.request_session import RequestSession
from bff.store.connection import connect
from bff.store.protocol import RatedCall, SessionStore
from bff.store.redis_keys import RedisKeys
from bff.store.replaceable import AnyRedis
from bff.upstream.token_calls import TokenCallClient
from bff.wiring import key_ring, open_connections
from tests.asgi_upstream import AsgiUpstream
from tests.live import ADA, SESSION_CACHE
from tests.values import NOW, TENANT, Clock, a_session, new_breakers, new_ring, new_ticket, tokens

# Most unit tests import these values together with what is below.
__all__ = ["NOW", "TENANT", "Clock", "a_session", "new_breakers", "new_ring", "new_ticket", "tokens"]

T = TypeVar("T")
ORIGIN = "http://127.0.0.1:8080"
PROVIDER = "http://127.0.0.1:8091/authorize"


class Upstream:
    """The sandbox as an ASGI application whose answers can be held back."""

    def __init__(self, clock: Clock, knobs: Knobs | None = None) -> None:
        self._app = create_sandbox(knobs or Knobs(), clock=clock)
        self._gates: dict[str, asyncio.Event] = {}
        self.world: World = self._app.state.world
        self.held = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def later(message: Message) -> None:
            for part, gate in list(self._gates.items()):
                if part in scope["path"] and not gate.is_set():
                    self.held += 1
                    await gate.wait()
            await send(message)

        await self._app(scope, receive, later)

    @contextmanager
    def holding(self, part: str) -> Iterator[asyncio.Event]:
        """Hold the answers to paths with `part` in them until the event is set, or the block ends."""
        gate = self._gates[part] = asyncio.Event()
        try:
            yield gate
        finally:
            gate.set()

    @asynccontextmanager
    async def delaying(self, part: str, call: Coroutine[Any, Any, T]) -> AsyncIterator[asyncio.Task[T]]:
        """Begin a call; upstream's answer to it, at a path with `part` in it, is held until the block ends."""
        before = self.held
        with self.holding(part):
            task = asyncio.create_task(call)
            await until(lambda: self.held > before)
            yield task

    def fail(self, match: str, kind: str, **more: Any) -> None:
        """Spoil the requests that `match` says; see the sandbox's faults."""
        self.world.faults.append(Fault.parse({"match": match, "kind": kind, **more}))

    def turn(self, **knobs: Any) -> None:
        self.world.knobs = self.world.knobs.changed(knobs)

    def calls(self, part: str) -> list[dict[str, Any]]:
        """Return the records of requests whose path has `part` in it."""
        return [record for record in self.world.log if part in record["path"]]


@dataclass
class CountedLimits:
    """Rate limits that only count."""

    guests: list[str] = field(default_factory=list)
    sign_ons: list[str] = field(default_factory=list)
    accounts: list[tuple[str, str]] = field(default_factory=list)
    calls: list[tuple[RatedCall, str]] = field(default_factory=list)

    async def guest(self, client: str) -> bool:
        self.guests.append(client)
        return True

    async def sign_on(self, client: str) -> bool:
        self.sign_ons.append(client)
        return True

    async def account(self, client: str, account: str) -> bool:
        self.accounts.append((client, account))
        return True

    async def call(self, call: RatedCall, client: str) -> bool:
        self.calls.append((call, client))
        return True


@dataclass
class Replica:
    """One replica of the proxy in process: a real Redis, a sandbox upstream, a clock that tests turn."""

    proxy: Proxy
    clock: Clock
    upstream: Upstream
    redis: AnyRedis
    limits: CountedLimits

    @property
    def engine(self) -> Engine:
        return self.proxy.engine

    @property
    def ports(self) -> Ports:
        return self.proxy.engine.ports

    async def later(self, seconds: float) -> None:
        """Let time pass, here and for the pauses in the store."""
        self.clock.at += seconds
        async for key in self.redis.scan_iter(match="*:pause"):
            left = await self.redis.pttl(key)
            await self.redis.pexpire(key, max(0, left - round(seconds * 1000)))

    @property
    def store(self) -> SessionStore:
        return self.ports.store

    def browser(self, **headers: str) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            transport=httpx2.ASGITransport(self.proxy, client=("192.0.2.1", 40_000)),
            base_url=ORIGIN,
            headers={"X-CSRF": "1"} | headers,
        )

    async def guest(self, carrier: Carrier = Carrier.COOKIE) -> HeldSession:
        """Begin a guest."""
        return await self.engine.anonymous.start(GuestContext(), carrier, None)

    async def customer(self) -> HeldSession:
        """Begin a guest and log Ada in."""
        session = a_request_session()
        await self.engine.login.login(session, ADA["email"], Secret(ADA["password"]))
        assert session.held is not None
        return session.held

    async def unlock(self, held: HeldSession) -> None:
        """End the lock that its holder could not give back, as its time does."""
        await bare(self.redis).delete(RedisKeys(TENANT).lock(held.ticket.record_name))

    async def stored(self, held: HeldSession) -> Session:
        """Return the session as the store has it."""
        found = await self.store.load_fresh(held.ticket)
        assert isinstance(found, Session), found
        return found


def new_keys(*kids: str) -> str:
    """Return the text of BFF_KEYS for fresh keys."""
    return ",".join(
        f"{kid}:{base64.urlsafe_b64encode(secrets.token_bytes(32)).rstrip(b'=').decode()}"
        for kid in kids or ("k1",)
    )


def replica_settings(redis_url: str, keys: str, **more: str) -> Settings:
    """Return the settings of a replica in front of the sandbox."""
    return load_settings(
        {
            "BFF_TENANT": TENANT,
            "BFF_CLIENT_ID": "storefront",
            "BFF_PUBLIC_ORIGIN": ORIGIN,
            "BFF_UPSTREAM_URL": "http://127.0.0.1:1",
            "BFF_KEYS": keys,
            "BFF_REDIS_URL": redis_url,
            "BFF_SESSION_CACHE": SESSION_CACHE,
            "BFF_ALLOWED_ORIGINS": "https://app.test",
            "BFF_SSO": json.dumps(
                {
                    "main": {
                        "authorize_url": PROVIDER,
                        "client_id": "shop",
                        "scope": "openid email",
                        "config": "site_DE",
                    },
                    "bare": {"authorize_url": PROVIDER + "?a=b", "client_id": "shop"},
                }
            ),
            **{f"BFF_{name.upper()}": value for name, value in more.items()},
        }
    )


@asynccontextmanager
async def new_replica(
    redis_url: str,
    *,
    clock: Clock | None = None,
    upstream: Upstream | None = None,
    keys: str | None = None,
    knobs: Knobs | None = None,
    **settings: str,
) -> AsyncIterator[Replica]:
    """Compose a replica; two of them with one set of keys, one clock and one upstream share their sessions.

    The other settings are those of the environment, in lower case: `site_code="main"`.
    """
    clock, limits = clock or Clock(), CountedLimits()
    upstream = upstream or Upstream(clock, knobs)
    loaded = replica_settings(redis_url, keys or new_keys(), **settings)
    opened = open_connections(
        loaded, key_ring(loaded, secrets.token_bytes), clock=clock, random_bytes=secrets.token_bytes
    )
    connections = replace(
        opened,
        backend=replace(opened.backend, limits=limits),
        token_calls=TokenCallClient(AsgiUpstream(upstream), breakers=new_breakers(clock.monotonic)),
        monotonic=clock.monotonic,
    )
    proxy = Proxy(loaded, clock=clock, connections=connections)
    redis = connect(loaded.redis_url)
    try:
        yield Replica(proxy, clock, upstream, redis, limits)
    finally:
        await opened.token_calls.aclose()
        await proxy.aclose()
        await redis.aclose()


def counted(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> list[Any]:
    """Return a list that grows by one with each call of a method."""
    calls, method = list[Any](), getattr(owner, name)

    def call(*args: Any, **named: Any) -> Any:
        calls.append(args)
        return method(*args, **named)

    monkeypatch.setattr(owner, name, call)
    return calls


def a_request_session(carrier: Carrier = Carrier.COOKIE) -> RequestSession:
    """Return the session of a request that carries nothing."""
    return RequestSession(carrier, "192.0.2.1", "agent")


def bare(redis: AnyRedis) -> Redis:
    """Return the client as one of a single server."""
    assert isinstance(redis, Redis)
    return redis


async def until(condition: Any, what: str = "") -> None:
    """Wait until `condition()` holds; a generous deadline keeps a broken test from hanging."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for tells nobody
            await asyncio.sleep(0.005)


async def leave(call: asyncio.Task[Any]) -> None:
    """Cancel what a request is doing, as its client does that goes away."""
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def listens(port: int) -> None:
    """Wait until somebody listens on a port of this machine."""
    async with asyncio.timeout(20):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.005)
            else:
                writer.close()
                return


async def run_app(app: Any, scope: Scope, body: bytes = b"") -> list[Message]:
    """Call an ASGI application once and return what it sent."""
    sent: list[Message] = []
    chunks = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Message:
        return chunks.pop() if chunks else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent


def http_scope(method: str = "GET", path: str = "/", **more: Any) -> Scope:
    """Return an ASGI scope; `headers` are pairs of bytes."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
        "client": ("192.0.2.1", 40_000),
        "state": {},
        **more,
    }


async def loaded(one: Replica, held: HeldSession | None = None, *, safe: bool = False) -> RequestSession:
    """Return a request's session, as the session layer loads it."""
    session = a_request_session() if held is None else a_request_session(held.session.carrier)
    session.carried = None if held is None else held.ticket
    return await one.engine.lifecycle.load(session, safe=safe)


def access_alive(one: Replica, session: Session) -> bool:
    world = one.upstream.world
    return world.alive(world.access[session.tokens.access.reveal()])
