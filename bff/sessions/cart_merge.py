"""The guest's carts at login: merged into the customer's of the same site and type, and of the customer's company.

Best effort, within a deadline of its own. It runs after the customer's session is stored, because a login must not
depend on a cart; whatever comes of it is logged and counted. Where it fails, the guest's cart stays open and reachable
by its id. All the carts that the session knows of are merged at the same time: those of the site that the guest was
begun with, of the one it has now and of the setting's, each typed and untyped, as storefronts make either.
"""

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Final, assert_never

from bff.emporix.carts import CART_TYPES, CartKey, EmporixCarts
from bff.emporix.refusals import CartMergeRefused, MergeRefusal, Refused
from bff.errors import BffError
from bff.session import Session
from bff.telemetry.logs import event
from bff.telemetry.metrics import CART_MERGES

DEADLINE_SECONDS: Final = 3.0
NOTHING: Final = "nothing"
_log = logging.getLogger(__name__)


class CartMerger:
    """Merges carts at login.

    Args:
        carts: the upstream's cart calls.
        site_code: a site whose carts are merged besides those of the guest's own; None for the guest's own alone.
    """

    def __init__(self, carts: EmporixCarts, *, site_code: str | None) -> None:
        self._carts = carts
        self._site_code = site_code

    async def merge(self, guest: Session, customer: Session, *, by_client: bool = False) -> tuple[str, ...]:
        """Merge the guest's open carts into the customer's; never raises for what upstream does.

        Args:
            guest: whose carts they are.
            customer: who the guest has become.
            by_client: the client merges carts by itself, so that only the setting asks for a merge here.

        Returns:
            The guest's carts that were merged.
        """
        if by_client and self._site_code is None:
            return ()
        sites = _each((guest.context.site_code, customer.context.site_code, self._site_code))
        keys = [CartKey(site, cart_type) for site in sites for cart_type in CART_TYPES]
        if not keys:
            return ()
        results = await asyncio.gather(*(self._result(key, guest, customer) for key in keys))
        for outcome in [one for one, _ in results if one != NOTHING] or [NOTHING]:
            CART_MERGES.labels(outcome).inc()
            event(_log, "cart_merge", outcome=outcome)
        return tuple(cart for _, cart in results if cart is not None)

    async def _result(self, key: CartKey, guest: Session, customer: Session) -> tuple[str, str | None]:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await self._merged(key, guest, customer)
        except CartMergeRefused as refused:
            outcome, reason = _outcome_of(refused.kind), refused.kind.name.lower()
        except (BffError, Refused, TimeoutError) as exc:
            outcome, reason = "failed", type(exc).__name__
        event(_log, "cart_merge_failed", level=logging.WARNING, reason=reason)
        return outcome, None

    async def _merged(self, key: CartKey, guest: Session, customer: Session) -> tuple[str, str | None]:
        """Return what came of it, and the guest's cart where it was merged."""
        access, session_id = customer.tokens.access, customer.upstream_session_id
        found = await self._carts.of_guest(
            key, guest.upstream_session_id, customer=access, guest=guest.tokens.access
        )
        if found is None:
            return NOTHING, None
        for_company = replace(key, legal_entity_id=customer.legal_entity_id)
        own = await self._carts.of_customer(access, for_company, session_id)
        if own == found:
            return "same", None
        await self._carts.merge(access, own, found, session_id)
        return "merged", found


def _outcome_of(kind: MergeRefusal) -> str:
    """Return what a refused merge is counted as."""
    match kind:
        case MergeRefusal.CURRENCY:
            return "failed_currency"
        case MergeRefusal.PRICE:
            return "failed_price"
        case MergeRefusal.COMPANY:
            return "failed_company"
        case MergeRefusal.GONE:
            return "failed_gone"
        case MergeRefusal.OTHER:
            return "failed"
        case _:
            assert_never(kind)


def _each(sites: Iterable[str | None]) -> list[str]:
    return list(dict.fromkeys(site for site in sites if site is not None))
