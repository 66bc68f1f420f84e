"""Advisories against other proxies that turn on who is asking, where from, and where they are sent.

Each test is named after the advisory or ChangeLog entry that it answers; `deploy/docs/security.md` lists them all.
"""

from collections.abc import Iterator
from http.cookies import SimpleCookie

import httpx2
import pytest

from bff.config.settings import ConfigurationError, load_settings
from tests.integration.signing import begun, consented, navigating, returned, view, with_providers
from tests.integration.visitors import (
    ANONYMOUS_LOGIN,
    CARTS,
    ME,
    PRODUCTS,
    calls,
    customer,
    guest,
    instant,
    problem,
    seen,
    set_cookies,
)
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment, new_key

LIFETIMES = {
    "BFF_GUEST_IDLE_SECONDS": "1100",
    "BFF_GUEST_MAX_SECONDS": "2200",
    "BFF_CUSTOMER_IDLE_SECONDS": "3300",
    "BFF_CUSTOMER_MAX_SECONDS": "4400",
}
NEAR_ORIGINS = (
    *(
        "https://good.com@evil.com",
        "https://evil.com@good.com",
        "https://good.com.evil.com",
        "https://evilgood.com",
    ),
    *(
        "https://good.com%40evil.com",
        "https://good.com#evil.com",
        "https://good.com\\evil.com",
        "https://GOOD.COM",
    ),
    *(
        "https://good.com:443",
        "https://good.com.",
        "https://a@evil@good.com",
        "good.com",
        "https://*.good.com",
    ),
    *(
        "https://good.comevil",
        "https://good.com,https://evil.com",
        "https://xn--gd-fka.com",
        "https://good.com/",
    ),
)


@pytest.fixture(scope="module")
def odd_process(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    more = LIFETIMES | {"BFF_DROP_IN": "true"}
    settings = with_providers(sandbox_process, redis_url, **more) | {
        "BFF_ALLOWED_ORIGINS": "https://good.com"
    }
    with LiveProxy(settings) as proxy:
        yield proxy


@pytest.fixture
def odd(odd_process: LiveProxy, sandbox: Sandbox) -> LiveProxy:
    """A drop-in proxy with an allowed origin, identity providers and four different lifetimes."""
    return odd_process


def settings_with(**more: str) -> dict[str, str]:
    return {
        "BFF_TENANT": TENANT,
        "BFF_CLIENT_ID": "storefront",
        "BFF_PUBLIC_ORIGIN": "https://shop.example",
        "BFF_KEYS": new_key(),
    } | more


@pytest.mark.parametrize("origin", NEAR_ORIGINS)
def test_ghsa_c5c4_an_origin_is_compared_whole(odd: LiveProxy, sandbox: Sandbox, origin: str) -> None:
    before = seen(sandbox)
    with odd.browser(Origin=origin) as browser:
        for answer in (browser.get("/auth/session"), browser.post("/auth/anonymous"), browser.get(PRODUCTS)):
            problem(answer, 403, "csrf_failed")
            assert "access-control-allow-origin" not in answer.headers
        preflight = browser.options("/auth/login", headers={"Access-Control-Request-Method": "POST"})
        problem(preflight, 403, "origin_not_allowed")
        assert not [name for name in preflight.headers if name.startswith("access-control-")]
    assert calls(sandbox, before) == []
    with odd.browser(Origin="https://good.com") as browser:
        assert browser.get("/auth/session").status_code == 200


@pytest.mark.parametrize(
    "entry",
    [
        *(
            "https://good.com@evil.com",
            "https://user:pass@good.com",
            "https://good.com/path",
            "https://good.com?a=b",
        ),
        *(
            "https://*.good.com",
            "*",
            "null",
            "https://good.com\\evil.com",
            "http://good.com",
            "https://good.com#a",
        ),
    ],
)
@pytest.mark.parametrize("name", ["BFF_ALLOWED_ORIGINS", "BFF_PUBLIC_ORIGIN"])
def test_ghsa_c5c4_no_setting_takes_half_an_origin(name: str, entry: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        load_settings(settings_with(**{name: entry}))
    assert [mistake for mistake in raised.value.mistakes if mistake.startswith(name)]


@pytest.mark.parametrize("cookie", ["bff=planted-by-somebody", "__Host-bff=planted", "bff="])
def test_ghsa_f24x_a_failed_login_keeps_no_planted_cookie(odd: LiveProxy, cookie: str) -> None:
    """More on fixation in tests/security/test_fixation.py."""
    wrong = ADA | {"password": "not-hers-at-all"}
    headers = {"X-CSRF": "1", "Cookie": cookie}
    with httpx2.Client(base_url=odd.url, headers=headers, trust_env=False, timeout=30) as browser:
        answer = browser.post("/auth/login", json=wrong)
        assert answer.json()["code"] in {"invalid_session", "no_session", "invalid_credentials"}
        assert not any("planted" in field for field in set_cookies(answer))


def test_oauth2_proxy_3369_each_cookie_lives_by_its_own_setting(odd: LiveProxy) -> None:
    def age(answer: httpx2.Response, prefix: str = "bff") -> int:
        (field,) = [one for one in set_cookies(answer) if one.startswith(prefix)]
        return int(next(iter(SimpleCookie(field).values()))["max-age"])

    def lives(answer: httpx2.Response) -> tuple[int, int]:
        times = [instant(answer.json()[name]) for name in ("createdAt", "idleExpiresAt", "expiresAt")]
        return round((times[1] - times[0]).total_seconds()), round((times[2] - times[0]).total_seconds())

    with odd.browser() as browser:
        begun_as = browser.post("/auth/anonymous")
        assert 2100 < age(begun_as, "bff=") <= 2200
        assert lives(begun_as) == (1100, 2200)
        logged_in = browser.post("/auth/login", json=ADA)
        assert 4300 < age(logged_in, "bff=") <= 4400
        assert lives(logged_in) == (3300, 4400)
    with navigating(odd) as browser:
        assert age(browser.get("/auth/sso/main"), "bff-sso-") == 600


def test_cve_2020_5233_a_sign_on_sends_nobody_elsewhere(odd: LiveProxy, sandbox: Sandbox) -> None:
    """The families of public payloads are in tests/unit/test_return_to.py; here are the named ones, over the wire."""
    before = seen(sandbox)
    payloads = (
        *(
            "/\\evil.com",
            "/\t/evil.com",
            "/\n/evil.com",
            "//evil.com",
            "/\u3002evil.com",
            "///evil.com",
        ),
        *(
            "https://good.com.evil.com",
            "https://good.com@evil.com",
            "https:good.com",
            "javascript:alert(1)",
            "\\\\evil",
        ),
    )
    with navigating(odd) as browser:
        for payload in payloads:
            answer = browser.get("/auth/sso/main", params={"return_to": payload})
            if (
                payload == "/%09/evil.com"
            ):  # sent as %2509: a literal path here, which no browser decodes again
                assert answer.status_code == 302
                continue
            problem(answer, 400, "invalid_request")
            assert "location" not in answer.headers
    assert calls(sandbox, before) == []


def test_ghsa_652x_an_unknown_option_does_not_start() -> None:
    """The effect of each option has a test of its own, in the table of deploy/docs/security.md."""
    with pytest.raises(ConfigurationError) as raised:
        load_settings(settings_with(BFF_COOKIE_SAMESIT="none", BFF_SKIP_AUTH="/x"))
    assert len(raised.value.mistakes) == 2


def test_state_flooding_a_thousand_first_views_cost_one_anonymous_token(
    sandbox: Sandbox, redis_url: str
) -> None:
    with LiveProxy(environment(sandbox, redis_url, BFF_GUEST_RATE="5/600")) as proxy:
        before = seen(sandbox)
        with httpx2.Client(
            base_url=proxy.url, headers={"X-CSRF": "1"}, trust_env=False, timeout=30
        ) as crawler:
            for _ in range(1000):
                answer = crawler.get(PRODUCTS)
                assert answer.status_code == 200
                assert not set_cookies(answer)
        assert calls(sandbox, before).count(ANONYMOUS_LOGIN) == 1
        before = seen(sandbox)
        statuses = []
        for _ in range(50):
            with proxy.browser() as stranger:
                statuses.append(stranger.get(f"{CARTS}?siteCode=main&create=true").status_code)
        assert set(statuses[5:]) == {429}
        assert calls(sandbox, before).count(ANONYMOUS_LOGIN) <= 5


def test_state_flooding_a_browser_never_holds_two_session_cookies(odd: LiveProxy) -> None:
    with navigating(odd) as browser:
        last = [begun(browser) for _ in range(20)][-1]
        assert len([one for one in browser.cookies.jar if one.name.startswith("bff-sso-")]) == 5
        returned(browser, consented(last))
        assert len([one for one in browser.cookies.jar if one.name == "bff"]) == 1
        assert view(browser)["kind"] == "customer"


def test_changelog_2026_08_12_what_stands_twice_is_refused(odd: LiveProxy, sandbox: Sandbox) -> None:
    with guest(odd) as browser, navigating(odd) as navigation:
        cookie = browser.cookies["bff"]
        before = seen(sandbox)
        twice = '{"email": "ada@example.com", "password": "x", "email": "grace@example.com"}'
        kind = {"Content-Type": "application/json"}
        answers = [
            browser.post("/auth/login", content=twice, headers=kind),
            browser.get("/auth/session", headers={"Cookie": f"bff={cookie}; bff={cookie}"}),
            navigation.get("/auth/sso/main?return_to=/a&return_to=/b"),
            navigation.get("/auth/sso/main/callback?state=a&state=b&code=c"),
            navigation.get("/auth/sso/main/callback?state=a&code=b&code=c"),
        ]
        for answer in answers:
            problem(answer, 400, "invalid_request")
        origins = [("Origin", "https://good.com"), ("Origin", "https://evil.com")]
        problem(browser.get("/auth/session", headers=origins), 403, "csrf_failed")
        assert calls(sandbox, before) == []


def test_changelog_2026_08_12_a_stock_clients_company_is_named_once(odd: LiveProxy, sandbox: Sandbox) -> None:
    with guest(odd) as browser:
        logged_in = browser.post(f"/api/customer/{TENANT}/login", json=ADA).json()
        path = f"/api/customer/{TENANT}/refreshauthtoken?refreshToken={logged_in['refresh_token']}"
        before = seen(sandbox)
        assert browser.get(f"{path}&legalEntityId=a&legalEntityId=b").status_code == 400
        assert calls(sandbox, before) == []
        assert browser.get(path).status_code == 200


def test_changelog_2026_08_12_slide_is_refused_too_when_it_stands_twice(odd: LiveProxy) -> None:
    with guest(odd) as browser:
        problem(browser.get("/auth/session?slide=false&slide=true"), 400, "invalid_request")


def test_changelog_2026_08_07_a_logout_wants_its_own_session_a_proof_and_a_post(odd: LiveProxy) -> None:
    with customer(odd) as browser, guest(odd) as stranger:
        carried = {"Cookie": f"bff={browser.cookies['bff']}"}
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            assert browser.request(method, "/auth/logout").status_code == 405
        with httpx2.Client(base_url=odd.url, headers=carried, trust_env=False, timeout=30) as page:
            for answer in (
                page.post("/auth/logout"),
                page.post("/auth/logout", headers={"X-CSRF": "1", "Origin": "https://evil.com"}),
                page.post("/auth/logout", headers={"X-CSRF": "1", "Sec-Fetch-Site": "cross-site"}),
                page.post("/auth/logout", headers={"X-CSRF": "1", "Sec-Fetch-Site": "same-site"}),
            ):
                problem(answer, 403, "csrf_failed")
                assert not set_cookies(answer)
            # A stock client's logout is a GET with a token in it: without a proof it is a foreign page's.
            bare = page.get(f"/api/customer/{TENANT}/logout?accessToken=kept-by-the-proxy")
            assert bare.status_code == 403
        assert stranger.post("/auth/logout").status_code == 204
        assert browser.get(ME).json()["firstName"] == "Ada"
