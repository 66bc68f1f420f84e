"""Emporix' cart calls against the sandbox: with whose token a guest's cart is found, and what is not a cart."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from bff.emporix.auth import EmporixAuth
from bff.emporix.carts import CartKey, EmporixCarts
from bff.emporix.refusals import CartLookupRefused
from bff.emporix.token_answers import Issued
from bff.errors import BadUpstreamAnswer
from bff.security.secret import Secret
from bff.session import GuestContext
from bff.upstream.token_calls import TokenCallClient
from tests.asgi_upstream import AsgiUpstream
from tests.live import ADA, TENANT
from tests.support import Clock, Upstream

pytestmark = pytest.mark.anyio
MAIN = CartKey("main")
SHOPPING = CartKey("main", "shopping")
LOOKUP = "GET /cart/{tenant}/carts"


@dataclass
class Visitor:
    """A guest who has become a customer in the same Emporix session, and the cart calls."""

    upstream: Upstream
    carts: EmporixCarts
    guest: Issued
    customer: Issued

    @property
    def session_id(self) -> Secret:
        assert self.guest.session_id is not None
        return self.guest.session_id

    async def fill(self, key: CartKey = MAIN) -> str:
        """Make the guest's cart, and forget that it was asked for."""
        cart = await self.carts.of_customer(self.guest.tokens.access, key, self.session_id)
        self.upstream.world.log.clear()
        return cart

    async def find(self, key: CartKey = MAIN) -> str | None:
        return await self.carts.of_guest(
            key, self.session_id, customer=self.customer.tokens.access, guest=self.guest.tokens.access
        )

    def asked(self) -> list[str]:
        return [call["bearer"] for call in self.upstream.calls("/carts")]


@pytest.fixture
async def visitor() -> AsyncIterator[Visitor]:
    clock = Clock()
    upstream = Upstream(clock)
    client = TokenCallClient(AsgiUpstream(upstream))
    auth = EmporixAuth(client, tenant=TENANT, client_id="storefront", clock=clock)
    guest = await auth.anonymous_login(GuestContext())
    customer = await auth.login(guest.tokens.access, ADA["email"], Secret(ADA["password"]))
    yield Visitor(upstream, EmporixCarts(client, tenant=TENANT), guest, customer)
    await client.aclose()


async def test_a_guests_cart_is_found_with_the_customers_token(visitor: Visitor) -> None:
    cart = await visitor.fill()
    assert await visitor.find() == cart
    assert visitor.asked() == ["customer"]


@pytest.mark.parametrize("status", [403, 404])
async def test_a_cart_that_the_customer_does_not_see_is_looked_for_with_the_guests_token(
    visitor: Visitor, status: int
) -> None:
    cart = await visitor.fill()
    visitor.upstream.fail(LOOKUP, "error", status=status, times=1)
    assert await visitor.find() == cart
    assert visitor.asked() == ["customer", "anonymous"]


@pytest.mark.parametrize("status", [403, 404])
async def test_a_cart_that_neither_token_sees_is_none(visitor: Visitor, status: int) -> None:
    await visitor.fill()
    visitor.upstream.fail(LOOKUP, "error", status=status)
    assert await visitor.find() is None
    assert visitor.asked() == ["customer", "anonymous"]


async def test_one_token_is_asked_with_once(visitor: Visitor) -> None:
    guest = visitor.guest.tokens.access
    assert await visitor.carts.of_guest(MAIN, visitor.session_id, customer=guest, guest=guest) is None
    assert visitor.asked() == ["anonymous"]


@pytest.mark.parametrize("status", [400, 401, 409])
async def test_another_refusal_is_no_missing_cart(visitor: Visitor, status: int) -> None:
    visitor.upstream.fail(LOOKUP, "error", status=status)
    with pytest.raises(CartLookupRefused):
        await visitor.find()
    assert visitor.asked() == ["customer"]


async def test_a_page_is_no_missing_cart(visitor: Visitor) -> None:
    visitor.upstream.fail(LOOKUP, "html", status=404)
    with pytest.raises(BadUpstreamAnswer):
        await visitor.find()


@pytest.mark.parametrize("status", [403, 404])
async def test_the_customers_own_cart_is_never_missing(visitor: Visitor, status: int) -> None:
    visitor.upstream.fail(LOOKUP, "error", status=status)
    with pytest.raises(CartLookupRefused):
        await visitor.carts.of_customer(visitor.customer.tokens.access, MAIN, visitor.session_id)


async def test_a_typed_cart_is_found_with_its_type_only(visitor: Visitor) -> None:
    cart = await visitor.fill(SHOPPING)
    assert await visitor.find(SHOPPING) == cart
    assert await visitor.find(MAIN) is None
    untyped = await visitor.fill(MAIN)
    assert (await visitor.find(MAIN), await visitor.find(SHOPPING)) == (untyped, cart)


@pytest.mark.parametrize("key", [MAIN, SHOPPING])
async def test_the_customers_cart_is_made_with_the_guests_type(visitor: Visitor, key: CartKey) -> None:
    cart = await visitor.carts.of_customer(visitor.customer.tokens.access, key, visitor.session_id)
    assert visitor.upstream.world.carts[cart].type == key.type
