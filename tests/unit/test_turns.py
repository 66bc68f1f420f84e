"""So many at once, the rest in their order, and nobody waits for long."""

import asyncio

import pytest

from bff.errors import NotAsked
from bff.sessions.turns import Turns

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Crowd:
    """Workers that take turns and end when they are told to."""

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self.begun: list[int] = []
        self.go = asyncio.Event()

    async def work(self, number: int) -> None:
        async with self._turns.turn():
            self.begun.append(number)
            await self.go.wait()


async def test_no_more_than_the_bound_work_at_once_and_the_others_follow_in_their_order() -> None:
    crowd = Crowd(Turns(2, wait_seconds=60))
    workers = [asyncio.create_task(crowd.work(number)) for number in range(5)]
    await settle()
    assert crowd.begun == [0, 1]
    crowd.go.set()
    await asyncio.gather(*workers)
    assert crowd.begun == [0, 1, 2, 3, 4]


async def test_whose_turn_does_not_come_is_refused_without_having_begun() -> None:
    crowd = Crowd(Turns(1, wait_seconds=0.01))
    first = asyncio.create_task(crowd.work(0))
    await settle()
    with pytest.raises(NotAsked) as refused:
        await crowd.work(1)
    assert (refused.value.status, refused.value.retry_after) == (503, 1)
    crowd.go.set()
    await first
    assert crowd.begun == [0]


@pytest.mark.parametrize("leave", ["waiting", "working"])
async def test_who_leaves_takes_no_turn_along(leave: str) -> None:
    crowd = Crowd(Turns(1, wait_seconds=60))
    workers = [asyncio.create_task(crowd.work(number)) for number in range(3)]
    await settle()
    workers.pop(1 if leave == "waiting" else 0).cancel()
    crowd.go.set()
    await asyncio.gather(*workers)
    assert len(crowd.begun) == (2 if leave == "waiting" else 3)
