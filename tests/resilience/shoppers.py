"""Visitors of several replicas, who know what was theirs and find out what is left of it."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from http.cookies import SimpleCookie
from typing import Any, Final

import httpx2

from tests.live import TENANT, TLS, LiveProxy, Sandbox

CARTS: Final = f"/api/cart/{TENANT}/carts?siteCode=main&create=true"
ME: Final = f"/api/customer/{TENANT}/me"
STREAM: Final = f"/api/product/{TENANT}/products/__echo__?stream=30&every=0.05"
STREAM_BYTES: Final = 30 * 1024
HEAL_SECONDS: Final = 12.0
_PAUSE: Final = 0.1

SESSION = "the session"
CUSTOMER = "the customer's new session"
NOTHING = "nothing"
NEW_GUEST = "another guest"


class Crossed(AssertionError):
    """Somebody was served what is another visitor's."""


@dataclass(frozen=True)
class Answer:
    """What one request came to.

    Attributes:
        outcome: the status; `late` where nothing came in time; `lost` where the connection broke before an answer;
            `cut` where it broke in an answer, which then does not look whole.
        code: of the problem, where it is one.
    """

    outcome: int | str
    code: str = ""
    body: Any = None
    cookie: str | None = None


def client() -> httpx2.AsyncClient:
    """Return a client for many visitors: it keeps no cookies."""
    return httpx2.AsyncClient(
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
        trust_env=False,
        timeout=None,
        verify=TLS,
    )


@dataclass
class Shopper:
    """One visitor.

    Attributes:
        cookie: what the jar of this browser holds now; None where there is none.
        cart: of the guest, that is nobody else's.
        account: of the customer, that is nobody else's.
        session: the Emporix session, where the shopper had to find it out.
    """

    client: httpx2.AsyncClient
    proxies: Sequence[LiveProxy]
    account: dict[str, str]
    cookie: str | None = None
    customer: bool = False
    cart: str = ""
    session: str = ""
    spent: list[str] = field(default_factory=list)

    async def ask(
        self,
        method: str,
        path: str,
        *,
        replica: int = 0,
        seconds: float = 30.0,
        cookie: str | None = None,
        **more: Any,
    ) -> Answer:
        """Send a request, and keep the cookie of its answer as a browser does.

        Args:
            cookie: to be sent instead of this browser's; nothing of the answer is kept then.
        """
        carried = cookie or self.cookie
        headers = {"X-CSRF": "1"} | ({"Cookie": f"bff={carried}"} if carried else {})
        url = self.proxies[replica].url + path
        try:
            async with asyncio.timeout(seconds):
                answer = await self.client.request(method, url, headers=headers, **more)
        except TimeoutError:
            return Answer("late")
        except httpx2.TransportError as exc:
            return Answer("cut" if "body" in str(exc) or "chunked" in str(exc) else "lost")
        return self._taken(answer, keep=cookie is None)

    def _taken(self, answer: httpx2.Response, *, keep: bool) -> Answer:
        body = answer.json() if "json" in answer.headers.get("content-type", "") and answer.content else None
        code = str(body.get("code", "")) if isinstance(body, dict) else ""
        given = [SimpleCookie(one)["bff"] for one in answer.headers.get_list("set-cookie")]
        if given and keep:
            if self.cookie:
                self.spent.append(self.cookie)
            self.cookie = given[0].value or None
        return Answer(answer.status_code, code, body, given[0].value if given else None)

    async def begin(self) -> None:
        """Come as a guest with a cart, and log in where this is a customer; whatever was is forgotten."""
        self.cookie, self.spent = None, []
        made = await self._insist("GET", CARTS)
        self.cart = str(made.body["id"])
        if self.customer:
            await self._insist("POST", "/auth/login", json=self.account)
        self.spent = []

    async def _insist(self, method: str, path: str, **more: Any) -> Answer:
        """Ask until it is served: what an earlier fault left behind, such as a pause, may last a moment."""
        end = time.monotonic() + HEAL_SECONDS
        answer = await self.ask(method, path, **more)
        while answer.outcome != 200 and time.monotonic() < end:
            await asyncio.sleep(_PAUSE)
            answer = await self.ask(method, path, **more)
        assert answer.outcome == 200, answer
        return answer

    async def read(self, *, replica: int = 0, seconds: float = 30.0, cookie: str | None = None) -> Answer:
        """Read something that only this visitor may see.

        Raises:
            Crossed: it is another visitor's.
        """
        path = ME if self.customer else CARTS
        answer = await self.ask("GET", path, replica=replica, seconds=seconds, cookie=cookie)
        mail = answer.body.get("contactEmail") if self.customer and answer.outcome == 200 else None
        if mail not in {None, self.account["email"]}:
            raise Crossed(f"{self.account['email']} was served {mail}")
        return answer

    async def stream(self, *, replica: int, seconds: float, begun: asyncio.Event) -> Answer:
        """Read an answer that comes slowly; `begun` is set when its first bytes are there."""
        headers = {"X-CSRF": "1", "Cookie": f"bff={self.cookie}"}
        url, received = self.proxies[replica].url + STREAM, 0
        try:
            async with asyncio.timeout(seconds), self.client.stream("GET", url, headers=headers) as answer:
                async for part in answer.aiter_raw():
                    received += len(part)
                    begun.set()
        except TimeoutError:
            return Answer("late")
        except httpx2.TransportError:
            return Answer("cut" if received else "lost")
        finally:
            begun.set()
        assert answer.status_code != 200 or received == STREAM_BYTES, "a part of an answer looks whole"
        return Answer(answer.status_code)

    async def left(self) -> str:
        """Find out what is left of the session, at every replica.

        Raises:
            AssertionError: replicas disagree, or nobody is served for too long.
        """
        before = self.cookie
        kinds = {await self._left_at(replica, before) for replica in range(len(self.proxies))}
        assert len(kinds) == 1, f"replicas disagree: {kinds}"
        return kinds.pop()

    async def _left_at(self, replica: int, cookie: str | None) -> str:
        if cookie is None:
            return NOTHING
        end = time.monotonic() + HEAL_SECONDS
        while (answer := await self.read(replica=replica, cookie=cookie)).outcome not in {200, 401}:
            assert time.monotonic() < end, f"not served again: {answer}"
            assert answer.cookie is None, "a failure sets a cookie"
            await asyncio.sleep(_PAUSE)
        if answer.outcome == 401:
            return NOTHING
        if answer.cookie is not None:
            return NEW_GUEST
        if not self.customer and answer.body["id"] != (self.cart or answer.body["id"]):
            raise Crossed(f"the cart {self.cart} has become {answer.body['id']}")
        return SESSION

    async def is_dead(self, cookie: str) -> bool:
        """Say whether this cookie opens nothing, at any replica.

        Raises:
            AssertionError: a replica does not say for too long.
        """
        return not any([await self._opens(replica, cookie) for replica in range(len(self.proxies))])

    async def _opens(self, replica: int, cookie: str) -> bool:
        end = time.monotonic() + HEAL_SECONDS
        while True:
            answer = await self.ask("POST", "/auth/refresh", replica=replica, cookie=cookie)
            if answer.outcome in {200, 401}:
                return answer.outcome == 200
            assert time.monotonic() < end, f"nobody says whether a session is dead: {answer}"
            await asyncio.sleep(_PAUSE)


def account(sandbox: Sandbox) -> dict[str, str]:
    """Open a customer's account upstream."""
    one = {"email": f"{secrets.token_hex(6)}@example.com", "password": secrets.token_hex(12)}
    sandbox.control("POST", "/customers", one)
    return one


async def cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
