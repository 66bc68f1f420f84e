"""Where a browser may be redirected after an SSO login: open-redirect payloads, and a property over all text."""

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bff.auth.return_to import ReturnTo, with_error
from bff.errors import InvalidRequest
from tests.unit.browsers import origin_in_a_browser

PUBLIC = "https://shop.example"
ALLOWED = ("https://good.example", "https://b2b.good.example:8443", "http://localhost:5173")
ORIGINS = {PUBLIC, *ALLOWED}
RETURN_TO = ReturnTo(PUBLIC, ALLOWED)

SLASHES = [
    "//evil.example", "///evil.example", "////evil.example", "//////evil.example/%2e%2e", "//evil.example/..",
    "//evil%E3%80%82example", "//evil.example:443", "//good.example@evil.example", "//", "///", "//@", "//:80",
    "//good.example", "//shop.example/", "//localhost:5173/", "//127.0.0.1", "//0x7f000001", "//[::1]/", "//?/",
    "//google%00.example",
]  # fmt: skip
BACKSLASHES = [
    "/\\evil.example", "\\/evil.example", "\\\\evil.example", "/\\/evil.example", "/\\\\evil.example", "\\evil",
    "/a\\b", "/\\", "https:\\\\evil.example", "https:/\\evil.example", "https://good.example\\@evil.example",
    "https://good.example\\.evil.example", "https://good.example/\\evil.example", "/path/..\\..\\evil",
    "https://evil.example\\good.example",
]  # fmt: skip
CONTROLS = [
    "/\t/evil.example", "\t//evil.example", "/\n/evil.example", "/\r/evil.example", "\r\n//evil.example", "/\t",
    " //evil.example", " /", "/ ", "/a b", "\x00//evil.example", "/\x00/evil.example", "\x01https://evil.example",
    "/ok\r\nSet-Cookie: a=b", "/ok\nLocation: https://evil.example", "/\x0b/evil.example", "/\x0c/evil.example",
    "/\x1f/evil.example", "/\x7f", "/\x85/evil.example", "https://good.example\t.evil.example",
    "https://good.example\n", "https://good.example/\n", "\thttps://good.example/", "https://good.example /",
]  # fmt: skip
SCHEMES = [
    "javascript:alert(1)", "JavaScript:alert(1)", "java\tscript:alert(1)", "javascript://good.example/%0aalert(1)",
    "javascript:/*https://good.example*/alert(1)", "data:text/html,<script>alert(1)</script>", "data:,x",
    "vbscript:msgbox(1)", "file:///etc/passwd", "blob:https://good.example/1", "about:blank", "mailto:a@b.example",
    "ftp://good.example/", "ws://good.example/", "http://good.example/", "https:", "https:/", "https://", "http:",
    "https:evil.example", "https:/evil.example", "https:///evil.example", "http:evil.example", "HTTPS://evil.example",
    "://evil.example", ":evil.example", "x-app://good.example", "intent://evil.example#Intent;end", "view-source:/",
    "https:good.example", "https:///good.example", "https:/good.example/", "filesystem:https://good.example/a",
]  # fmt: skip
USERINFO = [
    "https://good.example@evil.example", "https://good.example:pass@evil.example", "https://a@good.example/",
    "https://good.example%40evil.example", "https://good.example:443@evil.example", "https://@good.example/",
    "https://good.example@/", "https://shop.example@evil.example/", "https://good.example%2f@evil.example",
    "https://good.example;@evil.example", "https://good.example&@evil.example", "https://good.example:@evil.example/",
    "@evil.example", "good.example@evil.example/",
]  # fmt: skip
HOSTS = [
    "https://good.example.evil.example", "https://good.example.evil.example/", "https://evilgood.example/",
    "https://good.exampleevil", "https://good.example-evil.example", "https://good.example_evil.example",
    "https://evil.example/https://good.example", "https://evil.example?https://good.example",
    "https://evil.example#https://good.example", "https://evil.example/good.example", "https://good.exampl",
    "https://sub.good.example/", "https://good.example./", "https://good.example%2eevil.example", "https://GOOD.example/",
    "https://good.example%00.evil.example", "https://good.example,evil.example", "https://good.example;.evil.example",
    "https://good.example?@evil.example", "https://good.example#@evil.example", "https://good.example%23.evil.example",
    "https://shop.example.evil.example", "https://xn--good-example.evil.example", "https://[good.example]/",
]  # fmt: skip
PORTS = [
    "https://good.example:444/", "https://good.example:8443/", "https://good.example:443.evil.example/",
    "https://good.example:/", "https://good.example:443/", "https://b2b.good.example/", "https://shop.example:8080/",
    "https://b2b.good.example:84430/", "https://b2b.good.example:8443evil/", "http://localhost/", "http://localhost:51730/",
    "http://localhost:5173.evil.example/", "http://localhost:5173@evil.example/", "https://localhost:5173/",
]  # fmt: skip
UNICODE = [
    "/／evil.example", "／／evil.example", "/＼evil.example", "//evil。example", "https://evil。example",
    "⁄⁄evil.example",
    "https://good.example／evil", "https://good。example/", "https://good.example\u2028/", "/\u2028/evil.example",
    "\ufeff//evil.example", "\u3000//evil.example", "\u00a0//evil.example", "https://gооd.example/", "/ü", "/\ud800",
]  # fmt: skip
SHAPES = [
    "", "evil", "evil.example", "account", "./account", "../account", ".", "..", "?next=/", "#top", "*",
    "%2f%2fevil.example",
    "%2Fevil", "%5cevil", "%09//evil.example", '/"', "/'\"", "/<script>", "/a|b", "/a^b", "/{x}", "/a`b", "/[x]",
    "/" + "a" * 2048, "https://good.example/" + "a" * 2048, "/" * 2000,
]  # fmt: skip
REFUSED = SLASHES + BACKSLASHES + CONTROLS + SCHEMES + USERINFO + HOSTS + PORTS + UNICODE + SHAPES
ACCEPTED = [
    "/", "/account", "/account?tab=orders&x=1", "/a/b/../c", "/#top", "/a%20b", "/%2F%2Fevil.example",
    "/%5Cevil.example",
    "/%09/evil.example", "/?next=//evil.example", "/?next=https://evil.example", "/#//evil.example", "/@evil.example",
    "/a//evil.example", "/.//evil.example", "/:80", "/;a=b", "/~ada/(x)!$&'*+,=", "/" + "a" * 2047, PUBLIC,
    PUBLIC + "/x",
    "https://good.example", "https://good.example/", "https://good.example/a?b=c#d", "https://good.example/@evil.example",
    "https://b2b.good.example:8443/cart", "http://localhost:5173/callback", "/javascript:alert(1)",
]  # fmt: skip


@pytest.mark.parametrize("value", REFUSED)
def test_open_redirect_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        RETURN_TO.accepted(value)
    assert "evil" not in caught.value.detail


@pytest.mark.parametrize("value", ACCEPTED)
def test_path_or_url_on_an_allowed_origin_is_accepted_unchanged(value: str) -> None:
    assert RETURN_TO.accepted(value) == value
    assert origin_in_a_browser(PUBLIC, value) in ORIGINS


def test_payloads_are_many_and_different() -> None:
    assert len(set(REFUSED)) == len(REFUSED)
    assert len(REFUSED) > 120


@pytest.mark.parametrize("path", ["/", "/account?a=b#c", "/a/../b"])
def test_without_allowed_origins_only_the_public_origin_is_accepted(path: str) -> None:
    alone = ReturnTo(PUBLIC, ())
    assert alone.accepted(path) == path
    assert alone.accepted(PUBLIC + path) == PUBLIC + path
    with pytest.raises(InvalidRequest):
        alone.accepted("https://good.example" + path)


_PIECES = st.sampled_from(
    ["/", "//", "\\", "@", ":", "#", "?", ".", "..", "%2f", "%5c", "%09", "\t", "\n", "\r", " ", "\x00", "evil.example",
     "https:", "http:", "javascript:", *ORIGINS, "good.example", "shop.example", ":443", "。", "／", ";", "&", "a"]
)  # fmt: skip


def _assert_stays_on_allowed_origins(value: str) -> None:
    try:
        accepted = RETURN_TO.accepted(value)
    except InvalidRequest:
        return
    for target in (accepted, with_error(accepted, "provider_error")):
        assert origin_in_a_browser(PUBLIC, target) in ORIGINS
        parts = urlsplit(urljoin(PUBLIC + "/auth/sso/main/callback", target))
        assert f"{parts.scheme}://{parts.netloc}" in ORIGINS
        assert target.isascii()
        assert target.isprintable()


@given(st.lists(_PIECES, max_size=8).map("".join))
def test_accepted_combination_of_pieces_stays_on_allowed_origins(value: str) -> None:
    _assert_stays_on_allowed_origins(value)


@given(
    st.one_of(st.text(max_size=40), st.text(max_size=40).map("/".__add__), st.text().map(ALLOWED[0].__add__))
)
def test_accepted_text_stays_on_allowed_origins(value: str) -> None:
    _assert_stays_on_allowed_origins(value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/", "/?sso_error=access_denied"),
        ("/a?b=c", "/a?b=c&sso_error=access_denied"),
        ("/a#top", "/a?sso_error=access_denied#top"),
        ("/a?b#c?d", "/a?b&sso_error=access_denied#c?d"),
        ("https://good.example", "https://good.example?sso_error=access_denied"),
        ("https://good.example/x?y=1#z", "https://good.example/x?y=1&sso_error=access_denied#z"),
    ],
)
def test_the_error_is_added_to_the_query_before_the_fragment(url: str, expected: str) -> None:
    assert with_error(url, "access_denied") == expected


def test_the_error_code_is_escaped() -> None:
    assert with_error("/", "a&b=c#d/e") == "/?sso_error=a%26b%3Dc%23d%2Fe"
