"""A customer's own sessions: listed, ended, and repaired where index and sessions disagree."""

import secrets
from dataclasses import replace
from typing import Any

import pytest

from bff.security.keyring import KeyRing
from bff.security.secret import Secret
from bff.session import Carrier, Session, SessionKind, Ticket, Tombstone, record_name
from bff.store.customer_index import OwnSession, owner_named, owners_of
from tests.unit.support import TENANT, Replica, a_session, bare, new_replica, new_ticket, tokens

pytestmark = pytest.mark.anyio
KEYS = [("k1", secrets.token_bytes(32)), ("k2", secrets.token_bytes(32))]


def ring(*keys: tuple[str, bytes]) -> KeyRing:
    return KeyRing(keys, TENANT, secrets.token_bytes)


def an_address() -> str:
    return f"ada-{secrets.token_hex(6)}@example.com"


def of_customer(email: str | None, **more: Any) -> Session:
    return a_session(kind=SessionKind.CUSTOMER, email=email, **more)


async def stored(one: Replica, session: Session) -> tuple[Ticket, Session]:
    ticket = new_ticket()
    return ticket, await one.store.create(ticket, session)


async def noted(one: Replica, session: Session) -> tuple[Ticket, Session]:
    ticket, session = await stored(one, session)
    await one.ports.customers.add(ticket, session)
    return ticket, session


def names(entries: list[OwnSession]) -> list[bytes]:
    return [entry.name for entry in entries]


async def test_own_sessions_come_newest_first_and_nobody_elses(redis_url: str) -> None:
    email = an_address()
    async with new_replica(redis_url) as one:
        old = await noted(one, of_customer(email, user_agent="first"))
        one.clock.at += 60
        new = await noted(
            one,
            of_customer(email, created_at=one.clock.at, last_seen_at=one.clock.at, carrier=Carrier.HEADER),
        )
        await noted(one, of_customer(an_address()))
        entries = await one.ports.customers.own(*new)
        assert names(entries) == [record_name(new[0]), record_name(old[0])]
        assert [entry.carrier for entry in entries] == [Carrier.HEADER, Carrier.COOKIE]
        assert [entry.user_agent for entry in entries] == [None, "first"]
        assert [entry.created_at for entry in entries] == [one.clock.at, one.clock.at - 60]
        assert [entry.last_seen_at for entry in entries] == [one.clock.at, one.clock.at - 60]


async def test_an_address_names_one_owner_however_it_is_spelled(redis_url: str) -> None:
    email = an_address()
    async with new_replica(redis_url) as one:
        nameless = of_customer(f"  {email.upper()} ", tokens=tokens(saas=None))
        ticket, _ = await noted(one, nameless)
        assert names(await one.ports.customers.of(owner_named(email))) == [record_name(ticket)]


async def test_a_session_is_found_by_its_address_and_its_customer_number() -> None:
    assert owners_of(of_customer("Ada@example.com", customer_id="10")) == (
        Secret("ada@example.com"),
        Secret("#10"),
    )
    assert owners_of(of_customer(None, customer_id="10")) == (Secret("#10"),)
    assert owners_of(of_customer(None)) == ()
    assert owners_of(a_session(email="ada@example.com")) == ()


async def test_a_session_without_an_address_is_found_by_the_others_number(redis_url: str) -> None:
    email, number = an_address(), secrets.token_hex(4)
    async with new_replica(redis_url) as one:
        nameless = await noted(one, of_customer(None, customer_id=number))
        named = await noted(one, of_customer(email, customer_id=number))
        both = {record_name(nameless[0]), record_name(named[0])}
        assert set(names(await one.ports.customers.own(*nameless))) == both
        assert set(names(await one.ports.customers.of(owner_named(email)))) == both
        assert await one.ports.customers.end_others(*named, "ended") == 1


async def test_a_guest_has_no_index(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        ticket, session = await stored(one, a_session())
        await one.ports.customers.add(ticket, session)
        assert await one.ports.customers.own(ticket, session) == []


async def test_the_last_use_is_the_sessions_own_and_not_the_notes(redis_url: str) -> None:
    email = an_address()
    async with new_replica(redis_url) as one:
        ticket, _ = await noted(one, of_customer(email))
        one.clock.at += 3600
        await one.store.peek(ticket)
        (entry,) = await one.ports.customers.of(owner_named(email))
        assert entry.last_seen_at == one.clock.at
        assert entry.created_at == one.clock.at - 3600


async def test_an_entry_whose_session_is_gone_is_dropped(redis_url: str) -> None:
    email = an_address()
    async with new_replica(redis_url) as one:
        kept, _ = await noted(one, of_customer(email))
        deleted, _ = await noted(one, of_customer(email))
        retired, _ = await noted(one, of_customer(email))
        await one.store.delete(deleted)
        await one.store.retire(retired, EndReason.ENDED)
        assert names(await one.ports.customers.of(owner_named(email))) == [record_name(kept)]
        (key,) = [
            key async for key in bare(one.redis).scan_iter(match=f"bff:{TENANT}:of:*") if await held(one, key)
        ]
        assert await bare(one.redis).hlen(key) == 1


async def held(one: Replica, key: bytes) -> bool:
    """Say whether an index key is one that this replica's keys open."""
    values: Any = await bare(one.redis).hvals(key)
    sealer = one.ports.customers._sealer
    try:
        return all(sealer.open(value.decode()) for value in values)
    except Exception:  # noqa: BLE001 - another test's
        return False


async def test_a_session_that_the_index_misses_adds_itself(redis_url: str) -> None:
    email = an_address()
    async with new_replica(redis_url) as one:
        mine = await stored(one, of_customer(email))
        other = await noted(one, of_customer(email))
        assert await one.ports.customers.end_others(*mine, "ended") == 1
        assert names(await one.ports.customers.of(owner_named(email))) == [record_name(mine[0])]
        assert await one.store.peek(other[0]) == Tombstone(EndReason.ENDED, None)


async def test_a_long_index_is_cleaned_at_the_next_login(redis_url: str) -> None:
    email = an_address()
    async with new_replica(redis_url) as one:
        for _ in range(20):
            ticket, _ = await noted(one, of_customer(email))
            await one.store.delete(ticket)
        before = [
            key async for key in bare(one.redis).scan_iter(match=f"bff:{TENANT}:of:*") if await held(one, key)
        ]
        assert [await bare(one.redis).hlen(key) for key in before] == [20]
        await noted(one, of_customer(email))
        assert [await bare(one.redis).hlen(key) for key in before] == [1]


async def test_ending_one_says_whether_this_call_ended_it(redis_url: str) -> None:
    email = an_address()
    async with new_replica(redis_url) as one:
        ticket, _ = await noted(one, of_customer(email))
        (entry,) = await one.ports.customers.of(owner_named(email))
        assert await one.ports.customers.end(entry, "ended") is True
        assert await one.ports.customers.end(entry, "ended") is False
        assert await one.store.peek(ticket) == Tombstone(EndReason.ENDED, None)


async def test_the_others_end_and_this_one_stays(redis_url: str) -> None:
    email = an_address()
    async with new_replica(redis_url) as one:
        mine = await noted(one, of_customer(email))
        others = [await noted(one, of_customer(email)) for _ in range(3)]
        stranger = await noted(one, of_customer(an_address()))
        assert await one.ports.customers.end_others(*mine, "ended") == 3
        assert await one.ports.customers.end_others(*mine, "ended") == 0
        for ticket, _ in others:
            assert await one.store.peek(ticket) == Tombstone(EndReason.ENDED, None)
        for ticket, session in (mine, stranger):
            assert await one.store.peek(ticket) == replace(session)


async def test_refs_are_stable_and_tell_nothing(redis_url: str) -> None:
    email = an_address()
    async with new_replica(redis_url) as one:
        mine = await noted(one, of_customer(email))
        await noted(one, of_customer(email))
        first, again = await one.ports.customers.own(*mine), await one.ports.customers.own(*mine)
        assert [entry.ref for entry in first] == [entry.ref for entry in again]
        assert len({entry.ref for entry in first}) == 2
        for entry in first:
            assert entry.ref.isascii()
            assert len(entry.ref) == 16
            assert entry.ref.encode() not in entry.name.hex().encode()


async def test_the_index_shows_neither_address_nor_agent_nor_name(redis_url: str) -> None:
    email, agent = an_address(), f"agent-{secrets.token_hex(6)}"
    async with new_replica(redis_url) as one:
        ticket, _ = await noted(one, of_customer(email, user_agent=agent))
        seen = b""
        async for key in bare(one.redis).scan_iter(match=f"bff:{TENANT}:of:*"):
            notes: Any = await bare(one.redis).hgetall(key)
            seen += key + b"".join(field + value for field, value in notes.items())
        assert seen
        for secret in (email, agent, record_name(ticket).hex(), ticket.secret.hex()):
            assert secret.encode() not in seen


async def test_sessions_of_before_and_after_a_new_key_are_listed_together(redis_url: str) -> None:
    email = an_address()
    async with new_replica(redis_url, keys=keys(KEYS[0])) as old:
        before = await noted(old, of_customer(email))
    async with new_replica(redis_url, keys=keys(KEYS[1], KEYS[0])) as new:
        after = await noted(new, of_customer(email))
        assert set(names(await new.ports.customers.own(*after))) == {
            record_name(before[0]),
            record_name(after[0]),
        }
        assert await new.ports.customers.end_others(*after, "ended") == 1
        assert await new.store.peek(before[0]) == Tombstone(EndReason.ENDED, None)


async def test_an_index_lives_on_with_every_login_and_not_for_ever(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        await noted(one, of_customer(an_address()))
        (key,) = [
            key async for key in bare(one.redis).scan_iter(match=f"bff:{TENANT}:of:*") if await held(one, key)
        ]
        assert 0 < await bare(one.redis).ttl(key) <= 7_776_000
