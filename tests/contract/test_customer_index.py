"""What every backend's customer index must do: list, end, and repair itself where it and the sessions disagree."""

import secrets
from dataclasses import replace
from typing import Any

import pytest

from bff.security.keyring import KeyRing
from bff.session import Carrier, EndReason, SessionKind, Tombstone
from bff.store.backend import Backend
from bff.store.protocol import OwnSession
from tests.contract.customers import noted, of_customer
from tests.contract.replicas import Replicas, begin
from tests.values import NOW, Clock, new_ring

pytestmark = pytest.mark.anyio

ADA = "ada@example.com"
GRACE = "grace@example.com"


def names(entries: list[OwnSession]) -> list[bytes]:
    return [entry.name for entry in entries]


async def test_own_sessions_come_newest_first_and_nobody_elses(backend: Backend, clock: Clock) -> None:
    old = await noted(backend, of_customer(ADA, user_agent="first"))
    clock.at += 60
    later: dict[str, Any] = {"created_at": clock.at, "last_seen_at": clock.at}
    new = await noted(backend, of_customer(ADA, carrier=Carrier.HEADER, **later))
    await noted(backend, of_customer(GRACE))
    entries = await backend.customers.own(*new)
    assert names(entries) == [new[0].record_name, old[0].record_name]
    assert [entry.carrier for entry in entries] == [Carrier.HEADER, Carrier.COOKIE]
    assert [entry.user_agent for entry in entries] == [None, "first"]
    assert [entry.created_at for entry in entries] == [NOW + 60, NOW]
    assert [entry.last_seen_at for entry in entries] == [NOW + 60, NOW]


@pytest.mark.parametrize("spelling", [ADA, " ada@example.com ", "ADA@Example.COM"])
async def test_an_address_names_one_customer_however_it_is_spelled(backend: Backend, spelling: str) -> None:
    ticket, _ = await noted(backend, of_customer(f"  {ADA.upper()} "))
    assert names(await backend.customers.by_email(spelling)) == [ticket.record_name]
    assert await backend.customers.by_email(GRACE) == []


async def test_a_session_without_an_address_is_found_by_the_others_number(backend: Backend) -> None:
    nameless = await noted(backend, of_customer(None, customer_id="10"))
    named = await noted(backend, of_customer(ADA, customer_id="10"))
    await noted(backend, of_customer(GRACE, customer_id="11"))
    both = {nameless[0].record_name, named[0].record_name}
    assert set(names(await backend.customers.own(*nameless))) == both
    by_email = await backend.customers.by_email(ADA)
    assert set(names(by_email)) == both
    assert {entry.number for entry in by_email} == {"10"}
    assert len(await backend.customers.end_others(*named, EndReason.ENDED)) == 1


LOOKALIKES = [
    ("kunde@grossbank.example", "kunde@großbank.example"),
    ("kunde@grossbank.example", "kunde@groſſbank.example"),
    ("kunde@grossbank.example", "Kunde@grossbank.example"),
    ("kunde@grossbank.example", " kunde@grossbank.example"),
    ("kunde@grossbank.example", "\u00a0kunde@grossbank.example"),
    ("10", "#10"),
    ("number 10", "10"),
]


@pytest.mark.parametrize(("victim", "stranger"), LOOKALIKES)
async def test_an_address_that_looks_alike_shows_and_ends_nobody_elses_sessions(
    backend: Backend, victim: str, stranger: str
) -> None:
    theirs = await noted(backend, of_customer(victim, customer_id="10"))
    mine = await noted(backend, of_customer(stranger, customer_id="11"))
    unnumbered = await noted(backend, of_customer(stranger))
    for one in (mine, unnumbered):
        assert theirs[0].record_name not in names(await backend.customers.own(*one))
        await backend.customers.end_others(*one, EndReason.ENDED)
    assert names(await backend.customers.by_email(victim)) == [theirs[0].record_name]
    assert await backend.store.load_fresh(theirs[0]) == theirs[1]


async def test_an_address_that_passed_to_another_customer_shows_only_the_customers_own(
    backend: Backend,
) -> None:
    before = await noted(backend, of_customer(ADA, customer_id="10"))
    after = await noted(backend, of_customer(ADA, customer_id="11"))
    unnumbered = await noted(backend, of_customer(ADA))
    assert set(names(await backend.customers.own(*before))) == {
        before[0].record_name,
        unnumbered[0].record_name,
    }
    assert before[0].record_name not in names(await backend.customers.own(*after))
    assert names(await backend.customers.own(*unnumbered)) == [unnumbered[0].record_name]
    assert len(await backend.customers.by_email(ADA)) == 3


async def test_a_number_names_one_customer(backend: Backend) -> None:
    renamed = await noted(backend, of_customer(GRACE, customer_id="10"))
    named = await noted(backend, of_customer(ADA, customer_id="10"))
    await noted(backend, of_customer(ADA, customer_id="11"))
    both = {renamed[0].record_name, named[0].record_name}
    assert set(names(await backend.customers.by_number("10"))) == both
    assert set(names(await backend.customers.own(*named))) == both


async def test_a_customer_without_address_and_number_has_no_list(backend: Backend) -> None:
    assert await backend.customers.own(*await noted(backend, of_customer(None))) == []


async def test_a_guest_has_no_index(backend: Backend) -> None:
    ticket, session = await begin(backend, email=ADA)
    await backend.customers.add(ticket, session)
    assert await backend.customers.own(ticket, session) == []
    assert await backend.customers.by_email(ADA) == []


async def test_a_session_that_is_noted_twice_is_listed_once(backend: Backend) -> None:
    ticket, session = await noted(backend, of_customer(ADA, customer_id="10"))
    await backend.customers.add(ticket, session)
    assert names(await backend.customers.own(ticket, session)) == [ticket.record_name]


async def test_the_last_use_is_the_sessions_own_and_not_the_notes(backend: Backend, clock: Clock) -> None:
    ticket, _ = await noted(backend, of_customer(ADA))
    clock.at += 3600
    await backend.store.peek(ticket)
    (entry,) = await backend.customers.by_email(ADA)
    assert entry.last_seen_at == NOW + 3600
    assert entry.created_at == NOW


async def test_an_entry_whose_session_has_ended_is_dropped(backend: Backend) -> None:
    kept, _ = await noted(backend, of_customer(ADA))
    deleted, _ = await noted(backend, of_customer(ADA))
    retired, _ = await noted(backend, of_customer(ADA))
    await backend.store.delete(deleted)
    await backend.store.retire(retired, EndReason.ENDED)
    assert names(await backend.customers.by_email(ADA)) == [kept.record_name]


async def test_a_session_that_the_index_misses_adds_itself(backend: Backend) -> None:
    mine = await begin(backend, kind=SessionKind.CUSTOMER, email=ADA)
    other = await noted(backend, of_customer(ADA))
    assert len(await backend.customers.end_others(*mine, EndReason.ENDED)) == 1
    assert names(await backend.customers.by_email(ADA)) == [mine[0].record_name]
    assert await backend.store.load_fresh(other[0]) == Tombstone(EndReason.ENDED, None)


async def test_ending_one_says_whether_this_call_ended_it(backend: Backend) -> None:
    ticket, _ = await noted(backend, of_customer(ADA))
    (entry,) = await backend.customers.by_email(ADA)
    assert await backend.customers.end(entry, EndReason.ENDED) is True
    assert await backend.customers.end(entry, EndReason.ENDED) is False
    assert await backend.store.load_fresh(ticket) == Tombstone(EndReason.ENDED, None)


async def test_the_others_end_and_this_one_stays(backend: Backend) -> None:
    mine = await noted(backend, of_customer(ADA))
    others = [await noted(backend, of_customer(ADA)) for _ in range(3)]
    stranger = await noted(backend, of_customer(GRACE))
    assert len(await backend.customers.end_others(*mine, EndReason.ENDED)) == 3
    assert len(await backend.customers.end_others(*mine, EndReason.ENDED)) == 0
    for ticket, _ in others:
        assert await backend.store.load_fresh(ticket) == Tombstone(EndReason.ENDED, None)
    for ticket, session in (mine, stranger):
        assert await backend.store.load_fresh(ticket) == replace(session)


async def test_refs_are_stable_and_tell_nothing(backend: Backend) -> None:
    mine = await noted(backend, of_customer(ADA))
    await noted(backend, of_customer(ADA))
    first, again = await backend.customers.own(*mine), await backend.customers.own(*mine)
    assert [entry.ref for entry in first] == [entry.ref for entry in again]
    assert len({entry.ref for entry in first}) == 2
    for entry in first:
        assert entry.ref.isascii()
        assert len(entry.ref) == 16
        assert entry.ref.encode() not in entry.name.hex().encode()


async def test_sessions_of_before_and_after_a_new_key_are_listed_together(replicas: Replicas) -> None:
    old_key, new_key = (("k1", secrets.token_bytes(32)), ("k2", secrets.token_bytes(32)))
    old = replicas.open(ring=KeyRing([old_key], replicas.tenant, secrets.token_bytes))
    new = replicas.open(ring=KeyRing([new_key, old_key], replicas.tenant, secrets.token_bytes))
    before = await noted(old, of_customer(ADA))
    after = await noted(new, of_customer(ADA))
    assert set(names(await new.customers.own(*after))) == {before[0].record_name, after[0].record_name}
    assert len(await new.customers.end_others(*after, EndReason.ENDED)) == 1
    assert await new.store.load_fresh(before[0]) == Tombstone(EndReason.ENDED, None)


async def test_another_servers_keys_find_nobody(replicas: Replicas, backend: Backend) -> None:
    await noted(backend, of_customer(ADA))
    foreign = replicas.open(ring=new_ring(tenant=replicas.tenant))
    assert await foreign.customers.by_email(ADA) == []
    assert len(await backend.customers.by_email(ADA)) == 1


async def test_a_long_index_lists_every_session(backend: Backend) -> None:
    tickets = [(await noted(backend, of_customer(ADA)))[0] for _ in range(25)]
    entries = await backend.customers.by_email(ADA)
    assert set(names(entries)) == {ticket.record_name for ticket in tickets}
