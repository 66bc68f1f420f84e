"""One worker at a time per session, over all replicas."""

import asyncio
import hashlib

import pytest

from bff.errors import StoreUnavailable, UpstreamUnavailable
from bff.store.locks import LOCK_SECONDS, WAIT_SECONDS, Locks
from bff.upstream.token_calls import DEADLINE_SECONDS
from tests.unit.relay import relaying
from tests.unit.support import Clock, Replica, bare, new_replica, new_ticket

pytestmark = pytest.mark.anyio


async def test_the_block_has_the_lock_and_gives_it_back(replica: Replica) -> None:
    ticket = new_ticket()
    async with replica.ports.locks.hold(ticket) as found:
        assert found is None
        assert await replica.store.try_lock(ticket, 1) is None
    assert await replica.store.try_lock(ticket, 1) is not None


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, StoreUnavailable])
async def test_the_lock_is_given_back_however_the_block_ends(
    replica: Replica, error: type[BaseException]
) -> None:
    ticket = new_ticket()
    with pytest.raises(error):
        async with replica.ports.locks.hold(ticket):
            raise error
    assert await replica.store.try_lock(ticket, 1) is not None


async def test_workers_of_two_replicas_come_one_after_the_other(replica: Replica, redis_url: str) -> None:
    ticket, inside, most, done = new_ticket(), 0, 0, 0
    async with new_replica(redis_url, keys=new_keys()) as other:

        async def work(locks: Locks) -> None:
            nonlocal inside, most, done
            async with locks.hold(ticket):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.01)
                inside -= 1
                done += 1

        await asyncio.gather(*(work(one.ports.locks) for one in (replica, other) * 4))
    assert (most, done) == (1, 8)


async def test_locks_of_different_sessions_do_not_wait_for_each_other(replica: Replica) -> None:
    one, other = new_ticket(), new_ticket()
    async with replica.ports.locks.hold(one), replica.ports.locks.hold(other):
        assert [await replica.store.try_lock(ticket, 1) for ticket in (one, other)] == [None, None]


async def test_a_waiter_goes_on_without_the_lock_once_there_is_a_result(replica: Replica) -> None:
    ticket, results, asked = new_ticket(), ["", "", "result"], 0

    async def unless() -> str | None:
        nonlocal asked
        asked += 1
        return results.pop(0) or None

    async with replica.ports.locks.hold(ticket):
        async with replica.ports.locks.hold(ticket, unless=unless) as found:
            assert found == "result"
        assert asked == 3
        assert await replica.store.try_lock(ticket, 1) is None, (
            "the waiter took or freed a lock that it had not"
        )


async def test_who_gets_the_lock_at_once_does_not_ask_for_a_result(replica: Replica) -> None:
    async def unless() -> str | None:
        raise AssertionError

    async with replica.ports.locks.hold(new_ticket(), unless=unless) as found:
        assert found is None


async def test_an_error_of_the_question_ends_the_waiting(replica: Replica) -> None:
    async def unless() -> str | None:
        raise ValueError("the session has ended")

    ticket = new_ticket()
    async with replica.ports.locks.hold(ticket):
        with pytest.raises(ValueError, match="ended"):
            async with replica.ports.locks.hold(ticket, unless=unless):
                raise AssertionError
        assert await replica.store.try_lock(ticket, 1) is None


async def test_waiting_ends_with_a_503(replica: Replica) -> None:
    ticket, clock = new_ticket(), Clock()
    locks = Locks(replica.store, clock=clock, jitter=lambda: 0.0)

    async def unless() -> str | None:
        clock.at += WAIT_SECONDS / 2
        return None

    async with replica.ports.locks.hold(ticket):
        with pytest.raises(UpstreamUnavailable) as caught:
            async with locks.hold(ticket, unless=unless):
                raise AssertionError
    assert caught.value.retry_after == 1


async def test_the_lock_outlives_all_that_its_holder_may_ask_of_upstream(replica: Replica) -> None:
    ticket = new_ticket()
    name = f"bff:acmeshop:{{{hashlib.sha256(ticket.id).hexdigest()}}}:lock"
    async with replica.ports.locks.hold(ticket):
        left = await bare(replica.redis).pttl(name)
    assert 4 * DEADLINE_SECONDS * 1000 < left <= LOCK_SECONDS * 1000


async def test_a_store_that_fails_at_the_end_does_not_spoil_the_work(redis_url: str) -> None:
    async with relaying(redis_url) as relay, engine(relay.url) as one:
        ticket = new_ticket()
        async with one.ports.locks.hold(ticket):
            relay.deaf = True
        relay.deaf = False
        assert await one.store.try_lock(ticket, 1) is None, "the store had not failed"


async def test_a_store_that_fails_at_the_beginning_is_said(redis_url: str) -> None:
    async with relaying(redis_url) as relay, engine(relay.url) as one:
        relay.deaf = True
        with pytest.raises(StoreUnavailable):
            async with one.ports.locks.hold(new_ticket()):
                raise AssertionError
        relay.deaf = False


async def test_a_cancelled_waiter_leaves_the_lock_to_its_holder(replica: Replica) -> None:
    ticket, asked = new_ticket(), asyncio.Event()

    async def unless() -> str | None:
        asked.set()
        await asyncio.Event().wait()
        return None

    async def wait() -> None:
        async with replica.ports.locks.hold(ticket, unless=unless):
            raise AssertionError

    async with replica.ports.locks.hold(ticket):
        waiting = asyncio.create_task(wait())
        await asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert await replica.store.try_lock(ticket, 1) is None
    assert await replica.store.try_lock(ticket, 1) is not None
