"""Where a browser's request must come from, and which origins may read the answer."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.integration.visitors import CARTS, ME, PRODUCTS, calls, guest, problem, seen, set_cookies
from tests.live import ADA, LiveProxy, Sandbox, environment

_PUBLIC = "https://shop.example"
_ALLOWED = "https://app.shop.example"
_OTHER = "https://elsewhere.example"
_ENDPOINTS = [
    ("GET", "/auth/session"),
    ("HEAD", "/auth/session"),
    ("POST", "/auth/anonymous"),
    ("POST", "/auth/signup"),
    ("POST", "/auth/login"),
    ("POST", "/auth/logout"),
    ("POST", "/auth/refresh"),
    ("PUT", "/auth/legal-entity"),
    ("GET", "/auth/validate"),
    ("GET", PRODUCTS),
    ("GET", CARTS),
    ("POST", CARTS),
    ("DELETE", f"{CARTS}/x"),
    ("GET", "/api/nothing"),
]
_SHOWN = ("access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers")


@pytest.fixture(scope="module")
def shop(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    """A proxy with a public origin, another one that is allowed, and the rest of the world."""
    settings = environment(
        sandbox_process,
        redis_url,
        BFF_PUBLIC_ORIGIN=_PUBLIC,
        BFF_ALLOWED_ORIGINS=f"{_ALLOWED}, http://localhost:3000",
        BFF_LOGIN_RATE="3/600",
    )
    with LiveProxy(settings) as proxy:
        yield proxy


def _named(answer: httpx2.Response) -> set[str]:
    return {name for name in answer.headers if name.startswith("access-control-")}


def _approved(answer: httpx2.Response, origin: str) -> bool:
    values = [answer.headers.get(name) for name in _SHOWN[:2]]
    return values == [origin, "true"] and "origin" in answer.headers["vary"].lower()


@pytest.mark.parametrize("held", ["no-cookie", "cookie"])
@pytest.mark.parametrize(("method", "path"), _ENDPOINTS)
def test_without_the_header_nothing_is_done(
    proxy: LiveProxy, sandbox: Sandbox, method: str, path: str, held: str
) -> None:
    with guest(proxy) as browser:
        if held == "no-cookie":
            browser.cookies.clear()
        view = browser.get("/auth/session?slide=false").json()
        before = seen(sandbox)
        request = browser.build_request(method, path, json=ADA if method in {"POST", "PUT"} else None)
        del request.headers["X-CSRF"]
        answer = browser.send(request)
        assert answer.status_code == 403
        if method != "HEAD":
            problem(answer, 403, "csrf_failed")
        assert not set_cookies(answer)
        assert calls(sandbox, before) == []
        assert browser.get("/auth/session?slide=false").json() == view


def test_an_unknown_path_under_auth_wants_the_header_too(proxy: LiveProxy) -> None:
    answer = httpx2.get(f"{proxy.url}/auth/nothing", trust_env=False)
    problem(answer, 403, "csrf_failed")


@pytest.mark.parametrize("value", ["1", "", "0", "any value at all"])
def test_the_header_may_have_any_value(proxy: LiveProxy, value: str) -> None:
    with proxy.browser(**{"X-CSRF": value}) as browser:
        assert browser.post("/auth/anonymous").status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": _PUBLIC},
        {"Origin": _ALLOWED},
        {"Origin": "http://localhost:3000"},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": _PUBLIC, "Sec-Fetch-Site": "same-origin"},
        {"Origin": _ALLOWED, "Sec-Fetch-Site": "same-site"},
        {},
    ],
    ids=str,
)
def test_the_storefronts_own_origins_pass(shop: LiveProxy, headers: dict[str, str]) -> None:
    with shop.browser(**headers) as browser:
        assert browser.get("/auth/session").status_code == 200
        assert browser.post("/auth/anonymous").status_code == 201
        assert browser.get(PRODUCTS).status_code == 200


@pytest.mark.parametrize("same_site", ["strict", "lax"])
def test_an_allowed_origin_on_another_site_is_told_the_remedy(
    sandbox: Sandbox, redis_url: str, same_site: str
) -> None:
    page = "http://localhost:3000"
    settings = {"BFF_ALLOWED_ORIGINS": page, "BFF_COOKIE_SAMESITE": same_site}
    with LiveProxy(environment(sandbox, redis_url, **settings)) as shop:
        before = seen(sandbox)
        with shop.browser(Origin=page, **{"Sec-Fetch-Site": "cross-site"}) as browser:
            for answer in (
                browser.get("/auth/session"),
                browser.post("/auth/anonymous"),
                browser.get(PRODUCTS),
                browser.post("/auth/login", json=ADA),
            ):
                detail = problem(answer, 403, "csrf_failed")["detail"]
                assert f"SameSite={same_site.capitalize()}" in detail
                assert "BFF_COOKIE_SAMESITE=none" in detail
                assert _approved(answer, page), "the page's developer can read it"
                assert not set_cookies(answer)
            preflight = {"Access-Control-Request-Method": "POST"}
            assert browser.request("OPTIONS", "/auth/login", headers=preflight).status_code == 204
        assert calls(sandbox, before) == []


def test_an_allowed_origin_on_another_site_passes_where_the_cookie_comes_along(
    sandbox: Sandbox, redis_url: str
) -> None:
    page = "https://app.example"
    settings = {
        "BFF_PUBLIC_ORIGIN": "https://shop.example",
        "BFF_ALLOWED_ORIGINS": page,
        "BFF_COOKIE_SAMESITE": "none",
    }
    with (
        LiveProxy(environment(sandbox, redis_url, **settings)) as shop,
        shop.browser(Origin=page, **{"Sec-Fetch-Site": "cross-site"}) as browser,
    ):
        answer = browser.post("/auth/anonymous")
        assert (answer.status_code, len(set_cookies(answer))) == (201, 1)
        assert browser.get("/auth/session").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": _OTHER},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": f"{_PUBLIC}."},
        {"Origin": f"{_PUBLIC}:8443"},
        {"Origin": f"{_PUBLIC}/"},
        {"Origin": _PUBLIC.replace("https", "http")},
        {"Origin": f"{_PUBLIC}.elsewhere.example"},
        {"Origin": f"{_PUBLIC}, {_OTHER}"},
        {"Origin": f"{_PUBLIC} {_OTHER}"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "same-origin, cross-site"},
        {"Origin": _PUBLIC, "Sec-Fetch-Site": "cross-site"},
        {"Origin": _OTHER, "Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
@pytest.mark.parametrize(("method", "path"), [("GET", "/auth/session"), ("POST", "/auth/login"), ("GET", ME)])
def test_everybody_elses_do_not(
    shop: LiveProxy, sandbox: Sandbox, headers: dict[str, str], method: str, path: str
) -> None:
    before = seen(sandbox)
    with shop.browser(**headers) as browser:
        answer = browser.request(method, path, json=ADA if method == "POST" else None)
        problem(answer, 403, "csrf_failed")
        assert not set_cookies(answer)
        assert not _named(answer) or headers.get("Origin") == _PUBLIC
    assert calls(sandbox, before) == []


@pytest.mark.parametrize("name", ["Origin", "Sec-Fetch-Site"])
def test_an_origin_that_is_named_twice_is_none(shop: LiveProxy, name: str) -> None:
    values = (_PUBLIC, _OTHER) if name == "Origin" else ("same-origin", "cross-site")
    for order in (values, values[::-1], (values[0], values[0])):
        headers = [("X-CSRF", "1"), *((name, value) for value in order)]
        answer = httpx2.get(f"{shop.url}/auth/session", headers=headers, trust_env=False)
        problem(answer, 403, "csrf_failed")


@pytest.mark.parametrize("path", ["/auth/login", PRODUCTS, "/auth/nothing", "/api/nothing"])
@pytest.mark.parametrize("origin", [_PUBLIC, _ALLOWED, "http://localhost:3000"])
def test_a_preflight_of_an_own_origin_is_approved(
    shop: LiveProxy, sandbox: Sandbox, origin: str, path: str
) -> None:
    before = seen(sandbox)
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-csrf",
        "Sec-Fetch-Site": "cross-site",
    }
    answer = httpx2.options(shop.url + path, headers=headers, trust_env=False)
    assert answer.status_code in {200, 204}
    assert _approved(answer, origin)
    methods = {one.strip() for one in answer.headers["access-control-allow-methods"].split(",")}
    assert methods >= {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert {one.strip() for one in allowed.split(",")} >= {"content-type", "x-csrf"}
    assert not set_cookies(answer)
    assert calls(sandbox, before) == []


@pytest.mark.parametrize("origin", [_OTHER, "null", f"{_PUBLIC}.elsewhere.example"])
@pytest.mark.parametrize("path", ["/auth/login", PRODUCTS])
def test_a_preflight_of_another_origin_is_not(
    shop: LiveProxy, sandbox: Sandbox, origin: str, path: str
) -> None:
    before = seen(sandbox)
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "X-CSRF": "1"}
    answer = httpx2.options(shop.url + path, headers=headers, trust_env=False)
    problem(answer, 403, "origin_not_allowed")
    assert not _named(answer)
    assert calls(sandbox, before) == []


@pytest.mark.parametrize("origin", [_PUBLIC, _ALLOWED])
def test_answers_and_errors_may_be_read_by_the_origin_that_asked(
    shop: LiveProxy, sandbox: Sandbox, origin: str
) -> None:
    with shop.browser(Origin=origin) as browser:
        unproven = browser.build_request("GET", "/auth/session")
        del unproven.headers["X-CSRF"]
        answers = {
            200: browser.get("/auth/session"),
            201: browser.post("/auth/anonymous"),
            204: browser.post("/auth/logout"),
            400: browser.post("/auth/anonymous", json=[]),
            401: browser.post("/auth/refresh"),
            403: browser.send(unproven),
            404: browser.get("/auth/nothing"),
            405: browser.delete("/auth/session"),
            413: browser.post("/auth/anonymous", json={"siteCode": "x" * 11_000_000}),
            415: browser.post("/auth/anonymous", content=b"x"),
        }
        tries = [browser.post("/auth/login", json=ADA | {"email": "m@example.com"}) for _ in range(4)]
        answers[429] = tries[-1]
        products = browser.get(PRODUCTS)
        refused = browser.get("/api/nothing")
    assert {status: answer.status_code for status, answer in answers.items()} == {
        status: status for status in answers
    }
    assert (products.status_code, refused.status_code) == (200, 403)
    for answer in [*answers.values(), products, refused]:
        assert _approved(answer, origin)
        assert len(answer.headers.get_list("access-control-allow-origin")) == 1
        exposed = {one.strip().lower() for one in answer.headers[_SHOWN[2]].split(",")}
        assert exposed >= {"x-session-version", "retry-after", "x-request-id"}


def test_an_answer_to_nobodys_page_names_no_origin(proxy: LiveProxy) -> None:
    with guest(proxy) as browser:
        for answer in (browser.get("/auth/session"), browser.get(PRODUCTS), browser.get("/auth/nothing")):
            assert not _named(answer)
            assert "origin" in answer.headers["vary"].lower()


def test_health_is_nobodys_to_share(shop: LiveProxy) -> None:
    for path in ("/livez", "/readyz"):
        answer = httpx2.get(shop.url + path, headers={"Origin": _ALLOWED}, trust_env=False)
        assert answer.status_code == 200
        assert not _named(answer)
