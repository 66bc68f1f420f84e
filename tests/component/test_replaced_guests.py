"""Guests whom upstream refused: whoever still carries the old id goes on as the one guest that took their place."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bff.errors import SessionRotated
from bff.security.secret import Secret
from bff.session import Carrier, EndReason, HeldSession, SessionKind, Tombstone
from tests.live import ADA
from tests.support import Replica, a_request_session, bare, loaded, new_keys, new_replica

pytestmark = pytest.mark.anyio

LOGINS = "anonymous/login"


@pytest.fixture
async def replicas(redis_url: str) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas of one deployment."""
    keys = new_keys()
    async with (
        new_replica(redis_url, keys=keys) as one,
        new_replica(redis_url, keys=keys, clock=one.clock, upstream=one.upstream) as other,
    ):
        yield one, other


def refuse(one: Replica) -> None:
    for token in one.upstream.world.refresh.values():
        token.revoked = True


async def replaced(one: Replica, held: HeldSession) -> HeldSession:
    """Let upstream refuse to renew a guest, and return the guest that took its place."""
    refuse(one)
    return await one.engine.refresher.refresh(held)


async def test_parallel_requests_over_replicas_get_one_and_the_same_new_guest(
    replicas: tuple[Replica, Replica],
) -> None:
    held = await replicas[0].guest()
    visits = [await loaded(one, held) for one in replicas for _ in range(10)]
    refuse(replicas[0])
    sessions = await asyncio.gather(
        *(replicas[i // 10].engine.lifecycle.refresh(visit) for i, visit in enumerate(visits))
    )
    assert len(replicas[0].upstream.calls(LOGINS)) == 2, "the old guest's and the new one's"
    assert len({session.tokens.access.reveal() for session in sessions if session is not None}) == 1
    assert {visit.issued.ticket for visit in visits if visit.issued is not None} != {held.ticket}
    assert len({None if visit.issued is None else visit.issued.ticket for visit in visits}) == 1


async def test_browsers_requests_over_replicas_are_all_answered_with_the_new_guests_cookie(
    replicas: tuple[Replica, Replica],
) -> None:
    one, other = replicas
    async with one.browser() as first, other.browser() as second:
        begun = await first.post("/auth/anonymous")
        cookie = {"Cookie": begun.headers["set-cookie"].partition(";")[0]}
        first.cookies.clear()
        refuse(one)
        answers = await asyncio.gather(
            *(browser.post("/auth/refresh", headers=cookie) for browser in (first, second) * 10)
        )
    assert [answer.status_code for answer in answers] == [200] * 20
    assert all("set-cookie" in answer.headers for answer in answers)
    versions = {answer.headers["x-session-version"] for answer in answers}
    assert len(versions) == 1
    assert versions != {begun.headers["x-session-version"]}
    assert len(one.upstream.calls(LOGINS)) == 2


async def test_a_refused_guest_that_was_written_meanwhile_goes_on_and_the_new_one_is_dropped(
    replica: Replica,
) -> None:
    held = await replica.guest()
    refuse(replica)
    known = set(await replica.store.names())
    async with replica.upstream.delaying(LOGINS, replica.engine.refresher.refresh(held)) as refreshing:
        written = await replica.store.replace(held.ticket, held.session)
    assert (await refreshing).session == written
    assert set(await replica.store.names()) <= known, "those of other tests may have ended meanwhile"


@pytest.mark.parametrize("safe", [True, False])
async def test_a_request_that_comes_later_is_the_new_guests(
    replicas: tuple[Replica, Replica],
    safe: bool,  # noqa: FBT001
) -> None:
    one, other = replicas
    held = await one.guest()
    fresh = await replaced(one, held)
    visit = await loaded(other, held, safe=safe)
    assert visit.held == visit.issued == fresh
    assert not visit.superseded
    assert await other.engine.lifecycle.ensure_session(visit) == fresh.session
    assert len(one.upstream.calls(LOGINS)) == 2


async def test_a_request_that_was_under_way_is_the_new_guests(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    held = await one.guest()
    visit = await loaded(other, held)
    fresh = await replaced(one, held)
    assert await other.engine.lifecycle.refresh(visit) == fresh.session
    assert visit.issued == fresh


async def test_after_a_login_of_the_new_guest_the_refused_id_becomes_nothing(
    replicas: tuple[Replica, Replica],
) -> None:
    one, other = replicas
    held = await one.guest()
    under_way = await loaded(other, held)
    fresh = await replaced(one, held)
    visit = await loaded(one, fresh)
    await one.engine.login.login(visit, ADA["email"], Secret(ADA["password"]))
    with pytest.raises(SessionRotated):
        await other.engine.lifecycle.refresh(under_way)
    assert under_way.issued is None
    for safe in (True, False):
        late = a_request_session()
        late.carried = held.ticket
        with pytest.raises(SessionRotated):
            await other.engine.lifecycle.load(late, safe=safe)
        assert (late.held, late.issued, late.cleared) == (None, None, False)


async def test_a_refused_id_is_nobodys_once_the_new_guest_has_ended(
    replicas: tuple[Replica, Replica],
) -> None:
    one, other = replicas
    held = await one.guest()
    fresh = await replaced(one, held)
    await one.engine.lifecycle.logout(await loaded(one, fresh))
    with pytest.raises(SessionRotated):
        await loaded(other, held)


async def test_no_tombstone_leads_to_a_customer(replica: Replica) -> None:
    guest, ada = await replica.guest(), await replica.customer()
    assert ada.session.kind is SessionKind.CUSTOMER
    assert await replica.store.retire(guest.ticket, EndReason.SUPERSEDED, successor=ada.ticket)
    with pytest.raises(SessionRotated):
        await loaded(replica, guest)


async def test_no_tombstone_leads_to_the_other_carriers_session(replica: Replica) -> None:
    guest, app = await replica.guest(), await replica.guest(Carrier.HEADER)
    assert await replica.store.retire(guest.ticket, EndReason.SUPERSEDED, successor=app.ticket)
    with pytest.raises(SessionRotated):
        await loaded(replica, guest)


async def test_the_new_guests_ticket_is_not_readable_in_redis(replica: Replica) -> None:
    held = await replica.guest()
    fresh = await replaced(replica, held)
    assert await replica.store.load_fresh(held.ticket) == Tombstone(EndReason.SUPERSEDED, None, fresh.ticket)
    redis: Any = bare(replica.redis)
    dump = b""
    for key in await redis.keys("*"):
        if key.endswith(b"}"):
            dump += b"".join(part for pair in (await redis.hgetall(key)).items() for part in pair)
    for part in (fresh.ticket.id, fresh.ticket.secret):
        assert part not in dump
        assert part.hex().encode() not in dump


async def test_a_login_whose_guest_is_refused_meanwhile_goes_on_with_the_new_guest(
    replicas: tuple[Replica, Replica],
) -> None:
    one, other = replicas
    held = await one.guest()
    visit = await loaded(one, held)
    guest = await replaced(other, held)
    customer = await one.engine.login.login(visit, ADA["email"], Secret(ADA["password"]))
    assert customer.kind is SessionKind.CUSTOMER
    assert customer.upstream_session_id == guest.session.upstream_session_id
    old = await one.ports.store.load_fresh(guest.ticket)
    assert isinstance(old, Tombstone)
    assert old.reason is EndReason.SUPERSEDED
