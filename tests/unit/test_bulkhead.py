"""One part of upstream takes not all connections, and nobody waits for one in a queue without end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Final

import pytest

from bff.errors import UpstreamTimeout
from bff.telemetry.metrics import REGISTRY
from bff.upstream.bulkhead import Bulkhead, call_of, service_of
from bff.upstream.failures import Busy
from bff.upstream.options import PROXIED_CALLS, PROXIED_SHARES, TOKEN_CALL_SHARES, TOKEN_CALLS, Shares
from bff.upstream.protocol import Header, RequestContent, UpstreamAnswer
from tests.frozen_time import FrozenLoop, advance, settle

pytestmark = pytest.mark.anyio

SHARES: Final = Shares(connections=10, of_one_part=6, kept=2, few=2, queue=5, wait_seconds=2)


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": FrozenLoop}


class Answer:
    """An empty answer."""

    status = 200
    released = False
    headers: Sequence[Header] = ()

    def whole(self) -> bytes | None:
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"answer"

    async def aclose(self) -> None:
        """Nothing is held open."""


class WholeAnswer(Answer):
    """One that has given its connection back."""

    released = True


class HalfAnswer(Answer):
    """One whose rest does not come."""

    async def chunks(self) -> AsyncIterator[bytes]:
        yield b"ans"
        await asyncio.Event().wait()


class Upstream:
    """An upstream client that answers at once, and counts."""

    kind: type[Answer] = Answer

    def __init__(self) -> None:
        self.failure: Exception | None = None
        self.calls: list[bytes] = []

    async def open(
        self, _method: str, target: bytes, _headers: list[Header], _body: RequestContent
    ) -> UpstreamAnswer:
        self.calls.append(target)
        if self.failure is not None:
            raise self.failure
        return self.kind()

    async def aclose(self) -> None:
        """Nothing is held open."""


def bulkhead(upstream: Upstream, shares: Shares = SHARES) -> Bulkhead:
    return Bulkhead(upstream, shares, service_of, area="api")


async def sent(client: Bulkhead, service: str) -> UpstreamAnswer:
    return await client.open("GET", f"/{service}/x?a=/b".encode(), [], None)


async def fill(client: Bulkhead, service: str) -> list[UpstreamAnswer]:
    """Make calls until one has to wait, and give up waiting."""
    answers: list[UpstreamAnswer] = []
    while True:
        call = asyncio.create_task(sent(client, service))
        await settle()
        if not call.done():
            call.cancel()
            await settle()
            return answers
        answers.append(call.result())


async def test_one_part_takes_its_share_and_leaves_the_rest() -> None:
    client = bulkhead(Upstream())
    assert [len(await fill(client, service)) for service in ("a", "b", "c", "d")] == [6, 2, 2, 0]


async def test_the_last_places_are_kept_for_parts_that_have_few() -> None:
    client = bulkhead(Upstream())
    assert [len(await fill(client, service)) for service in ("a", "b")] == [6, 2]
    assert len(await fill(client, "b")) == 0
    assert len(await fill(client, "c")) == 2


async def test_who_waits_goes_on_in_turn_when_a_place_is_free() -> None:
    client = bulkhead(upstream := Upstream())
    answers = await fill(client, "a")
    waiting = [asyncio.create_task(sent(client, "a")) for _ in range(3)]
    await settle()
    upstream.calls.clear()
    await answers.pop().aclose()
    await settle()
    assert [call.done() for call in waiting] == [True, False, False]
    assert len(upstream.calls) == 1
    for answer in answers:
        await answer.aclose()
    await settle()
    for call in waiting:
        await (await call).aclose()
    assert len(await fill(client, "a")) == 6


async def test_two_thousand_at_once_are_all_served_where_upstream_is_quick() -> None:
    client = bulkhead(Upstream(), PROXIED_SHARES)

    async def served() -> None:
        answer = await sent(client, "a")
        await asyncio.sleep(0.05)
        await answer.aclose()

    calls = [asyncio.create_task(served()) for _ in range(2000)]
    for _ in range(2000 // PROXIED_SHARES.of_one_part):
        await settle()
        advance(0.06)
    await settle()
    assert [call.result() for call in calls] == [None] * 2000


async def test_a_place_that_is_free_again_serves_another_part_too() -> None:
    client = bulkhead(Upstream())
    answers = await fill(client, "a")
    for service in ("b", "c"):
        await fill(client, service)
    other = asyncio.create_task(sent(client, "d"))
    await settle()
    assert not other.done()
    await answers.pop().aclose()
    await settle()
    assert other.done()
    await other


async def test_nobody_waits_for_long() -> None:
    before = REGISTRY.get_sample_value("bff_upstream_busy_total", {"area": "api"}) or 0.0
    client = bulkhead(upstream := Upstream())
    answers = await fill(client, "a")
    call = asyncio.create_task(sent(client, "a"))
    await settle()
    upstream.calls.clear()
    advance(2.1)
    with pytest.raises(Busy) as caught:
        await call
    assert caught.value.retry_after == 1
    assert not upstream.calls
    assert REGISTRY.get_sample_value("bff_upstream_busy_total", {"area": "api"}) == before + 1
    await answers.pop().aclose()
    assert len(await fill(client, "a")) == 1, "who has left keeps a place"


async def unread(client: Bulkhead, service: str) -> asyncio.Task[None]:
    """Pass an answer on to a client that never reads."""
    answer, begun = await sent(client, service), asyncio.Event()

    async def deliver() -> None:
        try:
            async for _ in answer.chunks():
                begun.set()
                await asyncio.Event().wait()
        finally:
            await answer.aclose()

    reader = asyncio.create_task(deliver())
    await begun.wait()
    return reader


async def test_an_answer_that_nobody_reads_makes_room_for_who_waits() -> None:
    client = bulkhead(Upstream())
    longest, *others = [await unread(client, "a") for _ in range(6)]
    advance(0.5)
    call = asyncio.create_task(sent(client, "a"))
    await settle()
    assert not call.done()
    advance(0.6)
    await settle()
    assert call.done()
    assert longest.cancelled()
    assert not any(reader.done() for reader in others)


async def test_an_answer_that_upstream_is_slow_with_is_not_broken_off() -> None:
    client = bulkhead(Upstream())
    answers = [await sent(client, "a") for _ in range(6)]
    advance(60)
    call = asyncio.create_task(sent(client, "a"))
    await settle()
    assert not call.done()
    await answers.pop().aclose()
    await call


async def test_an_answer_whose_client_has_read_all_that_came_is_not_broken_off() -> None:
    upstream = Upstream()
    upstream.kind = HalfAnswer
    client = bulkhead(upstream)
    answers, arrived = [await sent(client, "a") for _ in range(6)], Counter[bytes]()

    async def read(answer: UpstreamAnswer) -> None:
        async for chunk in answer.chunks():
            arrived[chunk] += 1

    readers = [asyncio.create_task(read(answer)) for answer in answers]
    await settle()
    assert arrived == {b"ans": 6}
    advance(60)
    call = asyncio.create_task(sent(client, "a"))
    await settle()
    assert not call.done()
    assert not any(reader.done() for reader in readers)
    for task in (call, *readers):
        task.cancel()
    await asyncio.gather(call, *readers, return_exceptions=True)


async def test_an_answer_of_another_part_is_broken_off_where_all_have_too_many() -> None:
    client = bulkhead(Upstream())
    readers = [await unread(client, part) for part in "aaaaaabbcc"]
    advance(1.1)
    call = asyncio.create_task(sent(client, "d"))
    await settle()
    assert call.done()
    assert [reader.cancelled() for reader in readers] == [True] + [False] * 9


async def test_an_answer_that_is_read_to_its_end_gives_its_place_back() -> None:
    client = bulkhead(Upstream())
    answers = [await sent(client, "a") for _ in range(6)]
    assert [chunk async for chunk in answers[0].chunks()] == [b"answer"]
    assert len(await fill(client, "a")) == 1


async def test_an_answer_that_came_whole_has_given_its_place_back() -> None:
    upstream = Upstream()
    upstream.kind = WholeAnswer
    client = bulkhead(upstream)
    assert all([(await sent(client, "a")).released for _ in range(20)])


async def test_only_so_many_wait() -> None:
    client = bulkhead(Upstream())
    await fill(client, "a")
    waiting = [asyncio.create_task(sent(client, "a")) for _ in range(5)]
    await settle()
    with pytest.raises(Busy):
        await sent(client, "a")
    await (await sent(client, "b")).aclose()
    for call in waiting:
        call.cancel()


async def test_a_turn_that_comes_as_one_leaves_is_not_lost() -> None:
    client = bulkhead(Upstream())
    answers = await fill(client, "a")
    call = asyncio.create_task(sent(client, "a"))
    await settle()
    await answers.pop().aclose()  # its turn has come, and it has not run since
    call.cancel()
    with suppress(asyncio.CancelledError):
        await call
    assert len(await fill(client, "a")) == 1


async def test_one_who_leaves_as_a_place_is_free_takes_none_with_it() -> None:
    client = bulkhead(Upstream())
    answers = await fill(client, "a")
    leaving, waiting = (asyncio.create_task(sent(client, "a")) for _ in range(2))
    await settle()
    leaving.cancel()
    await answers.pop().aclose()  # it has not run since
    await settle()
    assert leaving.cancelled()
    assert waiting.done()
    assert len(await fill(client, "a")) == 0


async def test_one_who_leaves_as_its_time_is_over_takes_no_place_with_it() -> None:
    client = bulkhead(Upstream())
    await fill(client, "a")
    call = asyncio.create_task(sent(client, "a"))
    await settle()
    advance(2.1)
    for _ in range(2):
        await asyncio.sleep(0)
    call.cancel()  # it has been told, and has not run since
    await settle()
    assert call.cancelled()
    assert len(await fill(client, "a")) == 0


async def test_a_call_that_fails_gives_its_place_back() -> None:
    client = bulkhead(upstream := Upstream())
    upstream.failure = UpstreamTimeout()
    for _ in range(20):
        with pytest.raises(UpstreamTimeout):
            await sent(client, "a")
    upstream.failure = None
    assert len(await fill(client, "a")) == 6


def test_a_part_is_a_service_or_a_call() -> None:
    assert service_of(b"/cart/acmeshop/carts?a=/b") == "cart"
    assert call_of(b"/cart/acmeshop/carts?a=/b") == "/cart/acmeshop/carts"


@pytest.mark.parametrize(
    ("shares", "options"), [(PROXIED_SHARES, PROXIED_CALLS), (TOKEN_CALL_SHARES, TOKEN_CALLS)]
)
def test_the_shares_are_of_the_connections_that_there_are(shares: Shares, options: object) -> None:
    assert shares.connections == getattr(options, "connections", None)
    assert shares.of_one_part < shares.connections - shares.kept
