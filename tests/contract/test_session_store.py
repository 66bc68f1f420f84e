"""What every session store must do, whatever keeps it."""

import asyncio
import secrets
from dataclasses import replace

import pytest

from bff.errors import StoreUnavailable
from bff.session import EndReason, HeldSession, Session, SessionKind, Ticket, Tombstone
from bff.store.backend import Backend
from bff.store.protocol import Touch
from tests.contract.backends import FACTORIES, FAKE, REDIS_SERVERS
from tests.contract.replicas import Replicas, begin
from tests.values import NOW, Clock, a_session, new_ring, new_ticket

pytestmark = pytest.mark.anyio


def test_a_real_server_is_among_the_backends(capsys: pytest.CaptureFixture[str]) -> None:
    with capsys.disabled():
        print(f"\nstore contract on: {', '.join(FACTORIES)}")  # noqa: T201
    assert set(REDIS_SERVERS) - {FAKE}, "only fakeredis is here: install a Redis, or set BFF_TEST_REDIS_URL"


async def test_a_store_that_answers_says_so(backend: Backend) -> None:
    await backend.store.ping()


async def test_what_was_created_is_loaded(backend: Backend) -> None:
    ticket, session = await begin(backend, email="ada@example.com", kind=SessionKind.CUSTOMER)
    assert session.generation == 1
    assert await backend.store.peek(ticket) == session
    assert await backend.store.load_fresh(ticket) == session
    assert await backend.store.peek(new_ticket()) is None
    assert await backend.store.load_fresh(new_ticket()) is None


async def test_a_fresh_load_sees_what_another_replica_has_just_done(
    replicas: Replicas, backend: Backend
) -> None:
    ticket, session = await begin(backend)
    other = replicas.open().store
    assert await other.peek(ticket) == session
    written = await backend.store.replace(ticket, replace(session, version=7))
    assert await other.load_fresh(ticket) == written
    await backend.store.retire(ticket, EndReason.ENDED)
    assert await other.load_fresh(ticket) == Tombstone(EndReason.ENDED, None)
    await backend.store.delete(ticket)
    assert await other.load_fresh(ticket) is None


async def test_an_id_that_is_taken_is_not_written_over(backend: Backend) -> None:
    ticket, session = await begin(backend)
    with pytest.raises(StoreUnavailable):
        await backend.store.create(ticket, a_session())
    assert await backend.store.peek(ticket) == session


async def test_a_write_names_the_generation_that_it_saw(backend: Backend) -> None:
    ticket, first = await begin(backend)
    second = await backend.store.replace(ticket, replace(first, version=2))
    assert second == replace(first, version=2, generation=2)
    assert await backend.store.replace(ticket, replace(first, version=9)) is None
    assert await backend.store.peek(ticket) == second


async def test_of_writers_at_once_one_wins(replicas: Replicas, backend: Backend) -> None:
    ticket, first = await begin(backend)
    writers = await replicas.connected(10)
    writes = [one.store.replace(ticket, replace(first, version=n)) for n, one in enumerate(writers, start=2)]
    written = [session for session in await asyncio.gather(*writes) if session is not None]
    assert len(written) == 1
    assert await backend.store.load_fresh(ticket) == written[0]


async def test_a_write_that_is_tried_again_with_its_mark_recognises_its_own_success(backend: Backend) -> None:
    ticket, first = await begin(backend)
    mark = backend.store.write_mark()
    second = await backend.store.replace(ticket, replace(first, version=2), mark=mark)
    assert await backend.store.replace(ticket, replace(first, version=2), mark=mark) == second
    assert await backend.store.replace(ticket, first, mark=backend.store.write_mark()) is None


async def test_a_session_that_is_not_there_is_not_written(backend: Backend) -> None:
    ticket, first = await begin(backend)
    await backend.store.delete(ticket)
    assert await backend.store.replace(ticket, first) is None
    assert not await backend.store.retire(ticket, EndReason.ENDED)
    assert await backend.store.load_fresh(ticket) is None
    assert await backend.store.names() == []


@pytest.mark.parametrize(("idle", "left", "ends"), [(100, 1000, 100), (1000, 100, 100)])
async def test_both_lifetimes_end_a_session_by_the_clock(
    backend: Backend, clock: Clock, idle: float, left: float, ends: float
) -> None:
    ticket, _ = await begin(backend, idle_seconds=idle, expires_at=NOW + left)
    clock.at = NOW + ends - 0.01
    assert isinstance(await backend.store.load_fresh(ticket), Session)
    clock.at = NOW + ends
    assert await backend.store.load_fresh(ticket) is None
    assert await backend.store.names() == []


async def test_a_use_extends_idling_and_never_the_absolute_end(backend: Backend, clock: Clock) -> None:
    ticket, _ = await begin(backend, idle_seconds=36_000, expires_at=NOW + 50_000)
    clock.at = NOW + 30_000
    found = await backend.store.peek(ticket)
    assert isinstance(found, Session)
    assert (found.last_seen_at, found.idle_expires_at) == (NOW + 30_000, NOW + 50_000)
    clock.at = NOW + 50_000
    assert await backend.store.peek(ticket) is None


async def test_a_fresh_load_extends_nothing(backend: Backend, clock: Clock) -> None:
    ticket, _ = await begin(backend, idle_seconds=36_000)
    clock.at = NOW + 30_000
    found = await backend.store.load_fresh(ticket)
    assert isinstance(found, Session)
    assert found.last_seen_at == NOW
    clock.at = NOW + 36_000
    assert await backend.store.peek(ticket) is None


async def test_a_peek_extends_nothing_where_it_must_not(backend: Backend, clock: Clock) -> None:
    ticket, _ = await begin(backend, idle_seconds=36_000)
    clock.at = NOW + 30_000
    found = await backend.store.peek(ticket, Touch.NO)
    assert isinstance(found, Session)
    assert found.last_seen_at == NOW
    clock.at = NOW + 36_000
    assert await backend.store.peek(ticket) is None


async def test_steady_use_is_written_rarely_unless_it_must_be_exact(
    backend: Backend,
    clock: Clock,
    cached: bool,  # noqa: FBT001
) -> None:
    """Once a second, or once a minute where sessions are kept in memory."""
    pause = 60 if cached else 1
    ticket, _ = await begin(backend)
    await backend.store.peek(ticket)
    seen = []
    for after, touch in (
        (0.5 * pause, Touch.LAZY),
        (0.999 * pause, Touch.LAZY),
        (1.0 * pause, Touch.LAZY),
        (1.5 * pause, Touch.LAZY),
        (1.5 * pause, Touch.EXACT),
    ):
        clock.at = NOW + after
        found = await backend.store.peek(ticket, touch)
        assert isinstance(found, Session)
        seen.append(found.last_seen_at - NOW)
    assert seen == [0, 0, pause, pause, 1.5 * pause]


@pytest.mark.parametrize("idle", [2, 0.75])
async def test_a_short_idle_lifetime_is_touched_more_often(
    backend: Backend, clock: Clock, idle: float
) -> None:
    ticket, _ = await begin(backend, idle_seconds=idle)
    for quarter in range(1, 30):
        clock.at = NOW + quarter / 4
        found = await backend.store.peek(ticket)
        assert isinstance(found, Session), f"it idled away in use after {quarter / 4} s"


async def test_a_write_extends_no_lifetime(backend: Backend, clock: Clock) -> None:
    ticket, first = await begin(backend, idle_seconds=36_000)
    clock.at = NOW + 30_000
    assert await backend.store.replace(ticket, replace(first, last_seen_at=clock.at))
    clock.at = NOW + 36_000
    assert await backend.store.peek(ticket) is None


async def test_a_superseded_session_stays_readable_as_the_guest_that_it_was(backend: Backend) -> None:
    ticket, session = await begin(backend)
    assert await backend.store.retire(ticket, EndReason.SUPERSEDED, generation=1, keep_record=True)
    for found in (await backend.store.peek(ticket), await backend.store.load_fresh(ticket)):
        assert isinstance(found, Tombstone)
        assert found.reason is EndReason.SUPERSEDED
        assert found.guest is not None
        assert replace(found.guest, generation=1) == session


async def test_a_replaced_session_leaves_its_successors_ticket_to_whoever_held_it(
    replicas: Replicas, backend: Backend
) -> None:
    ticket, _ = await begin(backend)
    successor, _ = await begin(backend)
    left = Tombstone(EndReason.SUPERSEDED, None, successor)
    assert not await backend.store.retire(ticket, EndReason.SUPERSEDED, generation=2, successor=successor)
    assert await backend.store.retire(ticket, EndReason.SUPERSEDED, generation=1, successor=successor)
    assert not await backend.store.retire(ticket, EndReason.SUPERSEDED, successor=new_ticket())
    other = replicas.open()
    assert await other.store.peek(ticket) == await other.store.load_fresh(ticket) == left
    async with other.locks.hold(ticket) as lock:
        assert lock.found == left
    stranger = Ticket(ticket.id, secrets.token_bytes(32))
    assert await other.store.peek(stranger) == Tombstone(EndReason.SUPERSEDED, None)
    elsewhere = replicas.open(ring=new_ring(tenant=replicas.tenant))
    assert await elsewhere.store.peek(ticket) == Tombstone(EndReason.SUPERSEDED, None)


async def test_an_ended_session_leaves_its_reason_and_no_record(backend: Backend) -> None:
    ticket, _ = await begin(backend)
    assert await backend.store.retire(ticket, EndReason.ENDED)
    assert await backend.store.peek(ticket) == Tombstone(EndReason.ENDED, None)
    assert await backend.store.load_fresh(ticket) == Tombstone(EndReason.ENDED, None)


@pytest.mark.parametrize("keep", [True, False])
async def test_a_tombstone_takes_no_write_and_no_second_end(backend: Backend, keep: bool) -> None:  # noqa: FBT001
    ticket, session = await begin(backend)
    assert await backend.store.retire(ticket, EndReason.SUPERSEDED, keep_record=keep)
    for generation in (1, 2, 3):
        assert await backend.store.replace(ticket, replace(session, generation=generation)) is None
        assert not await backend.store.retire(ticket, EndReason.ENDED, generation=generation)
    assert not await backend.store.retire(ticket, EndReason.ENDED)
    with pytest.raises(StoreUnavailable):
        await backend.store.create(ticket, session)
    found = await backend.store.peek(ticket)
    assert isinstance(found, Tombstone)
    assert found.reason is EndReason.SUPERSEDED


async def test_an_end_may_name_the_generation_that_it_saw(backend: Backend) -> None:
    ticket, first = await begin(backend)
    await backend.store.replace(ticket, first)
    assert not await backend.store.retire(ticket, EndReason.ENDED, generation=1)
    assert isinstance(await backend.store.peek(ticket), Session)
    assert await backend.store.retire(ticket, EndReason.ENDED, generation=2)


async def test_of_enders_at_once_one_ended_it(replicas: Replicas, backend: Backend) -> None:
    ticket, _ = await begin(backend)
    ends = [one.store.retire(ticket, EndReason.ENDED) for one in await replicas.connected(8)]
    assert (await asyncio.gather(*ends)).count(True) == 1


async def test_a_session_is_ended_by_its_name_alone(backend: Backend, clock: Clock) -> None:
    ticket, _ = await begin(backend)
    name = ticket.record_name
    clock.at += 61
    await backend.store.peek(ticket)
    assert await backend.store.last_seen([name]) == [NOW + 61]
    assert await backend.store.names() == [name]
    assert await backend.store.retire_name(name, EndReason.ENDED)
    assert await backend.store.last_seen([name]) == [None]
    assert await backend.store.last_seen([bytes(32)]) == [None]


async def test_last_uses_come_in_the_order_that_they_are_asked_for(backend: Backend) -> None:
    tickets = [(await begin(backend, last_seen_at=NOW - ago))[0] for ago in (3, 2, 1)]
    names = [ticket.record_name for ticket in tickets]
    assert await backend.store.last_seen([names[1], bytes(32), names[0], names[2]]) == [
        NOW - 2,
        None,
        NOW - 3,
        NOW - 1,
    ]
    assert await backend.store.last_seen([]) == []


async def test_a_new_session_supersedes_an_old_one(backend: Backend) -> None:
    ticket, guest = await begin(backend)
    new, customer = new_ticket(), a_session(kind=SessionKind.CUSTOMER)
    created = await backend.store.supersede(HeldSession(ticket, guest), new, customer)
    assert created == replace(customer, generation=1)
    assert await backend.store.load_fresh(new) == created
    found = await backend.store.load_fresh(ticket)
    assert isinstance(found, Tombstone)
    assert found.reason is EndReason.SUPERSEDED
    assert found.guest is not None
    assert replace(found.guest, generation=1) == guest


@pytest.mark.parametrize("meanwhile", ["written", "ended", "superseded", "deleted"])
async def test_what_was_written_or_ended_meanwhile_is_not_superseded(
    backend: Backend, meanwhile: str
) -> None:
    ticket, guest = await begin(backend)
    held, new = HeldSession(ticket, guest), new_ticket()
    match meanwhile:
        case "written":
            assert await backend.store.replace(ticket, guest)
        case "ended":
            assert await backend.store.retire(ticket, EndReason.ENDED)
        case "superseded":
            assert await backend.store.supersede(held, new_ticket(), a_session())
        case "deleted":
            await backend.store.delete(ticket)
    before, names = await backend.store.load_fresh(ticket), set(await backend.store.names())
    assert await backend.store.supersede(held, new, a_session()) is None
    assert await backend.store.load_fresh(new) is None
    assert await backend.store.load_fresh(ticket) == before
    assert set(await backend.store.names()) <= names, "those of other tests may have ended meanwhile"


async def test_a_session_whose_successor_cannot_be_created_lives_on(backend: Backend) -> None:
    ticket, guest = await begin(backend)
    taken, other = await begin(backend)
    with pytest.raises(StoreUnavailable):
        await backend.store.supersede(HeldSession(ticket, guest), taken, a_session())
    assert await backend.store.load_fresh(ticket) == guest
    assert await backend.store.load_fresh(taken) == other


async def test_of_successors_at_once_one_succeeds(replicas: Replicas, backend: Backend) -> None:
    ticket, guest = await begin(backend)
    tickets = [new_ticket() for _ in range(8)]
    logins = zip(await replicas.connected(len(tickets)), tickets, strict=True)
    tried = [one.store.supersede(HeldSession(ticket, guest), new, a_session()) for one, new in logins]
    created = [session is not None for session in await asyncio.gather(*tried)]
    assert created.count(True) == 1
    live = [isinstance(await backend.store.load_fresh(new), Session) for new in tickets]
    assert live == created


async def test_another_secret_or_another_servers_key_does_not_open(
    replicas: Replicas, backend: Backend
) -> None:
    ticket, session = await begin(backend)
    assert await backend.store.peek(Ticket(ticket.id, secrets.token_bytes(32))) is None
    foreign = replicas.open(ring=new_ring(tenant=replicas.tenant))
    assert await foreign.store.peek(ticket) is None
    assert await foreign.store.load_fresh(ticket) is None
    assert await backend.store.peek(ticket) == session


async def test_a_name_is_claimed_once(replicas: Replicas, backend: Backend) -> None:
    name = secrets.token_bytes(32)
    claims = await asyncio.gather(*(one.store.claim(name, 60) for one in await replicas.connected(5)))
    assert sorted(claims) == [False] * 4 + [True]
    assert await backend.store.claim(secrets.token_bytes(32), 60)


async def test_a_claim_is_no_session(backend: Backend) -> None:
    assert await backend.store.claim(secrets.token_bytes(32), 60)
    assert await backend.store.names() == []


async def test_a_pause_is_known_to_all_replicas_and_is_no_session(
    replicas: Replicas, backend: Backend
) -> None:
    name, other = secrets.token_bytes(32), replicas.open().store
    assert await other.paused_for(name) == 0
    await backend.store.pause(name, 600)
    assert 500 < await other.paused_for(name) <= 600
    await other.pause(name, 900)
    unknown = secrets.token_bytes(32)
    assert 800 < await backend.store.paused_for(unknown, name) <= 900
    assert await other.paused_for(unknown) == 0
    assert await backend.store.names() == []


async def test_people_see_sealed_values_and_nothing_else(backend: Backend) -> None:
    ticket, session = await begin(backend, email="ada@example.com")
    (row,) = await backend.store.inspect()
    assert row["type"] == "session"
    assert ticket.record_name.hex() in row["key"]
    assert row["ttlSeconds"] > 0
    for secret in ("ada@example.com", session.tokens.access.reveal(), ticket.id.hex()):
        assert secret not in f"{row}"


async def test_people_see_no_more_keys_than_they_ask_for(backend: Backend) -> None:
    for _ in range(3):
        await begin(backend)
    assert len(await backend.store.inspect(2)) == 2
    assert len(await backend.store.inspect()) == 3
