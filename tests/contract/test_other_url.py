"""A backend goes over to another URL while it is used: with another password, or to another server."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from bff.security.secret import Secret
from bff.session import EndReason, Session, Tombstone
from bff.store import replaceable
from bff.store.backend import Backend
from bff.store.connection import connect
from bff.store.replaceable import ReplaceableRedis
from tests.contract.backends import PROGRAMS, serving
from tests.contract.replicas import CaughtUp, Replicas, begin
from tests.support import until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not PROGRAMS, reason="an imitation knows no users"),
]


@pytest.fixture(scope="module", params=PROGRAMS)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    with serving(request.param) as one:
        yield one


class Rotated(Replicas):
    """A replica with a cache that logs in as a user whose password changes.

    Args:
        url: the server, as its administrator.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url, cached=True)
        self.user = "user" + secrets.token_hex(4)
        self.admin: Any = connect(Secret(url))
        self._ending.push_async_callback(self.admin.aclose)

    async def allow(self, password: str) -> str:
        """Let this be the user's only password, and return the URL with it."""
        await self.admin.execute_command(
            "ACL", "SETUSER", self.user, "on", "resetpass", f">{password}", "+@all", "~*", "&*"
        )
        return self.url_with(password)

    def url_with(self, password: str) -> str:
        parts = urlsplit(self.url)
        host = parts.netloc.rpartition("@")[2]
        return parts._replace(netloc=f"{self.user}:{password}@{host}").geturl()

    async def connections(self) -> set[bytes]:
        """Return the ids of the user's connections."""
        listed: bytes = await self.admin.execute_command("CLIENT", "LIST")
        rows = [dict(field.partition(b"=")[::2] for field in row.split()) for row in listed.splitlines()]
        return {row[b"id"] for row in rows if row.get(b"user") == self.user.encode()}


@pytest.fixture
async def rotated(url: str) -> AsyncIterator[Rotated]:
    async with Rotated(url) as replicas:
        yield replicas


async def went_over(backend: Backend, url: str) -> None:
    """Let a backend use another URL, and wait until it does."""
    assert isinstance(backend.store, CaughtUp)
    cached = backend.store._store
    feed = cached.feed
    backend.use_url(Secret(url))
    await until(lambda: cached.feed is not feed)


async def test_a_new_password_is_used_and_every_old_connection_ends(
    rotated: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaceable, "_LAST_SECONDS", 0.2)
    backend = rotated.open(url=await rotated.allow("one"))
    ticket, _ = await begin(backend)
    async with backend.locks.hold(ticket) as read:
        assert read.acquired
        before = await rotated.connections()
        await went_over(backend, await rotated.allow("two"))
        assert await rotated.is_locked(ticket)
    assert not await rotated.is_locked(ticket)
    assert isinstance(await backend.store.peek(ticket), Session)
    async with asyncio.timeout(20):
        while not before.isdisjoint(await rotated.connections()):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)
    await rotated.admin.execute_command("CLIENT", "KILL", "USER", rotated.user)
    assert isinstance(await backend.store.load_fresh(ticket), Session)  # it connects with the new password
    assert isinstance(await backend.store.peek(ticket), Session)
    assert (await backend.customers.by_number("nobody"), await backend.limits.guest("192.0.2.1")) == (
        [],
        True,
    )


@pytest.mark.parametrize("wrong", ["password", "rights", "port", "kind"])
async def test_a_url_that_does_not_work_changes_nothing_until_it_works(
    rotated: Rotated, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    backend = rotated.open(url=await rotated.allow("one"))
    ticket, _ = await begin(backend)
    bare = "bare" + secrets.token_hex(4)
    await rotated.admin.execute_command("ACL", "SETUSER", bare, "on", ">one", "+ping", "+hello", "+client")
    wrong_url = {
        "password": rotated.url_with("two"),
        "rights": rotated.url_with("one").replace(rotated.user, bare),
        "port": "redis://127.0.0.1:1",
        "kind": "redis+cluster://127.0.0.1:1",
    }[wrong]
    backend.use_url(Secret(wrong_url))
    await until(lambda: any(one.getMessage() == "redis_url_not_reloaded" for one in caplog.records))
    assert isinstance(await backend.store.peek(ticket), Session)
    assert isinstance(await backend.store.load_fresh(ticket), Session)
    await went_over(backend, await rotated.allow("two"))
    assert isinstance(await backend.store.peek(ticket), Session)


async def test_nothing_of_another_server_is_served_from_memory(rotated: Rotated) -> None:
    backend = rotated.open(url=await rotated.allow("one"))
    ticket, _ = await begin(backend)
    assert isinstance(await backend.store.peek(ticket), Session)
    with serving(next(iter(PROGRAMS))) as elsewhere:
        await went_over(backend, elsewhere)
        assert await backend.store.peek(ticket) is None
        ticket, _ = await begin(backend)
        assert isinstance(await backend.store.peek(ticket), Session)
        other = rotated.open(url=elsewhere)
        assert await other.store.retire(ticket, EndReason.ENDED)
        assert isinstance(await backend.store.peek(ticket), Tombstone)
        await backend.aclose()
        await other.aclose()


async def test_a_command_that_is_under_way_ends_where_it_began(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaceable, "_LAST_SECONDS", 0.4)
    key = "list" + secrets.token_hex(4)
    client: Any = ReplaceableRedis(connect(Secret(url)))
    script = client.register_script("return redis.call('RPUSH', KEYS[1], ARGV[1])")
    waiting = asyncio.create_task(client.blpop([key], 0.3))
    await asyncio.sleep(0.05)
    old = client.client
    closed = asyncio.ensure_future(client.replace(connect(Secret(url))))
    assert client.client is not old
    assert await script([key], [b"pushed"]) == 1
    assert list(await waiting) == [key.encode(), b"pushed"]
    await closed
    await client.aclose()
    assert not any(one.is_connected for one in old.connection_pool._available_connections)
