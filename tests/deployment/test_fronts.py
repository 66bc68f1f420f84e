"""nginx before two proxies and Redis, all of them real, with the files that `deploy/` has for them."""

import hashlib
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from redis import Redis
from redis.exceptions import AuthenticationError, NoPermissionError

from bff.server.http1 import Http1Connection
from tests.commands import command
from tests.deployment.dockerfile import ROOT
from tests.deployment.front import SOURCES, Front
from tests.front import needs_nginx
from tests.integration.test_agents import ROUTES, events, streamed
from tests.integration.visitors import CARTS, ME, knob, problem
from tests.integration.wire import CART_ECHO
from tests.live import ADA, LiveProxy, Sandbox, environment, free_port
from tests.resilience import servers

pytestmark = needs_nginx
OTHER_CLIENT, THIRD_CLIENT = "127.0.0.2", "127.0.0.3"
GUESTS = 5


@pytest.fixture(scope="module")
def shop_secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets")
    subprocess.run([ROOT / "deploy" / "new-secrets", folder], check=True)
    return folder


@pytest.fixture(scope="module")
def session_redis(shop_secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that was started as `compose.yaml` starts it; yields its address with user and password."""
    if not shutil.which("redis-server"):
        if servers.required():
            raise RuntimeError("redis-server is not installed")
        pytest.skip("redis-server is not installed")
    folder, port = tmp_path_factory.mktemp("redis"), free_port()
    environ = os.environ | {
        "PASSWORD_FILE": str(shop_secrets / "redis_password"),
        "RUN": str(folder),
        "DATA": str(folder),
    }
    options = ["--port", str(port), "--bind", "127.0.0.1"]
    process = subprocess.Popen(
        [ROOT / "deploy" / "redis" / "start", *options], env=environ, stdout=subprocess.DEVNULL
    )
    url = (shop_secrets / "redis_url").read_text("utf-8").replace("redis:6379", f"127.0.0.1:{port}")
    try:
        with Redis.from_url(url) as client:
            servers.until(client.ping)
        yield url
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def settings(sandbox_process: Sandbox, session_redis: str, shop_secrets: Path, tmp_path_factory: Any) -> Any:
    routes = tmp_path_factory.mktemp("routes") / "routes.toml"
    routes.write_text(ROUTES, "utf-8")
    shared = environment(sandbox_process, session_redis, BFF_ROUTES_FILE=str(routes))
    del shared["BFF_KEYS"]
    return shared | {
        "BFF_KEYS_FILE": str(shop_secrets / "keys"),
        "BFF_TRUSTED_PROXIES": "127.0.0.1/32",
        "BFF_GUEST_RATE": f"{GUESTS}/3600",
    }


@pytest.fixture(scope="module")
def front(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    port, folder = free_port(), tmp_path_factory.mktemp("nginx")
    origin = {"BFF_PUBLIC_ORIGIN": f"https://127.0.0.1:{port}"}
    with ExitStack() as ending:
        replicas = [ending.enter_context(LiveProxy(settings | origin)) for _ in range(2)]
        front = Front(folder, [one.port for one in replicas], port)
        ending.enter_context(front.running())
        yield front
        assert [one for one in replicas if "untrusted_proxy" in one.log] == []


def test_nginx_accepts_the_configuration(tmp_path: Path) -> None:
    checked = Front(tmp_path, [1, 2], 3).checked()
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr


def test_a_customer_shops_by_cookie(front: Front) -> None:
    with front.client() as browser:
        login = browser.post("/auth/login", json=ADA)
        assert login.status_code == 200, login.text
        assert list(browser.cookies) == ["__Host-bff"]
        assert [browser.get(ME).status_code for _ in range(4)] == [200] * 4
        assert browser.get(CARTS, params={"siteCode": "main", "create": "true"}).status_code == 200
        assert browser.post("/auth/logout").status_code == 204
        assert browser.get("/auth/session").json()["kind"] == "none"


def test_an_upload_arrives_complete(front: Front) -> None:
    body = secrets.token_bytes(4 << 20)
    with front.client() as browser:
        assert browser.post("/auth/login", json=ADA).status_code == 200
        report = browser.put(f"/api{CART_ECHO}", content=body).json()
    assert (report["bodyLength"], report["bodySha256"]) == (len(body), hashlib.sha256(body).hexdigest())


def test_the_limit_of_a_body_is_the_proxys_own(front: Front) -> None:
    with front.client() as browser:
        assert browser.post("/auth/login", json=ADA).status_code == 200
        problem(browser.put(f"/api{CART_ECHO}", content=b"x" * (11 << 20)), 413, "body_too_large")


def test_an_answer_arrives_while_it_goes_on(front: Front, sandbox: Sandbox) -> None:
    knob(sandbox, agentStreamEvents=100_000, agentStreamPauseMs=20)
    with front.client() as browser:
        assert browser.post("/auth/login", json=ADA).status_code == 200
        with streamed(browser) as answer:
            arriving = events(answer)
            assert [next(arriving)["index"] for _ in range(3)] == [0, 1, 2]


def test_a_client_cannot_pass_for_another_one(front: Front) -> None:
    """Every new guest names another address; what counts is the one that nginx saw."""
    answers = [new_guest(front, OTHER_CLIENT, f"192.0.2.{number}") for number in range(GUESTS + 1)]
    assert [answer.status_code for answer in answers[:GUESTS]] == [201] * GUESTS
    problem(answers[GUESTS], 429, "too_many_requests")
    assert new_guest(front, THIRD_CLIENT, "192.0.2.0").status_code == 201


def new_guest(front: Front, address: str, claimed: str) -> httpx2.Response:
    """Begin a session from this address, with the claim that it is from another one."""
    with front.client(address) as browser:
        claims = {"X-Forwarded-For": claimed, "Forwarded": f"for={claimed}"}
        return browser.post("/auth/anonymous", headers=claims)


def test_clear_text_leads_to_the_shop_and_not_to_the_proxy(front: Front) -> None:
    with front.client() as browser:
        page = browser.get(f"{front.plain}/shoes?size=40", follow_redirects=False)
        assert (page.status_code, page.headers["location"]) == (308, "https://127.0.0.1/shoes?size=40")
        assert browser.get(f"{front.plain}/api/x", follow_redirects=False).status_code == 403
        assert browser.post(f"{front.plain}/auth/login", json=ADA).status_code == 403


def test_everything_else_is_the_storefronts(front: Front) -> None:
    with front.client() as browser:
        assert {browser.get(path).text for path in ("/", "/shoes", "/livez", "/metrics")} == {"the shop"}


def test_nginx_lets_go_of_a_connection_before_the_proxy_does() -> None:
    for name in ("upstream.conf", "upstream-compose.conf"):
        (seconds,) = re.findall(r"keepalive_timeout (\d+)s;", (SOURCES / name).read_text("utf-8"))
        assert int(seconds) < Http1Connection.quiet_seconds


def test_bff_check_finds_nothing_wrong_with_the_redis(settings: dict[str, str]) -> None:
    checked = command("check", "--live", **settings, BFF_PUBLIC_ORIGIN="https://shop.example")
    assert checked.returncode == 0, checked.stderr
    assert checked.stderr == ""


def test_the_proxys_user_can_wipe_nothing_and_the_default_user_is_off(session_redis: str) -> None:
    with Redis.from_url(session_redis) as client:
        for forbidden in ("FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET *", "GET other:key"):
            with pytest.raises(NoPermissionError):
                client.execute_command(*forbidden.split())
    port = int(session_redis.rpartition(":")[2].partition("/")[0])
    with Redis(port=port) as nobody, pytest.raises(AuthenticationError):
        nobody.ping()


def test_caddy_accepts_its_configuration(tmp_path: Path) -> None:
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("caddy is not installed")
    file = ROOT / "deploy" / "caddy" / "Caddyfile"
    checked = subprocess.run(
        [caddy, "validate", "--adapter", "caddyfile", "--config", file],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SHOP": "shop.example"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Valid configuration" in checked.stdout + checked.stderr, checked.stderr
