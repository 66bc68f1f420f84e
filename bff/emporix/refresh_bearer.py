"""Whose bearer goes with a customer's refresh, on which Emporix contradicts itself.

By the security block and the note of [CM] and by [CMT] it is an anonymous token's, by the text of [CM]'s header the
customer's own. An anonymous one works after the customer's access token has ended, so that it goes first.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from bff.emporix.answers import is_page, refusal_of
from bff.errors import BffError
from bff.security.secret import Secret
from bff.upstream.protocol import WholeAnswer

Ask = Callable[[Secret], Awaitable[WholeAnswer]]
"""Sends one refresh with this bearer."""


class AnonymousBearer(Protocol):
    """An anonymous token that is not a visitor's."""

    async def token(self, *, refused: Secret | None = None) -> Secret:
        """Return it; one that Emporix has refused is replaced."""
        ...


class RefreshBearers:
    """Sends refreshes, and remembers which anonymous token Emporix has refused as a bearer."""

    def __init__(self) -> None:
        self._refused: Secret | None = None
        self._replacement: Secret | None = None

    async def ask_with_either(self, ask: Ask, anonymous: AnonymousBearer, own: Secret) -> WholeAnswer:
        """Ask with the anonymous bearer, and with the customer's own where that is refused: by a 401, or by a 403.

        No document says what the wrong kind of bearer gets. A 403 may be about the company too: where the customer's
        own has ended meanwhile, the 403 is what counts.

        Where both get a 401, and the first got it as a bearer, the anonymous token may have been the one at fault: it
        is replaced and asked with again, twice at most: the first replacement may be one that another replica had
        before Emporix ended both. Where the customer's own is accepted, it is replaced before the next refresh,
        so that the new tokens are stored without a delay. A replacement that is refused too is left as it is: this
        Emporix wants the customer's own.
        """
        bearer = await self._token(anonymous)
        first = await ask(bearer)
        if first.status != 401 and (first.status != 403 or is_page(first)):
            return first
        second = await ask(own)
        if first.status == 403 and second.status == 401:
            return first
        if not refusal_of(first).bearer_refused:
            return second
        if second.status == 401:
            return await _ask_with_others(ask, anonymous, bearer)
        if bearer != self._replacement:
            self._refused = bearer
        return second

    async def _token(self, anonymous: AnonymousBearer) -> Secret:
        """Return the anonymous token, had anew where Emporix refused it in an earlier refresh."""
        if self._refused is not None:
            refused, self._refused = self._refused, None
            with suppress(BffError):  # the customer's own may serve once more
                self._replacement = await anonymous.token(refused=refused)
        return await anonymous.token()


async def _ask_with_others(ask: Ask, anonymous: AnonymousBearer, refused: Secret) -> WholeAnswer:
    """Ask with another anonymous bearer, and with one more where that is refused as one too."""
    bearer = await anonymous.token(refused=refused)
    answer = await ask(bearer)
    if answer.status == 401 and refusal_of(answer).bearer_refused:
        return await ask(await anonymous.token(refused=bearer))
    return answer
