"""Two releases side by side, of which one writes sessions in a schema that the other does not read."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest

from bff.session import EndReason, OtherSchema, Tombstone
from bff.store import record
from tests.live import ADA, TENANT
from tests.support import Replica, new_keys, new_replica

pytestmark = pytest.mark.anyio

CART = f"/api/cart/{TENANT}/carts?siteCode=main"
NEWER = record.SCHEMA + 1


@contextmanager
def newer_release() -> Iterator[None]:
    """Be a release with the next schema, which reads this one's records as well."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "SCHEMA", NEWER)
        patch.setattr(record, "UPGRADES", {NEWER - 1: lambda fields: fields | {"v": NEWER}})
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
