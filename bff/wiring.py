"""From settings to the session engine: wired once, for the app, for operator commands and for tests."""

import time
from dataclasses import dataclass

from bff.config.settings import Settings
from bff.emporix.auth import EmporixAuth
from bff.emporix.carts import EmporixCarts
from bff.security.keyring import KeyRing, RandomBytes
from bff.session import ID_BYTES, SECRET_BYTES, Lifetimes, Ticket
from bff.sessions.ports import Policy, Ports
from bff.sessions.tasks import Tasks
from bff.store.backend import Backend, LockTimes, Sources, StoreOptions, open_backend
from bff.store.options import Clock
from bff.upstream.httpx_client import HttpxClient
from bff.upstream.options import PROXIED_CALLS, TOKEN_CALLS, UPLOADS, ClientOptions
from bff.upstream.protocol import UpstreamClient
from bff.upstream.token_calls import DEADLINE_SECONDS, TokenCallClient
from bff.upstream.upload_share import UploadShare


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


@dataclass(frozen=True, slots=True)
class Connections:
    """Everything that the proxy talks to over a network.

    Attributes:
        backend: the session store and what stands beside it.
        token_calls: the upstream's token calls.
        upstream: the upstream's proxied calls, which have a pool of their own.
    """

    backend: Backend
    token_calls: TokenCallClient
    upstream: UpstreamClient

    async def aclose(self) -> None:
        """Close all of them."""
        await self.token_calls.aclose()
        await self.upstream.aclose()
        await self.backend.aclose()


def open_connections(
    settings: Settings, ring: KeyRing, *, clock: Clock, random_bytes: RandomBytes
) -> Connections:
    """Return the connections; nothing is connected yet.

    Raises:
        ValueError: the Redis URL is none.
    """
    return Connections(
        session_backend(settings, ring, clock=clock, random_bytes=random_bytes),
        TokenCallClient(_upstream_client(settings, TOKEN_CALLS)),
        UploadShare(
            _upstream_client(settings, PROXIED_CALLS), most=UPLOADS, wait_seconds=PROXIED_CALLS.pool_seconds
        ),
    )


def _upstream_client(settings: Settings, options: ClientOptions) -> UpstreamClient:
    return HttpxClient(settings.upstream_url, options)


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
        lock_times=lock_times(DEADLINE_SECONDS),
    )
    return open_backend(settings.redis_url, ring, options, Sources(clock, time.monotonic, random_bytes))


def lock_times(token_deadline: float) -> LockTimes:
    """Return how long a session's lock is held and waited for.

    Whoever holds it may make four token calls: it outlives them all, or two would refresh at once. One who waits for
    it waits a little longer than one call takes.

    Args:
        token_deadline: seconds that one token call may take.
    """
    return LockTimes(lease=5 * token_deadline, wait=token_deadline + 1)


def session_ports(
    settings: Settings,
    connections: Connections,
    tasks: Tasks,
    *,
    clock: Clock,
    random_bytes: RandomBytes,
) -> Ports:
    """Return everything outside that the session engine talks to."""
    tenant, backend, token_calls = settings.tenant, connections.backend, connections.token_calls
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
