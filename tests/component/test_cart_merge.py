"""The guest's cart at login: which outcomes there are, and that none of them reaches the login."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from bff.security.secret import Secret
from bff.session import GuestContext, Session
from bff.sessions import cart_merge as merging
from bff.sessions.cart_merge import CartMerger
from bff.telemetry.metrics import REGISTRY
from tests.support import Replica, a_request_session, new_replica

pytestmark = pytest.mark.anyio
CARTS = "GET /cart/{tenant}/carts"
MERGE = "POST /cart/{tenant}/carts/{cart}/merge"
BROKEN = ("error", "throttled", "html", "unauthorized_invalid", "conflict")


async def both(one: Replica, *, filled: bool = True, **context: Any) -> tuple[Session, Session]:
    """Return a guest, with a cart where asked for, and the customer that it becomes without any merging."""
    visit = a_request_session()
    guest = await one.engine.lifecycle.ensure_session(visit, GuestContext(**context))
    if filled:
        await one.ports.carts.of_customer(guest.tokens.access, "main", guest.upstream_session_id)
    return guest, await one.engine.login.login(visit, "ada@example.com", Secret("correct-horse-battery"))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the outcomes that were logged."""
    return [
        record.__dict__["fields"]["outcome"] for record in caplog.records if record.message == "cart_merge"
    ]


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("bff_cart_merges_total", {"outcome": outcome}) or 0.0


async def merged(one: Replica, guest: Session, customer: Session, site_code: str | None = "main") -> None:
    await CartMerger(one.ports.carts, site_code=site_code).merge(guest, customer)


async def test_an_open_guest_cart_is_merged_and_counted(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one)
        caplog.set_level(logging.INFO, "bff")
        before = counted("merged")
        await merged(one, guest, customer)
        assert told(caplog) == ["merged"]
        assert counted("merged") == before + 1
        (call,) = [record for record in one.upstream.calls("/merge") if record["method"] == "POST"]
        assert (call["status"], call["bearer"]) == (200, "customer")


async def test_the_guests_own_site_counts_before_the_settings(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one, filled=False, site_code="main")
        await merged(one, guest, customer, site_code="elsewhere")
        assert {record["query"]["siteCode"] for record in one.upstream.calls("/carts")} == {"main"}


async def test_without_a_site_nothing_is_asked(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one)
        before = len(one.upstream.calls("/carts"))
        caplog.set_level(logging.INFO, "bff")
        await merged(one, guest, customer, site_code=None)
        assert len(one.upstream.calls("/carts")) == before
        assert told(caplog) == []


async def test_a_cart_that_its_client_merges_is_left_to_it_without_a_setting(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one)
        guest = replace(guest, context=GuestContext(site_code="main"))
        merge = CartMerger(one.ports.carts, site_code=None).merge
        before = len(one.upstream.calls("/carts"))
        assert await merge(guest, customer, by_client=True) is None
        assert len(one.upstream.calls("/carts")) == before
        assert await merge(guest, customer) is not None


async def test_without_a_guest_cart_none_is_made_for_the_customer(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one, filled=False)
        caplog.set_level(logging.INFO, "bff")
        await merged(one, guest, customer)
        assert told(caplog) == ["nothing"]
        assert one.upstream.world.carts == {}


async def test_a_cart_that_is_the_customers_already_is_left_alone(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one, filled=False)
        cart = await one.ports.carts.of_customer(customer.tokens.access, "main", customer.upstream_session_id)
        one.upstream.world._by_owner[guest.upstream_session_id.reveal()].append(
            one.upstream.world.carts[cart]
        )
        caplog.set_level(logging.INFO, "bff")
        await merged(one, guest, customer)
        assert told(caplog) == ["same"]
        assert one.upstream.calls("/merge") == []


@pytest.mark.parametrize("status", [403, 404])
async def test_where_only_the_guests_token_sees_the_cart_it_is_asked_with(
    redis_url: str, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one)
        one.upstream.fail(CARTS, "error", times=1, status=status)
        caplog.set_level(logging.INFO, "bff")
        await merged(one, guest, customer)
        assert told(caplog) == ["merged"]
        asked = [record["bearer"] for record in one.upstream.calls("/carts")]
        assert asked[-4:] == ["customer", "anonymous", "customer", "customer"]


@pytest.mark.parametrize(
    ("match", "kind"),
    [
        *((CARTS, kind) for kind in (*BROKEN, "garbage", "empty")),
        *((MERGE, kind) for kind in BROKEN),  # nothing of a merge's answer but its status is read
    ],
)
async def test_whatever_upstream_says_is_logged_and_not_raised(
    redis_url: str, caplog: pytest.LogCaptureFixture, match: str, kind: str
) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one)
        one.upstream.fail(match, kind)
        caplog.set_level(logging.INFO, "bff")
        before = counted("failed")
        await merged(one, guest, customer)
        assert told(caplog) == ["failed"]
        assert counted("failed") == before + 1
        (failure,) = [record for record in caplog.records if record.message == "cart_merge_failed"]
        assert failure.levelno == logging.WARNING
        for token in one.upstream.world.issued:
            assert token not in caplog.text


async def test_a_merge_ends_at_its_own_deadline(
    redis_url: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "DEADLINE_SECONDS", 0.05)
    async with new_replica(redis_url) as one:
        guest, customer = await both(one)
        caplog.set_level(logging.INFO, "bff")
        with one.upstream.holding("/merge"):
            async with asyncio.timeout(20):
                await merged(one, guest, customer)
        assert told(caplog) == ["failed"]
