"""What a session store must do, on every Redis that is at hand."""

import asyncio
import secrets
from dataclasses import replace
from typing import Any

import pytest

from bff.errors import StoreUnavailable
from bff.security.secret import Secret
from bff.session import Session, SessionKind, Ticket, Tombstone, record_name
from tests.contract.backends import BACKENDS, FAKE
from tests.contract.conftest import Kept
from tests.unit.support import NOW, a_session, new_ring, new_ticket, tokens

pytestmark = pytest.mark.anyio


def test_a_real_server_is_among_the_backends(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nstore contract on: {', '.join(BACKENDS)}")  # noqa: T201
    assert set(BACKENDS) - {FAKE}, "only fakeredis is here: install a Redis, or set BFF_TEST_REDIS_URL"


async def test_what_was_created_is_loaded(kept: Kept) -> None:
    ticket, session = await kept.begin(email="ada@example.com", kind=SessionKind.CUSTOMER)
    assert session.generation == 1
    assert await kept.store.peek(ticket) == session
    assert await kept.store.peek(new_ticket()) is None


async def test_an_id_that_is_taken_is_not_written_over(kept: Kept) -> None:
    ticket, session = await kept.begin()
    with pytest.raises(StoreUnavailable):
        await kept.store.create(ticket, a_session())
    assert await kept.store.peek(ticket) == session


async def test_a_write_names_the_generation_that_it_saw(kept: Kept) -> None:
    ticket, first = await kept.begin()
    second = await kept.store.replace(ticket, replace(first, version=2))
    assert second == replace(first, version=2, generation=2)
    assert await kept.store.replace(ticket, replace(first, version=9)) is None
    assert await kept.store.peek(ticket) == second


async def test_of_writers_at_once_one_wins(kept: Kept) -> None:
    ticket, first = await kept.begin()
    writes = [kept.again().replace(ticket, replace(first, version=n)) for n in range(2, 12)]
    winners = [done for done in await asyncio.gather(*writes) if done is not None]
    assert len(winners) == 1
    assert await kept.store.peek(ticket) == winners[0]


async def test_a_session_that_is_not_there_is_not_written(kept: Kept) -> None:
    ticket, first = await kept.begin()
    await kept.store.delete(ticket)
    assert await kept.store.replace(ticket, first) is None
    assert not await kept.store.retire(ticket, "ended")
    assert await kept.redis.exists(kept.key(ticket)) == 0


@pytest.mark.parametrize(("idle", "left", "ends"), [(100, 1000, 100), (1000, 100, 100)])
async def test_both_lifetimes_end_a_session_by_the_clock(
    kept: Kept, idle: float, left: float, ends: float
) -> None:
    ticket, _ = await kept.begin(idle_seconds=idle, expires_at=NOW + left)
    kept.clock.at = NOW + ends - 0.01
    assert isinstance(await kept.store.load_fresh(ticket), Session)
    kept.clock.at = NOW + ends
    assert await kept.store.load_fresh(ticket) is None
    assert await kept.redis.exists(kept.key(ticket)) == 0


@pytest.mark.parametrize(("idle", "left"), [(7200, 72_000), (72_000, 7200)])
async def test_the_shorter_lifetime_is_the_keys_time_to_live(kept: Kept, idle: float, left: float) -> None:
    ticket, _ = await kept.begin(idle_seconds=idle, expires_at=NOW + left)
    assert 3_600_000 < await kept.redis.pttl(kept.key(ticket)) <= 7_200_000


async def test_redis_forgets_a_session_by_itself(kept: Kept) -> None:
    ticket, _ = await kept.begin(idle_seconds=0.2)
    async with asyncio.timeout(20):
        while await kept.redis.exists(kept.key(ticket)):  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.02)
    assert await kept.store.peek(ticket) is None


async def test_a_use_extends_idling_and_never_the_absolute_end(kept: Kept) -> None:
    ticket, _ = await kept.begin(idle_seconds=36_000, expires_at=NOW + 50_000)
    kept.clock.at = NOW + 30_000
    found = await kept.store.peek(ticket)
    assert isinstance(found, Session)
    assert (found.last_seen_at, found.idle_expires_at) == (NOW + 30_000, NOW + 50_000)
    assert 10_000_000 < await kept.redis.pttl(kept.key(ticket)) <= 20_000_000
    kept.clock.at = NOW + 50_000
    assert await kept.store.peek(ticket) is None


async def test_a_look_extends_nothing(kept: Kept) -> None:
    ticket, _ = await kept.begin(idle_seconds=36_000)
    kept.clock.at = NOW + 30_000
    found = await kept.store.load_fresh(ticket)
    assert isinstance(found, Session)
    assert found.last_seen_at == NOW
    kept.clock.at = NOW + 36_000
    assert await kept.store.peek(ticket) is None


async def test_steady_use_is_written_at_most_once_a_second_unless_it_must_be_exact(kept: Kept) -> None:
    ticket, _ = await kept.begin()
    seen = []
    for after, exact in ((0.5, False), (0.999, False), (1.0, False), (1.5, False), (1.5, True)):
        kept.clock.at = NOW + after
        found = await kept.store.peek(ticket, exact=exact)
        assert isinstance(found, Session)
        seen.append(found.last_seen_at - NOW)
    assert seen == [0, 0, 1, 1, 1.5]


async def test_a_short_idle_lifetime_is_touched_more_often(kept: Kept) -> None:
    ticket, _ = await kept.begin(idle_seconds=2)
    for tenth in range(1, 30):
        kept.clock.at = NOW + tenth / 4
        assert isinstance(await kept.store.peek(ticket), Session), f"it idled away in use after {tenth / 4} s"


async def test_a_write_extends_no_lifetime(kept: Kept) -> None:
    ticket, first = await kept.begin(idle_seconds=36_000)
    kept.clock.at = NOW + 30_000
    assert await kept.store.replace(ticket, replace(first, last_seen_at=kept.clock.at))
    kept.clock.at = NOW + 36_000
    assert await kept.store.peek(ticket) is None


async def test_a_rotated_session_stays_readable_as_the_guest_that_it_was(kept: Kept) -> None:
    ticket, session = await kept.begin()
    assert await kept.store.retire(ticket, "rotated", generation=1, keep_record=True)
    found = await kept.store.peek(ticket)
    assert isinstance(found, Tombstone)
    assert found.reason == "rotated"
    assert found.guest is not None
    assert replace(found.guest, generation=1) == session


async def test_an_ended_session_leaves_its_reason_and_no_record(kept: Kept) -> None:
    ticket, _ = await kept.begin()
    assert await kept.store.retire(ticket, "ended")
    assert await kept.store.peek(ticket) == Tombstone("ended", None)
    assert await kept.redis.hget(kept.key(ticket), "v") is None


@pytest.mark.parametrize("keep", [True, False])
async def test_a_tombstone_lasts_thirty_seconds_and_no_look_extends_it(kept: Kept, keep: bool) -> None:  # noqa: FBT001
    ticket, _ = await kept.begin()
    await kept.store.retire(ticket, "rotated", keep_record=keep)
    await kept.redis.pexpire(kept.key(ticket), 25_000)
    kept.clock.at += 5
    await kept.store.peek(ticket, Touch.EXACT)
    assert 0 < await kept.redis.pttl(kept.key(ticket)) <= 25_000
    other, _ = await kept.begin()
    await kept.store.retire(other, "rotated", keep_record=keep)
    assert 20_000 < await kept.redis.pttl(kept.key(other)) <= 30_000


@pytest.mark.parametrize("keep", [True, False])
async def test_a_tombstone_takes_no_write_and_no_second_end(kept: Kept, keep: bool) -> None:  # noqa: FBT001
    ticket, session = await kept.begin()
    assert await kept.store.retire(ticket, "rotated", keep_record=keep)
    for generation in (1, 2, 3):
        assert await kept.store.replace(ticket, replace(session, generation=generation)) is None
        assert not await kept.store.retire(ticket, "ended", generation=generation)
    assert not await kept.store.retire(ticket, "ended")
    with pytest.raises(StoreUnavailable):
        await kept.store.create(ticket, session)
    found = await kept.store.peek(ticket)
    assert isinstance(found, Tombstone)
    assert found.reason == "rotated"


async def test_an_end_may_name_the_generation_that_it_saw(kept: Kept) -> None:
    ticket, first = await kept.begin()
    await kept.store.replace(ticket, first)
    assert not await kept.store.retire(ticket, "ended", generation=1)
    assert isinstance(await kept.store.peek(ticket), Session)
    assert await kept.store.retire(ticket, "ended", generation=2)


async def test_of_enders_at_once_one_ended_it(kept: Kept) -> None:
    ticket, _ = await kept.begin()
    assert (
        sorted(await asyncio.gather(*(kept.again().retire(ticket, "ended") for _ in range(8)))).count(True)
        == 1
    )


async def test_a_session_is_ended_by_its_name_alone(kept: Kept) -> None:
    ticket, _ = await kept.begin()
    kept.clock.at += 7
    await kept.store.peek(ticket)
    assert await kept.store.last_seen(record_name(ticket)) == NOW + 7
    assert await kept.store.names() == [record_name(ticket)]
    assert await kept.store.retire_name(record_name(ticket), "ended")
    assert await kept.store.last_seen(record_name(ticket)) is None
    assert await kept.store.last_seen(bytes(32)) is None


async def test_a_record_moved_to_another_name_does_not_open(kept: Kept) -> None:
    ticket, _ = await kept.begin()
    other, _ = await kept.begin()
    blob: Any = await kept.redis.hget(kept.key(ticket), "v")
    await kept.redis.hset(kept.key(other), "v", blob)
    assert await kept.store.peek(other) is None
    assert await kept.store.peek(Ticket(other.id, ticket.secret)) is None


async def test_another_secret_or_another_servers_key_does_not_open(kept: Kept) -> None:
    ticket, session = await kept.begin()
    assert await kept.store.peek(Ticket(ticket.id, secrets.token_bytes(32))) is None
    assert await kept.again(ring=new_ring(tenant=kept.tenant)).load(ticket) is None
    assert await kept.store.peek(ticket) == session


@pytest.mark.parametrize("change", ["id", "schema"])
async def test_a_record_that_opens_and_is_another_counts_as_not_there(kept: Kept, change: str) -> None:
    ticket, session = await kept.begin()
    record = session.to_json(ticket.id if change == "schema" else bytes(16))
    if change == "schema":
        record = record.replace(b'{"v":1,', b'{"v":2,')
    name = record_name(ticket)
    blob = kept.ring.record_sealer().seal(record, secret=ticket.secret, name=name)
    await kept.redis.hset(kept.key(ticket), "v", blob)
    assert await kept.store.peek(ticket) is None
    good = kept.ring.record_sealer().seal(session.to_json(ticket.id), secret=ticket.secret, name=name)
    await kept.redis.hset(kept.key(ticket), "v", good)
    assert await kept.store.peek(ticket) == session


async def test_nothing_in_redis_names_or_shows_a_session(kept: Kept) -> None:
    held = tokens(saas=Secret("saas-token"))
    ticket, session = await kept.begin(tokens=held, email="ada@example.com", user_agent="agent-7")
    await kept.store.try_lock(ticket, 5)
    dump = b""
    async for key in kept.redis.scan_iter(match=f"bff:{kept.tenant}:*", count=1000):
        dump += key + b"\n"
        if not key.endswith(b":lock"):
            fields: Any = await kept.redis.hgetall(key)
            dump += b"\n".join(part for pair in fields.items() for part in pair)
    assert record_name(ticket).hex().encode() in dump
    assert held.refresh is not None
    words = [held.access.reveal(), held.refresh.reveal(), session.upstream_session_id.reveal()]
    for word in [*words, "saas-token", "ada@example.com", "agent-7", ticket.id.hex(), ticket.secret.hex()]:
        assert word.encode() not in dump
    for raw in (ticket.id, ticket.secret):
        assert raw not in dump


async def test_only_its_owner_gives_a_lock_back(kept: Kept) -> None:
    ticket = new_ticket()
    owner = await kept.store.try_lock(ticket, 60)
    assert owner is not None
    assert await kept.again().try_lock(ticket, 60) is None
    await kept.store.unlock(ticket, secrets.token_bytes(16))
    assert await kept.store.try_lock(ticket, 60) is None
    assert 30_000 < await kept.redis.pttl(kept.key(ticket) + ":lock") <= 60_000
    await kept.store.unlock(ticket, owner)
    assert await kept.store.try_lock(ticket, 60) is not None


async def test_a_lock_that_nobody_gives_back_ends_by_itself(kept: Kept) -> None:
    ticket = new_ticket()
    late = await kept.store.try_lock(ticket, 0.2)
    assert late is not None
    async with asyncio.timeout(20):
        while await kept.store.try_lock(ticket, 60) is None:  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.02)
    await kept.store.unlock(ticket, late)
    assert await kept.store.try_lock(ticket, 60) is None, "a late owner took somebody else's lock away"


async def test_a_name_is_claimed_once(kept: Kept) -> None:
    name = secrets.token_bytes(32)
    assert sorted(await asyncio.gather(*(kept.again().claim(name, 60) for _ in range(5)))) == [False] * 4 + [
        True
    ]


async def test_people_see_sealed_values_and_nothing_else(kept: Kept) -> None:
    ticket, _ = await kept.begin()
    (row,) = await kept.store.inspect()
    assert (row["key"], row["type"]) == (kept.key(ticket), "session")
    assert row["ttlSeconds"] > 0
