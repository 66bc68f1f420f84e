"""Whose bearer goes with a customer's refresh, on which Emporix contradicts itself.

By the security block and the note of [CM] and by [CMT] it is an anonymous token's, by the text of [CM]'s header the
customer's own. An anonymous one works after the customer's access token has ended, so that it goes first.
"""

from collections.abc import Awaitable, Callable
from typing import Protocol

from bff.emporix.answers import refusal_of
from bff.security.secret import Secret
from bff.upstream.protocol import WholeAnswer

Ask = Callable[[Secret], Awaitable[WholeAnswer]]
"""Sends one refresh with this bearer."""


class AnonymousBearer(Protocol):
    """An anonymous token that is not a visitor's."""

    async def token(self, *, refused: Secret | None = None) -> Secret:
        """Return it; one that Emporix has refused is replaced."""
        ...


async def with_either_bearer(ask: Ask, anonymous: AnonymousBearer, own: Secret) -> WholeAnswer:
    """Ask with the anonymous bearer, and on a 401 with the customer's own.

    Where both get a 401, and the first got it as a bearer, the anonymous token may have been the one at fault: it is
    replaced and asked with again.
    """
    bearer = await anonymous.token()
    first = await ask(bearer)
    if first.status != 401:
        return first
    second = await ask(own)
    if second.status != 401 or not refusal_of(first).bearer_refused:
        return second
    return await ask(await anonymous.token(refused=bearer))
