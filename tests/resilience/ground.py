"""Three replicas between a store and an upstream, every line through a fault proxy, and ten shoppers at once."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from dataclasses import dataclass
from itertools import product
from typing import Final

from tests.integration.visitors import ANONYMOUS_REFRESH, CUSTOMER_LOGIN, CUSTOMER_REFRESH
from tests.live import TENANT, LiveProxy, Sandbox, environment, free_port
from tests.resilience.fault_proxy import FaultProxy, Hold
from tests.resilience.servers import Cluster, RedisServer, Sentinels, until
from tests.resilience.shoppers import CUSTOMER, NEW_GUEST, NOTHING, SESSION, Answer, Shopper, account, client

WHO: Final = ("guest", "customer")
STATES: Final = ("idle", "renewing", "logging in", "logging out", "streaming")
CUSTOMER_LOGOUT: Final = "GET /customer/{tenant}/logout"
_HELD: Final = tuple(
    call.format(tenant=TENANT).encode()
    for call in (ANONYMOUS_REFRESH, CUSTOMER_REFRESH, CUSTOMER_LOGIN, CUSTOMER_LOGOUT)
)
_HELD_AT_ONCE: Final = 5  # two refreshes, two logins, and the logout of a customer
_LEAST_SECONDS: Final = 0.3
Key = tuple[str, str]
Server = RedisServer | Sentinels | Cluster


@dataclass(frozen=True)
class Found:
    """What a visitor got while the fault lasted, and what was left afterwards."""

    answer: Answer
    kept: str


@dataclass(frozen=True)
class Cell:
    """What one visitor in one state may expect of one fault.

    Attributes:
        outcome: the statuses, or words of `Answer.outcome`, that are right.
        kept: what is left once the fault is over.
        seconds: the longest that the answer may take; the client gives up then.
    """

    outcome: frozenset[int | str]
    kept: frozenset[str]
    seconds: float

    def fits(self, found: Found) -> bool:
        return found.answer.outcome in self.outcome and found.kept in self.kept


@dataclass(frozen=True, eq=False)
class Fault:
    """One row of the matrix.

    Attributes:
        name: for people.
        strike: brings it about; at the end of the block it is over.
        cells: by who and state.
        under_way: renewals, logins and logouts are under way when it strikes; otherwise they begin afterwards.
        rotation: of refresh tokens upstream: `strict` where each is good for one refresh, whoever learns of it.
        longest: seconds after which it is over; where none is given it lasts until everybody has an answer.
        small: it belongs to the few that always run.
    """

    name: str
    strike: Callable[["Ground"], AbstractContextManager[None]]
    cells: dict[Key, Cell]
    under_way: bool = True
    rotation: str = "strict"
    longest: float | None = None
    small: bool = False


class Ground:
    """The processes that all rows share.

    Attributes:
        sandbox: the upstream.
        store: the fault proxy in front of Redis; none where clients are led to addresses of the servers' own.
        upstream: the fault proxy in front of the sandbox.
        server: Redis itself.
        replicas: the proxies.
        admins: the ports of their metrics.
    """

    def __init__(self, sandbox: Sandbox, server: Server, ending: ExitStack, **settings: str) -> None:
        self.sandbox = sandbox
        self.server = server
        self.upstream = ending.enter_context(FaultProxy(sandbox.url))
        self.store = ending.enter_context(FaultProxy(server.url)) if isinstance(server, RedisServer) else None
        self._ending = ending
        url = self.store.url if self.store else server.url
        self.environ = environment(sandbox, url, BFF_UPSTREAM_URL=self.upstream.url, **settings)
        self.admins = [free_port() for _ in range(3)]
        self.replicas = [ending.enter_context(self._replica(number)) for number in range(3)]
        self._accounts: dict[Key, dict[str, str]] = {}

    @property
    def redis(self) -> RedisServer:
        """The one server, where there is one."""
        assert isinstance(self.server, RedisServer)
        return self.server

    @property
    def nodes(self) -> Sentinels | Cluster:
        """The several servers, where there are several."""
        assert not isinstance(self.server, RedisServer)
        return self.server

    def start_again(self, number: int) -> None:
        """Begin a replica anew, where the old one has listened."""
        self.replicas[number].close()
        fresh = self._replica(number, self.replicas[number].port)
        self.replicas[number] = self._ending.enter_context(fresh)

    def _replica(self, number: int, port: int | None = None) -> LiveProxy:
        return LiveProxy(self.environ | {"BFF_ADMIN_PORT": str(self.admins[number])}, port=port)

    def account(self, key: Key) -> dict[str, str]:
        """Return an account that no other cell uses."""
        if key not in self._accounts:
            self._accounts[key] = account(self.sandbox)
        return self._accounts[key]

    def expire(self, shopper: Shopper) -> None:
        """Let upstream refuse the shopper's access token from now on; the proxy is not told."""
        owned = [
            key
            for key, session in self.sandbox.control("GET", "/sessions").items()
            if not session["ended"]
            and (session["email"] == shopper.account["email"] or shopper.cart in session["cartIds"])
        ]
        for key in owned:
            self.sandbox.control("POST", "/expire", {"access": True, "sessionId": key})


async def run(ground: Ground, fault: Fault) -> dict[Key, Found]:
    """Let ten visitors meet a fault at once, and say what each of them got."""
    knobs = dict.fromkeys(("anonymousRotation", "customerRotation"), fault.rotation)
    ground.sandbox.control("PATCH", "/knobs", knobs)
    async with client() as http:
        shoppers = {
            key: Shopper(http, ground.replicas, ground.account(key), customer=key[0] == "customer")
            for key in product(WHO, STATES)
        }
        await asyncio.gather(*(one.begin() for one in shoppers.values()))
        before = {key: str(one.cookie) for key, one in shoppers.items()}
        answers = await _meet(ground, fault, shoppers)
        kept = await asyncio.gather(
            *(_kept(key, one, answers[key], before[key]) for key, one in shoppers.items())
        )
        return {key: Found(answers[key], left) for key, left in zip(shoppers, kept, strict=True)}


async def _meet(ground: Ground, fault: Fault, shoppers: Mapping[Key, Shopper]) -> dict[Key, Answer]:
    streaming, reading = [], {}
    for key in ((who, "streaming") for who in WHO):
        begun = asyncio.Event()
        seconds = fault.cells[key].seconds
        reading[key] = asyncio.ensure_future(shoppers[key].stream(replica=0, seconds=seconds, begun=begun))
        streaming.append(begun.wait())
    await asyncio.gather(*streaming)
    for who in WHO:
        await asyncio.to_thread(ground.expire, shoppers[who, "renewing"])
    rest = [key for key in shoppers if key not in reading]
    early = [key for key in rest if fault.under_way and key[1] != "idle" and key != ("guest", "logging out")]
    with ground.upstream.holding(*(_HELD if fault.under_way else ())) as hold:
        reading |= {key: asyncio.ensure_future(_act(key, shoppers[key], fault)) for key in early}
        if fault.under_way:
            await asyncio.to_thread(_wait_for, hold)
        async with _struck(fault.strike(ground)):
            ground.upstream.release(hold)
            reading |= {
                key: asyncio.ensure_future(_act(key, shoppers[key], fault))
                for key in rest
                if key not in early
            }
            await asyncio.sleep(_LEAST_SECONDS)
            answered = [task for key, task in reading.items() if key[1] != "streaming"]
            await asyncio.wait(answered, timeout=fault.longest)
    return {key: await task for key, task in reading.items()}


def _wait_for(hold: Hold) -> None:
    until(lambda: hold.waiting >= _HELD_AT_ONCE)


@asynccontextmanager
async def _struck(strike: AbstractContextManager[None]) -> AsyncIterator[None]:
    """Let a fault last as long as the block, and the event loop go on where it takes a while."""
    await asyncio.to_thread(strike.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(strike.__exit__, None, None, None)


async def _act(key: Key, shopper: Shopper, fault: Fault) -> Answer:
    seconds = fault.cells[key].seconds
    match key[1]:
        case "logging in":
            return await shopper.ask("POST", "/auth/login", json=shopper.account, seconds=seconds)
        case "logging out":
            return await shopper.ask("POST", "/auth/logout", seconds=seconds)
        case _:
            return await shopper.read(seconds=seconds)


async def _kept(key: Key, shopper: Shopper, answer: Answer, before: str) -> str:
    if key[1] == "logging out":
        return await _logged_out(shopper, answer, before)
    if key[1] == "logging in" and answer.outcome == 200:
        shopper.customer = True
        assert shopper.cookie != before
        assert await shopper.is_dead(before), "the cookie from before the login lives on"
        return CUSTOMER if await shopper.left() == SESSION else NOTHING
    if answer.outcome in {500, 502, 503, 504, "late", "lost", "cut"}:
        assert answer.cookie is None, "a failure sets a cookie"
    if answer.cookie is not None:
        return NEW_GUEST if answer.outcome == 200 else NOTHING
    return await shopper.left()


async def _logged_out(shopper: Shopper, answer: Answer, before: str) -> str:
    if answer.outcome != 204:
        assert shopper.cookie == before, "a logout that failed took the cookie"
        again = await shopper.ask("POST", "/auth/logout")
        assert again.outcome == 204, again
    return NOTHING if await shopper.is_dead(before) else SESSION
