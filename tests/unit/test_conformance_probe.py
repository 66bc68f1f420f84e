"""The client that the conformance checks use."""

from bff.conformance.probe import Options, Probe, Recorded, SetCookie, cookies, describe, json_object, member
from bff.conformance.wire import Response, Target

PROBE = Probe(Target("https", "shop.example", 443), Options("acmeshop"))


def _lines(raw: bytes) -> list[str]:
    return raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")


def test_a_request_has_the_headers_of_a_storefront() -> None:
    lines = _lines(PROBE.head("GET", "/auth/session", cookie="a=b"))
    assert lines[0] == "GET /auth/session HTTP/1.1"
    assert {"Host: shop.example", "X-CSRF: 1", "Cookie: a=b"} < set(lines)


def test_given_headers_replace_the_defaults() -> None:
    lines = _lines(PROBE.head("GET", "/x", "Host: other.example", "User-Agent: x", csrf=False))
    assert lines == ["GET /x HTTP/1.1", "Host: other.example", "User-Agent: x"]


def test_the_path_is_sent_byte_for_byte() -> None:
    assert PROBE.head("GET", "/a\x00\xe9#b").startswith(b"GET /a\x00\xe9#b HTTP/1.1\r\n")


def test_a_set_cookie_header_is_parsed() -> None:
    cookie = SetCookie.parse("__Host-bff=a=b; Path=/; HttpOnly; SameSite=Strict; Max-Age=5; Secure")
    assert (cookie.name, cookie.value, cookie.pair) == ("__Host-bff", "a=b", "__Host-bff=a=b")
    assert cookie.stable_attributes == {"path": "/", "httponly": "", "samesite": "Strict", "secure": ""}
    assert cookie.attributes["max-age"] == "5"


def test_repr_and_place_contain_no_secret() -> None:
    options = Options(customer="ada@example.com", password="correct-horse-battery")
    assert "correct-horse" not in repr(options)
    assert "secret" not in repr(SetCookie.parse("bff=secret; Path=/"))
    assert Recorded("GET", "/auth/session?bff=secret", Response(200, (), b"")).place == "/auth/session"


def test_a_response_is_described_by_its_status_and_code() -> None:
    response = Response(403, (("set-cookie", "bff=x; Path=/"),), b'{"code":"csrf_failed","status":403}')
    assert describe(response) == "403 csrf_failed"
    assert (member(response, "code"), member(response, "status"), member(response, "x")) == (
        "csrf_failed",
        "",
        "",
    )
    assert [one.name for one in cookies(response)] == ["bff"]
    for body in (b"", b"[]", b"no", b'"x"'):
        assert (describe(Response(500, (), body)), json_object(Response(500, (), body))) == ("500", {})
