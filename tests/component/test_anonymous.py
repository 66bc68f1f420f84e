"""Anonymous sessions: visitors' own, and the one that the proxy keeps for itself."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from bff.errors import BadUpstreamAnswer, StoreUnavailable, UpstreamUnavailable
from bff.session import Carrier, GuestContext, Session, SessionKind, Ticket
from bff.store.redis_store import RedisSessionStore
from tests.relay import relaying
from tests.support import Replica, bare, counted, new_keys, new_replica, until

pytestmark = pytest.mark.anyio

LOGIN = "anonymous/login"
REFRESH = "anonymous/refresh"


@pytest.fixture
async def replica(redis_url: str) -> AsyncIterator[Replica]:
    async with new_replica(redis_url, site_code="main") as one:
        yield one


async def test_a_guest_is_stored_with_what_it_asked_for(replica: Replica) -> None:
    context = GuestContext(site_code="main", currency="EUR")
    held = await replica.engine.anonymous.start(context, Carrier.HEADER, "agent", older_version=2 * 10**12)
    session = await replica.stored(held)
    assert session == held.session
    assert (session.kind, session.carrier) == (SessionKind.ANONYMOUS, Carrier.HEADER)
    assert (session.context, session.user_agent, session.version) == (context, "agent", 2 * 10**12 + 1)
    assert session.expires_at == replica.clock() + 604_800
    assert session.idle_seconds == 86_400
    assert session.upstream_session_id.reveal() in replica.upstream.world.sessions


async def test_every_guest_has_a_ticket_and_an_emporix_session_of_its_own(replica: Replica) -> None:
    one, other = await replica.guest(), await replica.guest()
    assert one.ticket != other.ticket
    assert one.session.upstream_session_id != other.session.upstream_session_id


@pytest.mark.parametrize("kind", ["bad_tenant", "invalid_api_key", "unauthorized_invalid", "forbidden"])
async def test_a_refused_anonymous_login_is_no_visitors_fault(replica: Replica, kind: str) -> None:
    replica.upstream.fail(f"GET /customerlogin/auth/{LOGIN}", kind)
    with pytest.raises(BadUpstreamAnswer, match="no sense") as caught:
        await replica.guest()
    assert "BFF_TENANT" in str(caught.value.log_detail)


async def test_the_shared_token_is_asked_for_once_however_many_want_it(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = counted(monkeypatch, RedisSessionStore, "load_fresh")
    got = await asyncio.gather(*(replica.engine.shared_token.token() for _ in range(20)))
    assert len(looked) == 1
    assert len({token.reveal() for token in got}) == 1
    (call,) = replica.upstream.calls(LOGIN)
    assert call["query"]["siteCode"] == "main"


async def test_the_shared_token_is_the_same_for_all_replicas(redis_url: str) -> None:
    keys = new_keys()
    async with (
        new_replica(redis_url, keys=keys) as one,
        new_replica(redis_url, keys=keys, clock=one.clock, upstream=one.upstream) as other,
    ):
        first, second = await asyncio.gather(
            one.engine.shared_token.token(), other.engine.shared_token.token()
        )
        assert first == second
        assert len(one.upstream.calls(LOGIN)) == 1
        one.clock.at += 3599 - 30
        renewed = await asyncio.gather(one.engine.shared_token.token(), other.engine.shared_token.token())
        assert renewed[0] == renewed[1] != first
        assert (len(one.upstream.calls(LOGIN)), len(one.upstream.calls(REFRESH))) == (1, 1)


async def test_a_replica_that_failed_takes_the_shared_token_that_another_got(redis_url: str) -> None:
    keys = new_keys()
    async with (
        new_replica(redis_url, keys=keys) as one,
        new_replica(redis_url, keys=keys, clock=one.clock, upstream=one.upstream) as other,
    ):
        one.upstream.fail("GET /customerlogin*", "error")
        with pytest.raises(UpstreamUnavailable):
            await one.engine.shared_token.token()
        one.upstream.world.faults.clear()
        async for pause in one.redis.scan_iter(match="*:pause"):
            await one.redis.delete(pause)
        got = await other.engine.shared_token.token()
        assert await one.engine.shared_token.token() == got


async def test_the_shared_token_is_renewed_before_its_end_and_keeps_its_session(replica: Replica) -> None:
    first = await replica.engine.shared_token.token()
    replica.clock.at += 3599 - 61
    assert await replica.engine.shared_token.token() == first
    replica.clock.at += 2
    second = await replica.engine.shared_token.token()
    assert second != first
    assert (len(replica.upstream.calls(LOGIN)), len(replica.upstream.calls(REFRESH))) == (1, 1)
    access = replica.upstream.world.access
    assert access[second.reveal()].session_id == access[first.reveal()].session_id


async def test_a_refused_shared_token_is_had_anew(replica: Replica) -> None:
    first = await replica.engine.shared_token.token()
    second = await replica.engine.shared_token.token(refused=first)
    assert second != first
    assert await replica.engine.shared_token.token(refused=first) == second
    assert len(replica.upstream.calls(REFRESH)) == 1


async def test_a_refused_renewal_of_the_shared_token_begins_another_session(replica: Replica) -> None:
    first = await replica.engine.shared_token.token()
    for token in replica.upstream.world.refresh.values():
        token.revoked = True
    second = await replica.engine.shared_token.token(refused=first)
    assert second != first
    assert len(replica.upstream.calls(LOGIN)) == 2


async def test_the_shared_session_ends_with_its_absolute_lifetime(replica: Replica) -> None:
    first = await replica.engine.shared_token.token()
    replica.clock.at += 604_801
    assert await replica.engine.shared_token.token() != first
    assert len(replica.upstream.calls(LOGIN)) == 2


@pytest.mark.parametrize("kind", ["error", "throttled", "garbage", "html"])
async def test_a_shared_token_that_is_still_good_outlasts_an_outage(replica: Replica, kind: str) -> None:
    first = await replica.engine.shared_token.token()
    replica.upstream.fail("GET /customerlogin*", kind)
    replica.clock.at += 3599 - 30
    assert await replica.engine.shared_token.token() == first
    replica.upstream.world.faults.clear()
    await replica.later(1)
    assert await replica.engine.shared_token.token() != first


async def test_without_a_good_shared_token_an_outage_is_said(replica: Replica) -> None:
    first = await replica.engine.shared_token.token()
    replica.upstream.fail("GET /customerlogin*", "error")
    with pytest.raises(UpstreamUnavailable):
        await replica.engine.shared_token.token(refused=first)
    await replica.later(3599)
    with pytest.raises(UpstreamUnavailable):
        await replica.engine.shared_token.token()


async def test_a_shared_token_in_memory_outlasts_an_outage_of_the_store(redis_url: str) -> None:
    async with relaying(redis_url) as relay, new_replica(relay.url) as one:
        first = await one.engine.shared_token.token()
        relay.deaf = True
        assert await one.engine.shared_token.token() == first
        one.clock.at += 3599 - 30
        assert await one.engine.shared_token.token() == first
        with pytest.raises(StoreUnavailable):
            await one.engine.shared_token.token(refused=first)
        relay.deaf = False


async def test_a_leaving_caller_does_not_cancel_the_shared_token_for_others(replica: Replica) -> None:
    with replica.upstream.holding(LOGIN) as gate:
        leaving = asyncio.create_task(replica.engine.shared_token.token())
        staying = asyncio.create_task(replica.engine.shared_token.token())
        await until(lambda: replica.upstream.held)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        gate.set()
        assert (await staying).reveal() in replica.upstream.world.access
    assert len(replica.upstream.calls(LOGIN)) == 1


async def test_a_replica_with_other_keys_has_a_shared_session_of_its_own(redis_url: str) -> None:
    async with (
        new_replica(redis_url) as one,
        new_replica(redis_url, clock=one.clock, upstream=one.upstream) as other,
    ):
        assert await one.engine.shared_token.token() != await other.engine.shared_token.token()


async def test_the_shared_token_is_not_readable_in_redis(replica: Replica) -> None:
    token = (await replica.engine.shared_token.token()).reveal().encode()
    redis = bare(replica.redis)
    async for key in redis.scan_iter(match="bff:acmeshop:{*}", count=1000):
        fields: Any = await redis.hgetall(key)
        assert token not in b"".join(fields.values())


async def test_no_request_can_present_the_shared_tokens_record(replica: Replica) -> None:
    await replica.engine.shared_token.token()
    shared = replica.engine.policy.shared_ticket()
    found = await replica.store.load_fresh(shared)
    assert isinstance(found, Session)
    assert found.carrier not in {Carrier.COOKIE, Carrier.HEADER}
    assert await replica.store.load_fresh(Ticket(shared.id, shared.secret)) is None


async def test_an_unreadable_record_does_not_keep_the_shared_token_away(replica: Replica) -> None:
    shared = replica.engine.policy.shared_ticket()
    held = await replica.guest()
    await replica.store.create(Ticket(shared.id, shared.secret), held.session)
    token = await replica.engine.shared_token.token()
    assert token.reveal() in replica.upstream.world.access


async def test_a_guests_record_is_not_the_shared_one(replica: Replica) -> None:
    shared = await replica.engine.shared_token.token()
    held = await replica.guest()
    assert held.session.tokens.access != shared
    assert held.session == await replica.stored(held)
