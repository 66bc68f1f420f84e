"""A prefetch and a HEAD begin nothing, wherever something could begin: no guest, no sign-on, no login."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.integration.signing import with_providers
from tests.integration.visitors import CARTS, calls, seen, set_cookies
from tests.live import CLIENT_ID, TENANT, LiveProxy, Sandbox

# What browsers have called a prefetch: the standard's field, Chrome's and Safari's old one, Firefox' old one.
PROBES = {
    "HEAD": ("HEAD", {}),
    "prefetch": ("GET", {"Sec-Purpose": "prefetch"}),
    "prerender": ("GET", {"Sec-Purpose": "prefetch;prerender"}),
    "old Chrome": ("GET", {"Purpose": "prefetch"}),
    "old Firefox": ("GET", {"X-Moz": "prefetch"}),
}
ANONYMOUS = f"/api/customerlogin/auth/anonymous/login?tenant={TENANT}&client_id={CLIENT_ID}"
ANONYMOUS_REFRESH = (
    f"/api/customerlogin/auth/anonymous/refresh?tenant={TENANT}&client_id={CLIENT_ID}&refresh_token=x"
)
OPT_IN = f"/api/customer/{TENANT}/signup/optin/a-mail-token"


@pytest.fixture(scope="module")
def drop_in_process(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    with LiveProxy(with_providers(sandbox_process, redis_url, BFF_DROP_IN="true")) as proxy:
        yield proxy


@pytest.fixture
def drop_in(drop_in_process: LiveProxy, sandbox: Sandbox) -> LiveProxy:
    """A proxy with identity providers, that answers upstream's own auth paths as well."""
    return drop_in_process


def begins_nothing(client: httpx2.Client, sandbox: Sandbox, path: str, probe: str) -> httpx2.Response:
    """Assert that a request leaves no cookie and asks nothing of upstream; return its answer."""
    method, fields = PROBES[probe]
    before = seen(sandbox)
    answer = client.request(method, path, headers=fields)
    assert set_cookies(answer) == []
    assert calls(sandbox, before) == []
    return answer


@pytest.mark.parametrize("probe", PROBES)
def test_a_sign_on_is_not_begun(drop_in: LiveProxy, sandbox: Sandbox, probe: str) -> None:
    navigation = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Sec-Fetch-Site": "none"}
    with httpx2.Client(base_url=drop_in.url, headers=navigation, trust_env=False, timeout=30) as browser:
        answer = begins_nothing(browser, sandbox, "/auth/sso/main", probe)
        assert answer.status_code == 403
        assert "location" not in answer.headers
        assert browser.get("/auth/sso/main").status_code == 302, "and a visit begins one"


@pytest.mark.parametrize("probe", PROBES)
def test_no_guest_is_begun_for_an_api_call(drop_in: LiveProxy, sandbox: Sandbox, probe: str) -> None:
    with drop_in.browser() as browser:
        answer = begins_nothing(browser, sandbox, f"{CARTS}?siteCode=main", probe)
        assert answer.status_code == 401


@pytest.mark.parametrize("path", [ANONYMOUS, ANONYMOUS_REFRESH, OPT_IN])
@pytest.mark.parametrize("probe", PROBES)
def test_no_guest_is_begun_for_a_stock_client(
    drop_in: LiveProxy, sandbox: Sandbox, path: str, probe: str
) -> None:
    """A stock client sends these without a session; the opt-in also logs in, and its link is in a mail."""
    with httpx2.Client(
        base_url=drop_in.url, headers={"Authorization": "Bearer x"}, trust_env=False, timeout=30
    ) as client:
        answer = begins_nothing(client, sandbox, path, probe)
        assert answer.status_code in {401, 403}
        if path == ANONYMOUS:
            assert client.get(path).status_code == 200, "and an ordinary call begins one"
