"""The visitor whom the conformance checks send."""

from bff.conformance.probe import Options, Probe, Seen, SetCookie, cookies, member, problem, told
from bff.conformance.wire import Answer, Target

PROBE = Probe(Target("https", "shop.example", 443), Options("acmeshop"))


def _lines(raw: bytes) -> list[str]:
    return raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")


def test_a_request_looks_like_a_storefronts() -> None:
    lines = _lines(PROBE.head("GET", "/auth/session", cookie="a=b"))
    assert lines[0] == "GET /auth/session HTTP/1.1"
    assert {"Host: shop.example", "X-CSRF: 1", "Cookie: a=b"} < set(lines)


def test_what_is_given_takes_the_place_of_what_is_usual() -> None:
    lines = _lines(PROBE.head("GET", "/x", "Host: other.example", "User-Agent: x", proof=False))
    assert lines == ["GET /x HTTP/1.1", "Host: other.example", "User-Agent: x"]


def test_bytes_go_out_as_given() -> None:
    assert PROBE.head("GET", "/a\x00\xe9#b").startswith(b"GET /a\x00\xe9#b HTTP/1.1\r\n")


def test_a_set_cookie_field_is_taken_apart() -> None:
    cookie = SetCookie.parse("__Host-bff=a=b; Path=/; HttpOnly; SameSite=Strict; Max-Age=5; Secure")
    assert (cookie.name, cookie.value, cookie.pair) == ("__Host-bff", "a=b", "__Host-bff=a=b")
    assert cookie.lasting == {"path": "/", "httponly": "", "samesite": "Strict", "secure": ""}
    assert cookie.attributes["max-age"] == "5"


def test_no_secret_shows() -> None:
    options = Options(customer="ada@example.com", password="correct-horse-battery")
    assert "correct-horse" not in repr(options)
    assert "secret" not in repr(SetCookie.parse("bff=secret; Path=/"))
    assert Seen("GET", "/auth/session?bff=secret", Answer(200, (), b"")).place == "/auth/session"


def test_an_answer_is_told_by_its_status_and_code() -> None:
    answer = Answer(403, (("set-cookie", "bff=x; Path=/"),), b'{"code":"csrf_failed","status":403}')
    assert told(answer) == "403 csrf_failed"
    assert (member(answer, "code"), member(answer, "status"), member(answer, "x")) == ("csrf_failed", "", "")
    assert [one.name for one in cookies(answer)] == ["bff"]
    for body in (b"", b"[]", b"no", b'"x"'):
        assert (told(Answer(500, (), body)), problem(Answer(500, (), body))) == ("500", {})
