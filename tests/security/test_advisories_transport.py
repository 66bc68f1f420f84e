"""Advisories against other proxies that turn on what a request's line, fields or framing say.

Each test is named after the advisory or ChangeLog entry that it answers; `deploy/docs/security.md` lists them all.
"""

import gzip
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.signing import asked, with_providers
from tests.integration.visitors import CARTS, ME, problem, set_cookies
from tests.integration.wire import (
    CART_ECHO,
    PATIENCE,
    PRODUCT_ECHO,
    Upstream,
    Watch,
    answer_on,
    dial,
    head,
    reply,
    send,
)
from tests.live import ADA, TENANT, LiveProxy, Sandbox, environment

ROOT = Path(__file__).parents[2]
ADDRESSES = f"{ME}/addresses"  # for customers only
OPEN_PATHS = ("/livez", "/readyz", f"/api{PRODUCT_ECHO}", "/auth/sso/main", "/")
ROUTING_FIELDS = (
    *("X-Forwarded-Uri", "X-Original-URL", "X-Original-URI", "X-Rewrite-URL", "X-Forwarded-Path"),
    *("X-Forwarded-Prefix", "X-Forwarded-Method", "X-HTTP-Method-Override", "X-Envoy-Original-Path"),
)
PROBES = ("GoogleHC/1.0", "kube-probe/1.29", "ELB-HealthChecker/2.0", "Prometheus/2.50")
FORWARDED = {
    **{f"X-Forwarded-{name}": "evil.example" for name in ("Host", "Server", "By", "Prefix", "Uri")},
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Scheme": "https",
    "X-Forwarded-Ssl": "on",
    "X-Forwarded-Port": "444",
    "Front-End-Https": "on",
    "X-Host": "evil.example",
    "Forwarded": "for=198.51.100.1;host=evil.example;proto=https",
}


@pytest.fixture(scope="module")
def believing(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    """A proxy that believes its peer, and knows an identity provider."""
    settings = with_providers(sandbox_process, redis_url, BFF_TRUSTED_PROXIES="127.0.0.0/8")
    with LiveProxy(settings) as proxy:
        yield proxy


@pytest.mark.parametrize("name", [*ROUTING_FIELDS, *(name.replace("-", "_") for name in ROUTING_FIELDS)])
def test_ghsa_7x63_forwarded_uri_opens_nothing(believing: LiveProxy, sandbox: Sandbox, name: str) -> None:
    watch = Watch(sandbox)
    for told in OPEN_PATHS:
        for method, path, status in (
            ("GET", ADDRESSES, 401),
            ("GET", "/api/oauth/token", 403),
            ("GET", "/auth/sessions", 401),
            ("POST", f"/api/product/{TENANT}/products", 403),
        ):
            assert send(believing, method, path, f"{name}: {told}").status == status
        with dial(believing) as connection:
            line = f"GET /auth/session HTTP/1.1\r\nHost: shop\r\n{name}: {told}\r\n\r\n"
            connection.sendall(line.encode())
            assert answer_on(connection).status == 403
    assert watch.records() == []


@pytest.mark.parametrize("agent", PROBES)
def test_ghsa_5hvv_a_probes_user_agent_opens_nothing(proxy: LiveProxy, sandbox: Sandbox, agent: str) -> None:
    watch = Watch(sandbox)
    field = f"User-Agent: {agent}"
    assert send(proxy, "GET", ADDRESSES, field).status == 401
    assert send(proxy, "GET", "/api/oauth/token", field).status == 403
    with dial(proxy) as connection:
        connection.sendall(f"GET /auth/session HTTP/1.1\r\nHost: shop\r\n{field}\r\n\r\n".encode())
        assert answer_on(connection).status == 403
    assert watch.records() == []


@pytest.mark.parametrize(
    "target",
    ["/livez/", "/livez/x", "/livez;x", "//livez", "/LIVEZ", "/%6civez/", "/readyz/", "/x/../readyz"],
)
def test_ghsa_5hvv_health_answers_on_its_exact_paths_only(proxy: LiveProxy, target: str) -> None:
    answer = send(proxy, "GET", target)
    assert answer.status in {400, 404}
    assert answer.body not in {b"ok", b"ready"}


@pytest.mark.parametrize(
    "query",
    ["x=/livez", f"x=/api{PRODUCT_ECHO}", "/auth/sso/main", "?/livez", f"/../../product/{TENANT}/products"],
)
def test_ghsa_7rh7_a_query_is_no_part_of_what_is_matched(
    proxy: LiveProxy, sandbox: Sandbox, query: str
) -> None:
    watch = Watch(sandbox)
    assert send(proxy, "GET", f"{ADDRESSES}?{query}").status == 401
    assert send(proxy, "GET", f"/api/oauth/token?{query}").status == 403
    with dial(proxy) as connection:
        connection.sendall(f"GET /auth/session?{query} HTTP/1.1\r\nHost: shop\r\n\r\n".encode())
        assert answer_on(connection).status == 403
    assert watch.records() == []


def test_ghsa_vjrc_of_two_authorizations_only_ours_arrives(proxy: LiveProxy) -> None:
    fields = (
        "Authorization: Bearer one",
        "authorization: Bearer two",
        "emporix_tenant: other",
    )
    report = send(proxy, "GET", f"/api{CART_ECHO}", *fields, "X_Forwarded_User: root").json()
    named = [(name.lower(), value) for name, value in report["headers"]]
    assert [value for name, value in named if name.startswith("authorization")] == ["Bearer anonymous"]
    assert [value for name, value in named if "tenant" in name] == [TENANT]
    assert [name for name, _ in named if "forwarded" in name or "_" in name] == []


def test_cve_2024_52003_no_forwarded_field_of_a_trusted_peer_is_believed_but_its_address(
    believing: LiveProxy,
) -> None:
    """The address itself counts for rates only: tests/integration/test_auth_rates.py."""
    fields = [f"{name}: {value}" for name, value in FORWARDED.items()]
    report = send(believing, "GET", f"/api{CART_ECHO}", *fields).json()
    assert [name for name, _ in report["headers"] if "forwarded" in name.lower() or name == "x-host"] == []
    started = send(believing, "GET", "/auth/sso/main", *fields, "Sec-Fetch-Dest: document")
    (location,) = started.all("location")
    assert asked(location)["redirect_uri"] == f"{believing.url}/auth/sso/main/callback"
    assert all("Secure" not in field and "evil" not in field for field in started.all("set-cookie"))
    for answer in (send(believing, "GET", "/auth/session", *fields), started):
        assert answer.all("strict-transport-security") == []
    with believing.browser(**FORWARDED, Origin="https://evil.example") as browser:
        problem(browser.get("/auth/session"), 403, "csrf_failed")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_changelog_2026_08_07_fields_are_scrubbed_whatever_the_method(
    wired: LiveProxy, upstream: Upstream, method: str
) -> None:
    denied = ("Authorization", "Cookie", "saas-token", "saas_token", "hybris-tenant", "X-Forwarded-User")
    fields = [f"{name}: smuggled" for name in denied]
    path = (
        f"/cart/{TENANT}/carts/one" if method in {"GET", "HEAD", "PUT", "DELETE"} else f"/cart/{TENANT}/carts"
    )
    for status in ("200 OK", "404 Not Found", "500 Internal Server Error"):
        upstream.answers(reply(status, "Set-Cookie: a=b", "Server: x", "Access-Control-Allow-Origin: *"))
        answer = send(wired, method, f"/api{path}", *fields)
        for name in ("server", "access-control-allow-origin"):
            assert answer.all(name) == []
        assert all(field.startswith("bff=") for field in answer.all("set-cookie"))
        arrived = [value for one in upstream.seen for _, value in one.fields]
        assert b"smuggled" not in arrived
        # OPTIONS and PATCH of this path are nobody's: they end here.
        assert bool(upstream.seen) == (method in {"GET", "PUT", "DELETE", "POST"})


@pytest.mark.parametrize(
    "body",
    [b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n"],
    ids=["plain", "extension"],
)
def test_cve_2025_43859_what_is_whole_arrives_whole(proxy: LiveProxy, body: bytes) -> None:
    with dial(proxy) as connection:
        connection.sendall(
            head(proxy, f"PUT /api{CART_ECHO} HTTP/1.1", ["Transfer-Encoding: chunked"]) + body
        )
        assert answer_on(connection).json()["bodyLength"] == len(b"hello")


@pytest.mark.parametrize(
    ("framing", "body"),
    [
        ("Transfer-Encoding: chunked", b"5\r\nhelloXX0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"5\r\nhello0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"zz\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"-5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: xchunked", b"5\r\nhello\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked, identity", b"5\r\nhello\r\n0\r\n\r\n"),
        ("Content-Length: -1", b"hello"),
        ("Content-Length: 0x5", b"hello"),
    ],
)
def test_cve_2025_43859_framing_that_is_none_ends_the_connection(
    proxy: LiveProxy, sandbox: Sandbox, framing: str, body: bytes
) -> None:
    watch = Watch(sandbox)
    hidden = head(proxy, f"GET /api{PRODUCT_ECHO} HTTP/1.1")
    with dial(proxy) as connection:
        connection.sendall(head(proxy, f"PUT /api{CART_ECHO} HTTP/1.1", [framing]) + body + hidden)
        connection.settimeout(PATIENCE)
        came = b""
        while more := connection.recv(65536):
            came += more
    assert came.startswith(b"HTTP/1.1 400")
    assert came.count(b"HTTP/1.1 ") == 1
    assert watch.of(PRODUCT_ECHO) == []


@pytest.mark.parametrize(
    ("package", "floor"),
    [("h11", (0, 16)), ("httptools", (0, 6)), ("starlette", (0, 49, 1)), ("redis", (5, 0))],
)
@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_cve_2025_43859_no_library_is_older_than_its_advisories(
    package: str, floor: tuple[int, ...], lock: str
) -> None:
    text = (ROOT / lock).read_text("utf-8")
    (version,) = re.findall(rf"^{package}(?:\[\w+\])?==([\d.]+)", text, re.MULTILINE)
    assert tuple(int(part) for part in version.split(".")) >= floor


def test_ghsa_f96h_a_form_is_never_parsed(proxy: LiveProxy, sandbox: Sandbox) -> None:
    watch = Watch(sandbox)
    field = b'--x\r\nContent-Disposition: form-data; name="email"\r\n\r\nada@example.com\r\n'
    form = field * 500 + b"--x--\r\n"
    kind = "Content-Type: multipart/form-data; boundary=x"
    assert send(proxy, "POST", "/auth/login", kind, body=form).status == 415
    assert watch.records() == []
    report = send(proxy, "PUT", f"/api{CART_ECHO}", kind, body=form).json()
    assert report["bodyLength"] == len(form)
    source = "\n".join(path.read_text("utf-8") for path in (ROOT / "bff").rglob("*.py"))
    assert not re.search(r"\.form\(|StaticFiles|FileResponse", source)


def test_ghsa_2mr9_upstreams_cookies_of_one_visitor_are_not_sent_for_another(
    wired: LiveProxy, upstream: Upstream
) -> None:
    set_cookie = ("Set-Cookie: session=ada; Path=/", "Set-Cookie: other=ada; Domain=127.0.0.1")
    upstream.answers(reply("200 OK", *set_cookie, body=b"{}"))
    with wired.browser() as ada, wired.browser() as grace:
        for browser in (ada, grace, ada, grace):
            answer = browser.get(f"{CARTS}?siteCode=main")
            assert answer.status_code == 200
            assert all(field.startswith("bff=") for field in set_cookies(answer))
    assert len(upstream.seen) == 4
    assert [one.all(b"cookie") for one in upstream.seen] == [[], [], [], []]


def test_httpx_trust_env_an_environments_proxy_sees_nothing(sandbox: Sandbox, redis_url: str) -> None:
    caught: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as trap:

        def catch() -> None:
            while True:
                try:
                    connection, _ = trap.accept()
                except OSError:
                    return
                with connection:
                    caught.append(connection.recv(100))

        thread = threading.Thread(target=catch, daemon=True)
        thread.start()
        address = f"http://127.0.0.1:{trap.getsockname()[1]}"
        names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
        proxies = {name: address for one in names for name in (one, one.lower())} | {"NO_PROXY": ""}
        with LiveProxy(environment(sandbox, redis_url) | proxies) as proxy, proxy.browser() as browser:
            assert browser.post("/auth/login", json=ADA).status_code == 200
            assert browser.get(ME).json()["firstName"] == "Ada"
        trap.shutdown(socket.SHUT_RDWR)
        thread.join(PATIENCE)
    assert caught == []


def test_changelog_2026_05_20_a_compressed_answer_passes_unopened(
    wired: LiveProxy, upstream: Upstream
) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    upstream.answers(reply("200 OK", "Content-Encoding: gzip", body=bomb))
    answer = send(wired, "GET", f"/api/product/{TENANT}/products", "Accept-Encoding: gzip")
    assert answer.all("content-encoding") == ["gzip"]
    assert answer.body == bomb
