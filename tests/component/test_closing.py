"""What the end of a process leaves behind."""

import asyncio

import pytest

from bff.store.redis_keys import RedisKeys
from tests.support import bare, new_replica
from tests.values import TENANT

pytestmark = pytest.mark.anyio


async def test_work_that_is_cut_short_gives_its_lock_back(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bff.app._FINISH_SECONDS", 0)
    async with new_replica(redis_url) as one:
        held = await one.guest()
        begun = asyncio.Event()

        async def hangs() -> None:
            async with one.ports.locks.hold(held.ticket):
                begun.set()
                await asyncio.Event().wait()

        cut_short = one.ports.tasks.start(hangs())
        await begun.wait()
        await one.proxy.aclose()
        assert cut_short.cancelled()
        assert not await bare(one.redis).exists(RedisKeys(TENANT).lock(held.ticket.record_name))
