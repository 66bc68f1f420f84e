"""What a visitor is told of a login that upstream refused."""

from typing import assert_never

from bff.emporix.refusals import LoginRefusal, LoginRefused
from bff.errors import BadUpstreamAnswer, BffError, Forbidden, InvalidCredentials


def login_error(refused: LoginRefused) -> BffError:
    """Return the error for a login that upstream refused."""
    match refused.kind:
        case LoginRefusal.CREDENTIALS:
            return InvalidCredentials()
        case LoginRefusal.ACCOUNT:
            return Forbidden("this account may not log in")
        case LoginRefusal.MISCONFIGURED | LoginRefusal.UNKNOWN:
            return BadUpstreamAnswer(log_detail=str(refused))
        case _:
            assert_never(refused.kind)
