"""How sessions lie in Redis: their keys, how long these live, and what they show to whoever reads them."""

import asyncio
import secrets
from typing import Any

import pytest

from bff.errors import StoreUnavailable
from bff.security.secret import Secret
from bff.session import EndReason, HeldSession, OtherSchema, Session, Ticket
from bff.store.protocol import Touch
from bff.store.record import SCHEMA, to_record
from tests.contract.on_redis import OnRedis
from tests.contract.replicas import begin
from tests.values import NOW, a_session, new_ticket, tokens

pytestmark = pytest.mark.anyio


async def test_a_session_that_is_not_there_leaves_no_key(on_redis: OnRedis) -> None:
    ticket, first = await begin(on_redis.backend)
    await on_redis.store.delete(ticket)
    assert await on_redis.store.replace(ticket, first) is None
    assert not await on_redis.store.retire(ticket, EndReason.ENDED)
    assert await on_redis.redis.exists(on_redis.key(ticket)) == 0


@pytest.mark.parametrize(("idle", "left", "ends"), [(100, 1000, 100), (1000, 100, 100)])
async def test_a_session_that_is_read_after_its_end_leaves_no_key(
    on_redis: OnRedis, idle: float, left: float, ends: float
) -> None:
    ticket, _ = await begin(on_redis.backend, idle_seconds=idle, expires_at=NOW + left)
    on_redis.clock.at = NOW + ends
    assert await on_redis.store.load_fresh(ticket) is None
    assert await on_redis.redis.exists(on_redis.key(ticket)) == 0


@pytest.mark.parametrize(("idle", "left"), [(7200, 72_000), (72_000, 7200)])
async def test_the_shorter_lifetime_is_the_keys_time_to_live(
    on_redis: OnRedis, idle: float, left: float
) -> None:
    ticket, _ = await begin(on_redis.backend, idle_seconds=idle, expires_at=NOW + left)
    assert 3_600_000 < await on_redis.redis.pttl(on_redis.key(ticket)) <= 7_200_000


async def test_redis_forgets_a_session_by_itself(on_redis: OnRedis) -> None:
    ticket, _ = await begin(on_redis.backend, idle_seconds=0.2)
    async with asyncio.timeout(20):
        while await on_redis.redis.exists(on_redis.key(ticket)):  # noqa: ASYNC110 - Redis tells nobody
            await asyncio.sleep(0.02)
    assert await on_redis.store.peek(ticket) is None


async def test_a_use_extends_the_keys_time_to_live_to_the_absolute_end_at_most(on_redis: OnRedis) -> None:
    ticket, _ = await begin(on_redis.backend, idle_seconds=36_000, expires_at=NOW + 50_000)
    on_redis.clock.at = NOW + 30_000
    assert isinstance(await on_redis.store.peek(ticket), Session)
    assert 10_000_000 < await on_redis.redis.pttl(on_redis.key(ticket)) <= 20_000_000


@pytest.mark.parametrize("field", ["x", "i"])
async def test_who_can_write_to_redis_cannot_prolong_a_session_beyond_its_sealed_end(
    on_redis: OnRedis, field: str
) -> None:
    """The end is in clear beside the record, for the scripts; the one that counts is sealed inside."""
    ticket, _ = await begin(on_redis.backend, idle_seconds=86_400, expires_at=NOW + 3600)
    for name in {field, "x"}:
        await on_redis.redis.hset(on_redis.key(ticket), name, str(int((NOW + 10_000_000) * 1000)))
    await on_redis.redis.persist(on_redis.key(ticket))
    on_redis.clock.at = NOW + 3599
    assert isinstance(await on_redis.store.peek(ticket), Session)
    on_redis.clock.at = NOW + 3600
    assert await on_redis.store.peek(ticket) is None
    assert await on_redis.store.load_fresh(ticket) is None


async def test_an_ended_session_leaves_no_record(on_redis: OnRedis) -> None:
    ticket, _ = await begin(on_redis.backend)
    assert await on_redis.store.retire(ticket, EndReason.ENDED)
    assert set(await on_redis.redis.hkeys(on_redis.key(ticket))) == {b"g", b"s", b"i", b"x", b"w", b"t"}


@pytest.mark.parametrize("keep", [True, False])
async def test_a_tombstone_lasts_thirty_seconds_and_no_look_extends_it(
    on_redis: OnRedis,
    keep: bool,  # noqa: FBT001
) -> None:
    ticket, _ = await begin(on_redis.backend)
    await on_redis.store.retire(ticket, EndReason.SUPERSEDED, keep_record=keep)
    await on_redis.redis.pexpire(on_redis.key(ticket), 25_000)
    on_redis.clock.at += 5
    await on_redis.store.peek(ticket, Touch.EXACT)
    assert 0 < await on_redis.redis.pttl(on_redis.key(ticket)) <= 25_000
    other, _ = await begin(on_redis.backend)
    await on_redis.store.retire(other, EndReason.SUPERSEDED, keep_record=keep)
    assert 20_000 < await on_redis.redis.pttl(on_redis.key(other)) <= 30_000


async def test_a_superseded_session_lasts_thirty_seconds_and_its_successor_as_long_as_it_may(
    on_redis: OnRedis,
) -> None:
    ticket, guest = await begin(on_redis.backend)
    new = new_ticket()
    assert await on_redis.store.supersede(HeldSession(ticket, guest), new, a_session(idle_seconds=7200))
    assert 20_000 < await on_redis.redis.pttl(on_redis.key(ticket)) <= 30_000
    assert 3_600_000 < await on_redis.redis.pttl(on_redis.key(new)) <= 7_200_000


async def test_a_claim_lasts_as_many_seconds_as_it_was_asked_for(on_redis: OnRedis) -> None:
    name = secrets.token_bytes(32)
    assert await on_redis.store.claim(name, 600)
    (key,) = await on_redis.keys()
    assert name.hex().encode() in key
    assert 500_000 < await on_redis.redis.pttl(key) <= 600_000


async def test_a_pause_is_forgotten_when_it_is_over(on_redis: OnRedis) -> None:
    await on_redis.store.pause(secrets.token_bytes(32), 600)
    (key,) = await on_redis.keys()
    assert 500_000 < await on_redis.redis.pttl(key) <= 600_000


async def test_a_record_moved_to_another_name_does_not_open(on_redis: OnRedis) -> None:
    ticket, _ = await begin(on_redis.backend)
    other, _ = await begin(on_redis.backend)
    await on_redis.redis.copy(on_redis.key(ticket), on_redis.key(other), replace=True)
    assert await on_redis.store.peek(other) is None
    assert await on_redis.store.peek(Ticket(other.id, ticket.secret)) is None


@pytest.mark.parametrize("change", ["id", "schema"])
async def test_a_record_that_opens_and_is_another_is_no_session_here(on_redis: OnRedis, change: str) -> None:
    ticket, session = await begin(on_redis.backend)
    sealer, name = on_redis.ring.record_sealer(), ticket.record_name
    clear: Any = {"g": 1, "s": int(NOW * 1000), "i": 86_400_000, "x": int(NOW * 1000) + 604_800_000}
    key, whose = on_redis.key(ticket), ticket if change == "schema" else Ticket(bytes(16), ticket.secret)
    record = to_record(session, whose, SCHEMA + (change == "schema"))
    await on_redis.redis.delete(key)
    await on_redis.redis.hset(
        key, mapping=clear | {"v": sealer.seal(record, secret=ticket.secret, name=name)}
    )
    assert await on_redis.store.peek(ticket) == (OtherSchema() if change == "schema" else None)
    good = sealer.seal(to_record(session, ticket, SCHEMA), secret=ticket.secret, name=name)
    await on_redis.redis.hset(key, "v", good)
    assert await on_redis.store.peek(ticket) == session


async def test_the_word_of_an_end_that_another_release_wrote_is_an_ordinary_end(on_redis: OnRedis) -> None:
    ticket, _ = await begin(on_redis.backend)
    await on_redis.store.retire(ticket, EndReason.EXPIRED)
    await on_redis.redis.hset(on_redis.key(ticket), "t", "a word of tomorrow")
    found = await on_redis.store.peek(ticket)
    assert found is not None
    assert getattr(found, "reason", None) is EndReason.ENDED


async def test_nothing_in_redis_names_or_shows_a_session(on_redis: OnRedis) -> None:
    issued = tokens(saas=Secret("saas-token"))
    ticket, session = await begin(
        on_redis.backend, tokens=issued, email="ada@example.com", user_agent="agent-7"
    )
    await on_redis.locks.try_lock(ticket, secrets.token_bytes(16))
    dump = b""
    for key in await on_redis.keys():
        dump += key + b"\n"
        if not key.endswith(b":lock"):
            fields = await on_redis.redis.hgetall(key)
            dump += b"\n".join(part for pair in fields.items() for part in pair)
    assert ticket.record_name.hex().encode() in dump
    assert issued.refresh is not None
    words = [issued.access.reveal(), issued.refresh.reveal(), session.upstream_session_id.reveal()]
    for word in [*words, "saas-token", "ada@example.com", "agent-7", ticket.id.hex(), ticket.secret.hex()]:
        assert word.encode() not in dump
    for raw in (ticket.id, ticket.secret):
        assert raw not in dump


async def test_people_see_the_keys_of_sessions_and_of_others_apart(on_redis: OnRedis) -> None:
    ticket, _ = await begin(on_redis.backend)
    await on_redis.locks.try_lock(ticket, secrets.token_bytes(16))
    await on_redis.store.claim(secrets.token_bytes(32), 60)
    rows = {row["key"]: row for row in await on_redis.store.inspect()}
    assert rows[on_redis.key(ticket)]["type"] == "session"
    assert sorted(row["type"] for row in rows.values()) == ["other", "other", "session"]
    assert rows[on_redis.key(ticket) + ":lock"]["preview"] == ""


@pytest.mark.parametrize("value", ["soon", "", "1e3", "9" * 400])
async def test_a_generation_that_is_no_number_is_a_store_that_cannot_be_read(
    on_redis: OnRedis, value: str
) -> None:
    ticket, _ = await begin(on_redis.backend)
    await on_redis.redis.hset(on_redis.key(ticket), "g", value)
    for read in (on_redis.store.peek, on_redis.store.load_fresh):
        with pytest.raises(StoreUnavailable):
            await read(ticket)
    with pytest.raises(StoreUnavailable):
        async with on_redis.locks.hold(ticket):
            raise AssertionError


async def test_a_last_use_that_is_no_number_is_a_store_that_cannot_be_read(on_redis: OnRedis) -> None:
    ticket, _ = await begin(on_redis.backend)
    await on_redis.redis.hset(on_redis.key(ticket), "s", "soon")
    with pytest.raises(StoreUnavailable):
        await on_redis.store.last_seen([ticket.record_name])
    await on_redis.store.retire(ticket, EndReason.SUPERSEDED, keep_record=True)
    with pytest.raises(StoreUnavailable):
        await on_redis.store.load_fresh(ticket)
