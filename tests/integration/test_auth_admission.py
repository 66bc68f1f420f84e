"""A request that is one too many is refused before its body is read, and no body under `/auth` is a large one."""

import json
import uuid
from collections.abc import Iterator

import pytest

from tests.integration.wire import Answer, answer_on, chunked, dial, head
from tests.live import TENANT, LiveProxy, Sandbox, environment

MOST = 64 * 1024
WITH_BODY = [
    ("POST", "/auth/anonymous"),
    ("POST", "/auth/signup"),
    ("POST", "/auth/login"),
    ("POST", "/auth/exchange"),
    ("POST", "/auth/opt-in"),
    ("POST", "/auth/sso/main/code"),
    ("PUT", "/auth/legal-entity"),
    ("POST", f"/api/customer/{TENANT}/login"),
]
PROVIDER = {"main": {"authorize_url": "https://provider.example/authorize", "client_id": "shop"}}


@pytest.fixture(scope="module")
def once(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    """A proxy that lets each client do everything once."""
    rates = {f"BFF_{name}_RATE": "1/600" for name in ("LOGIN", "GUEST", "ACCOUNT", "REFRESH")}
    more = {"BFF_TRUSTED_PROXIES": "127.0.0.0/8", "BFF_DROP_IN": "true", "BFF_SSO": json.dumps(PROVIDER)}
    with LiveProxy(environment(sandbox_process, redis_url, **rates, **more)) as proxy:
        yield proxy


def client() -> str:
    """Return an address that nobody else has had."""
    raw = uuid.uuid4().hex
    return "2001:db8:" + ":".join(raw[at : at + 4] for at in range(0, 24, 4))


def sent(proxy: LiveProxy, call: tuple[str, str], address: str, framing: str, body: bytes) -> Answer:
    """Send a head and a body that may lack its end, and return what is answered to that."""
    fields = [f"X-Forwarded-For: {address}", "Content-Type: application/json", framing]
    with dial(proxy) as connection:
        connection.sendall(head(proxy, "{} {} HTTP/1.1".format(*call), fields) + body)
        return answer_on(connection, call[0])


@pytest.mark.parametrize("call", WITH_BODY, ids=[path for _, path in WITH_BODY])
def test_an_address_is_counted_before_the_body_is_read(once: LiveProxy, call: tuple[str, str]) -> None:
    address = client()
    assert sent(once, call, address, "Content-Length: 2", b"[]").status == 400
    for framing, part in (("Content-Length: 1000", b"{"), ("Transfer-Encoding: chunked", b"3e8\r\n{")):
        unfinished = sent(once, call, address, framing, part)
        assert unfinished.status == 429
        assert int(unfinished.all("Retry-After")[0]) > 0
    assert sent(once, call, address, f"Content-Length: {100 * MOST}", b"").status == 429
    assert sent(once, call, client(), "Content-Length: 2", b"[]").status == 400


@pytest.mark.parametrize("call", WITH_BODY, ids=[path for _, path in WITH_BODY])
def test_no_body_has_more_than_64_kib(once: LiveProxy, call: tuple[str, str]) -> None:
    assert sent(once, call, client(), f"Content-Length: {MOST + 1}", b"").status == 413
    whole = chunked(b" " * MOST, b" ", last=False)
    assert sent(once, call, client(), "Transfer-Encoding: chunked", whole).status == 413
    fits = b"[]" + b" " * (MOST - 2)
    assert sent(once, call, client(), f"Content-Length: {MOST}", fits).status == 400
