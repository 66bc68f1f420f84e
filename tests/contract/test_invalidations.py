"""What other processes write is honoured by a replica with a cache, and nothing is read from memory unproven."""

import asyncio
import logging
import os
import secrets
import signal
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import pytest

from bff.errors import StoreUnavailable
from bff.security.secret import Secret
from bff.session import EndReason, Session, Ticket, Tombstone
from bff.store import invalidations
from bff.store.backend import Backend
from bff.store.cached_store import CachedSessionStore
from bff.store.connection import connect
from bff.store.protocol import Touch
from bff.telemetry.metrics import REGISTRY
from tests.contract.backends import FAKE, PROGRAMS, serving
from tests.contract.replicas import CaughtUp, Replicas, begin, caught_up
from tests.relay import relaying

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 30


@pytest.fixture(scope="module", params=PROGRAMS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with serving(request.param) as one:
        yield one


class Watched(Replicas):
    """Two replicas, of which the first keeps in memory what it has read, on a clock that jumps."""

    def __init__(self, url: str, through: str | None = None) -> None:
        super().__init__(url)
        self.jumped = 0.0
        self.admin: Any = connect(Secret(url))
        self._ending.push_async_callback(self.admin.aclose)
        self.other = self.open().store
        self.cached = True
        backend = self.open(url=through or url, monotonic=self.monotonic)
        assert isinstance(backend.store, CaughtUp)
        self.backend, self.store = backend, backend.store._store
        self.feed, self.cache = self.store.feed, self.store._cache

    def monotonic(self) -> float:
        return time.monotonic() + self.jumped

    async def begin(self) -> tuple[Ticket, Session]:
        """Create a session and have the first replica read it into memory."""
        await caught_up(self.feed, self.monotonic)
        ticket = await self.end_read()
        found = self.cache.find(ticket, Touch.NO)
        assert found is not None
        return ticket, found

    async def end_read(self) -> Ticket:
        """Create a session; its creation is heard of before it is read."""
        ticket, _ = await begin(replace(self.backend, store=self.other))
        await caught_up(self.feed, self.monotonic)
        assert isinstance(await self.store.peek(ticket), Session)
        return ticket

    async def until(self, *, current: bool) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while self.feed.current() is not current:  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0)


@pytest.fixture
async def watched(url: str) -> AsyncIterator[Watched]:
    async with Watched(url) as replicas:
        yield replicas


async def test_another_process_that_ends_sessions_is_honoured_amid_reads(watched: Watched) -> None:
    tickets = [(await watched.begin())[0] for _ in range(60)]
    by_name = {ticket.record_name.hex(): ticket for ticket in tickets}
    ender = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.contract.ender", watched.url, watched.tenant),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert ender.stdin is not None
    assert ender.stdout is not None
    async with reading_on(watched.store, tickets):
        ender.stdin.write("\n".join(by_name).encode())
        ender.stdin.close()
        ended: list[Ticket] = []
        async for line in ender.stdout:
            ended.append(by_name.pop(line.decode().strip()))
            await caught_up(watched.feed)
            for ticket in ended[-3:]:
                assert isinstance(await watched.store.peek(ticket), Tombstone)
        assert await ender.wait() == 0
    assert not by_name
    for ticket in tickets:
        assert isinstance(await watched.store.peek(ticket), Tombstone)
    assert len(watched.cache) == 0


@asynccontextmanager
async def reading_on(store: CachedSessionStore, tickets: list[Ticket]) -> AsyncIterator[None]:
    """Have all sessions read again and again, by several at once, until the block ends."""
    enough = asyncio.Event()
    reading = [asyncio.create_task(read_until(enough, store, tickets)) for _ in range(4)]
    try:
        yield
    finally:
        enough.set()
        await asyncio.gather(*reading, return_exceptions=True)


async def read_until(enough: asyncio.Event, store: CachedSessionStore, tickets: list[Ticket]) -> None:
    while not enough.is_set():
        for ticket in tickets:
            await store.peek(ticket)
        await asyncio.sleep(0)


async def test_a_session_that_is_read_all_the_time_gets_into_memory(watched: Watched) -> None:
    ticket, _ = await watched.begin()
    watched.cache.clear()
    async with reading_on(watched.store, [ticket]), asyncio.timeout(PATIENCE_SECONDS):
        while watched.cache.find(ticket, Touch.NO) is None:  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0)
    assert watched.cache.find(ticket, Touch.NO) == await watched.other.peek(ticket, Touch.NO)


async def test_a_rotated_a_renewed_and_a_deleted_session_are_honoured(watched: Watched) -> None:
    ticket, session = await watched.begin()
    written = await watched.other.replace(ticket, replace(session, version=9))
    await caught_up(watched.feed)
    assert await watched.store.peek(ticket) == written
    await watched.other.retire(ticket, EndReason.SUPERSEDED, keep_record=True)
    await caught_up(watched.feed)
    assert isinstance(await watched.store.peek(ticket), Tombstone)
    gone, _ = await watched.begin()
    await watched.other.delete(gone)
    await caught_up(watched.feed)
    assert await watched.store.peek(gone) is None


async def test_a_lock_leaves_a_session_in_memory(watched: Watched) -> None:
    ticket, _ = await watched.begin()
    async with watched.backend.locks.hold(ticket):
        pass
    await caught_up(watched.feed)
    assert watched.cache.find(ticket, Touch.NO) is not None


async def test_what_redis_forgets_is_forgotten(watched: Watched) -> None:
    ticket, _ = await watched.begin()
    key = f"bff:{watched.tenant}:{{{ticket.record_name.hex()}}}"
    await watched.admin.pexpire(key, 1)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(watched.cache):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.005)
    await watched.begin()
    await watched.admin.flushall()
    await caught_up(watched.feed)
    assert len(watched.cache) == 0


async def test_a_session_whose_key_is_removed_is_not_read_from_memory(watched: Watched) -> None:
    ticket, _ = await watched.begin()
    watched.ring.replace([("other", secrets.token_bytes(32))])
    assert len(watched.cache) == 0
    assert await watched.store.peek(ticket) is None


async def test_without_its_connection_nothing_is_read_from_memory(watched: Watched) -> None:
    ticket, _ = await watched.begin()
    await kill_tracking(watched.admin)
    await watched.until(current=False)
    assert len(watched.cache) == 0
    assert await watched.other.retire(ticket, EndReason.ENDED)
    assert isinstance(await watched.store.peek(ticket), Tombstone)
    again, session = await watched.begin()
    assert await watched.store.peek(again) is session


async def kill_tracking(admin: Any) -> None:
    """End the connections that track: they have a `t` among their flags."""
    tracking = [each["id"] for each in await admin.client_list() if "t" in each["flags"]]
    assert tracking
    for client_id in tracking:
        assert await admin.client_kill_filter(_id=client_id)


async def test_a_read_that_was_under_way_as_the_connection_ended_is_not_kept(watched: Watched) -> None:
    ticket, _ = await watched.begin()
    key = watched.store._key(ticket.record_name)
    read = watched.cache.begin_read(key)
    await kill_tracking(watched.admin)
    await watched.until(current=False)
    await watched.until(current=True)
    assert not watched.cache.end_read(key, read)


async def test_a_silent_server_is_noticed_and_recovered_from(url: str) -> None:
    async with relaying(url) as relay, Watched(url, relay.url) as watched:
        ticket, _ = await watched.begin()
        relay.deaf = True
        watched.jumped += invalidations.PROOF_SECONDS
        assert not watched.feed.current()
        with pytest.raises(StoreUnavailable):
            await watched.store.peek(ticket)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while watched.feed._state != "silent":  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(0.01)
        assert len(watched.cache) == 0
        relay.deaf = False
        assert await watched.other.retire(ticket, EndReason.ENDED)
        await watched.until(current=True)
        assert isinstance(await watched.store.peek(ticket), Tombstone)


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_paused_redis_serves_nothing_from_memory(program: str) -> None:
    with serving(program) as url:
        async with Watched(url) as watched:
            ticket, session = await watched.begin()
            pid = int((await watched.admin.info("server"))["process_id"])
            os.kill(pid, signal.SIGSTOP)
            try:
                assert await watched.store.peek(ticket) is session
                await watched.until(current=False)
                with pytest.raises(StoreUnavailable):
                    await watched.store.peek(ticket)
            finally:
                os.kill(pid, signal.SIGCONT)
            await watched.begin()
            assert await watched.store.peek(ticket) == session


async def test_a_process_that_stood_still_serves_nothing_from_memory(watched: Watched) -> None:
    """Its sockets may be full of what it has not read yet."""
    ticket, session = await watched.begin()
    assert await watched.store.peek(ticket) is session
    proven_at = watched.feed.proven_at
    watched.jumped = proven_at + invalidations.PROOF_SECONDS - time.monotonic()
    assert not watched.feed.current()
    assert await watched.store.peek(ticket) is not session


async def test_an_answer_proves_what_was_written_before_its_question(url: str) -> None:
    ages: list[float] = []
    async with relaying(url) as relay, Watched(url, relay.url) as watched:
        relay.delay = 0.2
        proven = watched.feed._on_proof

        def on_proof(asked_at: float) -> None:
            ages.append(time.monotonic() - asked_at)
            proven(asked_at)

        watched.feed._on_proof = on_proof  # type: ignore[method-assign]
        await caught_up(watched.feed)
    assert ages
    assert min(ages) >= 0.2


async def test_a_server_that_is_no_primary_any_more_is_not_believed(watched: Watched) -> None:
    await watched.begin()
    await watched.admin.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        await watched.until(current=False)
        assert len(watched.cache) == 0
    finally:
        await watched.admin.execute_command("REPLICAOF", "NO", "ONE")
    await watched.begin()


async def test_a_user_who_may_not_track_has_no_cache_and_is_told_once(
    watched: Watched, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invalidations, "_REFUSED_SECONDS", 0.01)
    user, password = f"user{secrets.token_hex(4)}", secrets.token_hex(8)
    await watched.admin.acl_setuser(
        user, enabled=True, passwords=[f"+{password}"], keys=["*"], categories=["+@all"], commands=["-client"]
    )
    address = urlsplit(watched.url).netloc
    backend = watched.open(url=f"redis://{user}:{password}@{address}")
    before = turns("refused")
    with caplog.at_level(logging.INFO):
        await never_cached(backend, watched)
    assert [getattr(each, "fields", {}) for each in caplog.records if each.msg == "session_cache_off"] == [
        {"reason": "refused"}
    ]
    assert turns("refused") == before + 1


async def never_cached(backend: Backend, watched: Watched) -> None:
    """Read a session for as long as it takes to connect a few times more."""
    assert isinstance(backend.store, CaughtUp)
    store = backend.store._store
    ticket, session = await begin(replace(backend, store=watched.other))
    before = await connections_made(watched.admin)
    async with asyncio.timeout(PATIENCE_SECONDS):
        while await connections_made(watched.admin) < before + 4:
            assert await store.peek(ticket) == session
            await asyncio.sleep(0.005)
    assert not store.feed.current()
    assert len(store._cache) == 0


async def connections_made(admin: Any) -> int:
    return int((await admin.info("stats"))["total_connections_received"])


async def test_a_server_without_tracking_is_read_without_a_cache() -> None:
    before = turns("refused") + turns("lost")
    with serving(FAKE) as url:
        async with Replicas(url, cached=True) as replicas:
            store = replicas.open().store._store  # type: ignore[attr-defined]
            ticket, session = await begin(replace(replicas.open(), store=store))
            async with asyncio.timeout(PATIENCE_SECONDS):
                while turns("refused") + turns("lost") == before:
                    assert await store.peek(ticket) == session
                    await asyncio.sleep(0.005)
            assert not store.feed.current()


def turns(state: str) -> float:
    return REGISTRY.get_sample_value("bff_session_cache_total", {"state": state}) or 0.0


async def test_what_the_cache_had_and_how_late_it_hears_are_counted(watched: Watched) -> None:
    def counted() -> tuple[float, float]:
        found = REGISTRY.get_sample_value("bff_session_reads_total", {"cache": "found"}) or 0.0
        return found, REGISTRY.get_sample_value("bff_invalidation_seconds_count") or 0.0

    ticket, _ = await watched.begin()
    await caught_up(watched.feed, watched.monotonic)
    found, proofs = counted()
    for _ in range(3):
        await watched.store.peek(ticket)
    await caught_up(watched.feed, watched.monotonic)
    after, later = counted()
    assert after == found + 3
    assert later > proofs


async def test_a_feed_that_was_closed_is_off_and_begins_anew(watched: Watched) -> None:
    ticket, _ = await watched.begin()
    await watched.feed.aclose()
    assert not watched.feed.current()
    assert len(watched.cache) == 0
    assert isinstance(await watched.store.peek(ticket), Session)
    await watched.until(current=True)
