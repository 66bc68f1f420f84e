"""The state machine: none, guest, customer, and every arrow between them."""

import pytest

from bff.errors import (
    Forbidden,
    LoginRequired,
    NoSession,
    ReauthenticationRequired,
    SessionExpired,
    SessionRotated,
    StoreUnavailable,
    UpstreamUnavailable,
)
from bff.sandbox.state import Knobs
from bff.security.secret import Secret
from bff.session import Carrier, EndReason, GuestContext, Session, Ticket, Tombstone
from bff.sessions.endings import reject_ended
from bff.sessions.ports import Ports
from bff.sessions.request_session import RequestSession
from bff.store.protocol import Found
from tests.live import ADA
from tests.relay import relaying
from tests.support import Replica, access_alive, leave, loaded, new_replica, new_ticket

pytestmark = pytest.mark.anyio

PASSWORD = Secret(ADA["password"])


async def test_a_visit_begins_nothing(replica: Replica) -> None:
    visit = await loaded(replica)
    assert (visit.session, visit.issued, visit.cleared) == (None, None, False)
    assert await replica.engine.lifecycle.ensure_fresh(visit) is None
    assert not replica.upstream.calls("")


async def test_a_guest_is_begun_once_and_then_found(replica: Replica) -> None:
    visit = await loaded(replica)
    session = await replica.engine.lifecycle.ensure_session(visit, GuestContext(currency="EUR"))
    assert visit.issued is not None
    assert visit.issued.session == session
    again = await loaded(replica, visit.issued)
    assert await replica.engine.lifecycle.ensure_session(again) == session
    assert again.issued is None
    assert replica.limits.guests == ["192.0.2.1"]


async def test_a_visitor_who_leaves_still_leaves_no_work_half_done(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit, ticket = await loaded(replica), new_ticket()
    monkeypatch.setattr(Ports, "new_ticket", lambda _: ticket)
    async with replica.upstream.delaying(
        "anonymous/login", replica.engine.lifecycle.ensure_session(visit)
    ) as leaving:
        await leave(leaving)
    await replica.ports.tasks.drain()
    assert visit.issued is None
    assert isinstance(await replica.store.peek(ticket), Session)


async def test_a_session_is_refused_on_the_other_carrier(replica: Replica) -> None:
    held = await replica.guest(Carrier.HEADER)
    visit = RequestSession(Carrier.COOKIE, "", None, held.ticket)
    await replica.engine.lifecycle.load(visit, safe=True)
    assert visit.session is None


async def test_a_logout_ends_it_here_and_upstream_and_clears_once(replica: Replica) -> None:
    ada = await replica.customer()
    first, second = await loaded(replica, ada), await loaded(replica, ada)
    await replica.engine.lifecycle.logout(first)
    await replica.engine.lifecycle.logout(second)
    assert (first.cleared, second.cleared) == (True, False)
    assert not access_alive(replica, ada.session)
    assert await replica.store.peek(ada.ticket) == Tombstone(EndReason.ENDED, None)
    late = await loaded(replica, ada, safe=True)
    assert (late.session, late.ended) == (None, Tombstone(EndReason.ENDED, None))
    with pytest.raises(NoSession):
        reject_ended(late)


async def test_a_logout_goes_on_where_its_visitor_leaves(replica: Replica) -> None:
    ada = await replica.customer()
    visit = await loaded(replica, ada)
    async with replica.upstream.delaying("/logout", replica.engine.lifecycle.logout(visit)) as leaving:
        await leave(leaving)
        assert not visit.cleared
    await replica.ports.tasks.drain()
    assert visit.cleared


async def test_a_logout_revokes_the_tokens_that_a_refresh_stored_meanwhile(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica.upstream.turn(logout_kills_refresh=False)
    ada, load = await replica.customer(), replica.store.load_fresh
    visit = await loaded(replica, ada)

    async def read_before_a_refresh(ticket: Ticket) -> Found:
        found = await load(ticket)
        monkeypatch.undo()
        await replica.engine.refresher.refresh(ada)
        return found

    monkeypatch.setattr(replica.store, "load_fresh", read_before_a_refresh)
    await replica.engine.lifecycle.logout(visit)
    world = replica.upstream.world
    newest = [token for token in world.access.values() if token.kind == "customer"][-1]
    assert newest.value != ada.session.tokens.access.reveal()
    assert newest.revoked


@pytest.mark.parametrize("kind", ["error", "throttled", "unauthorized_invalid", "forbidden"])
async def test_a_logout_ends_it_here_whatever_upstream_says(replica: Replica, kind: str) -> None:
    ada = await replica.customer()
    replica.upstream.fail("GET /customer/acmeshop/logout", kind)
    visit = await loaded(replica, ada)
    await replica.engine.lifecycle.logout(visit)
    assert visit.cleared
    assert await replica.store.peek(ada.ticket) == Tombstone(EndReason.ENDED, None)


async def test_a_logout_revokes_no_token_that_has_ended(replica: Replica) -> None:
    """Emporix would say no, and the visitor would wait for it."""
    replica.upstream.turn(customer_expires_in=60)
    ada = await replica.customer()
    await replica.later(60)
    visit = await loaded(replica, ada)
    await replica.engine.lifecycle.logout(visit)
    assert visit.cleared
    assert not replica.upstream.calls("/logout")


async def test_a_logout_with_an_id_that_a_login_replaced_ends_nothing(replica: Replica) -> None:
    guest = await replica.guest()
    visit = await loaded(replica, guest)
    await replica.engine.login.login(visit, ADA["email"], PASSWORD)
    late = RequestSession(Carrier.COOKIE, "", None, guest.ticket)
    with pytest.raises(SessionRotated):
        await replica.engine.lifecycle.logout(late)
    assert not late.cleared
    assert visit.issued is not None
    assert access_alive(replica, (await replica.stored(visit.issued)))


async def test_a_refused_renewal_clears_the_carrier_of_the_request_that_met_it(replica: Replica) -> None:
    ada = await replica.customer()
    first, second = await loaded(replica, ada), await loaded(replica, ada)
    for token in replica.upstream.world.refresh.values():
        token.revoked = True
    with pytest.raises(SessionExpired):
        await replica.engine.lifecycle.refresh_on_request(first)
    with pytest.raises(SessionExpired):
        await replica.engine.lifecycle.refresh_on_request(second)
    assert (first.cleared, second.cleared) == (True, False)


async def test_a_refresh_without_a_session_or_a_refresh_token_says_why(replica: Replica) -> None:
    with pytest.raises(NoSession):
        await replica.engine.lifecycle.refresh_on_request(await loaded(replica))
    ada = await replica.customer()
    replica.clock.at += 86_400
    visit = await loaded(replica, ada)
    with pytest.raises(ReauthenticationRequired):
        await replica.engine.lifecycle.refresh_on_request(visit)
    assert not visit.cleared


async def test_a_customer_whose_access_token_has_ended_gets_another(redis_url: str) -> None:
    async with new_replica(redis_url, knobs=Knobs(customer_expires_in=100)) as one:
        ada = await one.customer()
        one.clock.at += 101
        session = await one.engine.lifecycle.ensure_customer(await loaded(one, ada))
        assert session == await one.stored(ada)
        assert session.tokens.usable(one.clock())


async def test_a_switch_of_company_is_stored_with_a_new_version(replica: Replica) -> None:
    ada = await replica.customer()
    visit = await loaded(replica, ada)
    session = await replica.engine.legal_entity.switch(visit, "LE-200")
    assert (session.legal_entity_id, session.version) == ("LE-200", ada.session.version + 1)
    assert session.tokens.saas == ada.session.tokens.saas
    assert await replica.stored(ada) == session
    assert (await replica.engine.legal_entity.switch(visit, None)).legal_entity_id is None
    assert visit.issued is None


async def test_a_foreign_company_is_forbidden_and_changes_nothing(replica: Replica) -> None:
    ada = await replica.customer()
    with pytest.raises(Forbidden):
        await replica.engine.legal_entity.switch(await loaded(replica, ada), "LE-999")
    assert await replica.stored(ada) == ada.session
    with pytest.raises(LoginRequired):
        await replica.engine.legal_entity.switch(await loaded(replica, await replica.guest()), "LE-100")


async def test_a_validation_renews_a_refused_token_before_it_counts(replica: Replica) -> None:
    ada = await replica.customer()
    assert (await replica.engine.lifecycle.validate(await loaded(replica, ada))).email == ADA["email"]
    replica.upstream.world.access[ada.session.tokens.access.reveal()].revoked = True
    visit = await loaded(replica, ada)
    assert (await replica.engine.lifecycle.validate(visit)).email == ADA["email"]
    assert visit.session is not None
    assert visit.session.generation == 2
    with pytest.raises(NoSession):
        await replica.engine.lifecycle.validate(await loaded(replica))


async def uncounted(*_: str) -> bool:
    """Stand for a rate limit whose counter the store did not take."""
    return False


async def test_without_the_store_nothing_is_asked_of_upstream(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with relaying(redis_url) as relay, new_replica(relay.url) as one:
        visit = await loaded(one)
        relay.deaf = True
        for limit in ("guest", "sign_on"):
            monkeypatch.setattr(one.limits, limit, uncounted)
        with pytest.raises(StoreUnavailable):
            await one.engine.lifecycle.ensure_session(visit)
        with pytest.raises(StoreUnavailable):
            await one.engine.login.login(visit, ADA["email"], PASSWORD)
        assert not one.upstream.calls("")
        assert not one.limits.accounts
        relay.deaf = False


async def test_a_switch_after_an_outage_uses_the_tokens_that_were_not_stored(redis_url: str) -> None:
    async with relaying(redis_url) as relay, new_replica(relay.url) as one:
        ada = await one.customer()
        renewal = one.engine.refresher.refresh(ada)
        async with one.upstream.delaying("refreshauthtoken", renewal) as renewing:
            relay.deaf = True
        with pytest.raises((StoreUnavailable, UpstreamUnavailable)):
            await renewing
        relay.deaf = False
        await one.unlock(ada)
        visit = await loaded(one, ada)
        assert (await one.engine.legal_entity.switch(visit, "LE-100")).legal_entity_id == "LE-100"
