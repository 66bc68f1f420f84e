"""A drop-in client's own merge of a guest's cart that the proxy has merged at login: there is nothing left to do.

Emporix closes a cart that was merged, and refuses to merge it again.
"""

import json
from typing import Final

from starlette.responses import Response

from bff.api.call import Call
from bff.api.request_body import RequestBody
from bff.session import Session

CART_MERGE: Final = "POST /cart/{tenant}/carts/{cartId}/merge"


async def is_merged_already(call: Call, session: Session | None, body: RequestBody) -> bool:
    """Return whether a call to `CART_MERGE` asks for carts that were merged at this customer's login, and no other.

    Raises:
        ClientLeft: the client left while its body was read.
    """
    if call.route.name != CART_MERGE or session is None or not session.merged_carts or not body.replayable:
        return False
    content = await body.content()
    try:
        wanted = json.loads(content) if isinstance(content, bytes) else None
    except (ValueError, RecursionError):
        return False
    carts = wanted.get("carts") if isinstance(wanted, dict) else None
    return isinstance(carts, list) and bool(carts) and all(cart in session.merged_carts for cart in carts)


def merged() -> Response:
    """Return what Emporix answers to a merge: a success without a body [CART]."""
    return Response(headers={"Cache-Control": "private, no-store"})
