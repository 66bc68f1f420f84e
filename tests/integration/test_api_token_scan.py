"""No upstream response with a token passes."""

import gzip
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.integration.visitors import CARTS, PRODUCTS, customer, fault, problem
from tests.integration.wire import (
    CART_ECHO,
    PATIENCE,
    Answer,
    Incoming,
    Upstream,
    chunked,
    dial,
    head,
    reply,
    send,
)
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment, free_port
from tests.packing import PACKINGS, with_comment

JSON = "Content-Type: application/json"
LEAK = "9fLeaKedTokenOfSomebodyElse2"
# The responses of the upstream's token endpoints, which would be seen if an operator allowed their paths.
TOKEN_ANSWERS = {
    "login": {"access_token": LEAK, "saas_token": LEAK, "expires_in": 2591999, "refresh_token": LEAK},
    "deprecated names": {"accessToken": LEAK, "saasToken": LEAK, "refreshToken": LEAK},
    "anonymous login": {"token_type": "Bearer", "access_token": LEAK, "sessionId": "x"},
    "refresh": {"refresh_token": LEAK, "refresh_token_expires_in": 86390},
    "exchange": {"subject_access_token": LEAK, "expires_in": 14399},
    "social login": {"social_id_token": LEAK, "expires_in": "3599"},
    "wrapped": {"items": [{"session": {"saas_token": LEAK}}]},
}


@pytest.fixture(scope="module")
def metered(upstream: Upstream, sandbox_process: Sandbox, redis_url: str) -> Iterator[tuple[LiveProxy, str]]:
    """A proxy in front of the scripted upstream, and the URL of its metrics."""
    admin = str(free_port())
    environ = environment(sandbox_process, redis_url, BFF_UPSTREAM_URL=upstream.url, BFF_ADMIN_PORT=admin)
    with LiveProxy(environ) as proxy:
        yield proxy, f"http://127.0.0.1:{admin}/metrics"


def blocked(answer: Answer) -> bool:
    """Return whether a response is the proxy's own error, and check that it contains nothing from the upstream."""
    if answer.all("content-type") != ["application/problem+json"]:
        return False
    assert (answer.status, answer.json()["code"]) == (502, "bad_upstream_answer")
    whole = answer.body.decode() + repr(answer.fields)
    assert not any(word in whole for word in (LEAK, "access_token", "aaaaaaaa", "upstreams-own"))
    return True


@pytest.mark.parametrize("status", ["200 OK", "201 Created", "404 Not Found", "500 Oh"])
@pytest.mark.parametrize("says", TOKEN_ANSWERS.values(), ids=TOKEN_ANSWERS)
def test_a_response_with_tokens_is_blocked(
    wired: LiveProxy, upstream: Upstream, says: object, status: str
) -> None:
    upstream.answers(reply(status, JSON, "X-From: upstreams-own", body=json.dumps(says).encode()))
    assert blocked(send(wired, "GET", PRODUCTS))
    assert len(upstream.seen) == 1


@pytest.mark.parametrize("coding", ["identity", *PACKINGS])
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
def test_no_framing_or_content_coding_lets_a_token_pass(
    wired: LiveProxy, upstream: Upstream, coding: str, *, announced: bool
) -> None:
    body = PACKINGS.get(coding, bytes)(json.dumps({"id": "x" * 900, "idToken": LEAK}).encode())
    fields = [JSON, f"Content-Encoding: {coding}"]
    if announced:
        upstream.answers(reply("200 OK", *fields, body=body))
    else:
        upstream.answers(reply("200 OK", *fields, "Transfer-Encoding: chunked", length=False) + chunked(body))
    assert blocked(send(wired, "GET", PRODUCTS, "Accept-Encoding: gzip, deflate, br, zstd"))


def test_a_response_without_a_content_type_is_searched_too(wired: LiveProxy, upstream: Upstream) -> None:
    upstream.answers(reply("200 OK", body=json.dumps({"idToken": LEAK}).encode()))
    assert blocked(send(wired, "GET", PRODUCTS))


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
def test_a_response_is_cut_off_before_a_token_that_is_found_late(
    wired: LiveProxy, upstream: Upstream, *, announced: bool
) -> None:
    body = json.dumps({"id": "x" * 900, "idToken": LEAK, "z": 1}).encode()
    begun, framing = (
        threading.Event(),
        f"Content-Length: {len(body)}" if announced else "Transfer-Encoding: chunked",
    )

    def script(connection: socket.socket, _incoming: Incoming) -> None:
        first, rest = body[:100], [body[at : at + 7] for at in range(100, len(body), 7)]
        parts = [first, *rest] if announced else [chunked(one, last=False) for one in (first, *rest)]
        connection.sendall(reply("200 OK", JSON, framing, length=False) + parts[0])
        begun.wait(PATIENCE)
        for part in parts[1:]:
            connection.sendall(part)

    upstream.script = script
    with dial(wired) as connection:
        connection.sendall(head(wired, f"GET {PRODUCTS} HTTP/1.1"))
        got = connection.recv(65_536)
        begun.set()
        while more := connection.recv(65_536):
            got += more
    assert got.startswith(b"HTTP/1.1 200")
    assert b'{"id"' in got
    assert LEAK[:7].encode() not in got
    assert b'"z"' not in got


def test_a_blocked_response_is_logged_once_and_counted_without_a_value(
    metered: tuple[LiveProxy, str], upstream: Upstream
) -> None:
    proxy, metrics = metered
    upstream.answers(reply("203 Odd", JSON, body=json.dumps({"accessToken": LEAK}).encode()))
    assert blocked(send(proxy, "GET", f"{PRODUCTS}?q=secret-words"))
    (line,) = [line for line in proxy.log_lines() if line["event"] == "answer_withheld"]
    said = {name: line[name] for name in ("level", "route", "status", "reason")}
    assert said == {
        "level": "error", "route": "GET /product/{tenant}/products", "status": 203, "reason": "member",
    }  # fmt: skip
    assert set(line) == set(said) | {"time", "logger", "event", "requestId"}
    assert not re.search("accessToken|secret-words", proxy.log)
    assert LEAK not in proxy.log
    text = httpx2.get(metrics, trust_env=False).text
    assert 'bff_answers_withheld_total{kind="member"} 1.0' in text
    assert LEAK not in text


def test_a_route_file_that_allows_a_token_service_lets_no_token_pass(
    sandbox: Sandbox, redis_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "routes.toml"
    file.write_text('[routes]\n"POST /idp/token" = "public"\n')
    before = sandbox.secrets()
    with (
        LiveProxy(environment(sandbox, redis_url, BFF_ROUTES_FILE=str(file))) as proxy,
        proxy.browser() as browser,
    ):
        answer = browser.post("/api/idp/token", json={"email": ADA["email"]})
        new = sandbox.secrets() - before
        assert len(new) >= 2, "the proxy's own, and what was asked for"
        assert not any(token in answer.text + str(answer.headers) + proxy.log for token in new)
        problem(answer, 502, "bad_upstream_answer")


@pytest.mark.parametrize("kind", ["application/json", "text/html", "text/plain", "application/problem+json"])
def test_a_response_with_the_token_of_the_request_is_blocked(
    wired: LiveProxy, upstream: Upstream, kind: str
) -> None:
    def script(connection: socket.socket, incoming: Incoming) -> None:
        (bearer,) = incoming.all(b"authorization")
        body = b'{"youSent": ["' + bearer + b'"]}'
        connection.sendall(reply("500 Oh", f"Content-Type: {kind}", body=body))

    upstream.script = script
    assert blocked(send(wired, "GET", PRODUCTS))


@pytest.mark.parametrize("comment", [20_000, 60_000])
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
def test_a_long_comment_in_a_compressed_response_hides_no_token(
    wired: LiveProxy, upstream: Upstream, comment: int, *, announced: bool
) -> None:
    body = with_comment(gzip.compress(json.dumps({"idToken": LEAK}).encode()), comment)
    fields = [JSON, "Content-Encoding: gzip"]
    chunks = [body[at : at + 5000] for at in range(0, len(body), 5000)]
    framed = reply("200 OK", *fields, "Transfer-Encoding: chunked", length=False) + chunked(*chunks)
    upstream.answers(reply("200 OK", *fields, body=body) if announced else framed)
    assert blocked(send(wired, "GET", PRODUCTS, "Accept-Encoding: gzip"))


def test_nothing_leaves_of_a_token_that_comes_in_two_parts(wired: LiveProxy, upstream: Upstream) -> None:
    """The client has got what comes before the token when its second half follows."""
    bearers: list[bytes] = []
    begun = threading.Event()

    def script(connection: socket.socket, incoming: Incoming) -> None:
        bearer = incoming.all(b"authorization")[0].removeprefix(b"Bearer ")
        bearers.append(bearer)
        half = len(bearer) // 2
        framing = "Transfer-Encoding: chunked"
        connection.sendall(reply("200 OK", JSON, framing, length=False) + chunked(b'{"a": 1,', last=False))
        begun.wait(PATIENCE)
        connection.sendall(chunked(b'"b":"' + bearer[:half], last=False))
        begun.clear()
        begun.wait(0.2)
        connection.sendall(chunked(bearer[half:] + b'"}'))

    upstream.script = script
    with dial(wired) as connection:
        connection.sendall(head(wired, f"GET {PRODUCTS} HTTP/1.1"))
        got = connection.recv(65_536)
        begun.set()
        while more := connection.recv(65_536):
            got += more
    assert got.startswith(b"HTTP/1.1 200")
    assert b'{"a": 1,' in got
    assert b'"b"' not in got
    assert len(bearers) == 1
    assert bearers[0][:4] not in got


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("application/javascript", f"load({{id_token: '{LEAK}'}})"),
        ("text/javascript; charset=utf-8", f"var access_token = '{LEAK}'"),
        ("application/x-www-form-urlencoded", f"a=b&access%5Ftoken={LEAK}"),
    ],
)
@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
def test_a_token_in_javascript_or_a_form_is_blocked(
    wired: LiveProxy, upstream: Upstream, kind: str, body: str, *, announced: bool
) -> None:
    framed = reply("200 OK", f"Content-Type: {kind}", "Transfer-Encoding: chunked", length=False)
    plain = reply("200 OK", f"Content-Type: {kind}", body=body.encode())
    upstream.answers(plain if announced else framed + chunked(body.encode()))
    assert blocked(send(wired, "GET", PRODUCTS))


@pytest.mark.parametrize(
    "types",
    [["image/png", "application/json"], ["application/json", "image/png"], ["image/png, application/json"]],
)
def test_a_response_with_two_types_is_blocked_and_counted(
    metered: tuple[LiveProxy, str], upstream: Upstream, types: list[str]
) -> None:
    proxy, metrics = metered
    before = withheld(metrics, "types")
    upstream.answers(reply("200 OK", *(f"Content-Type: {kind}" for kind in types), body=b"{}"))
    assert blocked(send(proxy, "GET", PRODUCTS))
    assert withheld(metrics, "types") == before + 1


def withheld(metrics: str, kind: str) -> float:
    text = httpx2.get(metrics, trust_env=False).text
    found = re.search(rf'bff_answers_withheld_total{{kind="{kind}"}} (\S+)', text)
    return float(found[1]) if found else 0.0


def test_a_customers_own_tokens_are_blocked_under_any_name(proxy: LiveProxy, sandbox: Sandbox) -> None:
    """Return each new token in a response of its own; exactly two of them belong to the customer's session."""
    others = sandbox.secrets()
    statuses = []
    with customer(proxy) as browser:
        for token in sorted(sandbox.secrets() - others):
            fault(sandbox, f"GET {CART_ECHO}", "error", times=1, status=200, body={"note": f"a {token}."})
            answer = browser.get(f"/api{CART_ECHO}")
            statuses.append(answer.status_code)
            assert (token in answer.text) is (answer.status_code == 200)
        assert browser.get("/auth/session").json()["kind"] == "customer"
    assert statuses.count(502) == 2, "the access token and the saas token"


@pytest.mark.parametrize(
    "field",
    [f"Location: https://shop.example/#state=x&access%5Ftoken={LEAK}", f"X-Access-Token: {LEAK}"],
)
@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", "302 Found"), ("HEAD", "200 OK"), ("GET", "204 Nothing"), ("GET", "304 Same")],
)
def test_a_token_in_a_header_is_blocked(
    wired: LiveProxy, upstream: Upstream, method: str, status: str, field: str
) -> None:
    upstream.answers(reply(status, field, length=status[:3] not in {"204", "304"}))
    answer = send(wired, method, PRODUCTS)
    assert answer.status == 502
    assert LEAK not in repr(answer)


@pytest.mark.parametrize(("coding", "body"), [("compress", b"{}"), ("gzip", b"{}"), ("dcb", b"{}")])
def test_a_response_that_cannot_be_searched_is_blocked(
    wired: LiveProxy, upstream: Upstream, coding: str, body: bytes
) -> None:
    upstream.answers(reply("200 OK", JSON, f"Content-Encoding: {coding}", body=body))
    assert blocked(send(wired, "GET", PRODUCTS))


def test_a_guest_session_that_was_started_for_a_blocked_response_is_kept(
    proxy: LiveProxy, sandbox: Sandbox
) -> None:
    fault(sandbox, f"GET /cart/{TENANT}/carts", "error", times=1, status=200, body={"saasToken": LEAK})
    with proxy.browser() as browser:
        problem(browser.get(CARTS, params={"siteCode": "main"}), 502, "bad_upstream_answer")
        view = browser.get("/auth/session").json()
        assert view["kind"] == "anonymous"
        assert browser.get(CARTS, params={"siteCode": "main", "create": "true"}).status_code == 200
        assert browser.get("/auth/session").json()["version"] == view["version"]
