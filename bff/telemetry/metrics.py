"""Prometheus metrics: prefix `bff_`, labels from small fixed sets."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

REGISTRY: Final = CollectorRegistry()
REQUESTS: Final = Counter(
    "bff_requests", "Requests answered", ["route", "method", "status"], registry=REGISTRY
)
REQUEST_SECONDS: Final = Histogram(
    "bff_request_seconds", "Time to the end of an answer", ["area"], registry=REGISTRY
)
UPSTREAM_CALLS: Final = Counter(
    "bff_upstream_calls",
    "Token calls to Emporix by what came of them",
    ["call", "outcome"],
    registry=REGISTRY,
)
RENEWALS: Final = Counter(
    "bff_renewals", "Renewals by kind of session and outcome", ["kind", "outcome"], registry=REGISTRY
)
SESSIONS: Final = Counter("bff_sessions", "Sessions begun and ended", ["kind", "event"], registry=REGISTRY)
CART_MERGES: Final = Counter(
    "bff_cart_merges", "Guest carts at login by what came of them", ["outcome"], registry=REGISTRY
)
ANSWERS_WITHHELD: Final = Counter(
    "bff_answers_withheld",
    "Emporix' answers that did not pass, by why not",
    ["kind"],
    registry=REGISTRY,
)
LIMITS_OPEN: Final = Counter(
    "bff_limits_open", "Rate limits that let through because their store did not answer", registry=REGISTRY
)
