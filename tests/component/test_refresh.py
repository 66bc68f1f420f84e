"""Renewals: one at a time, stored before anyone is answered, and only a definite no ends a session."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from bff.errors import NoSession, SessionExpired, SessionRotated, StoreUnavailable, UpstreamUnavailable
from bff.sandbox.state import Knobs
from bff.security.secret import Secret
from bff.session import Carrier, EndReason, GuestContext, HeldSession, Tombstone
from bff.sessions import token_saver
from bff.sessions.endings import EndedHere
from bff.store.redis_keys import RedisKeys
from tests.relay import relaying
from tests.support import TENANT, Replica, access_alive, bare, leave, loaded, new_keys, new_replica

pytestmark = pytest.mark.anyio

GUESTS = "anonymous/refresh"
CUSTOMERS = "refreshauthtoken"
TRANSIENT = ["error", "throttled", "garbage", "html", "no_access_token"]


def due(one: Replica, held: HeldSession) -> None:
    """Turn the clock to half a minute before the session's tokens end."""
    tokens = held.session.tokens
    ends = [end for end in (tokens.access_expires_at, tokens.refresh_expires_at) if end is not None]
    one.clock.at = min(ends) - 30


def refuse(one: Replica) -> None:
    for token in one.upstream.world.refresh.values():
        token.revoked = True


async def both(one: Replica) -> list[HeldSession]:
    return [await one.guest(), await one.customer()]


async def test_a_session_whose_clocks_do_not_ask_is_left_alone(replica: Replica) -> None:
    for held in await both(replica):
        assert await replica.engine.refresher.ensure_fresh(held) is held
    assert not replica.upstream.calls(GUESTS) + replica.upstream.calls(CUSTOMERS)


async def test_a_guest_is_renewed_by_the_access_clock(replica: Replica) -> None:
    held = await replica.guest()
    replica.clock.at += 3599 - 60
    renewed = await replica.engine.refresher.ensure_fresh(held)
    assert renewed.ticket == held.ticket
    assert renewed.session == await replica.stored(held)
    assert renewed.session.generation == 2
    assert renewed.session.version == held.session.version
    assert renewed.session.upstream_session_id == held.session.upstream_session_id
    assert renewed.session.tokens.access_expires_at == replica.clock() + 3599


async def test_a_customer_is_renewed_by_the_refresh_clock(replica: Replica) -> None:
    held = await replica.customer()
    assert held.session.tokens.access_expires_at > replica.clock() + 86_400
    replica.clock.at += 86_399 - 61
    assert await replica.engine.refresher.ensure_fresh(held) is held
    replica.clock.at += 1
    renewed = await replica.engine.refresher.ensure_fresh(held)
    assert renewed.session.tokens.access != held.session.tokens.access
    assert renewed.session.tokens.saas == held.session.tokens.saas is not None


async def test_a_short_lived_token_is_not_renewed_at_every_request(redis_url: str) -> None:
    async with new_replica(redis_url, knobs=Knobs(anonymous_expires_in=30)) as one:
        held = await one.guest()
        one.clock.at += 14
        assert await one.engine.refresher.ensure_fresh(held) is held
        one.clock.at += 1
        assert (await one.engine.refresher.ensure_fresh(held)).session.generation == 2


async def test_force_renews_what_is_not_due(replica: Replica) -> None:
    for held in await both(replica):
        renewed = await replica.engine.refresher.refresh(held)
        assert renewed.session.tokens.access != held.session.tokens.access


async def test_force_takes_another_requests_renewal_for_its_own(replica: Replica) -> None:
    held = await replica.customer()
    first = await replica.engine.refresher.refresh(held)
    assert (await replica.engine.refresher.refresh(held)).session == first.session
    assert len(replica.upstream.calls(CUSTOMERS)) == 1


async def test_the_active_company_is_sent_again_with_every_renewal(replica: Replica) -> None:
    held = await replica.customer()
    visit = await loaded(replica, held, safe=True)
    await replica.engine.legal_entity.switch(visit, "LE-100")
    assert visit.held is not None
    renewed = await replica.engine.refresher.refresh(visit.held)
    assert [call["query"].get("legalEntityId") for call in replica.upstream.calls(CUSTOMERS)] == [
        "LE-100"
    ] * 2
    assert (await replica.ports.emporix.validate(renewed.session.tokens.access)).legal_entity_id == "LE-100"


async def test_another_replicas_tokens_are_taken_before_its_lock_is_free(replica: Replica) -> None:
    held = await replica.customer()
    locks: Any = replica.ports.locks
    assert (await locks.try_lock(held.ticket, b"another replica.")).acquired
    tokens = replace(held.session.tokens, access=Secret("from the other replica"))
    written = await replica.store.replace(held.ticket, replace(held.session, tokens=tokens))
    assert (await replica.engine.refresher.refresh(held)).session == written


async def test_requests_at_once_share_one_renewal(replica: Replica) -> None:
    held = await replica.customer()
    due(replica, held)
    renewed = await asyncio.gather(*(replica.engine.refresher.ensure_fresh(held) for _ in range(20)))
    assert len({one.session.tokens.access.reveal() for one in renewed}) == 1
    assert len(replica.upstream.calls(CUSTOMERS)) == 1


async def test_replicas_share_one_renewal(redis_url: str) -> None:
    """Refresh tokens are good once: a second renewal at the same time would be refused and end the session."""
    keys = new_keys()
    async with (
        new_replica(redis_url, keys=keys) as one,
        new_replica(redis_url, keys=keys, clock=one.clock, upstream=one.upstream) as other,
    ):
        held = await one.customer()
        due(one, held)
        renewed = await asyncio.gather(
            *(each.engine.refresher.ensure_fresh(held) for each in (one, other) * 5)
        )
        assert len({got.session.tokens.access.reveal() for got in renewed}) == 1
        assert len(one.upstream.calls(CUSTOMERS)) == 1


async def test_a_leaving_client_does_not_cancel_the_renewal(replica: Replica) -> None:
    held = await replica.customer()
    due(replica, held)
    async with replica.upstream.delaying(CUSTOMERS, replica.engine.refresher.ensure_fresh(held)) as leaving:
        await leave(leaving)
    await replica.ports.tasks.drain()
    assert (await replica.stored(held)).generation == 2


async def test_a_request_with_a_good_token_does_not_wait_for_long(replica: Replica) -> None:
    held = await replica.customer()
    due(replica, held)
    with replica.upstream.holding(CUSTOMERS) as gate:
        assert await replica.engine.refresher.ensure_fresh(held) is held
        assert not gate.is_set()
    await replica.ports.tasks.drain()
    assert (await replica.stored(held)).generation == 2


@pytest.mark.parametrize("kind", TRANSIENT)
@pytest.mark.parametrize("whose", [0, 1])
async def test_a_token_that_is_still_good_outlasts_an_outage(replica: Replica, whose: int, kind: str) -> None:
    held = (await both(replica))[whose]
    due(replica, held)
    replica.upstream.fail("GET /customer*", kind)
    assert await replica.engine.refresher.ensure_fresh(held) is held
    replica.upstream.world.faults.clear()
    await replica.later(
        1
    )  # a customer's refresh needs the shared token, which is not asked for again at once
    assert (await replica.engine.refresher.ensure_fresh(held)).session.generation == 2


async def test_a_token_that_ends_while_its_refresh_fails_is_not_sent(replica: Replica) -> None:
    held = await replica.guest()
    due(replica, held)
    replica.upstream.fail("GET /customer*", "error")
    async with replica.upstream.delaying(GUESTS, replica.engine.refresher.ensure_fresh(held)) as failing:
        replica.clock.at += 31
    with pytest.raises(UpstreamUnavailable):
        await failing


@pytest.mark.parametrize("kind", TRANSIENT)
async def test_an_ended_token_in_an_outage_is_a_503_and_ends_nothing(replica: Replica, kind: str) -> None:
    held = await replica.guest()
    replica.clock.at += 3600
    replica.upstream.fail("GET /customer*", kind)
    with pytest.raises(UpstreamUnavailable):
        await replica.engine.refresher.ensure_fresh(held)
    assert (await replica.stored(held)).generation == 1
    replica.upstream.world.faults.clear()
    await replica.later(1)  # what has failed is not asked for again at once
    assert (await replica.engine.refresher.ensure_fresh(held)).session.generation == 2


@pytest.mark.parametrize(("kind", "status"), [("error", 404), ("error", 405), ("html", 400), ("html", 403)])
@pytest.mark.parametrize("whose", [0, 1])
async def test_what_a_gateway_says_meanwhile_ends_nothing(
    replica: Replica, whose: int, kind: str, status: int
) -> None:
    held = (await both(replica))[whose]
    replica.upstream.fail("GET /customer*refresh*", kind, status=status)
    with pytest.raises(UpstreamUnavailable):
        await replica.engine.refresher.refresh(held)
    replica.upstream.world.faults.clear()
    await replica.later(1)  # what has failed is not asked for again at once
    assert (await replica.engine.refresher.refresh(held)).session.generation == 2


@pytest.mark.parametrize(("bearer", "calls"), [("anonymous", 1), ("both", 1), ("customer", 2)])
async def test_a_renewal_finds_the_bearer_that_upstream_wants(
    replica: Replica, bearer: str, calls: int
) -> None:
    replica.upstream.turn(refresh_bearer=bearer)
    held = await replica.customer()
    renewed = await replica.engine.refresher.refresh(held)
    assert renewed.session.generation == 2
    assert len(replica.upstream.calls(CUSTOMERS)) == calls


async def test_a_dead_shared_bearer_costs_one_more_call_once(replica: Replica) -> None:
    replica.upstream.turn(refresh_bearer="both")
    held = await replica.customer()
    replica.upstream.world.access[(await replica.engine.shared_token.token()).reveal()].revoked = True
    for _ in range(3):
        held = await replica.engine.refresher.refresh(held)
    bearers = [call["bearer"] for call in replica.upstream.calls(CUSTOMERS)]
    assert bearers[1:] == ["customer", "anonymous", "anonymous"]


async def test_a_dead_shared_bearer_is_replaced_and_ends_no_customer(replica: Replica) -> None:
    held = await replica.customer()
    replica.upstream.world.access[(await replica.engine.shared_token.token()).reveal()].revoked = True
    renewed = await replica.engine.refresher.refresh(held)
    assert renewed.session.generation == 2
    assert [call["bearer"] for call in replica.upstream.calls(CUSTOMERS)][1:] == ["customer", "anonymous"]


@pytest.mark.parametrize("refusal", ["bad_request", "unauthorized", "apigee"])
async def test_a_refused_renewal_ends_a_customer_and_only_its_initiator_ended_it(
    replica: Replica, refusal: str
) -> None:
    replica.upstream.turn(refresh_refusal=refusal)
    held = await replica.customer()
    refuse(replica)
    errors = await asyncio.gather(
        *(replica.engine.refresher.refresh(held) for _ in range(5)), return_exceptions=True
    )
    assert [type(error) for error in errors].count(EndedHere) == 1
    assert all(isinstance(error, SessionExpired) for error in errors)
    assert await replica.store.peek(held.ticket) == Tombstone(EndReason.EXPIRED, None)
    with pytest.raises(SessionExpired) as caught:
        await replica.engine.refresher.refresh(held)
    assert not isinstance(caught.value, EndedHere)


async def test_a_refused_renewal_replaces_a_guest(replica: Replica) -> None:
    context = GuestContext(site_code="main", currency="USD")
    held = await replica.engine.anonymous.start(context, Carrier.HEADER, "agent")
    refuse(replica)
    renewed = await asyncio.gather(*(replica.engine.refresher.refresh(held) for _ in range(5)))
    assert len({one.ticket.id for one in renewed}) == 1
    fresh = renewed[0].session
    assert renewed[0].ticket != held.ticket
    assert fresh.upstream_session_id != held.session.upstream_session_id
    assert (fresh.context, fresh.carrier, fresh.user_agent) == (context, Carrier.HEADER, "agent")
    assert fresh.version == held.session.version + 1
    assert await replica.store.peek(held.ticket) == Tombstone(EndReason.SUPERSEDED, None, renewed[0].ticket)
    with pytest.raises(SessionRotated):
        await replica.engine.refresher.refresh(held)


async def test_a_session_without_a_live_refresh_token_ends_when_its_access_token_does(
    replica: Replica,
) -> None:
    held = await replica.customer()
    replica.clock.at += 86_400
    assert await replica.engine.refresher.ensure_fresh(held) is held
    with pytest.raises(EndedHere):
        await replica.engine.refresher.refresh(held)
    assert not replica.upstream.calls(CUSTOMERS)


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (EndReason.ENDED, NoSession),
        (EndReason.SUPERSEDED, SessionRotated),
        (EndReason.EXPIRED, SessionExpired),
    ],
)
async def test_a_renewal_that_lost_to_an_end_revokes_what_it_got(
    replica: Replica, reason: EndReason, error: type[Exception]
) -> None:
    held = await replica.customer()
    before = set(replica.upstream.world.access)
    async with replica.upstream.delaying(CUSTOMERS, replica.engine.refresher.refresh(held)) as late:
        assert await replica.store.retire(held.ticket, reason)
    with pytest.raises(error):
        await late
    world = replica.upstream.world
    got = [token for value, token in world.access.items() if value not in before and token.kind == "customer"]
    assert len(got) == 1
    assert got[0].revoked
    assert await replica.store.peek(held.ticket) == Tombstone(reason, None)


async def test_tokens_that_could_not_be_stored_are_used_at_the_next_try(redis_url: str) -> None:
    async with relaying(redis_url) as relay, new_replica(relay.url) as one:
        held = await one.customer()
        before = set(one.upstream.world.access)
        async with one.upstream.delaying(CUSTOMERS, one.engine.refresher.refresh(held)) as renewing:
            relay.deaf = True
        with pytest.raises(StoreUnavailable):
            await renewing
        relay.deaf = False
        await one.unlock(held)
        assert (await one.stored(held)).generation == 1
        renewed = await one.engine.refresher.refresh(held)
        assert renewed.session == await one.stored(held)
        assert renewed.session.tokens.access.reveal() not in before
        assert access_alive(one, renewed.session)
        assert len(one.upstream.calls(CUSTOMERS)) == 1


async def test_tokens_that_could_not_be_stored_are_stored_though_nobody_asks_again(redis_url: str) -> None:
    """Another replica would renew with a refresh token that is spent, and log the customer out."""
    keys = new_keys()
    async with (
        relaying(redis_url) as relay,
        new_replica(relay.url, keys=keys) as one,
        new_replica(redis_url, keys=keys, clock=one.clock, upstream=one.upstream) as other,
    ):
        held = await one.customer()
        async with one.upstream.delaying(CUSTOMERS, one.engine.refresher.refresh(held)) as renewing:
            relay.deaf = True
        with pytest.raises(StoreUnavailable):
            await renewing
        assert (await other.stored(held)).generation == 1
        relay.deaf = False
        await one.ports.tasks.drain()
        renewed = await other.stored(held)
        assert renewed.generation == 2
        assert access_alive(other, renewed)
        assert len(one.upstream.calls(CUSTOMERS)) == 1


@pytest.mark.parametrize("whose", [0, 1])
async def test_a_refusal_that_late_tokens_overtook_ends_nobody(replica: Replica, whose: int) -> None:
    """The replica that asked first has stored its tokens only now; what was refused is an older refresh token."""
    held = (await both(replica))[whose]
    refuse(replica)
    late = replace(held.session, tokens=replace(held.session.tokens, access=Secret("late")))
    async with replica.upstream.delaying("refresh", replica.engine.refresher.refresh(held)) as renewing:
        stored = await replica.store.replace(held.ticket, late)
    assert stored is not None
    assert await renewing == HeldSession(held.ticket, stored)
    assert await replica.stored(held) == stored


async def test_tokens_that_could_not_be_stored_are_given_up_in_time(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(token_saver, "_LONGEST_UNSAVED_SECONDS", 0.0)
    async with relaying(redis_url) as relay, new_replica(relay.url) as one:
        held = await one.customer()
        async with one.upstream.delaying(CUSTOMERS, one.engine.refresher.refresh(held)) as renewing:
            relay.deaf = True
        with pytest.raises(StoreUnavailable):
            await renewing
        await one.ports.tasks.drain()
        relay.deaf = False
        assert (await one.stored(held)).generation == 1


async def test_a_clock_that_jumps_costs_no_tokens_that_could_not_be_stored(redis_url: str) -> None:
    async with relaying(redis_url) as relay, new_replica(relay.url) as one:
        held = await one.customer()
        async with one.upstream.delaying(CUSTOMERS, one.engine.refresher.refresh(held)) as renewing:
            relay.deaf = True
        with pytest.raises(StoreUnavailable):
            await renewing
        one.clock.at += 3600
        relay.deaf = False
        await one.ports.tasks.drain()
        assert (await one.stored(held)).generation == 2


async def test_tokens_that_could_not_be_stored_are_revoked_where_a_logout_came_first(redis_url: str) -> None:
    async with relaying(redis_url) as relay, new_replica(relay.url) as one, new_replica(redis_url) as other:
        held, before = await one.customer(), set(one.upstream.world.access)
        async with one.upstream.delaying(CUSTOMERS, one.engine.refresher.refresh(held)) as renewing:
            relay.deaf = True
        with pytest.raises(StoreUnavailable):
            await renewing
        redis = bare(other.redis)
        tombstone: Any = {"g": 2, "t": "ended", "w": "logout"}
        await redis.hset(RedisKeys(TENANT).session(held.ticket.record_name), mapping=tombstone)
        relay.deaf = False
        await one.ports.tasks.drain()
        world = one.upstream.world
        got = [token for value, token in world.access.items() if value not in before]
        assert [token.revoked for token in got if token.kind == "customer"] == [True]


async def test_a_write_whose_answer_was_lost_ends_no_session(redis_url: str) -> None:
    """Redis took the new tokens; only its answers got lost, to the first command and to its retry."""
    async with relaying(redis_url) as relay, new_replica(relay.url) as one:
        held = await one.customer()
        async with one.upstream.delaying(CUSTOMERS, one.engine.refresher.refresh(held)) as renewing:
            relay.mute = 2
        renewed = await renewing
        assert renewed.session == await one.stored(held)
        assert renewed.session.generation == 2, "the second try recognises the first"
        assert access_alive(one, renewed.session)
        assert not one.upstream.calls("/logout")
