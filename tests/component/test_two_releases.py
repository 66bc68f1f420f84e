"""Two releases side by side: this one and the one before it, and this one and the one that comes after it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest

from bff.session import EndReason, OtherSchema, Tombstone
from bff.store import record, redis_store
from bff.store.packed import unpack
from tests.former_release import former_release
from tests.live import ADA, TENANT
from tests.support import Replica, new_keys, new_replica

pytestmark = pytest.mark.anyio

CART = f"/api/cart/{TENANT}/carts?siteCode=main"
NEWER = record.SCHEMA + 1


@contextmanager
def newer_release() -> Iterator[None]:
    """Be a release with the next schema, which reads this one's records as well."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (record, redis_store):
            patch.setattr(module, "SCHEMA", NEWER)
        patch.setattr(record, "READERS", record.READERS | {NEWER: unpack})
        patch.setattr(redis_store.RedisSessionStore, "_schema_of", lambda *_: NEWER)
        yield


@pytest.fixture
async def browser(replica: Replica) -> httpx2.AsyncClient:
    """A browser whose customer logged in at the newer release."""
    browser = replica.browser()
    with newer_release():
        assert (await browser.post("/auth/login", json=ADA)).status_code == 200
    return browser


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/auth/session"),
        ("POST", "/auth/anonymous"),
        ("POST", "/auth/login"),
        ("POST", "/auth/refresh"),
        ("GET", CART),
    ],
)
async def test_a_session_of_a_newer_release_is_a_503_and_keeps_its_cookie(
    replica: Replica, browser: httpx2.AsyncClient, method: str, path: str
) -> None:
    before = len(replica.upstream.world.log)
    answer = await browser.request(method, path, json=ADA if "login" in path else None)
    assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
    assert int(answer.headers["retry-after"]) > 0
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-session-version"] == "0"
    assert len(replica.upstream.world.log) == before
    with newer_release():
        assert (await browser.get("/auth/session")).json()["kind"] == "customer"


async def test_a_logout_ends_a_session_of_a_newer_release(
    replica: Replica, browser: httpx2.AsyncClient
) -> None:
    cookie = f"bff={browser.cookies['bff']}"
    answer = await browser.post("/auth/logout")
    assert (answer.status_code, "Max-Age=0" in answer.headers["set-cookie"]) == (204, True)
    with newer_release():
        answer = await replica.browser(Cookie=cookie).post("/auth/refresh")
        assert (answer.status_code, answer.json()["code"]) == (401, "no_session")


async def test_a_newer_release_goes_on_with_the_sessions_of_the_one_before(replica: Replica) -> None:
    held = await replica.customer()
    with newer_release():
        renewed = await replica.engine.refresher.refresh(held)
        assert renewed.ticket == held.ticket
        assert await replica.stored(held) == renewed.session
    assert await replica.store.load_fresh(held.ticket) == OtherSchema()


async def test_a_tombstone_of_a_newer_release_says_why_the_session_ended(replica: Replica) -> None:
    with newer_release():
        held = await replica.guest()
        assert await replica.store.retire(held.ticket, EndReason.SUPERSEDED, keep_record=True)
    assert await replica.store.load_fresh(held.ticket) == Tombstone(EndReason.SUPERSEDED, None)


async def test_a_lock_is_had_for_a_session_that_cannot_be_read(replica: Replica) -> None:
    with newer_release():
        held = await replica.guest()
    async with replica.ports.locks.hold(held.ticket) as lock:
        assert (lock.found, lock.acquired) == (OtherSchema(), True)


async def test_the_shared_token_of_a_newer_release_is_had_anew_and_only_once(redis_url: str) -> None:
    keys = new_keys()
    async with (
        new_replica(redis_url, keys=keys) as newer,
        new_replica(redis_url, keys=keys, clock=newer.clock, upstream=newer.upstream) as older,
        new_replica(redis_url, keys=keys, clock=newer.clock, upstream=newer.upstream) as other,
    ):
        with newer_release():
            first = await newer.engine.shared_token.token()
        second = await older.engine.shared_token.token()
        assert second != first
        assert [await one.engine.shared_token.token() for one in (older, other)] == [second] * 2
        with newer_release():
            assert await newer.engine.shared_token.token() == first
        assert len(newer.upstream.calls("anonymous/login")) == 2


@dataclass
class Pair:
    """A replica of this release and one of the release before, with the same sessions."""

    replicas: dict[str, Replica]
    cookie: str = ""

    async def ask(self, release: str, method: str, path: str, **more: Any) -> httpx2.Response:
        """Ask a replica as the one browser does whose cookie either may have given it."""
        replica = self.replicas[release]
        async with replica.browser(**({"Cookie": f"bff={self.cookie}"} if self.cookie else {})) as browser:
            answer = await browser.request(method, path, **more)
        self.cookie = answer.cookies.get("bff") or self.cookie
        return answer


@asynccontextmanager
async def side_by_side(redis_url: str, **settings: Any) -> AsyncIterator[Pair]:
    """Run the two over one Redis."""
    async with AsyncExitStack() as ending:
        shared: dict[str, Any] = {"keys": new_keys()}
        with former_release():
            former = await ending.enter_async_context(new_replica(redis_url, **shared))
        shared |= {"clock": former.clock, "upstream": former.upstream}
        current = await ending.enter_async_context(new_replica(redis_url, **shared, **settings))
        yield Pair({"former": former, "current": current})


@pytest.mark.parametrize(
    ("first", "second", "schema"),
    [("former", "current", "2"), ("former", "current", "1"), ("current", "former", "1")],
)
async def test_one_browser_shops_at_both_releases(
    redis_url: str, first: str, second: str, schema: str
) -> None:
    """Upgrade, roll back, and both at once: one cookie, renewed by each, and a logout at either."""
    async with side_by_side(redis_url, session_schema=schema) as pair:
        assert (await pair.ask(first, "POST", "/auth/login", json=ADA)).status_code == 200
        cookie = pair.cookie
        for release in (second, first, second):
            assert (await pair.ask(release, "POST", "/auth/refresh")).status_code == 200
            assert (await pair.ask(release, "GET", "/auth/session")).json()["kind"] == "customer"
        assert pair.cookie == cookie
        assert (await pair.ask(second, "POST", "/auth/logout")).status_code == 204
        for release in (first, second):
            pair.cookie = cookie
            answer = await pair.ask(release, "POST", "/auth/refresh")
            assert (answer.status_code, answer.json()["code"]) == (401, "no_session")


@pytest.mark.parametrize("schema", ["1", "2"])
async def test_a_guest_of_the_former_release_logs_in_at_this_one(redis_url: str, schema: str) -> None:
    async with side_by_side(redis_url, session_schema=schema) as pair:
        assert (await pair.ask("former", "POST", "/auth/anonymous")).status_code == 201
        assert (await pair.ask("current", "POST", "/auth/login", json=ADA)).status_code == 200
        assert (await pair.ask("current", "GET", "/auth/session")).json()["kind"] == "customer"
        answer = await pair.ask("former", "GET", "/auth/session")
        assert answer.status_code == (200 if schema == "1" else 503)


async def test_a_session_of_this_release_waits_out_the_former_one_or_is_logged_out_there(
    redis_url: str,
) -> None:
    """Without the setting for it: nobody is logged out, no cookie is replaced, and a logout works."""
    async with side_by_side(redis_url) as pair:
        assert (await pair.ask("current", "POST", "/auth/login", json=ADA)).status_code == 200
        cookie = pair.cookie
        for method, path in (("GET", "/auth/session"), ("POST", "/auth/refresh"), ("GET", CART)):
            answer = await pair.ask("former", method, path)
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
            assert "set-cookie" not in answer.headers
        assert pair.cookie == cookie
        assert (await pair.ask("current", "POST", "/auth/refresh")).status_code == 200
        assert (await pair.ask("former", "POST", "/auth/logout")).status_code == 204
        pair.cookie = cookie
        answer = await pair.ask("current", "POST", "/auth/refresh")
        assert (answer.status_code, answer.json()["code"]) == (401, "no_session")


async def test_both_releases_use_one_shared_token(redis_url: str) -> None:
    async with side_by_side(redis_url) as pair:
        first = await pair.replicas["current"].engine.shared_token.token()
        assert await pair.replicas["former"].engine.shared_token.token() == first
