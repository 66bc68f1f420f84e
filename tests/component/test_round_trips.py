"""How often one request asks Redis: counted where the commands pass, so that a script or a pipeline counts once."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2
import pytest

from bff.store.cached_store import CachedSessionStore
from bff.wiring import key_ring, session_backend
from tests.contract.replicas import caught_up
from tests.live import ADA
from tests.relay import Relay, relaying
from tests.support import Replica, new_keys, new_replica, replica_settings

pytestmark = pytest.mark.anyio

LOGIN_OF_A_GUEST = 7
"""The session, three limits, the lock with the session, the customer for the guest with its lock, the index."""

LOGIN_OF_NOBODY = 7
"""Three limits and the new guest's, the guest, the customer for the guest, the index; nobody else knows this guest."""

REFRESH = 6
"""The session, a limit, the pauses, the lock with the session, the new tokens, the lock back."""

RENEWAL = 4
"""The session, the lock with the session, the new tokens, the lock back."""

LIST = 2
"""The notes, when each was last seen; the session is in memory."""


@dataclass
class Counted:
    """A replica whose way to Redis is counted.

    Attributes:
        replica: it, with real rate limits.
        relay: on its way to Redis.
    """

    replica: Replica
    relay: Relay

    async def caught_up(self) -> None:
        """Wait until the replica's cache knows of all that was written."""
        store = self.replica.store
        assert isinstance(store, CachedSessionStore)
        await caught_up(store.feed)

    async def round_trips(self, browser: httpx2.AsyncClient, method: str, path: str, **more: object) -> int:
        """Return how often one request, which must succeed, asks Redis."""
        before = self.relay.round_trips
        answer = await browser.request(method, path, **more)  # type: ignore[arg-type]
        assert answer.is_success, answer.text
        return self.relay.round_trips - before


@asynccontextmanager
async def counting(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Counted]:
    """Compose a replica behind a relay, with real limits; every script has run once, so that Redis knows it."""
    async with relaying(redis_url) as relay:
        keys = new_keys()
        async with new_replica(relay.url, keys=keys) as replica:
            settings = replica_settings(relay.url, keys, login_rate="1000/60", guest_rate="1000/60")
            ring = key_ring(settings, replica.ports.random_bytes)
            backend = session_backend(
                settings, ring, clock=replica.clock, random_bytes=replica.ports.random_bytes
            )
            for limit in ("guest", "sign_on", "account", "call"):
                monkeypatch.setattr(replica.limits, limit, getattr(backend.limits, limit))
            counted = Counted(replica, relay)
            await run_every_script(counted)
            await counted.caught_up()
            yield counted
            await backend.aclose()


async def run_every_script(counted: Counted) -> None:
    async with counted.replica.browser() as browser:
        for path, body in (
            ("/auth/anonymous", {}),
            ("/auth/login", ADA),
            ("/auth/refresh", None),
            ("/auth/logout", None),
        ):
            await counted.round_trips(browser, "POST", path, json=body)


async def test_a_login_of_a_guest_asks_redis_seven_times(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counting(redis_url, monkeypatch) as counted, counted.replica.browser() as browser:
        await counted.round_trips(browser, "POST", "/auth/anonymous")
        assert await counted.round_trips(browser, "POST", "/auth/login", json=ADA) == LOGIN_OF_A_GUEST


async def test_a_login_without_a_guest_asks_redis_seven_times(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counting(redis_url, monkeypatch) as counted, counted.replica.browser() as browser:
        assert await counted.round_trips(browser, "POST", "/auth/login", json=ADA) == LOGIN_OF_NOBODY


@pytest.mark.parametrize("customer", [False, True])
async def test_a_refresh_reads_the_session_with_its_lock(
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    customer: bool,  # noqa: FBT001
) -> None:
    async with counting(redis_url, monkeypatch) as counted, counted.replica.browser() as browser:
        await counted.round_trips(browser, "POST", "/auth/anonymous")
        if customer:
            await counted.round_trips(browser, "POST", "/auth/login", json=ADA)
        assert await counted.round_trips(browser, "POST", "/auth/refresh") == REFRESH


async def test_a_renewal_by_the_clocks_asks_redis_four_times(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counting(redis_url, monkeypatch) as counted, counted.replica.browser() as browser:
        await counted.round_trips(browser, "POST", "/auth/anonymous")
        counted.replica.clock.at += 3599
        assert await counted.round_trips(browser, "GET", "/auth/validate") == RENEWAL


async def test_a_list_asks_redis_as_often_however_many_sessions_there_are(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counting(redis_url, monkeypatch) as counted:
        for _ in range(4):
            async with counted.replica.browser() as other:
                await counted.round_trips(other, "POST", "/auth/login", json=ADA)
        async with counted.replica.browser() as browser:
            await counted.round_trips(browser, "POST", "/auth/login", json=ADA)
            await counted.caught_up()
            assert len((await browser.get("/auth/sessions")).json()) == 5
            assert await counted.round_trips(browser, "GET", "/auth/sessions") == LIST


async def test_a_look_at_a_session_in_memory_asks_redis_nothing(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with counting(redis_url, monkeypatch) as counted, counted.replica.browser() as browser:
        await counted.round_trips(browser, "POST", "/auth/login", json=ADA)
        await counted.caught_up()
        look = ("GET", "/auth/session?slide=false")
        assert await counted.round_trips(browser, *look) == 1
        assert [await counted.round_trips(browser, *look) for _ in range(3)] == [0, 0, 0]
