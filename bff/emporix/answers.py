"""Reading what Emporix answers: a success, an outage, or a refusal in one of six shapes.

Emporix has six shapes of error bodies besides bodies that are not JSON at all [CM, CART, CHK]. The status decides; a
body is looked at for the names of fields, for the gateway's fault and for a complaint about the tenant. What a refusal
means depends on the call: see `bff.emporix.refusals`. No other room sees a status number of Emporix.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bff.errors import BadUpstreamAnswer, TooManyRequests, UpstreamUnavailable
from bff.upstream.protocol import WholeAnswer

_LONGEST_RETRY_AFTER_SECONDS: Final = 3600
_MOST_FIELDS: Final = 10
_LONGEST_FIELD_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class Refusal:
    """A 4xx that means no, before it is known what that means for the call.

    Attributes:
        status: the HTTP status, 400–499 but neither 408, 425 nor 429.
        bearer_refused: the gateway refused the bearer itself, not what was asked with it.
        misconfigured: the client id or the tenant was refused, which is the operator's mistake and no visitor's.
        by_gateway: the gateway said it, not the service behind it.
        fields: names of the fields that Emporix complained of; values never.
        message: what Emporix says for people; read here, never logged.
    """

    status: int
    bearer_refused: bool = False
    misconfigured: bool = False
    by_gateway: bool = False
    fields: tuple[str, ...] = ()
    message: str = field(default="", repr=False)


Meaning = Callable[[Refusal], Exception]
"""Says what a refusal means for one kind of call."""


def read(answer: WholeAnswer, meaning: Meaning) -> dict[str, Any]:
    """Return the JSON object of a successful answer.

    Raises:
        Exception: of the meaning's, for a 4xx that means no.
        TooManyRequests: a 429, with Emporix' own `Retry-After` where it gave one.
        UpstreamUnavailable: a 5xx, or a 408 or 425.
        BadUpstreamAnswer: a success that is no JSON object, a status that makes no sense here, or a 4xx other
            than 401 with a page of HTML, which is not what the API answers.
    """
    judge(answer, meaning)
    body = _object(answer.body)
    if body is None:
        raise BadUpstreamAnswer(log_detail="a success without a JSON object")
    return body


def judge(answer: WholeAnswer, meaning: Meaning) -> None:
    """Raise for anything but a success, as `read` does, and look at no body of a success."""
    status = answer.status
    if 200 <= status < 300:
        return
    if status == 429:
        raise TooManyRequests("Emporix asks to slow down", retry_after=_retry_after(answer), cause="emporix")
    if status >= 500 or status in {408, 425}:
        raise UpstreamUnavailable(log_detail=f"upstream answered {status}", retry_after=_retry_after(answer))
    if status < 400:
        raise BadUpstreamAnswer(log_detail=f"upstream answered {status}")
    if status != 401 and is_page(answer):
        raise BadUpstreamAnswer(log_detail=f"a page came with {status}")
    raise meaning(refusal_of(answer))


def is_page(answer: WholeAnswer) -> bool:
    """Say whether this is a page of HTML, which comes from a firewall or a gateway: Emporix answers in JSON."""
    return answer.headers.get("content-type", "").lower().startswith("text/html")


def refusal_of(answer: WholeAnswer) -> Refusal:
    """Return what a 4xx says."""
    status, body = answer.status, _object(answer.body) or {}
    fault = body.get("fault")
    if isinstance(fault, Mapping):
        return _gateway_refusal(status, fault)
    message = str(body.get("message", ""))
    tenant = status == 400 and "tenant" in message.lower()
    return Refusal(status, misconfigured=tenant, fields=_field_names(body.get("details")), message=message)


def _gateway_refusal(status: int, fault: Mapping[str, Any]) -> Refusal:
    """Read the gateway's fault: "Invalid access token", "Access Token expired" or their codes refuse the bearer [CM].

    "Invalid ApiKey" is a wrong client id [SKILL]. A 401 that says nothing at all counts as the bearer's.
    """
    detail = fault.get("detail")
    code = str(detail.get("errorcode", "")) if isinstance(detail, Mapping) else ""
    text = f"{code} {fault.get('faultstring') or ''}".lower()
    bearer_refused = status == 401 and ("token" in text or not text.strip())
    return Refusal(status, bearer_refused=bearer_refused, misconfigured="apikey" in text, by_gateway=True)


def _field_names(details: Any) -> tuple[str, ...]:
    named = [d.get("field") for d in details if isinstance(d, Mapping)] if isinstance(details, list) else []
    fit = [
        name
        for name in named
        if isinstance(name, str) and name.replace(".", "").isalnum() and len(name) <= _LONGEST_FIELD_NAME
    ]
    return tuple(fit[:_MOST_FIELDS])


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _retry_after(answer: WholeAnswer) -> int | None:
    value = answer.headers.get("retry-after")
    if value is None or not value.isascii() or not value.isdigit():
        return None
    return min(int(value[:9]), _LONGEST_RETRY_AFTER_SECONDS)
