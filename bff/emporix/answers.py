"""Reading what Emporix answers: token sets in all their spellings, refusals in all six shapes.

Emporix spells one thing in several ways (`session_id` after a login, `sessionId` after an anonymous login and a
validation, neither after a social login; numbers as strings there) and has six shapes of error bodies
besides bodies that are no JSON at all. Nothing here raises anything but the outcomes of `read`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bff.errors import BadUpstreamAnswer, TooManyRequests, UpstreamUnavailable
from bff.security.secret import Secret
from bff.tokens import TokenSet, jwt_claims
from bff.upstream.protocol import WholeAnswer

# Where upstream does not say how long a token lives, it is renewed soon rather than trusted long.
UNKNOWN_LIFETIME_SECONDS: Final = 300.0
_LONGEST_LIFETIME_SECONDS: Final = 10 * 365 * 86400.0
_LONGEST_RETRY_AFTER_SECONDS: Final = 3600


class Refused(Exception):
    """Upstream understood and said no.

    Attributes:
        status: the HTTP status, 400–499 but neither 408, 425 nor 429.
        bearer: upstream's gateway refused the bearer token itself, not what was asked with it.
        misconfigured: it refused the client id or the tenant, which is the operator's mistake and no visitor's.
        fields: names of the fields it complained of; values never.
    """

    def __init__(
        self,
        status: int,
        *,
        bearer: bool = False,
        misconfigured: bool = False,
        fields: tuple[str, ...] = (),
    ) -> None:
        super().__init__(f"upstream refused with {status}")
        self.status = status
        self.bearer = bearer
        self.misconfigured = misconfigured
        self.fields = fields


@dataclass(frozen=True, slots=True)
class Issued:
    """Tokens as upstream issued them; `session_id` is None where that answer has none."""

    tokens: TokenSet
    session_id: Secret | None
    initial_password: bool


@dataclass(frozen=True, slots=True)
class Validation:
    """What upstream says of a valid token; `expires_in` is what is left, in seconds."""

    expires_in: int | None
    scope: str | None
    email: str | None
    legal_entity_id: str | None


def read(answer: WholeAnswer) -> dict[str, Any]:
    """Return the JSON object of a successful answer.

    Raises:
        Refused: a 4xx that means no.
        TooManyRequests: a 429, with upstream's own `Retry-After` where it gave one.
        UpstreamUnavailable: a 5xx, or a 408 or 425.
        BadUpstreamAnswer: a success that is no JSON object, a status that makes no sense here, or a 4xx other
            than 401 with a page of HTML, which is not what the API answers.
    """
    judge(answer)
    body = _object(answer.body)
    if body is None:
        raise BadUpstreamAnswer(log_detail="a success without a JSON object")
    return body


def judge(answer: WholeAnswer) -> None:
    """Raise for anything but a success, as `read` does, and look at no body of a success."""
    status = answer.status
    if 200 <= status < 300:
        return
    if status == 429:
        raise TooManyRequests(
            "Emporix asks to slow down", retry_after=_retry_after(answer.headers.get("retry-after"))
        )
    if status >= 500 or status in {408, 425}:
        raise UpstreamUnavailable(
            log_detail=f"upstream answered {status}",
            retry_after=_retry_after(answer.headers.get("retry-after")),
        )
    if status < 400:
        raise BadUpstreamAnswer(log_detail=f"upstream answered {status}")
    if status != 401 and answer.headers.get("content-type", "").lower().startswith("text/html"):
        # Emporix answers in JSON: this is a firewall's or a gateway's own word.
        raise BadUpstreamAnswer(log_detail=f"a page came with {status}")
    raise _refusal(status, _object(answer.body) or {})


def issued(body: Mapping[str, Any], now: float) -> Issued:
    """Read a token answer of any of the token endpoints, snake names first, camel as the fallback.

    Raises:
        BadUpstreamAnswer: there is no access token, or a lifetime makes no sense.
    """
    access = _text(body, "access_token", "accessToken")
    if access is None:
        raise BadUpstreamAnswer(log_detail="a token answer without an access token")
    lifetime = _seconds(_first(body, "expires_in", "expiresIn"))
    refresh = _text(body, "refresh_token", "refreshToken")
    refresh_lifetime = _seconds(_first(body, "refresh_token_expires_in", "refreshTokenExpiresIn"))
    saas = _text(body, "saas_token", "saasToken")
    tokens = TokenSet(
        access=Secret(access),
        access_expires_at=now + (UNKNOWN_LIFETIME_SECONDS if lifetime is None else lifetime),
        issued_at=now,
        refresh=None if refresh is None else Secret(refresh),
        refresh_expires_at=None if refresh is None or refresh_lifetime is None else now + refresh_lifetime,
        saas=None if saas is None else Secret(saas),
        saas_expires_at=None if saas is None else _jwt_expiry(Secret(saas)),
    )
    session_id = _text(body, "session_id", "sessionId")
    return Issued(
        tokens=tokens,
        session_id=None if session_id is None else Secret(session_id),
        # The schema says string, the example says boolean.
        initial_password=str(body.get("initialPassword", "")).lower() == "true",
    )


def validation(body: Mapping[str, Any]) -> Validation:
    """Read a validation's answer, every member of which is optional."""
    remaining = _number(body.get("expires_in"))
    return Validation(
        expires_in=None if remaining is None else max(0, int(min(remaining, _LONGEST_LIFETIME_SECONDS))),
        scope=_text(body, "scope"),
        email=_text(body, "email"),
        legal_entity_id=_text(body, "legalEntityId"),
    )


def _refusal(status: int, body: Mapping[str, Any]) -> Refused:
    fault = body.get("fault")
    if isinstance(fault, Mapping):
        detail = fault.get("detail")
        code = str(detail.get("errorcode", "")) if isinstance(detail, Mapping) else ""
        text = f"{code} {fault.get('faultstring') or ''}".lower()
        # "Invalid access token", "Access Token expired", their codes; not "Invalid ApiKey", not a wrong password.
        bearer = status == 401 and ("token" in text or not text.strip())
        return Refused(status, bearer=bearer, misconfigured="apikey" in text)
    details = body.get("details")
    names = [d.get("field") for d in details if isinstance(d, Mapping)] if isinstance(details, list) else []
    fields = tuple(n for n in names if isinstance(n, str) and n.replace(".", "").isalnum() and len(n) <= 64)
    tenant = status == 400 and "tenant" in str(body.get("message", "")).lower()
    return Refused(status, misconfigured=tenant, fields=fields[:10])


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


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


def _jwt_expiry(token: Secret) -> float | None:
    return _number(jwt_claims(token).get("exp"))


def _retry_after(value: str | None) -> int | None:
    if value is None or not value.isascii() or not value.isdigit():
        return None
    return min(int(value[:9]), _LONGEST_RETRY_AFTER_SECONDS)
