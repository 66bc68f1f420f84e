"""What a session costs: public reads none, and everything else one guest at most."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.visitors import knob
from tests.integration.wire import ANONYMOUS_LOGIN, CART_ECHO, PRODUCT_ECHO, Watch, send
from tests.live import TENANT, LiveProxy, Sandbox, environment

PUBLIC = (
    PRODUCT_ECHO,
    f"/site/{TENANT}/sites",
    f"/country/{TENANT}/countries",
    f"/currency/{TENANT}/currencies",
)


@pytest.fixture
def pair(sandbox: Sandbox, redis_url: str) -> Iterator[tuple[LiveProxy, LiveProxy]]:
    """Two replicas that have never served anybody."""
    environ = environment(sandbox, redis_url)
    with LiveProxy(environ) as one, LiveProxy(environ) as other:
        yield one, other


def test_public_reads_share_one_anonymous_login_over_all_replicas(
    pair: tuple[LiveProxy, LiveProxy], sandbox: Sandbox
) -> None:
    watch = Watch(sandbox)

    def read(number: int) -> tuple[int, list[str], list[str]]:
        answer = send(pair[number % 2], "GET", f"/api{PUBLIC[number // 2 % len(PUBLIC)]}")
        return answer.status, answer.all("set-cookie"), answer.all("x-session-version")

    with ThreadPoolExecutor(20) as pool:
        assert set(map(str, pool.map(read, range(60)))) == {str((200, [], ["0"]))}
    assert len(watch.of(ANONYMOUS_LOGIN)) == 1
    assert len({one["sessionId"] for path in PUBLIC for one in watch.of(path)}) == 1


def test_the_shared_token_is_renewed_once_for_all_replicas(
    pair: tuple[LiveProxy, LiveProxy], sandbox: Sandbox
) -> None:
    knob(sandbox, anonymousRotation="strict")
    watch = Watch(sandbox)
    for proxy in pair:
        assert send(proxy, "GET", f"/api{PRODUCT_ECHO}").status == 200
    session = watch.of(PRODUCT_ECHO)[0]["sessionId"]
    sandbox.control("POST", "/expire", {"access": True, "sessionId": session})
    watch = Watch(sandbox)
    # The echo looks at no token: a route that does is asked here.
    path = f"/site/{TENANT}/sites"
    with ThreadPoolExecutor(20) as pool:
        statuses = set(
            pool.map(lambda number: send(pair[number % 2], "GET", f"/api{path}").status, range(40))
        )
    assert statuses == {200}
    assert len(watch.of("/customerlogin/auth/anonymous/refresh")) == 1
    assert watch.of(ANONYMOUS_LOGIN) == []


def test_a_session_reads_the_catalogue_with_its_own_token(proxy: LiveProxy, sandbox: Sandbox) -> None:
    watch = Watch(sandbox)
    with proxy.browser() as browser:
        browser.get(f"/api{CART_ECHO}")
        browser.get(f"/api{PRODUCT_ECHO}")
    assert watch.of(PRODUCT_ECHO)[0]["sessionId"] == watch.of(CART_ECHO)[0]["sessionId"]


def test_a_cart_never_lives_in_the_shared_session(proxy: LiveProxy, sandbox: Sandbox) -> None:
    watch = Watch(sandbox)
    send(proxy, "GET", f"/api{PRODUCT_ECHO}")
    send(proxy, "GET", f"/api{CART_ECHO}")
    assert watch.of(PRODUCT_ECHO)[0]["sessionId"] != watch.of(CART_ECHO)[0]["sessionId"]


def test_a_session_route_begins_one_guest_and_sets_one_cookie(proxy: LiveProxy, sandbox: Sandbox) -> None:
    watch = Watch(sandbox)
    with proxy.browser() as browser:
        first = browser.get(f"/api{CART_ECHO}")
        assert len(first.headers.get_list("set-cookie")) == 1
        assert first.headers["set-cookie"].startswith("bff=")
        assert int(first.headers["x-session-version"]) > 0
        for _ in range(3):
            assert "set-cookie" not in browser.get(f"/api{CART_ECHO}").headers
        assert browser.get("/auth/session").json()["kind"] == "anonymous"
    assert len(watch.of(ANONYMOUS_LOGIN)) == 1
    assert len({one["sessionId"] for one in watch.of(CART_ECHO)}) == 1


def test_a_guest_that_a_failed_call_began_is_kept(proxy: LiveProxy) -> None:
    with proxy.browser() as browser:
        answer = browser.get(f"/api/cart/{TENANT}/carts?siteCode=main")
        assert answer.status_code == 404
        assert len(answer.headers.get_list("set-cookie")) == 1
        assert browser.get("/auth/session").json()["kind"] == "anonymous"


def test_an_app_learns_its_new_session_id_in_place_of_a_cookie(proxy: LiveProxy) -> None:
    with proxy.app() as app:
        first = app.get(f"/api{CART_ECHO}")
    assert "set-cookie" not in first.headers
    with proxy.app(first.headers["x-session-id"]) as app:
        second = app.get(f"/api{CART_ECHO}")
        assert "x-session-id" not in second.headers
        assert app.get("/auth/session").json()["kind"] == "anonymous"


@pytest.mark.parametrize(
    ("method", "path", "fields"),
    [
        ("HEAD", f"/api{CART_ECHO}", []),
        ("GET", f"/api{CART_ECHO}", ["Sec-Purpose: prefetch"]),
        ("GET", f"/api{CART_ECHO}", ["Sec-Purpose: prefetch;prerender"]),
        ("GET", f"/api{CART_ECHO}", ["Purpose: prefetch"]),
        ("OPTIONS", f"/api{CART_ECHO}", []),
        (
            "OPTIONS",
            f"/api{CART_ECHO}",
            ["Access-Control-Request-Method: PUT", "Origin: http://evil.example"],
        ),
        ("GET", "/livez", []),
        ("GET", "/readyz", []),
        ("GET", "/auth/session", []),
        ("GET", f"/api{PRODUCT_ECHO}", ["Sec-Purpose: prefetch"]),
        ("HEAD", f"/api{PRODUCT_ECHO}", []),
    ],
)
def test_some_requests_never_begin_a_guest(
    proxy: LiveProxy, sandbox: Sandbox, method: str, path: str, fields: list[str]
) -> None:
    send(proxy, "GET", f"/api{PRODUCT_ECHO}")  # the proxy's own token is there
    watch = Watch(sandbox)
    answer = send(proxy, method, path, *fields)
    assert answer.all("set-cookie") == []
    assert watch.of(ANONYMOUS_LOGIN) == []
    if path.endswith(CART_ECHO):
        assert answer.status in {401, 403, 405}
        assert watch.records() == []


def test_a_prefetch_with_a_session_is_served(proxy: LiveProxy) -> None:
    with proxy.browser() as browser:
        browser.post("/auth/anonymous")
        assert browser.head(f"/api{CART_ECHO}").status_code == 200
        assert browser.get(f"/api{CART_ECHO}", headers={"Sec-Purpose": "prefetch"}).status_code == 200
