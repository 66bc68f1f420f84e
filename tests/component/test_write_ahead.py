"""A renewal that did not come to its end on its own replica: what another replica makes of the mark that it left."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from bff.errors import StoreUnavailable
from bff.security.secret import Secret
from bff.session import EndReason, GuestContext, HeldSession, KeptGuest, Session, Tombstone
from bff.sessions import refresh as refreshing
from bff.sessions.endings import EndedHere
from bff.sessions.token_saver import TokenSaver
from bff.store.protocol import LockedRead
from tests.relay import Relay, relaying
from tests.support import Replica, access_alive, loaded, new_keys, new_replica, until

pytestmark = pytest.mark.anyio

REFRESH = "refreshauthtoken"


@dataclass
class Pair:
    """Two replicas of one proxy, and what lies between the first and Redis."""

    one: Replica
    other: Replica
    relay: Relay

    async def unsaved(self) -> HeldSession:
        """Return a customer whose refresh token is spent, for tokens that the first replica cannot store."""
        held = await self.one.customer()
        async with self.one.upstream.delaying(REFRESH, self.one.engine.refresher.refresh(held)) as renewing:
            self.relay.deaf = True
        with pytest.raises(StoreUnavailable):
            await renewing
        await self.other.unlock(held)
        return held


@pytest.fixture
async def pair(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Pair]:
    monkeypatch.setattr(refreshing, "_LOOKS", 200)
    keys = new_keys()
    async with (
        relaying(redis_url) as relay,
        new_replica(relay.url, keys=keys) as one,
        new_replica(redis_url, keys=keys, clock=one.clock, upstream=one.upstream) as other,
    ):
        yield Pair(one, other, relay)
        relay.deaf = False


def refused(one: Replica) -> int:
    return len([call for call in one.upstream.calls(REFRESH) if call["status"] == 400])


async def test_a_refused_replica_waits_for_tokens_that_another_has_yet_to_store(pair: Pair) -> None:
    held = await pair.unsaved()
    waiting = asyncio.create_task(pair.other.engine.refresher.refresh(held))
    await until(lambda: refused(pair.one))
    assert await pair.other.stored(held) == held.session
    pair.relay.deaf = False
    renewed = await waiting
    assert renewed.session == await pair.other.stored(held)
    assert access_alive(pair.other, renewed.session)
    assert not pair.one.upstream.calls("/logout")


async def test_a_refused_switch_of_the_company_does_not_end_the_session_either(pair: Pair) -> None:
    held = await pair.unsaved()
    visit = await loaded(pair.other, held)
    switching = asyncio.create_task(pair.other.engine.legal_entity.switch(visit, "LE-100"))
    await until(lambda: refused(pair.one) >= 2)
    pair.relay.deaf = False
    await asyncio.gather(switching, return_exceptions=True)
    assert access_alive(pair.other, await pair.other.stored(held))


@pytest.mark.parametrize("lives", [True, False])
async def test_a_killed_replicas_mark_costs_no_session_that_upstream_renews_and_keeps_no_other(
    replica: Replica,
    monkeypatch: pytest.MonkeyPatch,
    lives: bool,  # noqa: FBT001
) -> None:
    monkeypatch.setattr(refreshing, "_LOOK_PAUSE_SECONDS", 0.001)
    held = await replica.customer()
    async with replica.ports.locks.hold(held.ticket, renews=True):
        await replica.unlock(held)
        if not lives:
            for token in replica.upstream.world.refresh.values():
                token.revoked = True
        if lives:
            assert access_alive(replica, (await replica.engine.refresher.refresh(held)).session)
        else:
            with pytest.raises(EndedHere):
                await replica.engine.refresher.refresh(held)
            assert await replica.store.load_fresh(held.ticket) == Tombstone(EndReason.EXPIRED, None)


async def test_a_refusal_without_a_mark_ends_a_session_at_once(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refreshing, "_LOOK_PAUSE_SECONDS", 3600)
    held = await replica.customer()
    await replica.engine.refresher.refresh(held)
    held = HeldSession(held.ticket, await replica.stored(held))
    for token in replica.upstream.world.refresh.values():
        token.revoked = True
    async with asyncio.timeout(20):
        with pytest.raises(EndedHere):
            await replica.engine.refresher.refresh(held)


async def test_a_renewal_that_lost_its_lock_leaves_the_later_one_alone(replica: Replica) -> None:
    """Its tokens belong to the same Emporix session, which a revocation would end."""
    replica.upstream.turn(customer_rotation="tolerant")
    held = await replica.customer()
    async with replica.upstream.delaying(REFRESH, replica.engine.refresher.refresh(held)) as early:
        await replica.unlock(held)
        async with replica.ports.locks.hold(held.ticket, renews=True) as lock:
            assert isinstance(lock.found, Session)
            tokens = replace(lock.found.tokens, access=Secret("later"))
            later = await replica.store.replace(held.ticket, replace(lock.found, tokens=tokens))
    assert (await early).session == later == await replica.stored(held)
    assert not replica.upstream.calls("/logout")


async def test_the_later_of_two_renewals_is_kept_where_the_earlier_one_is_stored_first(
    replica: Replica,
) -> None:
    """The earlier one has lost its lock; upstream has answered both, and the later answer is what it knows."""
    held = await replica.customer()
    saver = TokenSaver(replica.ports)

    async def stored(lock: LockedRead, access: str) -> Session:
        assert isinstance(lock.found, Session)
        tokens = replace(lock.found.tokens, access=Secret(access))
        return await saver.save(HeldSession(held.ticket, lock.found), replace(lock.found, tokens=tokens))

    async with replica.ports.locks.hold(held.ticket, renews=True) as early:
        await replica.unlock(held)
        async with replica.ports.locks.hold(held.ticket, renews=True) as late:
            assert (await stored(early, "early")).tokens.access == Secret("early")
            assert (await stored(late, "late")).tokens.access == Secret("late")
    assert (await replica.stored(held)).tokens.access == Secret("late")


async def test_a_renewal_that_lost_its_lock_is_stored_beside_a_later_one_of_the_guest(
    replica: Replica,
) -> None:
    """The customer's refresh token is spent for it, and nobody has renewed with it since."""
    held = await replica.customer()
    async with replica.upstream.delaying(REFRESH, replica.engine.refresher.refresh(held)) as early:
        await replica.unlock(held)
        async with replica.ports.locks.hold(held.ticket, renews=True) as lock:
            assert isinstance(lock.found, Session)
            guest = KeptGuest(lock.found.tokens, Secret("guest-session"), replica.clock(), GuestContext())
            later = await replica.store.replace(held.ticket, replace(lock.found, kept_guest=guest))
            assert later is not None
    renewed = (await early).session
    assert renewed == await replica.stored(held)
    assert renewed.kept_guest == later.kept_guest
    assert renewed.tokens.access != held.session.tokens.access
    assert access_alive(replica, renewed)


async def test_a_renewal_keeps_what_somebody_else_wrote_meanwhile(replica: Replica) -> None:
    held = await replica.customer()
    async with replica.upstream.delaying(REFRESH, replica.engine.refresher.refresh(held)) as renewing:
        noted = replace(held.session, merged_carts=("cart",), context=GuestContext(currency="CHF"))
        assert await replica.store.replace(held.ticket, noted) is not None
    renewed = (await renewing).session
    assert renewed == await replica.stored(held)
    assert (renewed.merged_carts, renewed.context) == (noted.merged_carts, noted.context)
    assert renewed.tokens.access != held.session.tokens.access
    assert access_alive(replica, renewed)
