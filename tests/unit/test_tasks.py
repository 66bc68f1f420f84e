"""Work that ends once it has begun."""

import asyncio
import gc

import pytest

from bff.sessions.tasks import Tasks

pytestmark = pytest.mark.anyio


async def test_a_leaving_client_cancels_only_its_own_waiting() -> None:
    tasks, go, done = Tasks(), asyncio.Event(), list[str]()

    async def work() -> None:
        await go.wait()
        done.append("stored")

    waiting = asyncio.create_task(tasks.finish(work()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not done
    go.set()
    await tasks.drain()
    assert done == ["stored"]


async def test_what_the_work_returns_and_raises_comes_through() -> None:
    tasks = Tasks()

    async def good() -> int:
        return 7

    async def bad() -> int:
        raise ValueError("no")

    assert await tasks.finish(good()) == 7
    with pytest.raises(ValueError, match="no"):
        await tasks.finish(bad())


async def test_drain_waits_for_work_that_work_begins() -> None:
    tasks, done = Tasks(), list[str]()

    async def second() -> None:
        await asyncio.sleep(0)
        done.append("second")

    async def first() -> None:
        await asyncio.sleep(0)
        tasks.start(second())
        done.append("first")

    tasks.start(first())
    await tasks.drain()
    assert done == ["first", "second"]


async def test_drain_of_nothing_returns() -> None:
    await Tasks().drain()


async def test_running_work_survives_the_garbage_collector() -> None:
    tasks, done = Tasks(), list[str]()

    async def work() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
            gc.collect()
        done.append("done")

    tasks.start(work())
    await tasks.drain()
    assert done == ["done"]


async def test_an_error_that_nobody_waits_for_is_no_noise() -> None:
    tasks, noise = Tasks(), list[dict[str, object]]()
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: noise.append(context))

    async def bad() -> None:
        raise ValueError("no")

    tasks.start(bad())
    await tasks.drain()
    gc.collect()
    await asyncio.sleep(0)
    assert not noise
