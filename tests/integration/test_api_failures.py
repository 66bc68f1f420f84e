"""Upstream refuses a token, breaks off, is not there, or says something odd."""

from collections.abc import Iterator

import httpx2
import pytest

from tests.integration.visitors import PRODUCTS, fault, knob
from tests.integration.wire import (
    ANONYMOUS_LOGIN,
    ANONYMOUS_REFRESH,
    CART_ECHO,
    CUSTOMER_REFRESH,
    PRODUCT_ECHO,
    Upstream,
    Watch,
    answer_on,
    chunked,
    dial,
    head,
    reply,
    send,
)
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment, free_port

CHECKOUT = f"/checkout/{TENANT}/checkouts/order"
SITES = f"/site/{TENANT}/sites"


@pytest.fixture
def guest(proxy: LiveProxy) -> Iterator[httpx2.Client]:
    with proxy.browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201
        yield browser


@pytest.mark.parametrize("kind", ["unauthorized_expired", "unauthorized_invalid"])
def test_a_refused_token_is_renewed_once_and_the_read_sent_again(
    guest: httpx2.Client, sandbox: Sandbox, kind: str
) -> None:
    fault(sandbox, f"GET {CART_ECHO}", kind, times=1)
    watch = Watch(sandbox)
    assert guest.get(f"/api{CART_ECHO}?a=1").json()["query"] == "a=1"
    assert [one["status"] for one in watch.of(CART_ECHO)] == [401, 200]
    assert len(watch.of(ANONYMOUS_REFRESH)) == 1


def test_a_customers_refused_token_is_renewed_once(guest: httpx2.Client, sandbox: Sandbox) -> None:
    assert guest.post("/auth/login", json=ADA).status_code == 200
    fault(sandbox, "GET /order-v2/", "unauthorized_expired", times=1)
    watch = Watch(sandbox)
    assert guest.get(f"/api/order-v2/{TENANT}/orders").status_code == 200
    assert len(watch.of(f"/order-v2/{TENANT}/orders")) == 2
    assert len(watch.of(CUSTOMER_REFRESH)) == 1


def test_the_proxys_own_refused_token_is_renewed_once(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with proxy.browser() as browser:
        browser.get(f"/api{SITES}")
        fault(sandbox, f"GET {SITES}", "unauthorized_expired", times=1)
        watch = Watch(sandbox)
        answer = browser.get(f"/api{SITES}")
    assert answer.status_code == 200
    assert "set-cookie" not in answer.headers
    assert [one["status"] for one in watch.of(SITES)] == [401, 200]
    assert len(watch.of(ANONYMOUS_REFRESH)) == 1
    assert watch.of(ANONYMOUS_LOGIN) == []


def test_a_small_body_is_sent_again_as_it_was(guest: httpx2.Client, sandbox: Sandbox) -> None:
    fault(sandbox, f"PUT {CART_ECHO}", "unauthorized_expired", times=1)
    watch = Watch(sandbox)
    assert guest.put(f"/api{CART_ECHO}", content=b"small").json()["bodyLength"] == len(b"small")
    assert [one["status"] for one in watch.of(CART_ECHO)] == [401, 200]
    assert len(watch.of(ANONYMOUS_REFRESH)) == 1


def test_a_small_post_is_sent_again(guest: httpx2.Client, sandbox: Sandbox) -> None:
    fault(sandbox, f"POST /cart/{TENANT}/carts", "unauthorized_expired", times=1)
    watch = Watch(sandbox)
    answer = guest.post(f"/api/cart/{TENANT}/carts", json={"siteCode": "main", "currency": "EUR"})
    assert answer.status_code == 201
    assert [one["status"] for one in watch.of(f"/cart/{TENANT}/carts")] == [401, 201]


def test_a_second_refusal_passes_and_ends_nothing(guest: httpx2.Client, sandbox: Sandbox) -> None:
    fault(sandbox, f"GET {CART_ECHO}", "unauthorized_expired")
    watch = Watch(sandbox)
    answer = guest.get(f"/api{CART_ECHO}")
    assert (answer.status_code, "fault" in answer.json()) == (401, True)
    assert "set-cookie" not in answer.headers
    assert len(watch.of(CART_ECHO)) == 2
    assert len(watch.of(ANONYMOUS_REFRESH)) == 1
    assert guest.get("/auth/session").json()["kind"] == "anonymous"


def test_a_checkout_is_never_sent_twice(guest: httpx2.Client, sandbox: Sandbox) -> None:
    fault(sandbox, f"POST {CHECKOUT}", "unauthorized_expired", times=1)
    watch = Watch(sandbox)
    answer = guest.post(f"/api{CHECKOUT}", json={"customer": {"guest": True}})
    assert (answer.status_code, "fault" in answer.json()) == (401, True)
    assert len(watch.of(CHECKOUT)) == 1
    assert len(watch.of(ANONYMOUS_REFRESH)) == 1, "so that the next try has a token that is good"


@pytest.mark.parametrize("kind", ["error", "html", "disconnect"])
def test_a_failed_checkout_is_never_sent_twice(guest: httpx2.Client, sandbox: Sandbox, kind: str) -> None:
    fault(sandbox, f"POST {CHECKOUT}", kind)
    watch = Watch(sandbox)
    assert guest.post(f"/api{CHECKOUT}", json={}).status_code >= 500
    assert len(watch.of(CHECKOUT)) == 1


def test_a_body_that_is_gone_is_not_sent_again(proxy: LiveProxy, sandbox: Sandbox) -> None:
    with proxy.browser() as browser:
        browser.post("/auth/anonymous")
        cookie = browser.cookies["bff"]
    fault(sandbox, f"PUT {CART_ECHO}", "unauthorized_expired", times=1)
    watch, line = Watch(sandbox), f"PUT /api{CART_ECHO} HTTP/1.1"
    fields = ["Transfer-Encoding: chunked", f"Cookie: bff={cookie}"]
    for status in (401, 200):
        with dial(proxy) as connection:
            connection.sendall(head(proxy, line, fields) + chunked(b"x" * 1000))
            assert answer_on(connection).status == status
    assert [one["status"] for one in watch.of(CART_ECHO)] == [401, 200]


def test_an_answer_that_breaks_off_breaks_off_here_too(proxy: LiveProxy, sandbox: Sandbox) -> None:
    fault(sandbox, f"GET {PRODUCT_ECHO}", "stall", delay=0, times=1)
    with proxy.browser() as browser:
        with pytest.raises(httpx2.RemoteProtocolError):
            browser.get(f"/api{PRODUCT_ECHO}")
        assert browser.get(f"/api{PRODUCT_ECHO}").status_code == 200


def test_a_chunked_answer_that_breaks_off_has_no_end_here(wired: LiveProxy, upstream: Upstream) -> None:
    start = reply("200 OK", "Transfer-Encoding: chunked", length=False)
    upstream.answers(start + chunked(b"half", last=False))
    with wired.browser() as browser, pytest.raises(httpx2.RemoteProtocolError):
        browser.get(PRODUCTS)
    upstream.answers(start + chunked(b"whole"))
    with wired.browser() as browser:
        assert browser.get(PRODUCTS).content == b"whole"


@pytest.mark.parametrize(
    "whole", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 abc\r\n\r\n", b"\x16\x03\x01\x02\x00"]
)
def test_what_is_no_answer_is_a_bad_gateway(wired: LiveProxy, upstream: Upstream, whole: bytes) -> None:
    upstream.answers(whole)
    with wired.browser() as browser:
        answer = browser.get(PRODUCTS)
        assert (answer.status_code, answer.json()["code"]) == (502, "bad_upstream_answer")
        assert answer.headers["content-type"] == "application/problem+json"


def test_a_write_whose_answer_never_came_is_not_sent_again(wired: LiveProxy, upstream: Upstream) -> None:
    upstream.answers(b"")
    with wired.browser() as browser:
        answer = browser.put(f"/api/cart/{TENANT}/carts/1", content=b"{}")
    assert answer.json()["code"] in {"bad_upstream_answer", "upstream_unavailable"}
    assert len(upstream.seen) == 1


def test_a_page_of_html_from_upstreams_gateway_passes_as_it_is(proxy: LiveProxy, sandbox: Sandbox) -> None:
    fault(sandbox, f"GET {PRODUCT_ECHO}", "html", times=1)
    with proxy.browser() as browser:
        answer = browser.get(f"/api{PRODUCT_ECHO}")
    assert answer.status_code == 502
    assert answer.text == "<html><head><title>502 Bad Gateway</title></head></html>"
    assert answer.headers["content-type"].startswith("text/html")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_throttling_passes_with_its_retry_after(proxy: LiveProxy, sandbox: Sandbox) -> None:
    fault(sandbox, f"GET {PRODUCT_ECHO}", "throttled", retryAfter=17, times=1)
    with proxy.browser() as browser:
        answer = browser.get(f"/api{PRODUCT_ECHO}")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "17")
    assert answer.json()["fault"]["detail"]["errorcode"] == "policies.ratelimit.QuotaViolation"


def test_public_reads_wait_as_long_as_upstream_asks_for_between_two_logins(
    sandbox: Sandbox, redis_url: str
) -> None:
    environ = environment(sandbox, redis_url)
    with LiveProxy(environ) as one, LiveProxy(environ) as other:
        fault(sandbox, f"GET {ANONYMOUS_LOGIN}", "throttled", retryAfter=120)
        watch = Watch(sandbox)
        answers = [send((one, other)[number % 2], "GET", f"/api{SITES}") for number in range(20)]
    assert {(answer.status, answer.json()["code"]) for answer in answers} == {(503, "upstream_unavailable")}
    assert all(60 < int(answer.all("retry-after")[0]) <= 120 for answer in answers)
    assert len(watch.of(ANONYMOUS_LOGIN)) == 1


@pytest.mark.parametrize("path", [PRODUCT_ECHO, CART_ECHO])
def test_an_upstream_that_is_not_there_is_unavailable(sandbox: Sandbox, redis_url: str, path: str) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    with (
        LiveProxy(environment(sandbox, redis_url, BFF_UPSTREAM_URL=nowhere)) as proxy,
        proxy.browser() as browser,
    ):
        answer = browser.get(f"/api{path}")
        assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unavailable")
        assert int(answer.headers["retry-after"]) > 0
        assert "set-cookie" not in answer.headers
        assert browser.get("/livez").text == "ok"
        assert browser.get("/readyz").text == "ready"


def test_an_upstream_that_goes_away_keeps_the_session(sandbox: Sandbox, redis_url: str) -> None:
    with (
        Upstream() as upstream,
        LiveProxy(environment(sandbox, redis_url, BFF_UPSTREAM_URL=upstream.url)) as proxy,
        proxy.browser() as browser,
    ):
        assert browser.post("/auth/anonymous").status_code == 201
        upstream.close()
        answer = browser.get(f"/api{CART_ECHO}")
        assert (answer.status_code, answer.json()["code"]) == (503, "upstream_unavailable")
        assert "set-cookie" not in answer.headers
        assert browser.get("/auth/session").json()["kind"] == "anonymous"


def test_an_ended_saas_token_asks_the_customer_to_log_in_again(proxy: LiveProxy, sandbox: Sandbox) -> None:
    knob(sandbox, saasExpiresIn=0)
    with proxy.browser() as browser:
        assert browser.post("/auth/login", json=ADA).status_code == 200
        watch = Watch(sandbox)
        answer = browser.post(f"/api{CHECKOUT}", json={"cartId": "x"})
        assert (answer.status_code, answer.json()["code"]) == (401, "reauthentication_required")
        assert "set-cookie" not in answer.headers
        assert watch.records() == []
        assert browser.get("/auth/session").json()["kind"] == "customer"
        assert browser.get(f"/api/order-v2/{TENANT}/orders").status_code == 200
    assert [one["saasToken"] for one in watch.of(f"/order-v2/{TENANT}/orders")] == [False]
