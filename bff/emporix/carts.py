"""The three cart calls that a merge at login takes [cart API].

Carts are found by site and by whose they are; a customer's token also reaches the cart of a session by that
session's id, which is how a guest's cart is found without anybody remembering its id.
"""

from urllib.parse import quote

from bff.emporix.answers import Refused, judge, read
from bff.errors import BadUpstreamAnswer
from bff.security.secret import Secret
from bff.upstream.token_calls import TokenCallClient


class EmporixCarts:
    """Finds and merges carts; raises what the auth calls raise.

    Args:
        client: sends the calls.
        tenant: the tenant, part of every path.
    """

    def __init__(self, client: TokenCallClient, *, tenant: str) -> None:
        self._client = client
        self._tenant = tenant
        self._path = f"/cart/{quote(tenant)}/carts"

    async def of_session(self, access: Secret, site_code: str, session_id: Secret) -> str | None:
        """Return the id of the open guest cart of a session, or None."""
        query = {"siteCode": site_code, "sessionId": session_id.reveal()}
        try:
            return await self._find(access, query, session_id)
        except Refused as refused:
            if refused.status in {403, 404}:
                return None
            raise

    async def of_customer(self, access: Secret, site_code: str, session_id: Secret) -> str:
        """Return the id of the customer's open cart, which is made where there is none."""
        return await self._find(access, {"siteCode": site_code, "create": "true"}, session_id)

    async def merge(self, access: Secret, customer_cart: str, guest_cart: str, session_id: Secret) -> None:
        """Merge: the path has the customer's cart, the body the guest's, the token is the customer's."""
        answer = await self._client.call(
            "cart merge",
            "POST",
            f"{self._path}/{quote(customer_cart, safe='')}/merge",
            headers=self._headers(access, session_id),
            json={"carts": [guest_cart]},
        )
        judge(answer)

    async def _find(self, access: Secret, query: dict[str, str], session_id: Secret) -> str:
        answer = await self._client.call(
            "cart", "GET", self._path, query=query, headers=self._headers(access, session_id)
        )
        cart = read(answer).get("id")
        if not isinstance(cart, str) or not cart:
            raise BadUpstreamAnswer(log_detail="a cart without an id")
        return cart

    def _headers(self, access: Secret, session_id: Secret) -> dict[str, str]:
        return {
            "authorization": f"Bearer {access.reveal()}",
            "emporix-tenant": self._tenant,
            "session-id": session_id.reveal(),
        }
