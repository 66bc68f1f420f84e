"""The guest's cart at login: merged into the customer's, best effort, within a deadline of its own.

It runs after the customer's session is stored, because a login must not depend on a cart; whatever comes of it is
logged and counted. Where it fails, the guest's cart stays open and reachable by its id.
"""

import asyncio
import logging
from typing import Final

from bff.emporix.carts import EmporixCarts
from bff.emporix.refusals import Refused
from bff.errors import BffError
from bff.session import Session
from bff.telemetry.logs import event
from bff.telemetry.metrics import CART_MERGES

DEADLINE_SECONDS: Final = 3.0
_log = logging.getLogger(__name__)


class CartMerger:
    """Merges carts at login.

    Args:
        carts: the upstream's cart calls.
        site_code: the site whose carts are merged where the guest named none; None merges only where one was named.
    """

    def __init__(self, carts: EmporixCarts, *, site_code: str | None) -> None:
        self._carts = carts
        self._site_code = site_code

    async def merge(self, guest: Session, customer: Session, *, by_client: bool = False) -> str | None:
        """Merge the guest's open cart into the customer's; never raises for what upstream does.

        Args:
            guest: whose cart it is.
            customer: who the guest has become.
            by_client: the client merges carts by itself, so that only the setting asks for a merge here.

        Returns:
            The guest's cart where it was merged, else None.
        """
        named = self._site_code if by_client else guest.context.site_code or self._site_code
        if named is None:
            return None
        merged = None
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                outcome, merged = await self._merged(guest.context.site_code or named, guest, customer)
        except (BffError, Refused, TimeoutError) as exc:
            outcome = "failed"
            event(_log, "cart_merge_failed", level=logging.WARNING, reason=type(exc).__name__)
        CART_MERGES.labels(outcome).inc()
        event(_log, "cart_merge", outcome=outcome)
        return merged

    async def _merged(self, site_code: str, guest: Session, customer: Session) -> tuple[str, str | None]:
        access, session_id = customer.tokens.access, customer.upstream_session_id
        found = await self._carts.of_guest(
            site_code, guest.upstream_session_id, customer=access, guest=guest.tokens.access
        )
        if found is None:
            return "nothing", None
        own = await self._carts.of_customer(access, site_code, session_id)
        if own == found:
            return "same", None
        await self._carts.merge(access, own, found, session_id)
        return "merged", found
