"""From settings to the engine's parts: what an operator sets gets to the part that it is about."""

import asyncio
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from bff.config.settings import Settings
from bff.errors import StoreUnavailable, TooManyRequests, UpstreamUnavailable
from bff.security.secret import Secret
from bff.session import Carrier, GuestContext
from bff.store.backend import Backend
from bff.store.protocol import RatedCall
from bff.upstream.options import PROXIED_CALLS, TOKEN_CALLS, UPLOADS, ClientOptions
from bff.wiring import key_pairs, key_ring, open_connections, session_backend, session_policy
from tests.contract.socket_upstream import Connection, answer, serving
from tests.contract.upstream_clients import get, whole
from tests.support import Clock, a_session, new_keys, new_replica, new_ticket, replica_settings, until

pytestmark = pytest.mark.anyio

NOWHERE = "redis://127.0.0.1:1"


@asynccontextmanager
async def backend_of(settings: Settings) -> AsyncIterator[Backend]:
    ring = key_ring(settings, secrets.token_bytes)
    backend = session_backend(settings, ring, clock=Clock(), random_bytes=secrets.token_bytes)
    try:
        yield backend
    finally:
        await backend.aclose()


def test_the_policy_is_what_the_settings_say() -> None:
    settings = replica_settings(
        NOWHERE,
        new_keys(),
        guest_idle_seconds="101",
        guest_max_seconds="202",
        customer_idle_seconds="303",
        customer_max_seconds="404",
        refresh_skew_seconds="55",
        site_code="main",
    )
    policy = session_policy(settings, key_ring(settings, secrets.token_bytes))
    assert (policy.guest.idle, policy.guest.absolute) == (101, 202)
    assert (policy.customer.idle, policy.customer.absolute) == (303, 404)
    assert (policy.refresh_skew, policy.site_code) == (55, "main")


def test_the_shared_ticket_follows_from_the_newest_key_and_the_tenant() -> None:
    def ticket(keys: str, tenant: str = "acmeshop") -> tuple[bytes, bytes]:
        settings = replica_settings(NOWHERE, keys, tenant=tenant)
        shared = session_policy(settings, key_ring(settings, secrets.token_bytes)).shared_ticket()
        return shared.id, shared.secret

    older, newer = new_keys("k1"), new_keys("k2")
    first = ticket(older)
    assert ticket(older) == first
    assert ticket(f"{older},{newer}") == first
    settings, later = (replica_settings(NOWHERE, keys) for keys in (older, newer))
    ring = key_ring(settings, secrets.token_bytes)
    shared_ticket = session_policy(settings, ring).shared_ticket
    assert ring.replace(key_pairs(later))
    assert (shared_ticket().id, shared_ticket().secret) == ticket(newer)
    for other in (ticket(newer), ticket(f"{newer},{older}"), ticket(older, "othershop")):
        assert not {*other} & {*first}


async def test_the_engine_follows_the_settings(redis_url: str) -> None:
    async with new_replica(redis_url, guest_idle_seconds="101", guest_max_seconds="202") as one:
        held = await one.engine.anonymous.start(GuestContext(), Carrier.COOKIE, None)
        assert held.session.idle_seconds == 101
        assert held.session.expires_at == one.clock.at + 202


async def test_the_rates_are_those_of_the_settings(redis_url: str) -> None:
    settings = replica_settings(
        redis_url, new_keys(), guest_rate="2/60", login_rate="1/60", account_rate="3/60", refresh_rate="4/60"
    )
    client = "2001:db8:" + ":".join(secrets.token_hex(2) for _ in range(6))
    async with backend_of(settings) as backend:
        for _ in range(2):
            await backend.limits.guest(client)
        with pytest.raises(TooManyRequests):
            await backend.limits.guest(client)
        await backend.limits.sign_on(client)
        with pytest.raises(TooManyRequests):
            await backend.limits.sign_on(client)
        for call, most in ((RatedCall.SIGN_UP, 3), (RatedCall.REFRESH, 4)):
            for _ in range(most):
                await backend.limits.call(call, client)
            with pytest.raises(TooManyRequests):
                await backend.limits.call(call, client)


async def test_what_one_backend_keeps_another_one_of_the_same_settings_finds(redis_url: str) -> None:
    ticket, session = new_ticket(), a_session()
    settings = replica_settings(redis_url, new_keys())
    strangers = (new_keys(), settings.tenant), (None, "othershop")
    async with backend_of(settings) as one:
        kept = await one.store.create(ticket, session)
        async with backend_of(settings) as other:
            assert await other.store.load_fresh(ticket) == kept
    for keys, tenant in strangers:
        changed = replica_settings(redis_url, keys or new_keys(), tenant=tenant)
        async with backend_of(changed) as stranger:
            assert await stranger.store.load_fresh(ticket) is None


async def test_nothing_is_connected_before_it_is_used() -> None:
    async with backend_of(replica_settings(NOWHERE, new_keys())) as backend:
        with pytest.raises(StoreUnavailable):
            await backend.store.ping()


def test_token_calls_and_proxied_calls_have_each_a_client_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[tuple[str, ClientOptions]] = []
    trusts: list[ssl.SSLContext] = []

    def opens(url: str, options: ClientOptions, *, tls: ssl.SSLContext) -> None:
        opened.append((url, options))
        trusts.append(tls)

    for client in ("HttpxClient", "LlhttpClient"):
        monkeypatch.setattr(f"bff.wiring.{client}", opens)
    settings = replica_settings(NOWHERE, new_keys(), upstream_url="https://upstream.test")
    ring = key_ring(settings, secrets.token_bytes)
    open_connections(settings, ring, clock=Clock(), random_bytes=secrets.token_bytes)
    assert opened == [(settings.upstream_url, TOKEN_CALLS), (settings.upstream_url, PROXIED_CALLS)]
    assert trusts[0] is trusts[1], "the system's trust is read twice"


def test_a_url_of_no_known_backend_is_refused() -> None:
    settings = replace(replica_settings(NOWHERE, new_keys()), redis_url=Secret("memcached://127.0.0.1"))
    ring = key_ring(settings, secrets.token_bytes)
    with pytest.raises(ValueError, match="names no backend"):
        session_backend(settings, ring, clock=Clock(), random_bytes=secrets.token_bytes)


async def test_slow_uploads_leave_connections_for_everybody_else() -> None:
    finish = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"part"
        await finish.wait()

    async def serve(connection: Connection) -> None:
        head = await connection.head()
        if head[0].startswith(b"PUT"):
            await connection.reader.readuntil(b"0\r\n\r\n")
        await connection.send(answer(b"hello"))

    async with serving(serve) as upstream:
        settings = replica_settings(NOWHERE, new_keys(), upstream_url=upstream.url)
        ring = key_ring(settings, secrets.token_bytes)
        connections = open_connections(settings, ring, clock=Clock(), random_bytes=secrets.token_bytes)
        client = connections.upstream
        uploads = [asyncio.create_task(client.open("PUT", b"/x", [], slow())) for _ in range(UPLOADS)]
        await until(lambda: len(upstream.heads) == UPLOADS)
        with pytest.raises(UpstreamUnavailable):
            await client.open("PUT", b"/x", [], slow())
        assert await get(client) == b"hello"
        finish.set()
        assert [await whole(one) for one in await asyncio.gather(*uploads)] == [b"hello"] * UPLOADS
        await connections.aclose()
