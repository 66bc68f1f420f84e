"""The simulation's own ground: time, order, and what freezing and killing a process mean."""

import asyncio
from random import Random  # noqa: TID251 - from a seed

import pytest

from tests.simulation.loop import Stuck, VirtualLoop
from tests.simulation.replica import Replica


def a_loop(seed: int = 0) -> VirtualLoop:
    random = Random(seed)
    return VirtualLoop(lambda ready: int(random.random() * ready))


def a_replica(loop: VirtualLoop) -> Replica:
    return Replica("one", loop, lambda _: None, lambda _: None)


def test_time_jumps_to_the_next_timer() -> None:
    loop = a_loop()

    async def waits() -> float:
        await asyncio.sleep(3600)
        return loop.time()

    assert loop.run(waits()) == 3600


def test_a_seed_decides_which_callback_is_first() -> None:
    async def order() -> tuple[int, ...]:
        seen: list[int] = []

        async def one(number: int) -> None:
            seen.append(number)

        await asyncio.gather(*(one(number) for number in range(5)))
        return tuple(seen)

    orders = [a_loop(seed).run(order()) for seed in range(20)]
    assert len(set(orders)) > 5
    assert orders == [a_loop(seed).run(order()) for seed in range(20)]


def test_waiting_for_what_never_comes_is_found_out() -> None:
    loop = a_loop()

    async def waits() -> None:
        await loop.create_future()

    with pytest.raises(Stuck):
        loop.run(waits())
    loop.run(loop.cancel_all())


def test_a_deadline_is_one_of_virtual_time() -> None:
    async def in_time() -> None:
        async with asyncio.timeout(5):
            await asyncio.sleep(10)

    with pytest.raises(TimeoutError):
        a_loop().run(in_time())


def test_a_frozen_process_goes_on_where_it_was() -> None:
    loop = a_loop()
    replica = a_replica(loop)
    steps: list[float] = []

    async def works() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            steps.append(loop.time())

    async def freezes() -> None:
        task = replica.start(works())
        await asyncio.sleep(1.5)
        replica.freeze(10)
        await task

    loop.run(freezes())
    assert steps == [1.0, 11.5, 12.5]


def test_a_killed_process_runs_nothing_more() -> None:
    loop = a_loop()
    replica = a_replica(loop)
    after: list[str] = []

    async def works() -> None:
        try:
            await asyncio.sleep(1)
            after.append("work")
        finally:
            after.append("finally")

    async def kills() -> list[str]:
        replica.start(works())
        await asyncio.sleep(0.5)
        replica.kill()
        await asyncio.sleep(100)
        return list(after)

    assert loop.run(kills()) == []
    replica.revive()
    loop.run(loop.cancel_all())
