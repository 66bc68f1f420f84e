"""Reading the tokens that Emporix issues, in all their spellings.

Emporix spells one thing in several ways: `session_id` after a login, `sessionId` after an anonymous login and a
validation, neither after a social login, which has its numbers as strings [CM].
"""

import base64
import binascii
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from bff.errors import BadUpstreamAnswer
from bff.security.secret import Secret
from bff.tokens import TokenSet

# Where Emporix does not say how long a token lives, it is renewed soon rather than trusted long.
UNKNOWN_LIFETIME_SECONDS: Final = 300.0
_NOBODYS_NUMBER: Final = "00000000"  # what a guest's profile has [CM]
_LONGEST_LIFETIME_SECONDS: Final = 10 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Issued:
    """What a login of any kind issued.

    Attributes:
        tokens: the tokens and their clocks.
        session_id: the Emporix session; None where the answer names none.
        initial_password: an employee set the password, and the customer is to change it.
        customer_number: whose tokens these are, as the saas token's `sub` says [CM]; None where there is none.
    """

    tokens: TokenSet
    session_id: Secret | None
    initial_password: bool
    customer_number: str | None


@dataclass(frozen=True, slots=True)
class Validation:
    """What Emporix says of a valid token; `expires_in` is what is left, in seconds."""

    expires_in: int | None
    scope: str | None
    email: str | None
    legal_entity_id: str | None


def issued(body: Mapping[str, Any], now: float) -> Issued:
    """Read a token answer of any of the token endpoints, snake names first, camel as the fallback.

    Raises:
        BadUpstreamAnswer: there is no access token, or a lifetime makes no sense.
    """
    saas = _text(body, "saas_token", "saasToken")
    claims = {} if saas is None else jwt_claims(Secret(saas))
    session_id = _text(body, "session_id", "sessionId")
    return Issued(
        tokens=_token_set(body, saas, _number(claims.get("exp")), now),
        session_id=None if session_id is None else Secret(session_id),
        # The schema says string, the example says boolean [CM].
        initial_password=str(body.get("initialPassword", "")).lower() == "true",
        customer_number=customer_number(claims.get("sub")),
    )


def _token_set(
    body: Mapping[str, Any], saas: str | None, saas_expires_at: float | None, now: float
) -> TokenSet:
    access = _text(body, "access_token", "accessToken")
    if access is None:
        raise BadUpstreamAnswer(log_detail="a token answer without an access token")
    lifetime = _seconds(_first(body, "expires_in", "expiresIn"))
    refresh = _text(body, "refresh_token", "refreshToken")
    refresh_lifetime = _seconds(_first(body, "refresh_token_expires_in", "refreshTokenExpiresIn"))
    return TokenSet(
        access=Secret(access),
        access_expires_at=now + (UNKNOWN_LIFETIME_SECONDS if lifetime is None else lifetime),
        issued_at=now,
        refresh=None if refresh is None else Secret(refresh),
        refresh_expires_at=None if refresh is None or refresh_lifetime is None else now + refresh_lifetime,
        saas=None if saas is None else Secret(saas),
        saas_expires_at=saas_expires_at,
    )


def carried_forward(renewed: TokenSet, older: TokenSet) -> TokenSet:
    """Return renewed tokens together with what a refresh answer leaves out.

    It has no saas token, and one without a refresh token means that the old one stays: the anonymous answer's schema
    omits it [CM], and reuse was seen to work [SDK].
    """
    kept = renewed
    if kept.refresh is None:
        kept = replace(kept, refresh=older.refresh, refresh_expires_at=older.refresh_expires_at)
    if kept.saas is None:
        kept = replace(kept, saas=older.saas, saas_expires_at=older.saas_expires_at)
    return kept


def saas_expiry(saas: Secret) -> float | None:
    """Return when a saas token ends, as its `exp` says (RFC 7519 §4.1.4)."""
    return _number(jwt_claims(saas).get("exp"))


@dataclass(frozen=True, slots=True)
class SessionOwner:
    """What the session context says of the session that a token belongs to; a guest's has no customer id."""

    session_id: Secret
    customer_id: str | None


def session_owner(body: Mapping[str, Any]) -> SessionOwner:
    """Read a session context.

    Raises:
        BadUpstreamAnswer: it names no session.
    """
    session_id = _text(body, "sessionId")
    if session_id is None:
        raise BadUpstreamAnswer(log_detail="a session context without a session id")
    return SessionOwner(Secret(session_id), _text(body, "customerId"))


def validation(body: Mapping[str, Any]) -> Validation:
    """Read a validation's answer, every member of which is optional."""
    remaining = _number(body.get("expires_in"))
    return Validation(
        expires_in=None if remaining is None else max(0, int(min(remaining, _LONGEST_LIFETIME_SECONDS))),
        scope=_text(body, "scope"),
        email=_text(body, "email"),
        legal_entity_id=_text(body, "legalEntityId"),
    )


def customer_number(value: Any) -> str | None:
    """Return a customer's number; None where it is none, or the one that all guests have."""
    return value if isinstance(value, str) and value not in {"", _NOBODYS_NUMBER} else None


def jwt_claims(token: Secret) -> dict[str, Any]:
    """Read a JWT's payload without verifying it (RFC 7519 §3); {} where there is none.

    Of Emporix' tokens only the saas token is one. It is signed with a key that only Emporix has: its claims are
    hints, never proof.
    """
    parts = token.reveal().split(".")
    if len(parts) != 3:
        return {}
    try:
        raw = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = json.loads(raw)
    except (binascii.Error, ValueError, RecursionError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _first(body: Mapping[str, Any], *names: str) -> Any:
    return next((body[name] for name in names if body.get(name) is not None), None)


def _text(body: Mapping[str, Any], *names: str) -> str | None:
    """Return the first of these members that is a non-empty string fit for a header."""
    for name in names:
        value = body.get(name)
        if isinstance(value, str) and value and value.isascii() and value.isprintable():
            return value
    return None


def _number(value: Any) -> float | None:
    """Read a number that some endpoints send as a string; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _seconds(value: Any) -> float | None:
    """Read a lifetime: None where it is absent, an error where it is there and makes no sense."""
    if value is None:
        return None
    number = _number(value)
    if number is None or number <= 0:
        raise BadUpstreamAnswer(log_detail="a token lifetime that is no positive number")
    return min(number, _LONGEST_LIFETIME_SECONDS)
