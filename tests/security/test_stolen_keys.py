"""Whoever has the keys, and nothing else, opens no session: not the proxy's own either."""

import secrets

import pytest

from bff.config.settings import load_settings
from bff.middleware.carriers import SessionCarriers
from bff.session import Carrier
from bff.wiring import key_ring, session_policy
from tests.integration.wire import PRODUCT_ECHO, Watch, send
from tests.live import TENANT, LiveProxy, Sandbox

CONTEXT = f"/session-context/{TENANT}/me/context"


def carried_with(carrier: Carrier, environ: dict[str, str]) -> dict[str, str]:
    """Return the headers that would carry the shared token's session, made of the keys alone."""
    settings = load_settings(environ)
    ring = key_ring(settings, secrets.token_bytes)
    carriers = SessionCarriers(ring, cookie_name="bff", secure=False, same_site="strict")
    value = carriers.seal(carrier, session_policy(settings, ring).shared_ticket())
    return {"X-Session-Id": value} if carrier is Carrier.HEADER else {"X-CSRF": "1", "Cookie": f"bff={value}"}


@pytest.mark.parametrize("carrier", [Carrier.COOKIE, Carrier.HEADER])
def test_the_keys_alone_do_not_open_the_shared_tokens_session(
    proxy: LiveProxy, sandbox: Sandbox, carrier: Carrier
) -> None:
    watch = Watch(sandbox)
    send(proxy, "GET", f"/api{PRODUCT_ECHO}")
    (shared,) = {one["sessionId"] for one in watch.of(PRODUCT_ECHO)}
    with proxy.app() as thief:
        del thief.headers["x-session-transport"]
        thief.headers.update(carried_with(carrier, proxy.environ))
        assert thief.get("/auth/session").json()["kind"] == "none"
        thief.patch(f"/api{CONTEXT}", json={"currency": "USD"})
        thief.post("/auth/logout")
    assert shared not in {one["sessionId"] for one in watch.of(CONTEXT)}
    watch = Watch(sandbox)
    send(proxy, "GET", f"/api{PRODUCT_ECHO}")
    assert {one["sessionId"] for one in watch.of(PRODUCT_ECHO)} == {shared}
