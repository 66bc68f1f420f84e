"""Advisories against other proxies that turn on what answers and logs say.

Each test is named after the advisory or ChangeLog entry that it answers; `deploy/docs/security.md` lists them all.
"""

import json
import re
from pathlib import Path

import httpx2
import pytest

from tests.commands import command
from tests.integration.signing import navigating
from tests.integration.visitors import CARTS, ME, PRODUCTS, carrying, guest, problem, set_cookies
from tests.integration.wire import Upstream, dial, reply, send
from tests.live import ADA, CLIENT_ID, TENANT, LiveProxy, Sandbox, environment, free_port, new_key

MARK = "x7q9mark"
SCRIPT = f"'\"><script>{MARK}</script>"
UPSTREAM_BYTES = b"only-for-those-who-may"
CANARY = "c4n4ryPassw0rd"
BROKEN_URLS = (
    *(
        "redis://:{}@",
        "redis://:{}@[::1",
        "redis://:{}@host:port/0",
        "redis://:{}@host:70000",
        "redis://u:{}@h/x/y",
    ),
    *(
        "redis://:{}@a@b:c",
        "rediss://:{}",
        "redis:/:{}@host",
        "unix://:{}@host/path",
    ),
    *(
        "redis+cluster://:{}@host/5/6",
        "http://:{}@host",
        ":{}@host",
        "redis://:{}#@host",
        "redis://:{}?@host",
    ),
    *("redis://:{}/@host", "redis://:{}é@host"),
)


def test_cve_2021_32792_nothing_that_is_sent_comes_back_as_markup(shop: LiveProxy) -> None:
    odd = {"X-Request-Id": SCRIPT, "User-Agent": SCRIPT, "Referer": SCRIPT, "X-Session-Version": SCRIPT}
    body = {"email": SCRIPT, "password": SCRIPT, "token": SCRIPT, "code": SCRIPT, "redirectUri": SCRIPT}
    query = {
        "slide": SCRIPT,
        "return_to": SCRIPT,
        "state": SCRIPT,
        "code": SCRIPT,
        "error": SCRIPT,
        "x": SCRIPT,
    }
    with guest(shop, **odd) as browser, navigating(shop) as navigation, shop.app(MARK) as app:
        answers = [
            *(
                browser.get(path, params=query)
                for path in ("/auth/session", "/auth/nothing", f"/auth/{SCRIPT}")
            ),
            *(
                browser.post(f"/auth/{name}", json=body)
                for name in ("login", "signup", "exchange", "opt-in", "anonymous")
            ),
            browser.post("/auth/login", json={SCRIPT: SCRIPT}),
            browser.post("/auth/login", content=SCRIPT, headers={"Content-Type": SCRIPT}),
            browser.put("/auth/legal-entity", json={"legalEntityId": SCRIPT}),
            browser.post("/auth/sso/main/code", json=body),
            browser.post(f"/auth/sso/{SCRIPT}/code", json=body),
            browser.delete(f"/auth/sessions/{SCRIPT}"),
            browser.patch("/auth/login"),
            browser.get(f"/api/{SCRIPT}"),
            browser.get(f"/api/oauth/token?x={SCRIPT}"),
            browser.get(f"/api/product/{SCRIPT}/products"),
            browser.get(f"/{SCRIPT}"),
            browser.get(f"/api/customerlogin/auth/anonymous/login?tenant={SCRIPT}"),
            browser.post(f"/api/customer/{TENANT}/login", json=body, headers={"Authorization": SCRIPT}),
            browser.get("/auth/session", headers={"Origin": f"https://{MARK}.example"}),
            navigation.get("/auth/sso/main", params=query),
            navigation.get(f"/auth/sso/{SCRIPT}", params=query),
            navigation.get("/auth/sso/main/callback", params=query),
            app.get("/auth/session"),
        ]
    assert {answer.status_code for answer in answers} >= {200, 302, 400, 401, 403, 404, 405, 415}
    for answer in answers:
        said = answer.text + "".join(f"{name}: {value}" for name, value in answer.headers.items())
        assert "<script" not in said.lower(), answer.request.url
        if answer.status_code != 302:
            assert answer.headers["content-type"] in {"application/json", "application/problem+json"}
            assert MARK not in said, answer.request.url
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_ghsa_59jp_nothing_of_upstream_is_in_a_refusal(wired: LiveProxy, upstream: Upstream) -> None:
    upstream.answers(reply("200 OK", "X-Secret: only-for-those-who-may", body=UPSTREAM_BYTES))
    with wired.browser() as browser:
        browser.post("/auth/anonymous")
        cookie = f"Cookie: bff={browser.cookies['bff']}"
    refused = [
        send(wired, "GET", f"{ME}/addresses", cookie),
        send(wired, "GET", f"{ME}/addresses"),
        send(wired, "GET", CARTS, "Cookie: bff=invented"),
        send(wired, "GET", CARTS, cookie, cookie),
        send(wired, "GET", CARTS, cookie, "X-Session-Id: x"),
        send(wired, "GET", CARTS, cookie, "Origin: https://evil.example"),
        send(wired, "GET", CARTS, cookie, "Sec-Fetch-Site: cross-site"),
        send(wired, "GET", CARTS, "X-Session-Id: invented"),
        send(wired, "GET", CARTS, "X-Session-Transport: header", "Origin: https://evil.example"),
        send(wired, "GET", "/api/oauth/token", cookie),
        send(wired, "GET", "/api/product/othershop/products", cookie),
        send(wired, "GET", f"{CARTS}/../x", cookie),
        send(wired, "DELETE", PRODUCTS, cookie),
    ]
    with dial(wired) as connection:
        connection.sendall(
            f"GET {CARTS} HTTP/1.1\r\nHost: shop\r\n{cookie}\r\nConnection: close\r\n\r\n".encode()
        )
        bare = b""
        while more := connection.recv(65536):
            bare += more
    assert bare.startswith(b"HTTP/1.1 403")
    assert {answer.status for answer in refused} == {400, 401, 403}
    for answer in refused:
        assert UPSTREAM_BYTES not in answer.body
        assert answer.all("x-secret") == []
    assert UPSTREAM_BYTES not in bare
    assert upstream.seen == []
    assert send(wired, "GET", CARTS, cookie).body == UPSTREAM_BYTES


def _assert_told_without_password(settings: dict[str, str], *arguments: str) -> None:
    """Assert that a command says that the address is wrong, without its password."""
    whole = {
        "BFF_TENANT": TENANT,
        "BFF_CLIENT_ID": CLIENT_ID,
        "BFF_PUBLIC_ORIGIN": "https://shop.example",
        "BFF_KEYS": new_key(),
    }
    done = command(*arguments, **(whole | settings))
    assert CANARY.lower() not in (done.stdout + done.stderr).lower()
    assert done.returncode == 2, done
    assert "BFF_REDIS_URL" in done.stderr


@pytest.mark.parametrize("url", BROKEN_URLS)
def test_changelog_2026_07_28_a_broken_redis_url_is_refused_without_its_password(
    url: str, tmp_path: Path
) -> None:
    text = url.format(CANARY)
    file = tmp_path / "url"
    file.write_text(text + "\n", "utf-8")
    _assert_told_without_password({"BFF_REDIS_URL": text}, "serve", "--port", str(free_port()))
    _assert_told_without_password({"BFF_REDIS_URL_FILE": str(file)}, "check")


def test_changelog_2026_07_28_a_sentinel_url_without_a_service_is_a_mistake() -> None:
    _assert_told_without_password({"BFF_REDIS_URL": f"redis+sentinel://:{CANARY}@host"}, "check")


def test_changelog_2026_07_28_no_traceback_of_a_start_tells_the_password() -> None:
    settings = {
        "BFF_TENANT": TENANT,
        "BFF_CLIENT_ID": CLIENT_ID,
        "BFF_PUBLIC_ORIGIN": "https://shop.example",
        "BFF_KEYS": new_key(),
        "BFF_REDIS_URL": f"redis+sentinel://:{CANARY}@host",
    }
    done = command("serve", "--port", str(free_port()), **settings)
    assert done.returncode != 0
    assert CANARY not in done.stdout + done.stderr
    assert settings["BFF_KEYS"].partition(":")[2] not in done.stdout + done.stderr


CLUSTER = "redis+cluster://:{}@127.0.0.1:{}"
SILENT_URLS = (
    "redis://:{}@127.0.0.1:{}/0",
    "rediss://user:{}@127.0.0.1:{}",
    "redis://user:{}@localhost.invalid:{}",
    "redis+sentinel://:{}@127.0.0.1:{}/service",
)


@pytest.mark.parametrize("url", [*SILENT_URLS, CLUSTER])
def test_changelog_2026_07_28_a_redis_that_does_not_answer_is_told_without_its_password(
    sandbox: Sandbox, url: str
) -> None:
    with (
        LiveProxy(environment(sandbox, url.format(CANARY, free_port()))) as proxy,
        proxy.browser() as browser,
    ):
        said = [browser.post("/auth/anonymous").text, browser.post("/auth/login", json=ADA).text]
        said.append(httpx2.get(proxy.url + "/readyz", trust_env=False, timeout=30).text)
        done = command("sessions", "list", "--customer", ADA["email"], **proxy.environ)
        assert done.returncode != 0
        assert CANARY not in "\n".join([*said, done.stdout, done.stderr, proxy.log])


@pytest.mark.parametrize(
    "url",
    [*SILENT_URLS, CLUSTER],
)
def test_asvs_16_5_2_a_redis_that_does_not_answer_is_a_503_however_it_is_reached(
    sandbox: Sandbox, url: str
) -> None:
    with (
        LiveProxy(environment(sandbox, url.format(CANARY, free_port()))) as proxy,
        proxy.browser() as browser,
    ):
        problem(browser.post("/auth/anonymous"), 503, "store_unavailable")
        problem(browser.post("/auth/login", json=ADA), 503, "store_unavailable")
        ready = httpx2.get(proxy.url + "/readyz", trust_env=False, timeout=30)
        assert (ready.status_code, ready.text) == (503, "not ready")
        assert command("sessions", "list", "--customer", ADA["email"], **proxy.environ).returncode == 3


@pytest.mark.parametrize("entry", ["k1:{}", "{}", "k1:{}=,", "a b:{}", "k1:{}A", "k1={}", "k1:{},k1:{}"])
def test_changelog_2026_08_07_a_broken_key_is_refused_without_being_told(entry: str) -> None:
    secret = new_key().partition(":")[2][:20] + "!" + CANARY
    settings = {
        "BFF_TENANT": TENANT,
        "BFF_CLIENT_ID": CLIENT_ID,
        "BFF_PUBLIC_ORIGIN": "https://shop.example",
        "BFF_KEYS": entry.format(secret, secret),
    }
    done = command("check", **settings)
    assert done.returncode == 2
    assert "BFF_KEYS" in done.stderr
    assert CANARY not in done.stdout + done.stderr
    assert secret not in done.stdout + done.stderr


def test_log_injection_no_request_writes_a_line_of_its_own(shop: LiveProxy) -> None:
    """oauth2-proxy takes X-Request-Id as it comes; one line of a log is one JSON object here, whatever is sent."""
    forged = 'x","event":"forged","level":"error'
    before = len(shop.log_lines())
    names = ("X-Request-Id", "User-Agent", "Cookie", "X-Forwarded-For", "X-Session-Id")
    for name in names:
        send(shop, "GET", f"{PRODUCTS}?q={MARK}", f"{name}: {forged}\x85{MARK}\u00a0")
    with carrying(shop, f"{MARK}forged") as browser:
        assert not [one for one in set_cookies(browser.get(f"/auth/{MARK}")) if MARK in one]
    lines = [line for line in shop.log.splitlines() if line.startswith("{")]
    parsed = [json.loads(line) for line in lines][before:]
    assert len(parsed) >= len(names)
    assert {line["event"] for line in parsed} <= {"request", "untrusted_proxy"}
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,128}", line["requestId"]) for line in parsed)
    assert MARK not in "\n".join(lines)
