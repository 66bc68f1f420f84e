"""What every backend's session locks must do: one worker at a time, who sees the session as it is."""

import asyncio
from dataclasses import replace

import pytest

from bff.errors import StoreUnavailable, UpstreamTimeout, UpstreamUnavailable
from bff.session import EndReason, Session, Ticket, Tombstone
from bff.store.backend import Backend, LockTimes
from bff.store.protocol import Found, LockedRead, SessionLocks
from tests.contract.replicas import Replicas, begin
from tests.values import NOW, Clock, new_ticket

pytestmark = pytest.mark.anyio

WAIT = 11.0


async def test_the_block_has_the_lock_and_gives_it_back(replicas: Replicas, backend: Backend) -> None:
    ticket = new_ticket()
    async with backend.locks.hold(ticket) as lock:
        assert lock == LockedRead(None, acquired=True)
        assert await replicas.is_locked(ticket)
    assert not await replicas.is_locked(ticket)


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, StoreUnavailable])
async def test_the_lock_is_given_back_however_the_block_ends(
    replicas: Replicas, backend: Backend, error: type[BaseException]
) -> None:
    ticket = new_ticket()
    with pytest.raises(error):
        async with backend.locks.hold(ticket):
            raise error
    async with asyncio.timeout(20):
        while await replicas.is_locked(ticket):  # noqa: ASYNC110 - a store tells nobody
            await asyncio.sleep(0.02)


async def test_the_block_sees_the_session_as_it_is_and_extends_nothing(
    backend: Backend, clock: Clock
) -> None:
    ticket, first = await begin(backend, idle_seconds=36_000)
    written = await backend.store.replace(ticket, replace(first, version=2))
    clock.at = NOW + 30_000
    async with backend.locks.hold(ticket) as lock:
        assert lock == LockedRead(written, acquired=True)
    await backend.store.retire(ticket, EndReason.ENDED)
    async with backend.locks.hold(ticket) as lock:
        assert lock == LockedRead(Tombstone(EndReason.ENDED, None), acquired=True)
    other, _ = await begin(backend, idle_seconds=36_000)
    async with backend.locks.hold(other) as lock:
        assert isinstance(lock.found, Session)
    clock.at = NOW + 36_000
    async with backend.locks.hold(other) as lock:
        assert lock == LockedRead(None, acquired=True)


async def test_workers_of_two_replicas_come_one_after_the_other(replicas: Replicas, backend: Backend) -> None:
    ticket, inside, most, done = new_ticket(), 0, 0, 0

    async def work(locks: SessionLocks) -> None:
        nonlocal inside, most, done
        async with locks.hold(ticket):
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.01)
            inside -= 1
            done += 1

    await asyncio.gather(*(work(one.locks) for one in (backend, replicas.open()) * 4))
    assert (most, done) == (1, 8)


async def test_each_worker_sees_what_the_one_before_has_written(replicas: Replicas, backend: Backend) -> None:
    ticket, _ = await begin(backend, version=0)

    async def work(one: Backend) -> None:
        async with one.locks.hold(ticket) as lock:
            assert isinstance(lock.found, Session)
            written = replace(lock.found, version=lock.found.version + 1)
            assert await one.store.replace(ticket, written) is not None

    await asyncio.gather(*(work(one) for one in (backend, replicas.open()) * 4))
    found = await backend.store.load_fresh(ticket)
    assert isinstance(found, Session)
    assert found.version == 8


async def test_locks_of_different_sessions_do_not_wait_for_each_other(
    replicas: Replicas, backend: Backend
) -> None:
    one, other = new_ticket(), new_ticket()
    async with backend.locks.hold(one), backend.locks.hold(other):
        assert [await replicas.is_locked(ticket) for ticket in (one, other)] == [True, True]


async def test_a_waiter_goes_on_without_the_lock_once_there_is_a_result(
    replicas: Replicas, backend: Backend
) -> None:
    ticket, first = await begin(backend)
    asked: list[Found] = []
    third_look = asyncio.Event()

    def unless(found: Found) -> bool:
        asked.append(found)
        if len(asked) == 3:
            third_look.set()
        return isinstance(found, Session) and found.version == 2

    async def write() -> Session | None:
        await third_look.wait()
        return await backend.store.replace(ticket, replace(first, version=2))

    async with backend.locks.hold(ticket):
        writing = asyncio.create_task(write())
        async with replicas.open().locks.hold(ticket, unless=unless) as lock:
            assert lock == LockedRead(await writing, acquired=False)
        assert asked[:3] == [first] * 3
        assert await replicas.is_locked(ticket), "the waiter took or freed a lock that it had not"


async def test_who_gets_the_lock_at_once_does_not_ask_for_a_result(backend: Backend) -> None:
    def unless(_found: Found) -> bool:
        raise AssertionError

    ticket, session = await begin(backend)
    async with backend.locks.hold(ticket, unless=unless) as lock:
        assert lock == LockedRead(session, acquired=True)


async def test_an_error_of_the_question_ends_the_waiting(replicas: Replicas, backend: Backend) -> None:
    def unless(_found: Found) -> bool:
        raise ValueError("the session has ended")

    ticket = new_ticket()
    async with backend.locks.hold(ticket):
        with pytest.raises(ValueError, match="ended"):
            async with backend.locks.hold(ticket, unless=unless):
                raise AssertionError
        assert await replicas.is_locked(ticket)


async def test_waiting_ends_with_a_503(replicas: Replicas, backend: Backend) -> None:
    ticket, monotonic, asked = new_ticket(), Clock(), 0
    patient = replicas.open(monotonic=monotonic, lock_times=LockTimes(wait=WAIT))

    def unless(_found: Found) -> bool:
        nonlocal asked
        asked += 1
        monotonic.at += WAIT / 2
        return False

    async with backend.locks.hold(ticket):
        with pytest.raises(UpstreamUnavailable) as caught:
            async with patient.locks.hold(ticket, unless=unless):
                raise AssertionError
        assert await replicas.is_locked(ticket)
    assert caught.value.retry_after == 1
    assert asked == 2


async def test_a_cancelled_waiter_leaves_the_lock_to_its_holder(replicas: Replicas, backend: Backend) -> None:
    ticket, asked = new_ticket(), asyncio.Event()

    def unless(_found: Found) -> bool:
        asked.set()
        return False

    async def wait() -> None:
        async with replicas.open().locks.hold(ticket, unless=unless):
            raise AssertionError

    async with backend.locks.hold(ticket):
        waiting = asyncio.create_task(wait())
        await asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await replicas.is_locked(ticket)
    assert not await replicas.is_locked(ticket)


async def test_a_locked_session_is_read_and_written_by_whoever_does_not_ask_for_the_lock(
    replicas: Replicas, backend: Backend
) -> None:
    ticket, session = await begin(backend)
    other = replicas.open().store
    async with backend.locks.hold(ticket):
        assert await other.peek(ticket) == session
        assert await other.retire(ticket, EndReason.ENDED)
    assert await other.load_fresh(ticket) == Tombstone(EndReason.ENDED, None)


async def test_a_lock_is_no_session(backend: Backend) -> None:
    ticket: Ticket = new_ticket()
    async with backend.locks.hold(ticket):
        assert await backend.store.load_fresh(ticket) is None
        assert await backend.store.names() == []


# Renewals: a mark before upstream is asked, and a fencing number


async def lost_renewal(backend: Backend, ticket: Ticket) -> Session:
    """Renew a session with an end that nobody knows; return the session as this renewal would write it."""
    began: list[Found] = []

    async def renew() -> None:
        async with backend.locks.hold(ticket, renews=True) as lock:
            began.append(lock.found)
            raise UpstreamTimeout

    with pytest.raises(UpstreamTimeout):
        await renew()
    (session,) = began
    assert isinstance(session, Session)
    return session


async def written(backend: Backend, ticket: Ticket, renewed: Session, over: Session) -> Session | None:
    return await backend.store.replace(ticket, replace(renewed, generation=over.generation))


async def is_open(replicas: Replicas, ticket: Ticket) -> bool:
    """Say whether an earlier renewal never came to an end that is known; this one does."""
    async with replicas.open().locks.hold(ticket, renews=True) as lock:
        return lock.renewal_open


async def test_a_renewal_whose_end_nobody_knows_is_known_to_the_next(
    replicas: Replicas, backend: Backend
) -> None:
    ticket, session = await begin(backend)
    async with backend.locks.hold(ticket, renews=True) as lock:
        assert lock == LockedRead(session, acquired=True, renewal_open=False)
    early = await lost_renewal(backend, ticket)
    async with replicas.open().locks.hold(ticket, renews=True) as lock:
        assert lock == LockedRead(session, acquired=True, renewal_open=True)
        assert isinstance(lock.found, Session)
        assert 0 < early.fence < lock.found.fence
    async with backend.locks.hold(ticket) as lock:
        assert isinstance(lock.found, Session)
        assert (lock.found.fence, lock.renewal_open) == (0, False), "what renews nothing has neither"


async def test_a_renewal_that_is_stored_or_refused_leaves_no_mark(
    replicas: Replicas, backend: Backend
) -> None:
    ticket, session = await begin(backend)
    assert not await is_open(replicas, ticket)
    assert not await is_open(replicas, ticket), "the one before has ended without an error"
    assert await written(backend, ticket, await lost_renewal(backend, ticket), session)
    assert not await is_open(replicas, ticket), "what it got is stored"


async def test_a_renewal_writes_nothing_after_a_later_one(replicas: Replicas, backend: Backend) -> None:
    ticket, session = await begin(backend)
    early, late = await lost_renewal(backend, ticket), await lost_renewal(replicas.open(), ticket)
    newest = await written(backend, ticket, late, session)
    assert newest is not None
    assert await written(backend, ticket, early, newest) is None
    assert await backend.store.load_fresh(ticket) == newest


async def test_a_renewal_that_is_late_writes_before_a_later_one(replicas: Replicas, backend: Backend) -> None:
    """Upstream may have spent the refresh token for its tokens; the later one writes over them."""
    ticket, session = await begin(backend)
    early, late = await lost_renewal(backend, ticket), await lost_renewal(replicas.open(), ticket)
    first = await written(backend, ticket, early, session)
    assert first is not None
    assert await is_open(replicas, ticket), "the later one may still have tokens"
    assert await written(backend, ticket, late, first) is not None


async def test_a_renewal_of_nothing_leaves_nothing(backend: Backend) -> None:
    ticket, _ = await begin(backend)
    await backend.store.delete(ticket)
    async with backend.locks.hold(ticket, renews=True) as lock:
        assert lock == LockedRead(None, acquired=True)
    assert await backend.store.names() == []
