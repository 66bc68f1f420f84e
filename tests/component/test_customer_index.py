"""A customer's index in Redis: what it shows, how long it lives, how it is cleaned up."""

from collections.abc import AsyncIterator

import pytest

from bff.security.secret import Secret
from bff.session import EndReason
from bff.store.customer_index import MANY
from bff.store.customer_notes import address_owner, number_owner, owners_of
from tests.contract.customers import noted, of_customer
from tests.contract.on_redis import OnRedis
from tests.contract.replicas import INDEX_SECONDS
from tests.values import a_session, new_ring

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"


@pytest.fixture
async def on_redis(redis_url: str) -> AsyncIterator[OnRedis]:
    async with OnRedis(redis_url) as one:
        yield one


@pytest.mark.parametrize(
    "other", ["ada@stra\u00dfe.example", "ad\u00e0@strasse.example", "ada@strasse.example\u00a0"]
)
async def test_an_address_that_only_folds_to_another_is_another(other: str) -> None:
    assert address_owner(" ADA@Strasse.example") == address_owner("ada@strasse.example")
    assert address_owner(other) != address_owner("ada@strasse.example")


async def sizes(on_redis: OnRedis) -> list[int]:
    """Return how many notes each index of this tenant has."""
    return sorted([await on_redis.redis.hlen(key) for key in await on_redis.keys("of:*")])


async def test_a_session_is_found_by_its_address_and_its_customer_number() -> None:
    assert owners_of(of_customer("Ada@example.com", customer_id="10")) == (
        Secret("address ada@example.com"),
        Secret("number 10"),
    )
    assert owners_of(of_customer(None, customer_id="10")) == (Secret("number 10"),)
    assert owners_of(of_customer(None)) == ()
    assert owners_of(a_session(email=ADA)) == ()


def test_no_address_is_taken_for_a_number() -> None:
    for address in ("10", "#10", "number 10", " number 10"):
        assert address_owner(address) != number_owner("10")


async def test_a_session_is_noted_with_each_of_its_owners(on_redis: OnRedis) -> None:
    await noted(on_redis.backend, of_customer(ADA, customer_id="10"))
    assert await sizes(on_redis) == [1, 1]


async def test_an_entry_whose_session_has_ended_is_removed(on_redis: OnRedis) -> None:
    await noted(on_redis.backend, of_customer(ADA))
    deleted, _ = await noted(on_redis.backend, of_customer(ADA))
    retired, _ = await noted(on_redis.backend, of_customer(ADA))
    await on_redis.store.delete(deleted)
    await on_redis.store.retire(retired, EndReason.ENDED)
    assert await sizes(on_redis) == [3]
    assert len(await on_redis.backend.customers.by_email(ADA)) == 1
    assert await sizes(on_redis) == [1]


async def test_an_entry_that_no_key_opens_any_more_is_removed(on_redis: OnRedis) -> None:
    await noted(on_redis.backend, of_customer(ADA))
    (key,) = await on_redis.keys("of:*")
    foreign = new_ring(tenant=on_redis.tenant).sealer("index entry").seal(b"{}")
    await on_redis.redis.hset(key, "ref", foreign)
    assert len(await on_redis.backend.customers.by_email(ADA)) == 1
    assert await sizes(on_redis) == [1]


async def test_a_note_that_was_copied_to_another_owner_or_ref_counts_as_none(on_redis: OnRedis) -> None:
    theirs, _ = await noted(on_redis.backend, of_customer(None, customer_id="10"))
    (victims,) = await on_redis.keys("of:*")
    ((ref, note),) = (await on_redis.redis.hgetall(victims)).items()
    mine = await noted(on_redis.backend, of_customer(None, customer_id="11"))
    (own,) = set(await on_redis.keys("of:*")) - {victims}
    for field in (ref, b"another-ref-4567", b"\xff"):
        await on_redis.redis.hset(own, field, note)
    await on_redis.redis.hset(victims, "another-ref-4567", note)
    await on_redis.redis.hset(own, "not-a-note", b"\xff")
    found = await on_redis.backend.customers.own(*mine)
    assert [entry.name for entry in found] == [mine[0].record_name]
    assert [entry.name for entry in await on_redis.backend.customers.by_number("10")] == [theirs.record_name]
    assert await sizes(on_redis) == [1, 1]


async def test_a_long_index_is_cleaned_at_the_next_login(on_redis: OnRedis) -> None:
    for _ in range(MANY):
        ticket, _ = await noted(on_redis.backend, of_customer(ADA))
        await on_redis.store.delete(ticket)
    assert await sizes(on_redis) == [MANY]
    await noted(on_redis.backend, of_customer(ADA))
    assert await sizes(on_redis) == [1]


async def test_a_long_index_of_one_owner_leaves_the_other_as_it_is(on_redis: OnRedis) -> None:
    for _ in range(MANY - 1):
        ticket, _ = await noted(on_redis.backend, of_customer(None, customer_id="10"))
        await on_redis.store.delete(ticket)
    ended, _ = await noted(on_redis.backend, of_customer(ADA, customer_id="10"))
    await on_redis.store.delete(ended)
    assert await sizes(on_redis) == [1, MANY]
    await noted(on_redis.backend, of_customer(ADA, customer_id="10"))
    assert await sizes(on_redis) == [1, 2]


async def test_the_index_shows_neither_address_nor_agent_nor_name(on_redis: OnRedis) -> None:
    ticket, _ = await noted(on_redis.backend, of_customer(ADA, user_agent="agent-7", customer_id="10987654"))
    seen = b""
    for key in await on_redis.keys("of:*"):
        notes = await on_redis.redis.hgetall(key)
        seen += key + b"".join(field + value for field, value in notes.items())
    assert seen
    for secret in (ADA, "agent-7", "10987654", ticket.record_name.hex(), ticket.secret.hex()):
        assert secret.encode() not in seen


async def test_an_index_lives_on_with_every_login_and_not_for_ever(on_redis: OnRedis) -> None:
    await noted(on_redis.backend, of_customer(ADA))
    (key,) = await on_redis.keys("of:*")
    assert INDEX_SECONDS / 2 < await on_redis.redis.ttl(key) <= INDEX_SECONDS
    await on_redis.redis.expire(key, 60)
    await noted(on_redis.backend, of_customer(ADA))
    assert INDEX_SECONDS / 2 < await on_redis.redis.ttl(key) <= INDEX_SECONDS
