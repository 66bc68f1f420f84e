"""From settings to the session engine: wired once, for the app, for operator commands and for tests."""

import time
from dataclasses import dataclass
from typing import Protocol

from bff.config.settings import Settings
from bff.emporix.auth import EmporixAuth
from bff.emporix.carts import EmporixCarts
from bff.emporix.session_context import EmporixSessionContext
from bff.security.keyring import KeyRing, RandomBytes
from bff.session import ID_BYTES, SECRET_BYTES, Lifetimes, RecordPurpose, Ticket
from bff.sessions.audit import Audit
from bff.sessions.ports import Policy, Ports
from bff.sessions.tasks import Tasks
from bff.store.backend import Backend, Rates, Sources, StoreOptions, open_backend
from bff.store.options import CacheOptions, Clock
from bff.upstream.breaker import TOKEN_CALLS_AREA, Breakers
from bff.upstream.bulkhead import Bulkhead, call_of, service_of
from bff.upstream.httpx_client import HttpxClient
from bff.upstream.llhttp_client import LlhttpClient
from bff.upstream.options import PROXIED_CALLS, PROXIED_SHARES, TOKEN_CALL_SHARES, TOKEN_CALLS, UPLOADS
from bff.upstream.protocol import UpstreamClient
from bff.upstream.token_calls import TokenCallClient
from bff.upstream.trust import upstream_trust
from bff.upstream.upload_share import UploadShare


def key_ring(settings: Settings, random_bytes: RandomBytes) -> KeyRing:
    """Return the server's keys."""
    return KeyRing(key_pairs(settings), settings.tenant, random_bytes)


def key_pairs(settings: Settings) -> list[tuple[str, bytes]]:
    """Return the keys as a key ring takes them."""
    return [(spec.kid, spec.key) for spec in settings.keys]


def session_policy(settings: Settings, ring: KeyRing) -> Policy:
    """Return the rules that sessions follow."""
    digest = ring.digest("shared token")

    def shared_ticket() -> Ticket:
        shared_id, secret = digest.newest(b"id")[:ID_BYTES], digest.newest(b"secret")[:SECRET_BYTES]
        return Ticket(shared_id, secret, RecordPurpose.SHARED_TOKEN)

    return Policy(
        guest=Lifetimes(settings.guest_idle_seconds, settings.guest_max_seconds),
        customer=Lifetimes(settings.customer_idle_seconds, settings.customer_max_seconds),
        refresh_skew=settings.refresh_skew_seconds,
        site_code=settings.site_code,
        keeps_guests=settings.drop_in,
        keeps_context=settings.keep_context,
        shared_ticket=shared_ticket,
    )


class Recording(Protocol):
    """The traces of this process."""

    def stop(self, seconds: float) -> None:
        """Send what is there, for so many seconds at the most."""
        ...


def start_traces(collector: str | None) -> Recording | None:
    """Begin to send traces; without a collector, what records them is not even imported."""
    if collector is None:
        return None
    from bff.telemetry.traces import OtlpExporter, Traces  # noqa: PLC0415 - needs packages of an extra

    return Traces(OtlpExporter(collector))


@dataclass(frozen=True, slots=True)
class Connections:
    """Everything that the proxy talks to over a network.

    Attributes:
        backend: the session store and what stands beside it.
        token_calls: the upstream's token calls.
        upstream: the upstream's proxied calls, which have a pool of their own.
        breakers: stop calls of either kind that keep failing.
        monotonic: says how long a pause after a failure has lasted; no change of the wall clock moves it.
    """

    backend: Backend
    token_calls: TokenCallClient
    upstream: UpstreamClient
    breakers: Breakers
    monotonic: Clock = time.monotonic

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
    tls = upstream_trust(settings.upstream_url)  # one for both, as it takes time and memory
    breakers = Breakers(monotonic=time.monotonic, random_bytes=random_bytes)
    return Connections(
        session_backend(settings, ring, clock=clock, random_bytes=random_bytes),
        TokenCallClient(
            Bulkhead(
                HttpxClient(settings.upstream_url, TOKEN_CALLS, tls=tls),
                TOKEN_CALL_SHARES,
                call_of,
                area=TOKEN_CALLS_AREA,
            ),
            breakers=breakers,
        ),
        UploadShare(
            Bulkhead(
                LlhttpClient(settings.upstream_url, PROXIED_CALLS, tls=tls),
                PROXIED_SHARES,
                service_of,
                area="api",
            ),
            most=UPLOADS,
            wait_seconds=PROXIED_CALLS.pool_seconds,
        ),
        breakers,
    )


def session_backend(settings: Settings, ring: KeyRing, *, clock: Clock, random_bytes: RandomBytes) -> Backend:
    """Return the store and what stands beside it; nothing is connected yet.

    Raises:
        ValueError: the Redis URL is none.
    """
    options = StoreOptions(
        tenant=settings.tenant,
        index_lifetime=settings.customer_max_seconds,
        rates=Rates(
            login=(settings.login_rate.count, settings.login_rate.seconds),
            guest=(settings.guest_rate.count, settings.guest_rate.seconds),
            account=(settings.account_rate.count, settings.account_rate.seconds),
            refresh=(settings.refresh_rate.count, settings.refresh_rate.seconds),
        ),
        cache=CacheOptions(most_bytes=settings.session_cache << 20),
        schema=settings.session_schema,
    )
    return open_backend(settings.redis_url, ring, options, Sources(clock, time.monotonic, random_bytes))


def session_ports(
    settings: Settings,
    connections: Connections,
    ring: KeyRing,
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
        contexts=EmporixSessionContext(token_calls, tenant=tenant),
        audit=Audit(ring, plain=settings.log_accounts == "plain"),
        tasks=tasks,
        clock=clock,
        monotonic=connections.monotonic,
        random_bytes=random_bytes,
    )
