"""What a guest has chosen, over a login that sets the customer's own preferences upstream."""

import asyncio
import logging

import pytest

from bff.emporix.carts import CartKey
from bff.security.secret import Secret
from bff.session import GuestContext, Session, SessionKind
from bff.sessions import guest_context as keeping
from tests.live import ADA
from tests.support import Replica, a_request_session, new_replica

pytestmark = pytest.mark.anyio

CHOSEN = GuestContext("main", "EUR", "de", "DE")
PREFERRED = {
    "preferredSite": "other",
    "preferredCurrency": "USD",
    "preferredLanguage": "fr",
    "targetLocation": "US",
}
CONTEXT = "* /session-context/{tenant}/me/context"


async def logged_in(
    one: Replica, chosen: GuestContext = CHOSEN, changed: GuestContext | None = None
) -> Session:
    """Log a guest with this context, changed by the storefront, and a cart in as one who prefers another one."""
    one.upstream.world.customers["10000001"].details |= PREFERRED
    visit = a_request_session()
    guest = await one.engine.lifecycle.ensure_session(visit, chosen)
    if changed is not None:
        await one.ports.contexts.change(guest.tokens.access, changed)
    await one.ports.carts.of_customer(guest.tokens.access, CartKey("main"), guest.upstream_session_id)
    one.upstream.world.log.clear()
    return await one.engine.login.login(visit, ADA["email"], Secret(ADA["password"]))


def context_of(one: Replica, session: Session) -> GuestContext:
    context = one.upstream.world.sessions[session.upstream_session_id.reveal()].context
    assert context is not None
    return GuestContext(context.site_code, context.currency, context.language, context.target_location)


async def test_what_the_guest_chose_outlasts_the_login(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        assert context_of(one, await logged_in(one)) == CHOSEN


async def test_with_the_setting_off_the_customers_preferences_count(redis_url: str) -> None:
    async with new_replica(redis_url, keep_context="false") as one:
        assert context_of(one, await logged_in(one)) == GuestContext("other", "USD", "fr", "US")
        assert not one.upstream.calls("/me/context")


async def test_only_what_was_chosen_is_put_back(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        session = await logged_in(one, GuestContext(currency="EUR"))
        assert context_of(one, session) == GuestContext("other", "EUR", "fr", "US")


CHANGED = GuestContext("second", "CHF", "it", "CH")


async def test_what_the_storefront_changed_by_itself_outlasts_the_login(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        session = await logged_in(one, changed=CHANGED)
        assert context_of(one, session) == session.context == CHANGED


async def test_a_change_of_what_the_guest_was_not_begun_with_is_not_told_from_a_default(
    redis_url: str,
) -> None:
    async with new_replica(redis_url) as one:
        session = await logged_in(one, GuestContext(currency="EUR"), CHANGED)
        assert context_of(one, session) == GuestContext("other", "CHF", "fr", "US")


async def test_a_cart_of_the_site_before_the_storefronts_change_is_merged_too(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        await logged_in(one, changed=GuestContext(site_code="second"))
        sites = {
            call["query"]["siteCode"] for call in one.upstream.calls("/carts") if call["method"] == "GET"
        }
        assert sites == {"main", "second"}
        assert [call["status"] for call in one.upstream.calls("/merge")] == [200]


async def test_with_the_setting_off_nothing_is_read_before_the_login(redis_url: str) -> None:
    async with new_replica(redis_url, keep_context="false") as one:
        assert (await logged_in(one, changed=CHANGED)).context == CHOSEN
        assert not one.upstream.calls("/me/context")


@pytest.mark.parametrize("kind", ["error", "garbage", "unauthorized_invalid", "html"])
async def test_what_cannot_be_read_is_what_the_guest_was_begun_with(
    redis_url: str, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    async with new_replica(redis_url) as one:
        one.upstream.fail("GET /session-context/{tenant}/me/context", kind, times=1)
        assert context_of(one, await logged_in(one)) == CHOSEN
        (logged,) = [record for record in caplog.records if record.message == "context_not_read"]
        assert logged.levelno == logging.WARNING


async def test_who_chose_nothing_costs_no_call(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        await logged_in(one, GuestContext())
        assert not one.upstream.calls("/me/context")


async def test_it_is_put_back_before_the_carts_are_merged(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        await logged_in(one)
        asked = [(call["method"], call["path"].split("/")[1]) for call in one.upstream.world.log]
        assert asked.index(("PATCH", "session-context")) < asked.index(("GET", "cart"))
        assert [call["status"] for call in one.upstream.calls("/merge")] == [200]


async def test_a_change_that_came_in_between_is_met_with_one_more_try(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        one.upstream.fail("PATCH /session-context/{tenant}/me/context", "error", status=409, times=1)
        assert context_of(one, await logged_in(one)) == CHOSEN


@pytest.mark.parametrize("status", [400, 403, 404, 409, 500])
async def test_what_upstream_refuses_fails_no_login(
    redis_url: str, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    async with new_replica(redis_url) as one:
        one.upstream.fail(CONTEXT, "error", status=status)
        assert (await logged_in(one)).kind is SessionKind.CUSTOMER
        logged = [record for record in caplog.records if record.message == "context_not_applied"]
        assert [record.levelno for record in logged] == [logging.WARNING] * (status != 404)


async def test_a_context_that_hangs_holds_a_login_up_for_its_own_deadline(
    redis_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "KEEP_SECONDS", 0.05)
    monkeypatch.setattr(keeping, "READ_SECONDS", 0.05)
    async with new_replica(redis_url) as one:
        with one.upstream.holding("/me/context"):
            async with asyncio.timeout(20):
                assert (await logged_in(one)).kind is SessionKind.CUSTOMER
        (logged,) = [record for record in caplog.records if record.message == "context_not_applied"]
        (before,) = [record for record in caplog.records if record.message == "context_not_read"]
        reasons = [record.__dict__["fields"] for record in (before, logged)]
        assert reasons == [{"reason": "TimeoutError"}] * 2, "the calls' own deadline is longer"
