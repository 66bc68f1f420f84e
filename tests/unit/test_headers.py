"""Which headers pass in each direction, and that no spelling of a blocked name does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.api.headers import request_headers, response_head
from bff.middleware.header_fields import HeaderFields

ORIGIN = "https://api.emporix.io"
NO_STORE = (b"cache-control", b"private, no-store")
VARY = (b"vary", b"accept-language, x-version, x-total-count")

BLOCKED_IN_REQUESTS = [
    *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection"),
    *("proxy-authorization", "http2-settings", "host", "expect", "origin", "cookie", "cookie2"),
    *("authorization", "saas-token", "session-id", "legal-entity-id", "emporix-tenant", "hybris-tenant"),
    *("hybris-user", "hybris-scopes", "x-csrf", "x-session-id", "x-session-transport", "x-session-version"),
    *("x-request-id", "forwarded", "via", "x-forwarded", "x-forwarded-for", "x-forwarded-prefix"),
    *("x-forwarded-user", "x-forwarded-access-token", "x-real-ip", "x-client-ip", "true-client-ip"),
    *("cf-connecting-ip", "x-cluster-client-ip", "client-ip", "x-original-url", "x-original-uri"),
    *("x-original-method", "x-rewrite-url", "x-http-method-override", "x-http-method", "x-method-override"),
    *("x-user-id", "x-authenticated-user", "x-auth-request-email", "x-remote-user", "remote-user"),
    *("client-cert", "sec-fetch-site", "sec-fetch-mode", "access-control-request-method"),
]
BLOCKED_IN_RESPONSES = [
    *("connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-authenticate"),
    *("set-cookie", "set-cookie2", "server", "date", "x-powered-by", "via", "x-request-id", "x-csrf"),
    *("x-session-id", "x-session-version", "authorization", "saas-token", "session-id"),
    *("access-control-allow-origin", "access-control-allow-credentials", "access-control-expose-headers"),
    *("timing-allow-origin", "cross-origin-resource-policy", "cross-origin-opener-policy", "alt-svc"),
    *("strict-transport-security", "public-key-pins", "public-key-pins-report-only", "clear-site-data"),
    *("nel", "report-to", "reporting-endpoints", "content-security-policy", "x-frame-options"),
    *("content-security-policy-report-only", "service-worker-allowed", "sourcemap", "refresh"),
    *("x-accel-redirect", "x-sendfile", "pragma", "expires", "age", "surrogate-control"),
    *("surrogate-key", "cdn-cache-control"),
]


def spelling(names: list[str]) -> st.SearchStrategy[bytes]:
    """Return names in any mix of upper and lower case, and of `-` and `_`."""

    def spell(name: str) -> st.SearchStrategy[bytes]:
        choices = [st.sampled_from("-_") if c == "-" else st.sampled_from([c, c.upper()]) for c in name]
        return st.tuples(*choices).map(lambda letters: "".join(letters).encode())

    return st.sampled_from(names).flatmap(spell)


def passed_back(*headers: tuple[bytes, bytes], browser_cache: bool = False) -> list[tuple[bytes, bytes]]:
    return response_head(headers, upstream_origin=ORIGIN, browser_cache=browser_cache).fields


def test_no_blocked_name_is_sent_on() -> None:
    """Each of them; the tests below draw some, in odd spellings."""
    for name in BLOCKED_IN_REQUESTS:
        assert request_headers(HeaderFields([(name.encode(), b"evil")]), own=[]) == [], name
    for name in BLOCKED_IN_RESPONSES:
        assert passed_back((name.encode(), b"evil")) == [NO_STORE], name


@given(spelling(BLOCKED_IN_REQUESTS))
def test_no_spelling_of_a_blocked_name_is_sent_upstream(name: bytes) -> None:
    assert request_headers(HeaderFields([(name, b"evil"), (b"accept", b"*/*")]), own=[]) == [
        (b"accept", b"*/*")
    ]


@given(spelling(BLOCKED_IN_RESPONSES))
def test_no_spelling_of_a_blocked_name_is_sent_to_the_client(name: bytes) -> None:
    assert passed_back((name, b"evil"), (b"etag", b'"1"')) == [(b"etag", b'"1"'), NO_STORE]


def test_other_request_headers_are_passed_on_unchanged_and_in_order() -> None:
    headers = [
        (b"accept", b"application/json"),
        (b"accept-language", b"de, en;q=0.5"),
        (b"accept-language", b"fr"),
        (b"content-language", b"de"),
        (b"x-version", b"v2"),
        (b"x-total-count", b"true"),
        (b"content-type", b"application/merge-patch+json"),
        (b"content-length", b"12"),
        (b"content-encoding", b"gzip"),
        (b"if-none-match", b'"a"'),
        (b"range", b"bytes=0-1"),
        (b"user-agent", b"caf\xe9 \t x"),
        (b"referer", b"https://shop.example/"),
        (b"x_custom", b"kept"),
    ]
    own = [(b"authorization", b"Bearer t"), (b"x-request-id", b"r1")]
    assert request_headers(HeaderFields(headers), own=own) == headers + own


def test_connection_header_removes_headers_of_the_client_but_none_of_the_proxy() -> None:
    headers = [
        (b"connection", b"close, X-Removed ,authorization"),
        (b"Connection", b"x-forwarded-for, emporix-tenant,content-length"),
        (b"x-removed", b"1"),
        (b"x_removed", b"1"),
        (b"x-kept", b"1"),
        (b"content-length", b"3"),
    ]
    own = [
        (b"authorization", b"Bearer ours"),
        (b"emporix-tenant", b"acme"),
        (b"x-forwarded-for", b"192.0.2.1"),
    ]
    expected = [(b"x-kept", b"1"), (b"content-length", b"3"), *own]
    assert request_headers(HeaderFields(headers), own=own) == expected


def test_headers_set_by_the_proxy_replace_those_of_the_client() -> None:
    headers = [(b"Accept-Encoding", b"br"), (b"accept_encoding", b"br"), (b"content_length", b"9")]
    assert request_headers(HeaderFields(headers), own=[(b"accept-encoding", b"gzip")]) == [
        (b"accept-encoding", b"gzip")
    ]


def test_content_length_with_an_underscore_is_blocked() -> None:
    assert request_headers(HeaderFields([(b"content_length", b"9"), (b"content-length", b"1")]), own=[]) == [
        (b"content-length", b"1")
    ]


@given(
    st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20))),
    st.lists(st.sampled_from([b"authorization", b"saas-token", b"host"])),
)
def test_headers_set_by_the_proxy_are_always_last_and_unique(
    headers: list[tuple[bytes, bytes]], names: list[bytes]
) -> None:
    own = [(name, b"ours") for name in names]
    sent = request_headers(HeaderFields([*headers, (b"connection", b", ".join(names))]), own=own)
    assert sent[len(sent) - len(own) :] == own
    assert not [name for name, value in sent if name.lower() in names and value != b"ours"]


def test_other_response_headers_are_passed_back_with_lower_case_names() -> None:
    headers = (
        (b"Content-Type", b"application/json"),
        (b"content-length", b"2"),
        (b"Content-Encoding", b"gzip"),
        (b"etag", b'W/"1"'),
        (b"last-modified", b"Mon, 01 Jan 2024 00:00:00 GMT"),
        (b"vary", b"accept"),
        (b"vary", b"accept-encoding"),
        (b"X-Total-Count", b"7"),
        (b"x-next-cursor", b"c"),
        (b"link", b"</x>; rel=next"),
        (b"retry-after", b"3"),
        (b"version", b"3"),
    )
    assert passed_back(*headers) == [*((name.lower(), value) for name, value in headers), NO_STORE]


def test_headers_listed_in_the_upstreams_connection_header_are_removed() -> None:
    headers = (
        (b"connection", b"close, x-internal, content-length"),
        (b"x_internal", b"1"),
        (b"content-length", b"1"),
    )
    assert passed_back(*headers) == [(b"content-length", b"1"), NO_STORE]


@given(st.lists(st.tuples(spelling([*BLOCKED_IN_RESPONSES, "etag", "location", "x-a"]), st.just(b"/a"))))
def test_what_becomes_of_a_header_does_not_depend_on_those_around_it(
    headers: list[tuple[bytes, bytes]],
) -> None:
    alone = [passed for header in headers for passed in passed_back(header)[:-1]]
    assert passed_back(*headers) == [*alone, NO_STORE]


def test_a_head_says_how_its_body_is_to_be_read() -> None:
    headers = [
        (b"Connection", b"x-gone"),
        (b"x-gone", b"1"),
        (b"Content-Encoding", b"deflate"),
        (b"Content-Type", b"text/html"),
        (b"content-length", b"7"),
        (b"content-encoding", b"gzip"),
        (b"content-type", b"image/png"),
    ]
    head = response_head(headers, upstream_origin=ORIGIN, browser_cache=False)
    assert (head.types, head.content_type) == (2, b"text/html")
    assert (head.codings, head.length) == (b"deflate,gzip", b"7")
    headers[0] = (b"connection", b"content-type, content-encoding")
    headers[4] = (b"content-length", b"8")
    head = response_head(headers, upstream_origin=ORIGIN, browser_cache=False)
    assert (head.types, head.content_type, head.codings, head.length) == (0, b"", b"", b"8")
    assert head.fields == [(b"x-gone", b"1"), (b"content-length", b"8"), NO_STORE]


@pytest.mark.parametrize("name", [b"location", b"Content-Location"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"https://api.emporix.io/cart/acme/carts/1?a=b&c=%20#d", b"/api/cart/acme/carts/1?a=b&c=%20#d"),
        (b"HTTPS://API.emporix.io:443/x", b"/api/x"),
        (b"http://api.emporix.io/x", b"/api/x"),
        (b"//api.emporix.io/x", b"/api/x"),
        (b"https://api.emporix.io", b"/api/"),
        (b"https://api.emporix.io?x=1", b"/api/?x=1"),
        (b"https://api.emporix.io//evil.example", b"/api//evil.example"),
        (b"/cart/acme/carts/1", b"/api/cart/acme/carts/1"),
        (b"///evil.example/x", b"/api/evil.example/x"),
        (b"1?x=y", b"1?x=y"),
        (b"?page=2", b"?page=2"),
        (b"https://pay.example/go?x={1|2}", b"https://pay.example/go?x={1|2}"),
        (b"https://api.emporix.io@pay.example/x", b"https://api.emporix.io@pay.example/x"),
        (b"https://api.emporix.io.pay.example/x", b"https://api.emporix.io.pay.example/x"),
        (b"https://api.emporix.io:8443/x", b"https://api.emporix.io:8443/x"),
        (b"//cdn.example/x", b"//cdn.example/x"),
        (b"shop-app://done", b"shop-app://done"),
        (b"https://x@api.emporix.io/x", None),
        (b"https://api.emporix.io/../auth/logout", None),
        (b"/a/%2e%2E/../auth/session", None),
        (b"/..;x/auth", None),
        (b"/\\evil.example", None),
        (b"https://[::1/x", None),
        (b"https://api.emporix.io:port/x", None),
        (b"/a b", None),
        (b"/\xc3\xbc", None),
        (b"/a\r\nset-cookie: x=1", None),
        (b"", None),
    ],
)
def test_location_on_the_upstream_is_rewritten_to_the_proxy(
    name: bytes, value: bytes, expected: bytes | None
) -> None:
    rewritten = [] if expected is None else [(name.lower(), expected)]
    assert passed_back((name, value)) == [*rewritten, NO_STORE]


def test_location_on_a_loopback_upstream() -> None:
    def rewritten(value: bytes) -> bytes:
        return response_head(
            [(b"location", value)],
            upstream_origin="http://127.0.0.1:8090",
            api_prefix="/p",
            browser_cache=False,
        ).fields[0][1]

    assert rewritten(b"http://127.0.0.1:8090/x") == b"/p/x"
    assert rewritten(b"http://127.0.0.1/x") == b"http://127.0.0.1/x"


@pytest.mark.parametrize("value", [b"public, max-age=600", b"no-cache", b"private"])
def test_browser_cache_is_off_by_default(value: bytes) -> None:
    assert passed_back((b"cache-control", value)) == [NO_STORE]


@pytest.mark.parametrize(
    ("values", "age", "expected"),
    [
        ([b"public, max-age=600"], None, b"private, max-age=600"),
        ([b"max-age=600, s-maxage=9, must-revalidate"], None, b"private, max-age=600, must-revalidate"),
        ([b"Max-Age=600", b"Immutable"], None, b"private, max-age=600, immutable"),
        ([b'max-age="60"'], None, b"private, max-age=60"),
        ([b"max-age=600"], b"100", b"private, max-age=500"),
        ([b"max-age=600"], b"9000", b"private, max-age=0"),
        ([b"max-age=60, max-age=600"], None, b"private, max-age=60"),
        ([b"max-age=99999999999999999999"], None, b"private, max-age=31536000"),
        ([b"max-age=-1"], None, b"private, max-age=0"),
        ([b"max-age=1e9"], None, b"private, max-age=0"),
        ([b"no-cache"], None, b"private, no-cache"),
        ([b'no-cache="set-cookie, x", max-age=5'], None, b"private, max-age=5, no-cache"),
    ],
)
def test_browser_may_cache_if_route_and_upstream_allow_it(
    values: list[bytes], age: bytes | None, expected: bytes
) -> None:
    headers = [(b"cache-control", value) for value in values] + ([(b"age", age)] if age else [])
    assert passed_back(*headers, browser_cache=True) == [(b"cache-control", expected), VARY]


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"cache-control", b"public")],
        [(b"cache-control", b"s-maxage=60")],
        [(b"cache-control", b"max-age=60"), (b"Cache-Control", b"no-store")],
        [(b"expires", b"Mon, 01 Jan 2035 00:00:00 GMT")],
    ],
)
def test_browser_may_not_cache_without_permission_of_the_upstream(headers: list[tuple[bytes, bytes]]) -> None:
    assert passed_back(*headers, browser_cache=True) == [NO_STORE]


@given(st.lists(st.binary(max_size=40)), st.booleans())
def test_no_shared_cache_may_ever_store_a_response(values: list[bytes], browser_cache: bool) -> None:  # noqa: FBT001
    headers = passed_back(*((b"cache-control", value) for value in values), browser_cache=browser_cache)
    cache_control = [value for name, value in headers if name == b"cache-control"]
    assert len(cache_control) == 1
    assert cache_control[0].startswith(b"private, ")
    assert b"public" not in cache_control[0]


@pytest.mark.parametrize(
    "name", [b"X-Content-Type-Options", b"Referrer-Policy", b"WWW-Authenticate", b"www_authenticate"]
)
def test_upstream_does_not_speak_for_the_proxy(name: bytes) -> None:
    assert passed_back((name, b"anything")) == [NO_STORE]
