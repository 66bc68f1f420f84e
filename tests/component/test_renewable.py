"""The guest that a customer's session keeps: renewed beside the customer, and going on after the customer's end."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from bff.errors import SessionExpired, SessionRotated
from bff.sandbox.state import Knobs
from bff.security.secret import Secret
from bff.session import EndReason, GuestContext, HeldSession, SessionKind, Tombstone, as_guest
from bff.sessions.request_session import RequestSession
from bff.sessions.token_saver import _Unsaved
from tests.support import Replica, loaded, new_replica

pytestmark = pytest.mark.anyio
GUESTS, CUSTOMERS = "anonymous/refresh", "refreshauthtoken"


@pytest.fixture
async def one(redis_url: str) -> AsyncIterator[Replica]:
    async with new_replica(redis_url, drop_in="true") as replica:
        yield replica


async def as_the_guest(one: Replica, held: HeldSession) -> RequestSession:
    session = await loaded(one, held)
    session.acts_as_guest = True
    return session


def revoke(one: Replica, kind: str, *, refresh_too: bool = True) -> None:
    world = one.upstream.world
    tokens = [*world.access.values(), *(world.refresh.values() if refresh_too else ())]
    for token in tokens:
        token.revoked = token.revoked or token.kind == kind


async def test_the_guest_is_renewed_beside_the_customer(one: Replica) -> None:
    held = await one.customer()
    one.clock.at += 3599 - 30
    session = await as_the_guest(one, held)
    guest = await one.engine.lifecycle.ensure_fresh(session)
    assert guest is not None
    assert guest.kind is SessionKind.ANONYMOUS
    assert guest.tokens.access_expires_at == one.clock() + 3599
    stored = await one.stored(held)
    assert as_guest(stored) == guest
    assert (stored.kind, stored.tokens) == (SessionKind.CUSTOMER, held.session.tokens)
    assert not session.issued
    assert (len(one.upstream.calls(GUESTS)), len(one.upstream.calls(CUSTOMERS))) == (1, 0)


async def test_a_customers_renewal_leaves_the_guest(one: Replica) -> None:
    held = await one.customer()
    session = await loaded(one, held)
    await one.engine.lifecycle.refresh(session)
    stored = await one.stored(held)
    assert stored.tokens != held.session.tokens
    assert stored.kept_guest == held.session.kept_guest


async def test_both_renewals_at_once_are_both_kept(one: Replica) -> None:
    held = await one.customer()
    one.clock.at += 86_399 - 30
    requests = [await loaded(one, held) for _ in range(3)] + [await as_the_guest(one, held) for _ in range(3)]
    await asyncio.gather(*(one.engine.lifecycle.ensure_fresh(each) for each in requests))
    stored = await one.stored(held)
    assert stored.kept_guest is not None
    assert stored.tokens.access_expires_at > one.clock() + 86_400
    assert stored.kept_guest.tokens.access_expires_at == one.clock() + 3599
    assert (len(one.upstream.calls(GUESTS)), len(one.upstream.calls(CUSTOMERS))) == (1, 1)


async def test_the_others_renewal_is_not_taken_for_ones_own(one: Replica) -> None:
    """A customer whose token upstream refuses gets another one, although the guest's renewal wrote in between."""
    held = await one.customer()
    customer = await loaded(one, held)
    await one.engine.lifecycle.refresh(await as_the_guest(one, held))
    await one.engine.lifecycle.refresh(customer)
    assert (await one.stored(held)).tokens != held.session.tokens


async def test_a_renewal_that_could_not_be_stored_does_not_stand_for_the_other(
    one: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = await one.customer()
    unsaved = one.engine.guest_refresher._saver._unsaved
    session = await one.engine.guest_refresher._renewable.renewed(held.session)
    unsaved[held.ticket] = _Unsaved(
        held.session, session, one.store.write_mark(), asyncio.get_running_loop().time()
    )
    await one.engine.lifecycle.refresh(await loaded(one, held))
    stored = await one.stored(held)
    assert stored.kept_guest is not None
    assert stored.kept_guest == session.kept_guest
    assert stored.kept_guest != held.session.kept_guest
    assert stored.tokens != held.session.tokens


async def test_a_guest_that_upstream_does_not_renew_is_followed_by_another_beside_the_customer(
    one: Replica,
) -> None:
    held = await one.customer()
    revoke(one, "anonymous")
    session = await as_the_guest(one, held)
    guest = await one.engine.lifecycle.refresh(session)
    assert guest is not None
    assert guest.upstream_session_id != held.session.upstream_session_id
    stored = await one.stored(held)
    assert as_guest(stored) == guest
    assert stored.tokens == held.session.tokens


async def test_of_requests_that_begin_a_guest_beside_the_customer_all_get_the_first(one: Replica) -> None:
    held = await one.customer()
    without = await one.store.replace(held.ticket, replace(held.session, kept_guest=None))
    assert without is not None
    requests = [await loaded(one, HeldSession(held.ticket, without)) for _ in range(2)]
    guests = [await one.engine.lifecycle.ensure_guest(each, GuestContext()) for each in requests]
    assert guests[0].tokens == guests[1].tokens
    assert as_guest(await one.stored(held)).tokens == guests[0].tokens


@pytest.mark.parametrize("call", ["refresh", "validate"])
async def test_the_guest_goes_on_where_the_customer_ends(one: Replica, call: str) -> None:
    held = await one.customer()
    revoke(one, "customer")
    session = await loaded(one, held)
    with pytest.raises(SessionExpired):
        await getattr(one.engine.lifecycle, call)(session)
    assert session.issued is not None
    guest = session.issued.session
    assert not session.cleared
    assert guest.kind is SessionKind.ANONYMOUS
    assert (guest.email, guest.customer_id, guest.kept_guest) == (None, None, None)
    assert guest.tokens == as_guest(held.session).tokens
    assert guest.upstream_session_id == held.session.upstream_session_id
    assert guest.expires_at == as_guest(held.session).created_at + 604_800
    assert guest.idle_seconds == 86_400
    assert guest.version > held.session.version
    assert await one.stored(session.issued) == guest
    assert session.issued.ticket != held.ticket
    with pytest.raises(SessionRotated):
        await loaded(one, held, safe=True)


async def test_a_token_that_validates_after_no_renewal_leaves_the_guest(one: Replica) -> None:
    held = await one.customer()
    one.upstream.fail("GET /customer/{tenant}/validateauthtoken", "unauthorized_invalid")
    session = await loaded(one, held)
    with pytest.raises(SessionExpired):
        await one.engine.lifecycle.validate(session)
    assert session.issued is not None
    assert session.issued.session.kind is SessionKind.ANONYMOUS


async def test_a_guest_whose_lifetime_is_over_does_not_go_on(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true", guest_max_seconds="3600") as one:
        held = await one.customer()
        one.clock.at += 3600
        revoke(one, "customer")
        session = await loaded(one, held)
        with pytest.raises(SessionExpired):
            await one.engine.lifecycle.refresh(session)
        assert (session.issued, session.cleared) == (None, True)
        assert await one.store.load_fresh(held.ticket) == Tombstone(EndReason.EXPIRED, None)


async def test_a_login_with_a_guest_that_is_another_by_now_revokes_the_forgotten_customer(
    redis_url: str,
) -> None:
    """The two have no Emporix session in common, so that upstream's logout of the one does not end the other."""
    async with new_replica(redis_url, drop_in="true", knobs=Knobs(anonymous_valid_after_login=False)) as one:
        held = await one.customer()
        session = await as_the_guest(one, held)
        await one.engine.lifecycle.refresh(session)
        again = await one.engine.login.login(session, "grace@example.com", Secret("another-horse-battery"))
        assert again.upstream_session_id != held.session.upstream_session_id
        world = one.upstream.world
        assert world.access[held.session.tokens.access.reveal()].revoked
        assert world.alive(world.access[again.tokens.access.reveal()])


async def test_a_login_with_the_same_guest_leaves_the_emporix_session_that_both_customers_have(
    one: Replica,
) -> None:
    held = await one.customer()
    session = await as_the_guest(one, held)
    again = await one.engine.login.login(session, "grace@example.com", Secret("another-horse-battery"))
    assert again.upstream_session_id == held.session.upstream_session_id
    assert not one.upstream.world.sessions[again.upstream_session_id.reveal()].ended
