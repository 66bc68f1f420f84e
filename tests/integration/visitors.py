"""What the tests of this folder say about answers, and the ways in which they look behind the proxy."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.cookies import SimpleCookie
from typing import Any

import httpx2

from tests.live import ADA, TENANT, LiveProxy, Sandbox

CARTS = f"/api/cart/{TENANT}/carts"
PRODUCTS = f"/api/product/{TENANT}/products"
ME = f"/api/customer/{TENANT}/me"
ANONYMOUS_REFRESH = "GET /customerlogin/auth/anonymous/refresh"
ANONYMOUS_LOGIN = "GET /customerlogin/auth/anonymous/login"
CUSTOMER_REFRESH = "GET /customer/{tenant}/refreshauthtoken"
CUSTOMER_LOGIN = "POST /customer/{tenant}/login"

VIEW = {
    "kind", "customer", "legalEntityId", "initialPassword", "version", "createdAt", "idleExpiresAt", "expiresAt",
}  # fmt: skip
NONE = dict.fromkeys(VIEW) | {"kind": "none"}


def problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    """Assert that an answer is this problem, complete, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body = dict(answer.json())
    assert set(body) >= {"type", "title", "status", "detail", "code", "requestId"}
    assert (body["code"], body["type"], body["status"]) == (code, f"urn:bff:{code}", status)
    assert body["title"]
    assert body["detail"]
    assert body["requestId"] == answer.headers["x-request-id"]
    return body


def set_cookies(answer: httpx2.Response) -> list[str]:
    """Return every Set-Cookie field of an answer."""
    return answer.headers.get_list("set-cookie")


def issued(answer: httpx2.Response, name: str = "bff") -> str:
    """Return the cookie value that an answer hands out: one, and not empty."""
    (field,) = set_cookies(answer)
    value = SimpleCookie(field)[name].value
    assert value
    return value


def cleared(answer: httpx2.Response, name: str = "bff") -> bool:
    """Say whether an answer removes the cookie, with the attributes it was set with."""
    fields = set_cookies(answer)
    if len(fields) != 1:
        return False
    morsel = SimpleCookie(fields[0])[name]
    return (morsel.value, morsel["max-age"], morsel["path"]) == ("", "0", "/")


def instant(text: str) -> datetime:
    """Read an RFC 3339 instant of UTC."""
    assert text.endswith("Z")
    return datetime.fromisoformat(text).astimezone(UTC)


def carrying(proxy: LiveProxy, cookie: str | bytes, name: str = "bff", **headers: str) -> httpx2.Client:
    """Return a client that sends this cookie whatever answers say."""
    value = cookie if isinstance(cookie, bytes) else cookie.encode("ascii")
    fields: dict[bytes, bytes] = {name.encode(): value.encode() for name, value in headers.items()}
    fields |= {b"X-CSRF": b"1", b"Cookie": name.encode() + b"=" + value}
    client = httpx2.Client(base_url=proxy.url, headers=fields, trust_env=False, timeout=30)
    client.event_hooks = {"response": [lambda _answer: client.cookies.clear()]}
    return client


@contextmanager
def customer(proxy: LiveProxy, **headers: str) -> Iterator[httpx2.Client]:
    """A browser in which Ada is logged in."""
    with proxy.browser(**headers) as browser:
        answer = browser.post("/auth/login", json=ADA)
        assert answer.status_code == 200, answer.text
        yield browser


@contextmanager
def guest(proxy: LiveProxy, **headers: str) -> Iterator[httpx2.Client]:
    """A browser with a guest's session."""
    with proxy.browser(**headers) as browser:
        assert browser.post("/auth/anonymous").status_code == 201
        yield browser


def seen(sandbox: Sandbox) -> int:
    """Return the number of the sandbox's latest request."""
    return int(sandbox.control("GET", "/log")["next"])


def calls(sandbox: Sandbox, since: int) -> list[str]:
    """Return what upstream was asked since then, method and path template."""
    return [f"{one['method']} {one['template']}" for one in sandbox.log_since(since)]


def emporix_session(client: httpx2.Client, sandbox: Sandbox) -> str:
    """Return the Emporix session that a visitor's token belongs to, as upstream saw it."""
    before = seen(sandbox)
    client.get(CARTS, params={"siteCode": "main"})
    (record,) = [one for one in sandbox.log_since(before) if one["template"] == "/cart/{tenant}/carts"]
    assert record["sessionId"]
    return str(record["sessionId"])


def live_tokens(sandbox: Sandbox, session: str) -> int:
    """Return how many access tokens of an Emporix session are still good."""
    return int(sandbox.control("GET", "/sessions")[session]["liveAccessTokens"])


def fault(sandbox: Sandbox, match: str, kind: str, **more: Any) -> None:
    """Spoil matching requests until the test ends, or `times` of them."""
    sandbox.control("POST", "/faults", {"match": match, "kind": kind} | more)


def knob(sandbox: Sandbox, **knobs: Any) -> None:
    sandbox.control("PATCH", "/knobs", knobs)


def heeding_pauses(ask: Callable[[], httpx2.Response]) -> httpx2.Response:
    """Ask until the answer is no 503, as a client does that waits for as long as `Retry-After` says."""
    until = time.monotonic() + 45
    while (answer := ask()).status_code == 503 and time.monotonic() < until:
        time.sleep(int(answer.headers["retry-after"]))
    return answer


def eventually(holds: Callable[[], bool]) -> None:
    """Wait for something that must come about; how long that takes is nobody's business."""
    until = time.monotonic() + 45
    while not holds():
        assert time.monotonic() < until, "it did not come about"
        time.sleep(0.02)


def arrived(sandbox: Sandbox, since: int, call: str) -> None:
    """Wait until upstream has been asked this."""
    eventually(lambda: call in calls(sandbox, since))
