"""From settings to the session engine: wired once, for the app, for operator commands and for tests."""

import time
from collections.abc import Callable

from bff.config.settings import Settings
from bff.emporix.auth import EmporixAuth
from bff.emporix.carts import EmporixCarts
from bff.security.keyring import KeyRing
from bff.session import ID_BYTES, SECRET_BYTES, Lifetimes, Ticket
from bff.sessions.ports import Policy, Ports
from bff.sessions.tasks import Tasks
from bff.store.backend import Backend, StoreOptions, open_backend
from bff.upstream.httpx_client import HttpxClient
from bff.upstream.options import PROXIED_CALLS, TOKEN_CALLS
from bff.upstream.protocol import UpstreamClient
from bff.upstream.token_calls import TokenCallClient

Clock = Callable[[], float]
RandomBytes = Callable[[int], bytes]


def key_ring(settings: Settings, random_bytes: RandomBytes) -> KeyRing:
    """Return the server's keys."""
    return KeyRing([(spec.kid, spec.key) for spec in settings.keys], settings.tenant, random_bytes)


def session_policy(settings: Settings, ring: KeyRing) -> Policy:
    """Return the rules that sessions follow."""
    digest = ring.digest("shared guest")
    secret = digest.newest(b"shared guest's secret")[:SECRET_BYTES]
    return Policy(
        guest=Lifetimes(settings.guest_idle_seconds, settings.guest_max_seconds),
        customer=Lifetimes(settings.customer_idle_seconds, settings.customer_max_seconds),
        refresh_skew=settings.refresh_skew_seconds,
        site_code=settings.site_code,
        shared_ticket=Ticket(digest.newest(b"shared guest's id")[:ID_BYTES], secret),
    )


def session_backend(settings: Settings, ring: KeyRing, *, clock: Clock, random_bytes: RandomBytes) -> Backend:
    """Return the store and what stands beside it; nothing is connected yet.

    Raises:
        ValueError: the Redis URL is none.
    """
    options = StoreOptions(
        tenant=settings.tenant,
        index_lifetime=settings.customer_max_seconds,
        login_rate=(settings.login_rate.count, settings.login_rate.seconds),
        guest_rate=(settings.guest_rate.count, settings.guest_rate.seconds),
    )
    return open_backend(
        settings.redis_url, ring, options, clock=clock, monotonic=time.monotonic, random_bytes=random_bytes
    )


def proxied_call_client(settings: Settings) -> UpstreamClient:
    """Return what sends the visitors' own calls."""
    return HttpxClient(settings.upstream_url, PROXIED_CALLS)


def token_call_client(settings: Settings) -> TokenCallClient:
    """Return what sends the proxy's own calls to Emporix."""
    return TokenCallClient(HttpxClient(settings.upstream_url, TOKEN_CALLS))


def session_ports(
    settings: Settings,
    backend: Backend,
    token_calls: TokenCallClient,
    tasks: Tasks,
    *,
    clock: Clock,
    random_bytes: RandomBytes,
) -> Ports:
    """Return everything outside that the session engine talks to."""
    tenant = settings.tenant
    return Ports(
        store=backend.store,
        locks=backend.locks,
        customers=backend.customers,
        limits=backend.limits,
        emporix=EmporixAuth(token_calls, tenant=tenant, client_id=settings.client_id, clock=clock),
        carts=EmporixCarts(token_calls, tenant=tenant),
        tasks=tasks,
        clock=clock,
        random_bytes=random_bytes,
    )
