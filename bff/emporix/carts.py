"""The three cart calls that a merge at login takes [CART].

Carts are found by site, type and by whose they are; a customer's token also reaches the cart of a session by that
session's id, which is how a guest's cart is found without anybody remembering its id.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from bff.emporix.answers import judge, read
from bff.emporix.bearer_calls import BearerCalls
from bff.emporix.refusals import CartLookupRefused, CartMergeRefused
from bff.errors import BadUpstreamAnswer
from bff.security.secret import Secret
from bff.upstream.token_calls import TokenCallClient

CART_TYPES: Final = (None, "shopping")
"""The types that storefronts give to a cart: none, or the one of Emporix' own examples [CART]."""


@dataclass(frozen=True, slots=True)
class CartKey:
    """What an open cart is found by, besides its owner.

    Without a type or a company only carts without one are found [CART]; a guest's cart has no company.
    """

    site_code: str
    type: str | None = None
    legal_entity_id: str | None = None

    @property
    def query(self) -> dict[str, str]:
        """The key as a look-up has it."""
        rest = {"type": self.type, "legalEntityId": self.legal_entity_id}
        return {"siteCode": self.site_code} | {
            name: value for name, value in rest.items() if value is not None
        }


class EmporixCarts:
    """Finds and merges carts; raises what the auth calls raise.

    Args:
        client: sends the calls.
        tenant: the tenant, part of every path.
    """

    def __init__(self, client: TokenCallClient, *, tenant: str) -> None:
        self._service = BearerCalls(client, "cart", tenant)

    async def of_guest(
        self, key: CartKey, session_id: Secret, *, customer: Secret, guest: Secret
    ) -> str | None:
        """Return the id of the open cart of a guest's session, or None.

        Some tenants let only the guest's own token see it, so that it is asked with after the customer's.
        """
        query = key.query | {"sessionId": session_id.reveal()}
        for access in dict.fromkeys((customer, guest)):
            try:
                return await self._find(access, query, session_id)
            except CartLookupRefused as refused:
                if not refused.not_seen:
                    raise
        return None

    async def of_customer(self, access: Secret, key: CartKey, session_id: Secret) -> str:
        """Return the id of the customer's open cart, which is made where there is none."""
        return await self._find(access, key.query | {"create": "true"}, session_id)

    async def merge(self, access: Secret, customer_cart: str, guest_cart: str, session_id: Secret) -> None:
        """Merge: the path has the customer's cart, the body the guest's, the token is the customer's.

        Raises:
            CartMergeRefused: see its kinds.
        """
        path, body = f"carts/{quote(customer_cart, safe='')}/merge", {"carts": [guest_cart]}
        judge(
            await self._service.call("cart merge", "POST", path, access, session_id=session_id, json=body),
            CartMergeRefused,
        )

    async def _find(self, access: Secret, query: dict[str, str], session_id: Secret) -> str:
        answer = await self._service.call("cart", "GET", "carts", access, query=query, session_id=session_id)
        cart = read(answer, CartLookupRefused).get("id")
        if not isinstance(cart, str) or not cart:
            raise BadUpstreamAnswer(log_detail="a cart without an id")
        return cart
