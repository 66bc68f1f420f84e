"""Fault injection: which requests a fault applies to, and the error responses."""

import re
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from starlette.responses import JSONResponse, Response

from bff.sandbox import answers

Kind = Literal[
    "unauthorized_invalid", "unauthorized_expired", "invalid_api_key", "bad_tenant", "forbidden", "conflict",
    "throttled", "error", "html", "empty", "garbage", "no_access_token", "no_refresh", "session_mismatch",
    "delay", "stall", "lost", "disconnect",
]  # fmt: skip
KINDS: Final = frozenset(get_args(Kind))
MAX_DELAY_SECONDS: Final = 600.0
_NAMES: Final = {
    "match": "match", "kind": "kind", "times": "times", "status": "status", "delay": "delay",
    "retryAfter": "retry_after", "headers": "headers", "body": "body",
}  # fmt: skip


@dataclass(slots=True)
class Fault:
    """A fault to inject; `times` is the number of remaining uses, None means unlimited."""

    match: str
    kind: Kind
    times: int | None = None
    status: int | None = None
    delay: float | None = None
    retry_after: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: Any = None
    hits: int = 0

    @classmethod
    def parse(cls, wanted: object) -> "Fault":
        """Create a fault from JSON.

        Raises:
            ValueError: a member is unknown or its value is not valid.
        """
        if not isinstance(wanted, dict) or not set(wanted) <= set(_NAMES):
            raise ValueError(f"a fault is an object with the members {', '.join(_NAMES)}")
        if wanted.get("kind") not in KINDS:
            raise ValueError(f"kind must be one of {', '.join(sorted(KINDS))}")
        if not re.fullmatch(r"\S+ /\S*", str(wanted.get("match"))):
            raise ValueError("match must be 'METHOD /path'; both may contain *")
        fault = cls(**{_NAMES[name]: value for name, value in wanted.items()})
        if fault.delay is not None and not 0 <= fault.delay <= MAX_DELAY_SECONDS:
            raise ValueError(f"delay must be 0 to {MAX_DELAY_SECONDS:.0f} seconds")
        return fault

    def as_json(self) -> dict[str, Any]:
        return {**{public: getattr(self, name) for public, name in _NAMES.items()}, "hits": self.hits}

    def matches(self, method: str, path: str, tenant: str) -> bool:
        """Return whether the fault applies to a request: its path is a prefix, or with `*` the whole path."""
        verb, _, pattern = self.match.partition(" ")
        if verb not in {"*", method} or self.times == 0:
            return False
        parts = re.split(r"(\*|\{\w+\})", pattern.replace("{tenant}", tenant))
        expression = "".join(_expression(part) for part in parts)
        found = re.fullmatch(expression, path) if "*" in pattern else re.match(expression, path)
        return found is not None

    def hit(self) -> None:
        self.hits += 1
        if self.times is not None:
            self.times -= 1


def _expression(part: str) -> str:
    if part == "*":
        return ".*"
    return "[^/]+" if part.startswith("{") and part.endswith("}") else re.escape(part)


def fault_response(fault: Fault, path: str) -> Response:
    """Return the response of a fault for which the request does not reach the service."""
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    if fault.body is not None:
        status = fault.status or _default_error(fault, path)[0]
        if isinstance(fault.body, str):
            return Response(fault.body, status, headers)
        return JSONResponse(fault.body, status, headers)
    raw = {
        "html": ("<html><head><title>502 Bad Gateway</title></head></html>", "text/html", 502),
        "empty": ("", "application/json", 200),
        "garbage": ('{"access_token": 5', "application/json", 200),
    }
    if fault.kind in raw:
        text, media, status = raw[fault.kind]
        return Response(text, fault.status or status, headers, media)
    status, body = _default_error(fault, path)
    return JSONResponse(body, fault.status or status, headers)


def _default_error(fault: Fault, path: str) -> tuple[int, dict[str, Any]]:
    status = fault.status or 500
    match fault.kind:
        case "unauthorized_invalid":
            error = answers.invalid_token()
        case "unauthorized_expired":
            error = answers.expired_token()
        case "invalid_api_key":
            error = answers.invalid_api_key()
        case "bad_tenant":
            error = answers.bad_tenant()
        case "forbidden":
            error = answers.for_service(path, 403, "Forbidden", "Forbidden")
        case "conflict":
            error = answers.for_service(path, 409, "conflict_resource", "Conflict")
        case "throttled":
            error = answers.gateway(429, "Rate limit quota violation", "policies.ratelimit.QuotaViolation")
        case _:
            error = answers.for_service(path, status, "internal_service_error", "Internal Server Error")
    return error.status, error.body
