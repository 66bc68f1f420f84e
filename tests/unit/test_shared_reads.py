"""Equal reads at once are one, and none answers with what was before it was asked for."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from bff.store.shared_reads import SharedReads

pytestmark = pytest.mark.anyio


@dataclass
class Shelf:
    """Something to read, slowly: what a read returns is what was there when it began."""

    value: str = "old"
    reads: list[asyncio.Future[None]] = field(default_factory=list)

    async def look(self) -> str:
        value = self.value
        self.reads.append(asyncio.get_running_loop().create_future())
        await self.reads[-1]
        return value


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
def begin(shelf: Shelf) -> Callable[..., asyncio.Task[str]]:
    shared: SharedReads[str, str] = SharedReads()
    return lambda key="one": asyncio.create_task(shared.read(key, shelf.look))


async def test_a_crowd_shares_one_read_that_begins_after_it_came(
    shelf: Shelf, begin: Callable[..., asyncio.Task[str]]
) -> None:
    first = begin()
    await settle()
    shelf.value = "new"
    crowd = [begin() for _ in range(100)]
    await settle()
    assert len(shelf.reads) == 1
    shelf.reads[0].set_result(None)
    await settle()
    assert len(shelf.reads) == 2
    shelf.reads[1].set_result(None)
    assert await first == "old"
    assert await asyncio.gather(*crowd) == ["new"] * 100


async def test_who_comes_during_the_second_read_gets_a_third(
    shelf: Shelf, begin: Callable[..., asyncio.Task[str]]
) -> None:
    readers = []
    for number in range(3):
        readers.append(begin())
        await settle()
        readers.append(begin())
        await settle()
        assert len(shelf.reads) == number + 1
        shelf.value = f"new {number}"
        shelf.reads[-1].set_result(None)
        await settle()
    shelf.reads[-1].set_result(None)
    values = await asyncio.gather(*readers)
    assert values == ["old", "new 0", "new 1", "new 1", "new 2", "new 2"]


async def test_each_key_is_read_by_itself_and_nothing_is_kept(
    shelf: Shelf, begin: Callable[..., asyncio.Task[str]]
) -> None:
    for again in (1, 2):
        readers = [begin(key) for key in ("one", "another")]
        await settle()
        assert len(shelf.reads) == 2 * again
        for read in shelf.reads[-2:]:
            read.set_result(None)
        await asyncio.gather(*readers)


async def test_a_failure_reaches_all_who_wait_and_nobody_later(
    shelf: Shelf, begin: Callable[..., asyncio.Task[str]]
) -> None:
    first = begin()
    await settle()
    waiting = [begin() for _ in range(3)]
    await settle()
    shelf.reads[0].set_exception(ConnectionError())
    failures = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert [type(one) for one in failures] == [ConnectionError] * 4
    assert len(shelf.reads) == 1
    later = begin()
    await settle()
    shelf.reads[1].set_result(None)
    assert await later == "old"


async def test_a_reader_who_leaves_ends_nobody_elses_read(
    shelf: Shelf, begin: Callable[..., asyncio.Task[str]]
) -> None:
    first = begin()
    await settle()
    second, third = begin(), begin()
    await settle()
    first.cancel()
    second.cancel()
    await settle()
    shelf.reads[0].set_result(None)
    await settle()
    shelf.reads[1].set_result(None)
    assert await third == "old"
