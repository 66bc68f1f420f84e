"""Failures on demand: which requests they hit, and what the canned ones answer."""

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
LONGEST: Final = 600.0
_NAMES: Final = {
    "match": "match", "kind": "kind", "times": "times", "status": "status", "delay": "delay",
    "retryAfter": "retry_after", "headers": "headers", "body": "body",
}  # fmt: skip


@dataclass(slots=True)
class Fault:
    """One armed failure; `times` counts down, None never does."""

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
        """Build a fault from its JSON.

        Raises:
            ValueError: for anything that would never fire or that has an unknown name.
        """
        if not isinstance(wanted, dict) or not set(wanted) <= set(_NAMES):
            raise ValueError(f"a fault is an object of {', '.join(_NAMES)}")
        if wanted.get("kind") not in KINDS:
            raise ValueError(f"kind wants one of {', '.join(sorted(KINDS))}")
        if not re.fullmatch(r"\S+ /\S*", str(wanted.get("match"))):
            raise ValueError("match wants 'METHOD /path'; both may hold *")
        fault = cls(**{_NAMES[name]: value for name, value in wanted.items()})
        if fault.delay is not None and not 0 <= fault.delay <= LONGEST:
            raise ValueError(f"delay wants 0 to {LONGEST:.0f} seconds")
        return fault

    def as_json(self) -> dict[str, Any]:
        return {**{public: getattr(self, name) for public, name in _NAMES.items()}, "hits": self.hits}

    def wants(self, method: str, path: str, tenant: str) -> bool:
        """Say whether this fault hits a request: a prefix without `*`, the whole path with one."""
        verb, _, pattern = self.match.partition(" ")
        if verb not in {"*", method} or self.times == 0:
            return False
        parts = re.split(r"(\*|\{\w+\})", pattern.replace("{tenant}", tenant))
        expression = "".join(_piece(part) for part in parts)
        found = re.fullmatch(expression, path) if "*" in pattern else re.match(expression, path)
        return found is not None

    def hit(self) -> None:
        self.hits += 1
        if self.times is not None:
            self.times -= 1


def _piece(part: str) -> str:
    if part == "*":
        return ".*"
    return "[^/]+" if part.startswith("{") and part.endswith("}") else re.escape(part)


def canned(fault: Fault, path: str) -> Response:
    """Return the answer of a fault that never reaches the service."""
    headers = dict(fault.headers)
    if fault.retry_after is not None:
        headers["Retry-After"] = str(fault.retry_after)
    if fault.body is not None:
        status = fault.status or _default(fault, path)[0]
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
    status, body = _default(fault, path)
    return JSONResponse(body, fault.status or status, headers)


def _default(fault: Fault, path: str) -> tuple[int, dict[str, Any]]:
    status = fault.status or 500
    match fault.kind:
        case "unauthorized_invalid":
            refusal = answers.invalid_token()
        case "unauthorized_expired":
            refusal = answers.expired_token()
        case "invalid_api_key":
            refusal = answers.invalid_api_key()
        case "bad_tenant":
            refusal = answers.bad_tenant()
        case "forbidden":
            refusal = answers.for_service(path, 403, "Forbidden", "Forbidden")
        case "conflict":
            refusal = answers.for_service(path, 409, "conflict_resource", "Conflict")
        case "throttled":
            refusal = answers.gateway(429, "Rate limit quota violation", "policies.ratelimit.QuotaViolation")
        case _:
            refusal = answers.for_service(path, status, "internal_service_error", "Internal Server Error")
    return refusal.status, refusal.body
