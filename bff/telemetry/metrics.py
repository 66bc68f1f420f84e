"""Prometheus metrics: prefix `bff_`, labels from small fixed sets."""

from functools import lru_cache
from http import HTTPStatus
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from bff.telemetry.tallies import FlushFirst, TalliedHistogram, Tally

REGISTRY: Final = CollectorRegistry()
REGISTRY.register(FlushFirst())
_STATUSES: Final = frozenset({0, *HTTPStatus})
"""Those that have a label of their own; Emporix could answer with any other, up to 599."""

REQUESTS: Final = Counter(
    "bff_requests",
    "HTTP requests by route, method, status, error code, and who was at fault",
    ["route", "method", "status", "code", "fault"],
    registry=REGISTRY,
)
REQUEST_SECONDS: Final = TalliedHistogram(
    "bff_request_seconds", "Time until the end of the response", ["area"], registry=REGISTRY
)
ROUTE_SECONDS: Final = TalliedHistogram(
    "bff_route_seconds",
    "The same by route, in fewer steps",
    ["route"],
    buckets=(0.025, 0.1, 0.25, 1.0, 2.5, 10.0),
    registry=REGISTRY,
)
REFUSALS: Final = Counter(
    "bff_refusals",
    "Requests that were refused by a check or a limit, by error code and cause",
    ["code", "cause"],
    registry=REGISTRY,
)
UPSTREAM_CALLS: Final = Counter(
    "bff_upstream_calls",
    "Requests to Emporix by outcome",
    ["area", "call", "outcome"],
    registry=REGISTRY,
)
UPSTREAM_SECONDS: Final = TalliedHistogram(
    "bff_upstream_seconds",
    "Time until Emporix has answered, with the body in token calls, without it in others",
    ["area", "call"],
    registry=REGISTRY,
)
REDIS_SECONDS: Final = TalliedHistogram(
    "bff_redis_seconds",
    "Time until Redis has answered, retries and waiting for a connection included",
    ["operation"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1.5),
    registry=REGISTRY,
)
REDIS_ERRORS: Final = Counter(
    "bff_redis_errors", "Operations that Redis did not do, by kind", ["operation", "error"], registry=REGISTRY
)
RENEWAL_LOCK_SECONDS: Final = Histogram(
    "bff_renewal_lock_seconds",
    "Time that token refreshes and company switches waited for the session's lock",
    ["outcome"],
    registry=REGISTRY,
)
RENEWALS: Final = Counter(
    "bff_renewals", "Token refreshes by kind of session and outcome", ["kind", "outcome"], registry=REGISTRY
)
SESSIONS_BEGUN: Final = Counter(
    "bff_sessions_begun", "Sessions that began, by kind", ["kind"], registry=REGISTRY
)
SESSIONS_ENDED: Final = Counter(
    "bff_sessions_ended",
    "Sessions that were ended, by kind and reason; those that idle out nobody notices",
    ["kind", "reason"],
    registry=REGISTRY,
)
SESSIONS_LIVE: Final = Gauge(
    "bff_sessions_live_estimate",
    "Sessions in Redis, estimated from a sample of its keys once a minute; NaN where that cannot be told",
    registry=REGISTRY,
    multiprocess_mode="livemostrecent",
)
CART_MERGES: Final = Counter(
    "bff_cart_merges", "Guest carts merged at login, by outcome", ["outcome"], registry=REGISTRY
)
ANSWERS_WITHHELD: Final = Counter(
    "bff_answers_withheld",
    "Responses of Emporix that were blocked, by reason",
    ["kind"],
    registry=REGISTRY,
)
CREDENTIALS_NOT_SENT: Final = Counter(
    "bff_credentials_not_sent",
    "Requests of drop-in clients with a placeholder and without a session",
    registry=REGISTRY,
)
LIMITS_OPEN: Final = Counter(
    "bff_limits_open",
    "Requests allowed without a rate limit check because the store was unreachable",
    registry=REGISTRY,
)
SESSION_READS: Final = Counter(
    "bff_session_reads",
    "Sessions that requests asked for, by whether the cache had them",
    ["cache"],
    registry=REGISTRY,
)
INVALIDATION_SECONDS: Final = Histogram(
    "bff_invalidation_seconds",
    "How late the session cache may have heard of a write: the time until Redis proved that it has told all",
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 1.0),
    registry=REGISTRY,
)
SESSION_CACHE: Final = Counter(
    "bff_session_cache",
    "How often the session cache was turned on or off, by why",
    ["state"],
    registry=REGISTRY,
)
KEYS_OPENED: Final = Counter(
    "bff_keys_opened",
    "Requests whose cookie or session id was sealed with the newest or with an older key",
    ["key"],
    registry=REGISTRY,
)
CONNECTIONS_CLOSED: Final = Counter(
    "bff_connections_closed",
    "Connections closed because there were too many, of one address or in all",
    ["bound"],
    registry=REGISTRY,
)
UPSTREAM_BREAKER: Final = Counter(
    "bff_upstream_breaker",
    "What circuit breakers did: opened, closed, let a probe through, refused a call",
    ["area", "event"],
    registry=REGISTRY,
)
UPSTREAM_BUSY: Final = Counter(
    "bff_upstream_busy",
    "Calls that were not made because too many were under way",
    ["area"],
    registry=REGISTRY,
)
ANSWERS_UNREAD: Final = Counter(
    "bff_upstream_answers_unread",
    "Answers that were broken off for others, because their clients did not read",
    ["area"],
    registry=REGISTRY,
)
WORKERS: Final = Gauge("bff_workers", "Processes that serve", registry=REGISTRY, multiprocess_mode="livesum")
BUILD: Final = Gauge(
    "bff_build_info",
    "Which version runs",
    ["version", "python"],
    registry=REGISTRY,
    multiprocess_mode="livemax",
)
REQUESTS_IN_FLIGHT: Final = Gauge(
    "bff_requests_in_flight",
    "Requests that are being answered, counted once a second",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
CONNECTIONS: Final = Gauge(
    "bff_connections",
    "Connections of clients, counted once a second",
    registry=REGISTRY,
    multiprocess_mode="livesum",
)
KEY_PLACE: Final = Gauge(
    "bff_key_place",
    "Place of a key in BFF_KEYS: 1 seals, the others open, 0 has been removed",
    ["kid"],
    registry=REGISTRY,
    multiprocess_mode="livemostrecent",
)
KEY_CREATED: Final = Gauge(
    "bff_key_created_timestamp_seconds",
    "When a key was made, where its id says so",
    ["kid"],
    registry=REGISTRY,
    multiprocess_mode="livemostrecent",
)
PROCESS_START: Final = Gauge(
    "bff_process_start_timestamp_seconds",
    "When a process began to serve",
    registry=REGISTRY,
    multiprocess_mode="liveall",
)
PROCESS_CPU: Final = Gauge(
    "bff_process_cpu_seconds",
    "Processor time that a process has taken",
    registry=REGISTRY,
    multiprocess_mode="liveall",
)
PROCESS_MEMORY: Final = Gauge(
    "bff_process_resident_memory_bytes",
    "Memory of a process (Linux)",
    registry=REGISTRY,
    multiprocess_mode="liveall",
)
PROCESS_FILES: Final = Gauge(
    "bff_process_open_fds",
    "Open files of a process (Linux)",
    registry=REGISTRY,
    multiprocess_mode="liveall",
)
PROCESS_MAX_FILES: Final = Gauge(
    "bff_process_max_fds",
    "How many open files a process may have",
    registry=REGISTRY,
    multiprocess_mode="liveall",
)


@lru_cache(maxsize=8192)
def requests_of(route: str, method: str, status: int, code: str, fault: str, area: str) -> Tally:
    """Return what counts and times requests of one kind."""
    known = str(status) if status in _STATUSES else "other"
    return Tally(
        REQUESTS.labels(route, method, known, code, fault),
        REQUEST_SECONDS.labels(area),
        ROUTE_SECONDS.labels(route),
    )


@lru_cache(maxsize=1024)
def calls_of(area: str, call: str, outcome: str) -> Tally:
    """Return what counts and times calls to Emporix of one kind."""
    return Tally(UPSTREAM_CALLS.labels(area, call, outcome), UPSTREAM_SECONDS.labels(area, call))
