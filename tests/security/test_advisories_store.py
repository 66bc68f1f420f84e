"""Advisories against other proxies that turn on what opens a session, and on what is kept or believed of one.

Each test is named after the advisory or ChangeLog entry that it answers; `deploy/docs/security.md` lists them all.
"""

import base64
import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import redis

from bff.config.parsing import keys
from bff.security.keyring import KeyRing
from bff.session import Ticket
from tests.integration.visitors import (
    CARTS,
    ME,
    calls,
    carrying,
    customer,
    eventually,
    problem,
    seen,
    set_cookies,
)
from tests.integration.wire import PATIENCE, Upstream, dial, reply
from tests.live import ADA, GRACE, TENANT, LiveProxy, Sandbox, environment, free_port

ADDRESSES = f"{ME}/addresses"
BOMB_BYTES = 400_000_000
NO_IDS = (
    *(
        "%s%s%s%n",
        "%d",
        "*",
        "?",
        "[a-z]*",
        "a b",
        "a\tb",
        "bff:acmeshop:*",
        "{}",
        "../../x",
        "' OR 1=1",
        "$" * 40,
    ),
    *(
        "FLUSHALL",
        "AQ",
        "=",
        "A" * 10_000,
        "0" * 32,
        "null",
        "-1",
        "99999999",
        "eyJhbGciOiJub25lIn0.e30.",
    ),
)
ODD_COOKIES = (
    *(
        b";;;",
        b"=",
        b"=;=;=",
        b";" * 5000,
        b"a" * 30_000,
        b"bff",
        b"bff=;bff",
        b" bff = x",
        b"bff=\xff\xfe",
        b",",
    ),
    *(
        b"bff=;;bff=",
        b"bff_chunks=99999999; bff_0=a",
        b"bff.0=a; bff.99999999=b",
        b"bff-sso-=x; bff-sso-%00=y",
    ),
    *(
        b"$Version=1; bff=x",
        b'bff="unclosed',
        b"=bff=x",
        b"bff=%00",
        b"bff-sso-" + b"a" * 9000 + b"=1",
        b"\x80=\x80",
    ),
    b"; ".join(b"c%d=%d" % (number, number) for number in range(1000)),
)


@pytest.fixture(scope="module")
def stranded(sandbox_process: Sandbox) -> Iterator[LiveProxy]:
    """A proxy without its Redis: whatever asks Redis gets a 503."""
    settings = environment(sandbox_process, f"redis://127.0.0.1:{free_port()}")
    with LiveProxy(settings) as proxy:
        yield proxy


def assert_refused(answer: httpx2.Response) -> None:
    """Assert that what was carried is refused as none of the proxy's, by whichever of the two codes."""
    code = answer.json()["code"]
    problem(answer, {"invalid_session": 400, "no_session": 401}[code], code)


def assert_opens_nothing(client: httpx2.Client) -> None:
    """Assert that what a client carries is refused, or counts as nothing."""
    answer = client.get("/auth/session")
    if answer.status_code == 200:
        assert answer.json()["kind"] == "none"
        problem(client.get(ADDRESSES), 401, "login_required")
    else:
        assert_refused(answer)
        assert_refused(client.get(ADDRESSES))


def ring_of(proxy: LiveProxy) -> KeyRing:
    return KeyRing([(key.kid, key.key) for key in keys(proxy.environ["BFF_KEYS"])], TENANT, os.urandom)


def record_key(proxy: LiveProxy, cookie: str) -> str:
    """Return the name of the record that a cookie opens."""

    ticket = ring_of(proxy).sealer("cookie").open(cookie)
    return f"bff:{TENANT}:{{{Ticket(ticket[:16], ticket[16:]).record_name.hex()}}}"


def test_cve_2021_32791_a_record_under_anothers_name_opens_for_nobody(
    proxy: LiveProxy, redis_url: str
) -> None:
    """Nonces: tests/unit/test_keyring.py."""
    with customer(proxy) as ada, proxy.browser() as grace, redis.Redis.from_url(redis_url) as client:
        assert grace.post("/auth/login", json=GRACE).status_code == 200
        hers, theirs = (record_key(proxy, one.cookies["bff"]) for one in (ada, grace))
        client.rename(hers, "kept")
        client.rename(theirs, hers)
        client.rename("kept", theirs)
        for browser in (ada, grace):
            assert browser.get("/auth/session").json()["kind"] == "none"
            problem(browser.get(ADDRESSES), 401, "login_required")
        client.rename(hers, "kept")
        client.rename(theirs, hers)
        client.rename("kept", theirs)
        assert ada.get("/auth/session").json()["customer"] == {"email": ADA["email"]}
        assert grace.get("/auth/session").json()["customer"] == {"email": GRACE["email"]}


@pytest.mark.parametrize("value", NO_IDS)
def test_cve_2021_32785_what_is_no_id_never_gets_to_redis(stranded: LiveProxy, value: str) -> None:
    for client in (stranded.app(value), carrying(stranded, value)):
        with client:
            assert_refused(client.get("/auth/session"))
            assert_refused(client.get(f"{CARTS}?siteCode=main"))
            assert_refused(client.post("/auth/login", json=ADA))


def test_cve_2021_32785_an_id_of_the_right_form_does_get_there(stranded: LiveProxy) -> None:
    """Or the test above could not fail."""
    sealed = ring_of(stranded).sealer("session-id").seal(os.urandom(48))
    with stranded.app(sealed) as app:
        problem(app.get("/auth/session"), 503, "store_unavailable")


@pytest.mark.parametrize("cookie", ODD_COOKIES, ids=range(len(ODD_COOKIES)))
def test_cve_2024_24814_an_odd_cookie_line_is_read_or_refused(proxy: LiveProxy, cookie: bytes) -> None:
    with dial(proxy) as connection:
        connection.sendall(
            b"GET /auth/session HTTP/1.1\r\nHost: shop\r\nX-CSRF: 1\r\nConnection: close\r\nCookie: "
            + cookie
            + b"\r\n\r\n"
        )
        connection.settimeout(PATIENCE)
        came = b""
        while more := connection.recv(65536):
            came += more
    assert re.match(rb"HTTP/1.1 (200|400|401) ", came)
    assert httpx2.get(proxy.url + "/livez", trust_env=False, timeout=30).text == "ok"


@pytest.mark.parametrize("path", ["login", "exchangeauthtoken"])
def test_changelog_2026_05_20_a_bomb_for_an_answer_is_not_unpacked(
    wired: LiveProxy, upstream: Upstream, path: str
) -> None:
    bomb = gzip.compress(bytes(BOMB_BYTES), compresslevel=9)
    upstream.answers(reply("200 OK", "Content-Type: application/json", "Content-Encoding: gzip", body=bomb))
    with wired.browser() as browser:
        body = ADA if path == "login" else {"token": "x"}
        answer = browser.post("/auth/login" if path == "login" else "/auth/exchange", json=body)
    problem(answer, 502, "bad_upstream_answer")
    assert upstream.seen
    status = Path(f"/proc/{wired.process.pid}/status")
    if status.exists():
        (peak,) = re.findall(r"^VmHWM:\s+(\d+) kB", status.read_text("ascii"), re.MULTILINE)
        assert int(peak) * 1024 < BOMB_BYTES


def test_changelog_2026_08_12_what_was_never_sealed_opens_nothing(proxy: LiveProxy, redis_url: str) -> None:
    with customer(proxy) as browser:
        cookie = browser.cookies["bff"]
        plain = ring_of(proxy).sealer("cookie").open(cookie)
        key = record_key(proxy, cookie)
    forms = {
        plain.hex(),
        base64.urlsafe_b64encode(plain).rstrip(b"=").decode(),
        base64.urlsafe_b64encode(b"\x01\x00" + plain).rstrip(b"=").decode(),
        base64.urlsafe_b64encode(b"\x00" + plain).rstrip(b"=").decode(),
        ring_of(proxy).sealer("session-id").seal(plain),
        ring_of(proxy).sealer("login state").seal(plain),
    }
    for form in forms:
        with carrying(proxy, form) as browser:
            assert_opens_nothing(browser)
    record = {"v": 1, "id": plain[:16].hex(), "kind": "customer", "email": ADA["email"]}
    with redis.Redis.from_url(redis_url) as client, carrying(proxy, cookie) as browser:
        assert browser.get("/auth/session").json()["kind"] == "customer"
        fields = client.hgetall(key)
        pieces = [name for name in fields if name.isdigit()]
        for blob in (json.dumps(record).encode(), b"", b"\x01\x00" + b"\x00" * 40, b"{}", b"\xff" * 200):
            client.hdel(key, *pieces)
            client.hset(key, "1", blob)
            eventually(lambda: browser.get("/auth/session").json()["kind"] == "none")
            problem(browser.get(ADDRESSES), 401, "login_required")
            assert not [one for one in set_cookies(browser.get("/auth/session")) if "bff=A" in one]
        client.hset(key, mapping=fields)
        eventually(lambda: browser.get("/auth/session").json()["kind"] == "customer")


def forged(**claims: object) -> str:
    """Return a JWT with any signature, which says that it is Ada's."""
    parts = (
        {"alg": "none", "typ": "JWT"},
        {"sub": "10000001", "email": ADA["email"], "tenant": TENANT} | claims,
    )
    head, body = (base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{head}.{body}.c2lnbmVk"


@pytest.mark.parametrize("claims", [{}, {"exp": 4_000_000_000}, {"aud": "other"}, {"exp": 1}], ids=str)
def test_ghsa_wcvh_a_jwt_from_outside_logs_nobody_in(
    shop: LiveProxy, sandbox: Sandbox, claims: dict[str, object]
) -> None:
    token = forged(**claims)
    with shop.browser(Authorization=f"Bearer {token}", **{"saas-token": token}) as browser:
        assert browser.get("/auth/session").json()["kind"] == "none"
        refused = browser.get(ADDRESSES)
        assert (refused.status_code, set(refused.json())) == (401, {"fault"})
        problem(browser.get("/auth/validate"), 401, "no_session")
        problem(browser.post("/auth/exchange", json={"token": token}), 401, "invalid_credentials")
        assert browser.get("/auth/session").json()["kind"] == "anonymous"
        stock = browser.get(f"/api/customer/{TENANT}/validateauthtoken")
        assert ADA["email"] not in stock.text
    with shop.app(token) as app:
        assert_opens_nothing(app)
    cookie = {"Cookie": f"bff={token}", "X-CSRF": "1"}
    with httpx2.Client(base_url=shop.url, headers=cookie, trust_env=False, timeout=30) as browser:
        assert_opens_nothing(browser)


def test_ghsa_wcvh_validation_asks_about_the_sessions_own_token(shop: LiveProxy, sandbox: Sandbox) -> None:
    with customer(shop) as browser:
        before = seen(sandbox)
        answer = browser.get(
            f"/auth/validate?token={forged()}", headers={"Authorization": f"Bearer {forged()}"}
        )
        assert answer.json()["email"] == ADA["email"]
        assert calls(sandbox, before) == ["GET /customer/{tenant}/validateauthtoken"]
        sandbox.control("POST", "/revoke")
        problem(browser.get("/auth/validate"), 401, "session_expired")
