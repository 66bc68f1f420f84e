"""What goes through `/api` goes through byte for byte, both ways."""

import gzip
import hashlib

import pytest

from tests.integration.wire import CART_ECHO, PRODUCT_ECHO, Upstream, reply, send
from tests.live import TENANT, LiveProxy

QUERIES = (
    "a=1&a=2&b=&c",
    "z=1&y=2&x=3&y=1",
    "q=%20+%2B%2b%7E~%41",
    "a;b=1;c&d;e",
    "name=%C3%A4&x=%c3%a4",
    "a=b=c&&d&=e&",
    "?=??/:@",
    "q=%00%0d%0a%2F%2e%2E%5c",
    'json={"a":[1,2],"b":"x|y^z`"}',
    "path=..//..\\..&u=http://example.com/%23",
    "q=%zz%",
)


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("echo", [PRODUCT_ECHO, CART_ECHO])
def test_a_query_arrives_byte_for_byte(proxy: LiveProxy, echo: str, query: str) -> None:
    answer = send(proxy, "GET", f"/api{echo}?{query}")
    assert answer.status == 200
    assert answer.json()["query"] == query


@pytest.mark.parametrize(
    "segment",
    [
        "a%20b",
        "%C3%A4%c3%a4",
        "x;v=1,2",
        "a@b:c!$&'()*+=",
        "~._-",
        "%25",
        "%3F%26%3d",
        "%7B%7d%22",
        "...",
        "a..b",
    ],
)
def test_a_path_arrives_byte_for_byte(wired: LiveProxy, upstream: Upstream, segment: str) -> None:
    upstream.answers(reply("200 OK", body=b"{}"))
    path = f"/product/{TENANT}/products/{segment}"
    assert send(wired, "GET", f"/api{path}?x=%41").status == 200
    assert [one.line for one in upstream.seen] == [f"GET {path}?x=%41 HTTP/1.1".encode()]


@pytest.mark.parametrize("echo", [PRODUCT_ECHO, CART_ECHO])
def test_as_many_fields_as_a_request_may_have_arrive(proxy: LiveProxy, echo: str) -> None:
    """Upstream has more than those, for the proxy adds some."""
    assert send(proxy, "GET", f"/api{echo}", *["Accept: */*"] * 98).status == 200


@pytest.mark.parametrize("target", ["?", ""])
def test_no_query_is_made_up(wired: LiveProxy, upstream: Upstream, target: str) -> None:
    upstream.answers(reply("200 OK", body=b"{}"))
    assert send(wired, "GET", f"/api/product/{TENANT}/products{target}").status == 200
    assert upstream.seen[0].line == f"GET /product/{TENANT}/products HTTP/1.1".encode()


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_a_method_arrives_as_it_is(proxy: LiveProxy, method: str) -> None:
    assert send(proxy, method, f"/api{CART_ECHO}").json()["method"] == method


@pytest.mark.parametrize(
    "body", [b"{}", bytes(range(256)) * 7, b"\r\n\r\n0\r\n\r\n", gzip.compress(b"x" * 5000)], ids=len
)
def test_a_body_arrives_byte_for_byte(proxy: LiveProxy, body: bytes) -> None:
    fields = ["Content-Type: application/x-anything; a=b", "Content-Encoding: gzip"]
    report = send(proxy, "PUT", f"/api{CART_ECHO}", *fields, body=body).json()
    assert (report["bodyLength"], report["bodySha256"]) == (len(body), hashlib.sha256(body).hexdigest())
    assert ["content-type", "application/x-anything; a=b"] in report["headers"]
    assert ["content-encoding", "gzip"] in report["headers"]
    assert ["content-length", str(len(body))] in report["headers"]


def test_end_to_end_fields_arrive_in_order_and_nothing_is_added(wired: LiveProxy, upstream: Upstream) -> None:
    upstream.answers(reply("200 OK", body=b"{}"))
    mine = [
        ("X-Version", "v2"),
        ("Accept-Language", "de, en;q=0.5"),
        ("X-Twice", "one"),
        ("X-Other", 'a "quoted", one; b=c'),
        ("X-Twice", "two"),
        ("If-None-Match", 'W/"abc"'),
        ("Range", "bytes=0-1"),
        ("Accept", "*/*"),
    ]
    path = f"/product/{TENANT}/products"
    assert send(wired, "GET", f"/api{path}", *(f"{name}: {value}" for name, value in mine)).status == 200
    got = [(name.lower().decode(), value.decode()) for name, value in upstream.seen[0].fields]
    names = {name.lower() for name, _ in mine}
    assert [field for field in got if field[0] in names] == [(name.lower(), value) for name, value in mine]
    added = sorted(name for name, _ in got if name not in names)
    assert set(added) <= {"host", "authorization", "emporix-tenant", "x-request-id", "connection"}
    assert upstream.seen[0].all(b"host") == [upstream.url.removeprefix("http://").encode()]


def test_an_answers_bytes_and_fields_come_back_as_they_are(wired: LiveProxy, upstream: Upstream) -> None:
    body = gzip.compress(b"catalogue" * 1000)
    fields = ["Content-Type: application/json", "Content-Encoding: gzip", 'ETag: "v1"', "X-Total-Count: 7"]
    fields += ["Link: </a>; rel=next", "Link: </b>; rel=prev", "X-Odd: caf\xe9"]
    upstream.answers(reply("203 Whatever", *fields, body=body))
    answer = send(wired, "GET", f"/api/product/{TENANT}/products", "Accept-Encoding: gzip")
    assert (answer.status, answer.body) == (203, body)
    assert answer.all("link") == ["</a>; rel=next", "</b>; rel=prev"]
    assert answer.all("content-encoding") == ["gzip"]
    assert answer.all("content-length") == [str(len(body))]
    assert (answer.all("etag"), answer.all("x-total-count")) == (['"v1"'], ["7"])
    assert answer.all("x-odd") == ["caf\xe9"]


@pytest.mark.parametrize("status", [200, 201, 202, 400, 403, 404, 409, 418, 422, 429, 500, 502, 503, 504])
def test_upstreams_own_answer_passes_whatever_its_status(proxy: LiveProxy, status: int) -> None:
    answer = send(proxy, "GET", f"/api{PRODUCT_ECHO}?status={status}")
    assert answer.status == status
    assert answer.json()["query"] == f"status={status}"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_none(proxy: LiveProxy, status: int) -> None:
    answer = send(proxy, "GET", f"/api{PRODUCT_ECHO}?status={status}")
    assert (answer.status, answer.body) == (status, b"")


def test_head_is_answered_with_the_fields_of_a_get_alone(wired: LiveProxy, upstream: Upstream) -> None:
    upstream.answers(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1234\r\nETag: x\r\n\r\n")
    answer = send(wired, "HEAD", f"/api/product/{TENANT}/products")
    assert (answer.status, answer.body) == (200, b"")
    assert (answer.all("content-length"), answer.all("etag")) == (["1234"], ["x"])
    assert upstream.seen[0].line.startswith(b"HEAD ")
