"""What the unit and store tests share: a clock that they turn, a Redis that they disturb, a whole engine in process."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import httpx2
import pytest
from redis.asyncio import Redis
from starlette.types import Message, Receive, Scope, Send

from bff.emporix.auth import EmporixAuth
from bff.emporix.carts import EmporixCarts
from bff.sandbox.app import create_sandbox
from bff.sandbox.faults import Fault
from bff.sandbox.state import Knobs
from bff.sandbox.world import World
from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.session import (
    CarriedTicket,
    Carrier,
    GuestContext,
    HeldSession,
    Lifetimes,
    Session,
    SessionKind,
    Ticket,
    record_name,
)
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
from bff.tokens import TokenSet
from bff.upstream.token_calls import TokenCallClient
from tests.live import ADA

T = TypeVar("T")
TENANT = "acmeshop"
NOW = 1_800_000_000.0


class Clock:
    """Seconds since the epoch, which only the test moves."""

    def __init__(self, at: float = NOW) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def new_ring(*kids: str, tenant: str = TENANT) -> KeyRing:
    """Return a ring of fresh keys."""
    keys = [(kid, secrets.token_bytes(32)) for kid in kids or ("k1",)]
    return KeyRing(keys, tenant, secrets.token_bytes)


def new_ticket() -> Ticket:
    return Ticket(secrets.token_bytes(16), secrets.token_bytes(32))


def tokens(**changes: Any) -> TokenSet:
    """Return a token set that was issued now: an hour of access, a day of refresh."""
    whole = TokenSet(
        access=Secret("access-" + secrets.token_hex(8)),
        access_expires_at=NOW + 3600,
        issued_at=NOW,
        refresh=Secret("refresh-" + secrets.token_hex(8)),
        refresh_expires_at=NOW + 86_400,
    )
    return replace(whole, **changes)


def a_session(**changes: Any) -> Session:
    """Return a guest that began now: a day of idling, a week in all."""
    whole = Session(
        kind=SessionKind.ANONYMOUS,
        carrier=Carrier.COOKIE,
        tokens=tokens(),
        upstream_session_id=Secret("emporix-" + secrets.token_hex(8)),
        created_at=NOW,
        expires_at=NOW + 604_800,
        idle_seconds=86_400,
        last_seen_at=NOW,
    )
    return replace(whole, **changes)


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


class Counted:
    """Rate limits that only count."""

    def __init__(self) -> None:
        self.guests: list[str] = []
        self.logins: list[tuple[str, str]] = []

    async def guest(self, client: str) -> None:
        self.guests.append(client)

    async def login(self, client: str, account: str) -> None:
        self.logins.append((client, account))

    async def sign_on(self, client: str) -> None:
        self.logins.append((client, ""))


@dataclass
class Engine:
    """One replica's session engine on a real Redis, in front of a sandbox in process."""

    clock: Clock
    upstream: Upstream
    redis: AnyRedis
    store: RedisSessionStore
    emporix: EmporixAuth
    tasks: Tasks
    locks: Locks
    guests: AnonymousSessions
    shared: SharedToken
    renewer: TokenRefresher
    limits: Counted
    manager: SessionLifecycle
    sign_on: CustomerLogin

    async def guest(self, carrier: Carrier = Carrier.COOKIE) -> HeldSession:
        """Begin a guest."""
        return await self.guests.start(GuestContext(), carrier, None)

    async def customer(self) -> HeldSession:
        """Begin a guest and log Ada in."""
        visit = RequestSession(Carrier.COOKIE, "192.0.2.1", "agent")
        await self.sign_on.login(visit, ADA["email"], Secret(ADA["password"]))
        assert visit.held is not None
        return visit.held

    async def unlock(self, held: HeldSession) -> None:
        """End the lock that its holder could not give back, as its time does."""
        await bare(self.redis).delete(f"bff:{TENANT}:{{{record_name(held.ticket).hex()}}}:lock")

    async def stored(self, held: HeldSession) -> Session:
        """Return the session as the store has it."""
        found = await self.store.load(held.ticket, slide=False)
        assert isinstance(found, Session), found
        return found


@asynccontextmanager
async def engine(
    redis_url: str,
    *,
    clock: Clock | None = None,
    upstream: Upstream | None = None,
    ring: KeyRing | None = None,
    knobs: Knobs | None = None,
    skew: float = 60.0,
    site_code: str | None = None,
) -> AsyncIterator[Engine]:
    """Compose an engine; two of them with one ring, clock and upstream are two replicas."""
    clock, ring = clock or Clock(), ring or new_ring()
    upstream = upstream or Upstream(clock, knobs)
    redis = connect(Secret(redis_url))
    client = TokenCallClient("http://upstream.test", transport=httpx2.ASGITransport(upstream))
    emporix = EmporixAuth(client, tenant=TENANT, client_id="storefront", clock=clock)
    store = RedisSessionStore(
        redis, ring.record_sealer(), TENANT, clock=clock, random_bytes=secrets.token_bytes
    )
    tasks, limits = Tasks(), Counted()
    locks = Locks(store, clock=asyncio.get_running_loop().time, jitter=lambda: 0.5)
    lifetimes = Lifetimes(86_400, 604_800)
    guests = AnonymousSessions(store, emporix, lifetimes, clock=clock, random_bytes=secrets.token_bytes)
    shared = SharedToken(
        store, emporix, locks, tasks, ring.digest("shared guest"),
        lifetime=lifetimes.absolute, skew=skew, site_code=site_code, clock=clock,
    )  # fmt: skip
    renewer = TokenRefresher(store, emporix, guests, shared, locks, tasks, skew=skew, clock=clock)
    index = RedisCustomerIndex(redis, store, ring, TENANT, lifetime=7_776_000, clock=clock)
    manager = SessionLifecycle(
        store, emporix, guests, shared, renewer, locks, tasks, limits, index, clock=clock
    )
    sign_on = CustomerLogin(
        manager, store, emporix, guests, renewer, locks, tasks, limits, index,
        CartMerger(EmporixCarts(client, tenant=TENANT), site_code=site_code),
        customers=Lifetimes(1_209_600, 7_776_000), clock=clock,
    )  # fmt: skip
    try:
        yield Engine(
            clock, upstream, redis, store, emporix, tasks, locks, guests, shared, renewer, limits, manager, sign_on
        )  # fmt: skip
    finally:
        await tasks.drain()
        await client.aclose()
        await redis.aclose()


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


def carrying(held: HeldSession) -> CarriedTicket:
    return CarriedTicket(held.session.carrier, held.ticket)


async def visiting(one: Engine, held: HeldSession | None = None, *, safe: bool = False) -> RequestSession:
    """Return a request's visit, as the door makes one."""
    presented = CarriedTicket(Carrier.COOKIE) if held is None else carrying(held)
    return await one.manager.visit(presented, client="192.0.2.1", user_agent="agent", safe=safe)


def access_alive(one: Engine, session: Session) -> bool:
    world = one.upstream.world
    return world.alive(world.access[session.tokens.access.reveal()])
