"""Emporix tokens: a set of them with their clocks, and what one upstream call is sent with.

Times are seconds since the epoch as floats.
"""

from dataclasses import field

from bff.security.needles import Needle, needles
from bff.security.secret import Secret
from bff.value import value


@value(frozen=True, slots=True)
class TokenSet:
    """Emporix tokens with both clocks: an access token and its refresh token end independently.

    `refresh_expires_at` is None where upstream did not say when the refresh token ends.
    """

    access: Secret
    access_expires_at: float
    issued_at: float
    refresh: Secret | None = None
    refresh_expires_at: float | None = None
    saas: Secret | None = None
    saas_expires_at: float | None = None

    def usable(self, now: float) -> bool:
        """Say whether the access token may still be sent."""
        return now < self.access_expires_at

    def renewable(self, now: float) -> bool:
        """Say whether there is a refresh token that may still be alive."""
        return self.refresh is not None and (self.refresh_expires_at is None or now < self.refresh_expires_at)

    def due(self, now: float, skew: float) -> bool:
        """Say whether it is time to renew: `skew` seconds before whichever clock ends first.

        A lifetime shorter than twice the skew is renewed in its second half, or a short-lived token would
        be renewed at every request.
        """
        end = self.access_expires_at
        if self.refresh is not None and self.refresh_expires_at is not None and self.refresh_expires_at < end:
            end = self.refresh_expires_at
        if now < end - skew:  # the margin is no greater
            return False
        margin = min(skew, max(0.0, end - self.issued_at) / 2)
        return now >= end - margin and (self.renewable(now) or not self.usable(now))


@value(frozen=True, slots=True)
class UpstreamCredentials:
    """What one proxied request is sent with; there is no refresh token in it.

    `session_id` and `customer_id` are what the proxy puts where upstream wants the session's own; `customer` says
    that the token is a customer's, `shared` that it is the proxy's own. `own` finds the tokens in an answer.
    """

    access: Secret
    saas: Secret | None = None
    saas_expires_at: float | None = None
    session_id: Secret | None = None
    customer_id: str | None = None
    customer: bool = False
    shared: bool = False
    own: tuple[Needle, ...] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        tokens = [self.access] if self.saas is None else [self.access, self.saas]
        object.__setattr__(self, "own", needles(tokens))
