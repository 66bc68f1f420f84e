"""Signing on from outside: the sandbox's identity provider, its mails, and what must not come back."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from tests.integration.visitors import ME, seen
from tests.live import ADA, LiveProxy, Sandbox, environment

APP_ORIGIN = "https://app.example"
INVALID = "/?sso_error=login_state_invalid"
SOCIAL = "POST /customer/{tenant}/socialLogin"
EXCHANGE = "POST /customer/{tenant}/exchangeauthtoken"
OPT_IN = "GET /customer/{tenant}/signup/optin/{token}"
MERGE = "POST /cart/{tenant}/carts/{cartId}/merge"
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')


def with_providers(sandbox: Sandbox, redis_url: str, **settings: str) -> dict[str, str]:
    """Return the settings of a proxy that knows the sandbox's identity provider under two names."""
    page = f"{sandbox.url}/idp/authorize"
    providers = {
        "main": {
            "authorize_url": page,
            "client_id": "shop-at-idp",
            "scope": "openid email",
            "config": "site_DE",
        },
        "plain": {"authorize_url": page, "client_id": "shop-at-idp"},
    }
    origins = {"BFF_SSO": json.dumps(providers), "BFF_ALLOWED_ORIGINS": APP_ORIGIN}
    return environment(sandbox, redis_url, **origins, **settings)


@pytest.fixture(scope="module")
def sso_process(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    with LiveProxy(with_providers(sandbox_process, redis_url)) as proxy:
        yield proxy


@pytest.fixture
def sso(sso_process: LiveProxy, sandbox: Sandbox) -> LiveProxy:
    """A proxy with providers; the sandbox is put back after each test."""
    return sso_process


@contextmanager
def navigating(proxy: LiveProxy) -> Iterator[httpx2.Client]:
    """A browser's navigations: a cookie jar, and no header that a page would have to set."""
    headers = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}
    with httpx2.Client(base_url=proxy.url, headers=headers, trust_env=False, timeout=30) as client:
        yield client


def asked(address: str) -> dict[str, str]:
    """Return the parameters of an address, each of which stands once."""
    query = parse_qs(urlsplit(address).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in query.values())
    return {name: values[0] for name, values in query.items()}


def begun(browser: httpx2.Client, name: str = "main", **params: str) -> str:
    """Begin a sign-on and return the provider's address."""
    answer = browser.get(f"/auth/sso/{name}", params=params)
    assert answer.status_code == 302, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return str(answer.headers["location"])


def consented(address: str, email: str = ADA["email"], action: str = "continue") -> str:
    """Fill in the provider's form and return where it sends the browser back to."""
    with httpx2.Client(trust_env=False, timeout=30) as user:
        page = user.get(address)
        assert page.status_code == 200
        form = {name: unescape(value) for name, value in _HIDDEN.findall(page.text)}
        target = str(page.url.copy_with(query=None))
        answer = user.post(target, data=form | {"email": email, "action": action})
    assert answer.status_code == 302
    return str(answer.headers["location"])


def returned(browser: httpx2.Client, address: str, target: str = "/") -> httpx2.Response:
    """Come back from the provider; the browser is sent to `target`."""
    answer = browser.get(address)
    assert (answer.status_code, answer.headers["location"]) == (302, target)
    assert answer.headers["cache-control"] == "no-store"
    return answer


def signed_on(browser: httpx2.Client, email: str = ADA["email"], name: str = "main") -> None:
    """Go the whole way there and back."""
    returned(browser, consented(begun(browser, name), email))


def view(browser: httpx2.Client) -> dict[str, Any]:
    answer = browser.get(
        "/auth/session?slide=false", headers={"X-CSRF": "1", "Sec-Fetch-Site": "same-origin"}
    )
    assert answer.status_code == 200
    return dict(answer.json())


def provider_token(sandbox: Sandbox, email: str = ADA["email"], life: int = 3600) -> str:
    """Return a token that an app got from the identity provider."""
    answer = httpx2.post(
        f"{sandbox.url}/idp/token", json={"email": email, "expiresIn": life}, trust_env=False, timeout=30
    )
    return str(answer.json()["access_token"])


def last_session(sandbox: Sandbox, client: httpx2.Client) -> str:
    """Return the Emporix session that a visitor's token belongs to."""
    before = seen(sandbox)
    browsers = {} if "x-session-id" in client.headers else {"X-CSRF": "1", "Sec-Fetch-Site": "same-origin"}
    client.get(ME, headers=browsers)
    (record,) = [one for one in sandbox.log_since(before) if one["template"].endswith("/me")]
    return str(record["sessionId"])


def everything_in(answer: httpx2.Response) -> str:
    """Return all that a client has got with an answer."""
    headers = "\n".join(f"{name}: {value}" for name, value in answer.headers.multi_items())
    return f"{headers}\n\n{answer.text}"


class Ear:
    """Hears everything that a client receives."""

    def __init__(self, *clients: httpx2.Client) -> None:
        self.heard: list[str] = []
        for client in clients:
            client.event_hooks = {"response": [*client.event_hooks.get("response", []), self._hear]}

    def _hear(self, answer: httpx2.Response) -> None:
        answer.read()
        self.heard.append(everything_in(answer))

    def secrets_of(self, sandbox: Sandbox, *, ids: bool = True) -> list[str]:
        """Return what was heard of the secrets that the sandbox has ever given out."""
        issued = sandbox.control("GET", "/issued")
        known = set(issued["tokens"]) | (set(issued["sessionIds"]) if ids else set())
        assert known
        assert self.heard
        whole = "\n".join(self.heard)
        return [secret for secret in known if secret in whole]
