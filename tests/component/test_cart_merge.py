"""The guest's cart at login: which outcomes there are, and that none of them reaches the login."""

import asyncio
import logging
from dataclasses import astuple, replace
from typing import Any, NamedTuple

import pytest

from bff.emporix.carts import CartKey
from bff.security.secret import Secret
from bff.session import Carrier, GuestContext, Session
from bff.sessions import cart_merge as merging
from bff.sessions.cart_merge import CartMerger
from bff.telemetry.metrics import REGISTRY
from tests.component.test_login import idp_token
from tests.support import Replica, a_request_session, new_replica

pytestmark = pytest.mark.anyio
MAIN = CartKey("main")
SHOPPING = CartKey("main", "shopping")
CARTS = "GET /cart/{tenant}/carts"
MERGE = "POST /cart/{tenant}/carts/{cart}/merge"
BROKEN = ("error", "throttled", "html", "unauthorized_invalid", "conflict")


async def both(one: Replica, *, filled: bool = True, **context: Any) -> tuple[Session, Session]:
    """Return a guest, with a cart where asked for, and the customer that it becomes without any merging."""
    visit = a_request_session()
    guest = await one.engine.lifecycle.ensure_session(visit, GuestContext(**context))
    if filled:
        await one.ports.carts.of_customer(guest.tokens.access, MAIN, guest.upstream_session_id)
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


async def test_the_carts_of_every_site_that_the_session_knows_are_merged(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one, filled=False, site_code="main")
        customer = replace(customer, context=GuestContext(site_code="now"))
        keys = [CartKey(site, kind) for site in ("main", "now", "setting") for kind in (None, "shopping")]
        for key in keys:
            await fill(one, guest, key, "harbour-fog")
        assert len(await CartMerger(one.ports.carts, site_code="setting").merge(guest, customer)) == len(keys)
        assert open_carts(one, guest.upstream_session_id.reveal()) == []
        assert [cart.key for cart in open_carts(one, customer.customer_id or "")] == keys


async def test_a_site_that_is_known_twice_is_merged_once(redis_url: str) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one)
        assert (
            len(
                await CartMerger(one.ports.carts, site_code="main").merge(
                    replace(guest, context=GuestContext(site_code="main")),
                    replace(customer, context=GuestContext(site_code="main")),
                )
            )
            == 1
        )
        assert [call["status"] for call in one.upstream.calls("/merge")] == [200]


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
        assert await merge(guest, customer, by_client=True) == ()
        assert len(one.upstream.calls("/carts")) == before
        assert len(await merge(guest, customer)) == 1


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
        cart = await one.ports.carts.of_customer(customer.tokens.access, MAIN, customer.upstream_session_id)
        one.upstream.world._by_owner[guest.upstream_session_id.reveal()].append(
            one.upstream.world.carts[cart]
        )
        caplog.set_level(logging.INFO, "bff")
        await merged(one, guest, customer)
        assert told(caplog) == ["same"]
        assert one.upstream.calls("/merge") == []


@pytest.mark.parametrize("shown", ["forbidden", "not_found"])
async def test_where_only_the_guests_token_sees_the_cart_it_is_asked_with(
    redis_url: str, caplog: pytest.LogCaptureFixture, shown: str
) -> None:
    async with new_replica(redis_url) as one:
        one.upstream.turn(guest_carts=shown)
        guest, customer = await both(one)
        one.upstream.world.log.clear()
        caplog.set_level(logging.INFO, "bff")
        await merged(one, guest, customer)
        assert told(caplog) == ["merged"]
        calls = one.upstream.calls("/carts")
        untyped = [record["bearer"] for record in calls if "type" not in record["query"]]
        assert untyped == ["customer", "anonymous", "customer", "customer"]


@pytest.mark.parametrize(
    ("match", "kind", "times"),
    [
        *((CARTS, kind, 2) for kind in (*BROKEN, "garbage", "empty")),  # both types are looked up
        *((MERGE, kind, 1) for kind in BROKEN),  # nothing of a merge's answer but its status is read
    ],
)
async def test_whatever_upstream_says_is_logged_and_not_raised(
    redis_url: str, caplog: pytest.LogCaptureFixture, match: str, kind: str, times: int
) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one)
        one.upstream.fail(match, kind)
        caplog.set_level(logging.INFO, "bff")
        before = counted("failed")
        await merged(one, guest, customer)
        assert told(caplog) == ["failed"] * times
        assert counted("failed") == before + times
        failures = [record for record in caplog.records if record.message == "cart_merge_failed"]
        assert [failure.levelno for failure in failures] == [logging.WARNING] * times
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


class OpenCart(NamedTuple):
    key: CartKey
    products: list[str]


def open_carts(one: Replica, owner: str) -> list[OpenCart]:
    """Return the open carts of a customer number or a session id, in the order of their keys."""
    carts = [
        OpenCart(
            CartKey(cart.site_code, cart.type, cart.legal_entity),
            [item["productId"] for item in cart.items.values()],
        )
        for cart in one.upstream.world.carts_of(owner)
    ]
    return sorted(carts, key=lambda cart: [str(part or "") for part in astuple(cart.key)])


async def fill(one: Replica, session: Session, key: CartKey, product: str) -> None:
    cart = await one.ports.carts.of_customer(session.tokens.access, key, session.upstream_session_id)
    one.upstream.world.carts[cart].items[product] = {"productId": product, "quantity": 1}


VISITORS = (Carrier.COOKIE, Carrier.HEADER)
KEYS = [(MAIN,), (SHOPPING,), (MAIN, SHOPPING)]
PRODUCTS = {MAIN: "morning-ledge", SHOPPING: "harbour-fog"}


@pytest.mark.parametrize("carrier", VISITORS)
@pytest.mark.parametrize("keys", KEYS, ids=["untyped", "typed", "both"])
async def test_carts_of_every_type_are_merged_into_one_of_their_type_at_login(
    redis_url: str, caplog: pytest.LogCaptureFixture, keys: tuple[CartKey, ...], carrier: Carrier
) -> None:
    async with new_replica(redis_url, site_code="main") as one:
        visit = a_request_session(carrier)
        guest = await one.engine.lifecycle.ensure_session(visit)
        for key in keys:
            await fill(one, guest, key, PRODUCTS[key])
        caplog.set_level(logging.INFO, "bff")
        customer = await one.engine.login.login(visit, "ada@example.com", Secret("correct-horse-battery"))
        assert told(caplog) == ["merged"] * len(keys)
        assert open_carts(one, guest.upstream_session_id.reveal()) == []
        assert open_carts(one, customer.customer_id or "") == [OpenCart(key, [PRODUCTS[key]]) for key in keys]


@pytest.mark.parametrize("carrier", VISITORS)
@pytest.mark.parametrize("keys", KEYS, ids=["untyped", "typed", "both"])
@pytest.mark.parametrize("shop", ["merged", "refused"])
async def test_a_login_for_a_company_has_the_companys_cart_as_its_own(
    redis_url: str, caplog: pytest.LogCaptureFixture, keys: tuple[CartKey, ...], carrier: Carrier, shop: str
) -> None:
    async with new_replica(redis_url, site_code="main") as one:
        one.upstream.turn(company_at_login=True, company_carts=shop)
        visit = a_request_session(carrier)
        guest = await one.engine.lifecycle.ensure_session(visit)
        for key in keys:
            await fill(one, guest, key, PRODUCTS[key])
        caplog.set_level(logging.INFO, "bff")
        customer = await one.engine.login.exchange(visit, idp_token(one, "ada@example.com"), None)
        assert customer.legal_entity_id == "LE-100"
        companys = [replace(key, legal_entity_id="LE-100") for key in keys]
        left, moved = (keys, []) if shop == "refused" else ((), [PRODUCTS[key] for key in keys])
        assert told(caplog) == ["merged" if shop == "merged" else "failed_company"] * len(keys)
        assert [cart.key for cart in open_carts(one, guest.upstream_session_id.reveal())] == list(left)
        carts = open_carts(one, customer.customer_id or "")
        assert [cart.key for cart in carts] == companys
        assert [product for cart in carts for product in cart.products] == moved


async def test_a_cart_that_cannot_be_merged_does_not_keep_back_the_other(
    redis_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one)
        await fill(one, guest, SHOPPING, "harbour-fog")
        one.upstream.world.carts_of(guest.upstream_session_id.reveal())[0].currency = "USD"
        caplog.set_level(logging.INFO, "bff")
        await merged(one, guest, customer)
        assert told(caplog) == ["failed_currency", "merged"]


REFUSALS = [
    (400, "All the items must have the same currency when merging carts", "currency"),
    (400, "No price has been found for item 1 in currency USD", "price"),
    (400, "Anonymous cart cannot be assigned to a legal entity", "company"),
    (404, "The cart was not found", "gone"),
]


@pytest.mark.parametrize(("status", "message", "reason"), REFUSALS)
async def test_why_a_merge_was_refused_is_logged_and_counted(
    redis_url: str, caplog: pytest.LogCaptureFixture, status: int, message: str, reason: str
) -> None:
    async with new_replica(redis_url) as one:
        guest, customer = await both(one)
        body = {"code": status, "status": "BAD_REQUEST", "message": message}
        one.upstream.fail(MERGE, "error", status=status, body=body)
        caplog.set_level(logging.INFO, "bff")
        before = counted(f"failed_{reason}")
        await merged(one, guest, customer)
        assert told(caplog) == [f"failed_{reason}"]
        assert counted(f"failed_{reason}") == before + 1
        (failure,) = [record for record in caplog.records if record.message == "cart_merge_failed"]
        assert failure.__dict__["fields"] == {"reason": reason}
        assert message not in caplog.text
