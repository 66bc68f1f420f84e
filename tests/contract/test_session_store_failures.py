"""What a session store must do when Redis fails it: say so in one way, and mix nothing up."""

import asyncio
import secrets
import socket
from dataclasses import replace

import pytest

from bff.errors import StoreUnavailable
from bff.security.secret import Secret
from bff.session import Tombstone
from bff.store.connection import connect
from bff.store.redis_store import RedisSessionStore
from tests.contract.backends import PROGRAMS, serving
from tests.contract.conftest import Kept
from tests.live import free_port
from tests.unit.relay import relaying
from tests.unit.support import Clock, a_session, bare, new_ring, new_ticket

pytestmark = pytest.mark.anyio


async def test_a_retried_command_recognises_its_own_success(kept: Kept) -> None:
    """The server did what it was told and its answer was lost: the client asks again.

    The server must know every script beforehand: it answers the first call of one that it does not know with an
    error, and what would be lost is that error.
    """
    await all_scripts_run(kept)
    async with relaying(kept.url) as relay:
        redis = bare(connect(Secret(relay.url)))
        store, ticket = kept.again(redis), new_ticket()
        await store.peek(ticket)
        relay.mute = 1
        first = await store.create(ticket, a_session())
        assert relay.mute == 0
        relay.mute = 1
        second = await store.replace(ticket, replace(first, version=2))
        assert relay.mute == 0
        assert second is not None
        assert second.generation == 2
        assert await kept.store.peek(ticket) == second
        relay.mute = 1
        assert await store.retire(ticket, "ended", generation=2)
        assert relay.mute == 0
        assert await kept.store.peek(ticket) == Tombstone("ended", None)
        await redis.aclose()


async def all_scripts_run(kept: Kept) -> None:
    """Run create, replace and retire once, so that the server keeps their scripts."""
    ticket, session = await kept.begin()
    assert await kept.store.replace(ticket, session)
    assert await kept.store.retire(ticket, "ended")


async def test_a_cancelled_command_never_gives_its_answer_to_the_next_caller(kept: Kept) -> None:
    """Answers come late and many who wait for them leave; who stays gets their own and nobody else's."""
    sessions = dict([await kept.begin() for _ in range(12)])
    async with relaying(kept.url) as relay:
        relay.delay = 0.02
        redis = bare(connect(Secret(relay.url)))
        store = kept.again(redis)
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
        await redis.aclose()


async def assert_unavailable(url: str) -> None:
    """Every method of a store that gets no answer says so, and in no other way."""
    redis = bare(connect(Secret(url)))
    ring = new_ring()
    store = RedisSessionStore(
        redis, ring.record_sealer(), "shop", clock=Clock(), random_bytes=secrets.token_bytes
    )
    ticket, session = new_ticket(), a_session()
    asked = [
        store.ping(),
        store.peek(ticket),
        store.create(ticket, session),
        store.replace(ticket, session),
        store.retire(ticket, "ended"),
        store.delete(ticket),
        store.try_lock(ticket, 1),
        store.unlock(ticket, b"owner"),
        store.claim(bytes(32), 1),
        store.last_seen(bytes(32)),
    ]
    outcomes = await asyncio.gather(*asked, return_exceptions=True)
    await redis.aclose()
    assert [type(outcome) for outcome in outcomes] == [StoreUnavailable] * len(asked)
    assert not any("t0psecret" in f"{outcome!r} {vars(outcome)}" for outcome in outcomes)


async def test_a_port_where_nobody_listens_is_unavailable() -> None:
    await assert_unavailable(f"redis://:t0psecret@127.0.0.1:{free_port()}")


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
