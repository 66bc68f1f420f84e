"""What the store must do when Redis fails it: say so in one way, and mix nothing up."""

import asyncio
import socket
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest

from bff.errors import StoreUnavailable
from bff.session import EndReason, HeldSession, SessionKind, Tombstone
from bff.store.backend import Backend
from bff.store.protocol import OwnSession, RatedCall
from tests.contract.backends import PROGRAMS, serving
from tests.contract.on_redis import OnRedis
from tests.contract.replicas import Replicas, begin
from tests.live import free_port
from tests.relay import relaying
from tests.values import a_session, new_ticket

pytestmark = pytest.mark.anyio

PATIENCE_SECONDS = 30.0


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give clients so long that a busy machine is no failure."""
    monkeypatch.setattr("bff.store.connection.TIMEOUT_SECONDS", PATIENCE_SECONDS)
    monkeypatch.setattr("bff.store.redis_failures.DEADLINE_SECONDS", PATIENCE_SECONDS)


async def test_a_retried_command_recognises_its_own_success(on_redis: OnRedis) -> None:
    """The server ran a command and its reply was lost: the client sends the command again.

    The server must know every script beforehand: it answers the first call of one that it does not know with an
    error, and what would be lost is that error.
    """
    await all_scripts_run(on_redis.backend)
    async with relaying(on_redis.url) as relay:
        store, ticket = on_redis.open(url=relay.url).store, new_ticket()
        await store.peek(ticket)
        relay.mute = 1
        first = await store.create(ticket, a_session())
        assert relay.mute == 0
        relay.mute = 1
        second = await store.replace(ticket, replace(first, version=2))
        assert relay.mute == 0
        assert second is not None
        assert second.generation == 2
        assert await on_redis.store.peek(ticket) == second
        relay.mute = 1
        assert await store.retire(ticket, EndReason.ENDED, generation=2)
        assert relay.mute == 0
        assert await on_redis.store.peek(ticket) == Tombstone(EndReason.ENDED, None)


async def test_a_retried_succession_recognises_its_own_success(on_redis: OnRedis) -> None:
    await all_scripts_run(on_redis.backend)
    async with relaying(on_redis.url) as relay:
        store, new = on_redis.open(url=relay.url).store, new_ticket()
        ticket, guest = await begin(on_redis.backend)
        relay.mute = 1
        created = await store.supersede(HeldSession(ticket, guest), new, a_session())
        assert relay.mute == 0
        assert created is not None
        assert await on_redis.store.load_fresh(new) == created
        assert isinstance(await on_redis.store.load_fresh(ticket), Tombstone)


async def test_a_retried_lock_is_its_owners(on_redis: OnRedis) -> None:
    await all_scripts_run(on_redis.backend)
    async with relaying(on_redis.url) as relay:
        backend, ticket = on_redis.open(url=relay.url), new_ticket()
        await backend.store.ping()
        relay.mute = 1
        async with backend.locks.hold(ticket) as lock:
            assert relay.mute == 0
            assert lock.acquired
            assert await on_redis.is_locked(ticket)
        assert not await on_redis.is_locked(ticket)


async def all_scripts_run(backend: Backend) -> None:
    """Run every script that writes once, so that the server knows them all."""
    ticket, session = await begin(backend)
    assert await backend.store.replace(ticket, session)
    assert await backend.store.retire(ticket, EndReason.ENDED)
    ticket, session = await begin(backend)
    assert await backend.store.supersede(HeldSession(ticket, session), new_ticket(), a_session())
    async with backend.locks.hold(ticket):
        pass


@pytest.mark.usefixtures("patient")
async def test_a_cancelled_command_never_gives_its_answer_to_the_next_caller(on_redis: OnRedis) -> None:
    """Answers come late and many who wait for them leave; who stays gets their own and nobody else's."""
    sessions = dict([await begin(on_redis.backend) for _ in range(12)])
    async with relaying(on_redis.url) as relay:
        relay.delay = 0.02
        store = on_redis.open(url=relay.url).store
        left = 0
        for turn in range(12):
            loads = {ticket: asyncio.create_task(store.load_fresh(ticket)) for ticket in sessions}
            leaving = list(loads.values())[turn % 3 :: 2]
            await asyncio.sleep(0.003 * turn)
            for task in leaving:
                task.cancel()
            await asyncio.gather(*loads.values(), return_exceptions=True)
            left += sum(task.cancelled() for task in loads.values())
            stayed = {ticket: task for ticket, task in loads.items() if not task.cancelled()}
            assert all(task.result() == sessions[ticket] for ticket, task in stayed.items())
            for ticket in list(sessions)[:3]:
                assert await store.load_fresh(ticket) == sessions[ticket]
        assert left > 24, "hardly anybody left while waiting"


@pytest.mark.usefixtures("patient")
async def test_a_cancelled_list_never_gives_its_entries_to_the_next_caller(on_redis: OnRedis) -> None:
    """The same where one round trip has several replies."""
    emails = [f"{number}@example.com" for number in range(6)]
    for email in emails:
        ticket, session = await begin(on_redis.backend, kind=SessionKind.CUSTOMER, email=email)
        await on_redis.backend.customers.add(ticket, session)
    expected = {email: await on_redis.backend.customers.by_email(email) for email in emails}
    async with relaying(on_redis.url) as relay:
        relay.delay = 0.02
        customers = on_redis.open(url=relay.url).customers
        left = 0
        for turn in range(8):
            lists = {email: asyncio.create_task(customers.by_email(email)) for email in emails}
            await asyncio.sleep(0.006 * turn)
            for task in list(lists.values())[turn % 2 :: 2]:
                task.cancel()
            await asyncio.gather(*lists.values(), return_exceptions=True)
            left += sum(task.cancelled() for task in lists.values())
            stayed = {email: task for email, task in lists.items() if not task.cancelled()}
            assert all(task.result() == expected[email] for email, task in stayed.items())
        assert left > 8, "hardly anybody left while waiting"


async def hold_once(backend: Backend) -> None:
    async with backend.locks.hold(new_ticket()):
        raise AssertionError


async def assert_unavailable(url: str) -> None:
    """Every method of a store that gets no answer says so, and in no other way; rate limits let through."""
    async with Replicas(url) as replicas:
        backend = replicas.open()
        ticket, guest = new_ticket(), a_session()
        customer = a_session(kind=SessionKind.CUSTOMER, email="ada@example.com")
        entry = OwnSession("ref", bytes(32), 0, 0, guest.carrier, None, None, None)
        asked: list[Awaitable[Any]] = [
            backend.store.ping(),
            backend.store.peek(ticket),
            backend.store.load_fresh(ticket),
            backend.store.create(ticket, guest),
            backend.store.replace(ticket, guest),
            backend.store.supersede(HeldSession(ticket, guest), new_ticket(), guest),
            backend.store.retire(ticket, EndReason.ENDED),
            backend.store.retire_name(bytes(32), EndReason.ENDED),
            backend.store.delete(ticket),
            backend.store.claim(bytes(32), 1),
            backend.store.pause(bytes(32), 1),
            backend.store.paused_for(bytes(32)),
            backend.store.last_seen([bytes(32)]),
            backend.store.names(),
            backend.store.inspect(),
            hold_once(backend),
            backend.customers.add(ticket, customer),
            backend.customers.own(ticket, customer),
            backend.customers.by_email("ada@example.com"),
            backend.customers.by_number("10"),
            backend.customers.end(entry, EndReason.ENDED),
            backend.customers.end_others(ticket, customer, EndReason.ENDED),
        ]
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * len(asked)
        for outcome in outcomes:
            assert isinstance(outcome, StoreUnavailable)
            assert outcome.__cause__ is None, "a log would show it, with what it says of the server"
            assert "t0psecret" not in f"{outcome!r} {vars(outcome)}"
        limits = backend.limits
        counted = [
            await limits.guest("::1"),
            await limits.sign_on("::1"),
            await limits.account("::1", "ada"),
            await limits.call(RatedCall.REFRESH, "::1"),
        ]
        assert counted == [False] * 4


async def test_a_port_where_nobody_listens_is_unavailable() -> None:
    await assert_unavailable(f"redis://:t0psecret@127.0.0.1:{free_port()}")


async def test_a_cluster_where_nobody_listens_is_unavailable() -> None:
    await assert_unavailable(f"redis+cluster://:t0psecret@127.0.0.1:{free_port()}")


async def test_a_server_that_accepts_and_never_answers_is_unavailable() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        await assert_unavailable(f"redis://127.0.0.1:{silent.getsockname()[1]}")


@pytest.mark.skipif(not PROGRAMS, reason="no server program is here to ask for a password")
@pytest.mark.parametrize("credentials", ["", ":t0psecret-wrong@"])
async def test_a_server_that_wants_another_password_is_unavailable(credentials: str) -> None:
    with serving(next(iter(PROGRAMS)), "--requirepass", "right") as url:
        await assert_unavailable(url.replace("//", f"//{credentials}"))
