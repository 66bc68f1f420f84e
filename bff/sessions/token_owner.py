"""Whose tokens a login has issued, where its answer does not say: the customer's number, address and company."""

from contextlib import suppress
from dataclasses import dataclass, replace

from bff.emporix.auth import EmporixAuth
from bff.emporix.refusals import Refused
from bff.emporix.token_answers import Issued
from bff.sessions.token_saver import TRANSIENT


@dataclass(frozen=True, slots=True)
class TokenOwner:
    """A customer, and the company that the tokens are for; a login with a password is for none [SDK]."""

    email: str | None = None
    legal_entity_id: str | None = None


async def numbered(emporix: EmporixAuth, issued: Issued) -> Issued:
    """Ask for the customer's number, for logins that come without a saas token."""
    if issued.customer_number is not None:
        return issued
    with suppress(Refused, *TRANSIENT):
        number = await emporix.customer_number(issued.tokens.access)
        return replace(issued, customer_number=number)
    return issued


async def token_owner(emporix: EmporixAuth, issued: Issued) -> TokenOwner:
    """Ask whose tokens these are, for logins that do not begin with an address."""
    with suppress(Refused, *TRANSIENT):
        found = await emporix.validate(issued.tokens.access)
        return TokenOwner(found.email, found.legal_entity_id)
    return TokenOwner()
