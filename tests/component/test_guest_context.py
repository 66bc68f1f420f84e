"""An anonymous login with another site, currency or language, where a guest stands: applied, and the cart is kept."""

import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from bff.sandbox.records import Context
from tests.component.test_drop_in import ANONYMOUS, guest, log_in
from tests.live import GRACE
from tests.support import Replica, new_replica

pytestmark = pytest.mark.anyio
SHOW = "GET /session-context/{tenant}/me/context"
CHANGE = "PATCH /session-context/{tenant}/me/context"


@pytest.fixture
async def one(redis_url: str) -> AsyncIterator[Replica]:
    async with new_replica(redis_url, drop_in="true") as replica:
        yield replica


async def begin(client: httpx2.AsyncClient, **context: str) -> dict[str, Any]:
    answer = await client.get(ANONYMOUS, params=dict(httpx2.URL(ANONYMOUS).params) | context)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def context_of(one: Replica) -> Context:
    """Return the context of the only Emporix session."""
    (session,) = one.upstream.world.sessions.values()
    assert session.context is not None
    return session.context


def changes(one: Replica) -> int:
    return len([call for call in one.upstream.calls("/me/context") if call["method"] == "PATCH"])


async def test_what_differs_is_changed_and_the_guest_stays(one: Replica) -> None:
    async with guest(one) as client:
        first = await begin(client)
        again = await begin(client, currency="USD", language="fr", siteCode="other", targetLocation="US")
        assert again["sessionId"] == first["sessionId"]
        assert again["access_token"] == first["access_token"]
        context = context_of(one)
        assert (context.currency, context.language, context.site_code, context.target_location) == (
            *("USD", "fr", "other", "US"),
        )
        assert changes(one) == 1


async def test_what_is_so_already_is_not_changed(one: Replica) -> None:
    async with guest(one) as client:
        await begin(client)
        assert one.upstream.calls("/me/context") == []
        await begin(client, currency="EUR")
        await begin(client, currency="USD")
        await begin(client, currency="USD")
        assert changes(one) == 1


async def test_a_change_by_the_page_itself_is_changed_back(one: Replica) -> None:
    async with guest(one) as client:
        await begin(client, currency="EUR")
        context_of(one).currency = "USD"
        await begin(client, currency="EUR")
        assert context_of(one).currency == "EUR"


async def test_a_context_that_changed_meanwhile_is_tried_once_more(one: Replica) -> None:
    async with guest(one) as client:
        one.upstream.fail(CHANGE, "error", status=409, times=1)
        await begin(client, currency="USD")
        assert context_of(one).currency == "USD"
        assert changes(one) == 2


@pytest.mark.parametrize("match", [SHOW, CHANGE])
@pytest.mark.parametrize("status", [400, 409, 500])
async def test_whatever_upstream_says_the_guest_is_served(
    one: Replica, caplog: pytest.LogCaptureFixture, match: str, status: int
) -> None:
    async with guest(one) as client:
        first = await begin(client)
        caplog.set_level(logging.WARNING, "bff")
        one.upstream.fail(match, "error", status=status)
        assert (await begin(client, currency="USD"))["access_token"] == first["access_token"]
        assert "context_not_applied" in {record.message for record in caplog.records}
        one.upstream.world.faults.clear()
        await begin(client, currency="USD")
        assert context_of(one).currency == "USD"


async def test_a_context_that_is_not_there_yet_begins_as_asked(one: Replica) -> None:
    one.upstream.turn(context_created_at="cart")
    async with guest(one) as client:
        await begin(client, currency="USD")
        (session,) = one.upstream.world.sessions.values()
        assert (session.context, session.seeds["currency"]) == (None, "USD")
        (refresh,) = one.upstream.calls("/anonymous/refresh")
        assert refresh["query"]["currency"] == "USD"


async def test_a_customers_preferences_are_changed_by_a_new_wish_only(redis_url: str) -> None:
    async with new_replica(redis_url, drop_in="true", keep_context="false") as one, guest(one) as client:
        await begin(client, currency="EUR")
        await log_in(client, GRACE)
        assert context_of(one).currency == "USD"
        await begin(client, currency="EUR")
        assert context_of(one).currency == "USD"
        await begin(client, currency="EUR", language="fr")
        assert (context_of(one).currency, context_of(one).language) == ("USD", "fr")
        before = len(one.upstream.calls("/me/context"))
        await begin(client, currency="EUR", language="fr")
        assert len(one.upstream.calls("/me/context")) == before
