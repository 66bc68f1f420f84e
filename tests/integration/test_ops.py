"""What operators rely on: health, metrics, the end of a process, and the command line."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import httpx2
import pytest

from tests.commands import settings_only
from tests.integration.visitors import (
    CUSTOMER_LOGIN,
    arrived,
    calls,
    eventually,
    fault,
    issued,
    problem,
    seen,
    set_cookies,
)
from tests.live import ADA, LiveProxy, Sandbox, environment, free_port, new_key

_DRAIN = 6


def _bff(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bff", *arguments],
        env=settings_only(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _get(url: str) -> httpx2.Response:
    return httpx2.get(url, trust_env=False, timeout=10)


def _told(url: str) -> tuple[int, str]:
    """Return what a health address says; 0 where nobody listens yet."""
    try:
        answer = _get(url)
    except httpx2.TransportError:
        return 0, ""
    return answer.status_code, answer.text


def test_health_has_fixed_bodies_and_needs_no_proof(proxy: LiveProxy, sandbox: Sandbox) -> None:
    before = seen(sandbox)
    for path, body in (("/livez", "ok"), ("/readyz", "ready")):
        answer = _get(proxy.url + path)
        assert (answer.status_code, answer.text) == (200, body)
        assert not set_cookies(answer)
    assert calls(sandbox, before) == []
    problem(_get(f"{proxy.url}/metrics"), 404, "not_found")


def test_health_does_not_depend_on_upstream(sandbox: Sandbox, redis_url: str) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    with LiveProxy(environment(sandbox, redis_url, BFF_UPSTREAM_URL=nobody)) as proxy:
        assert (_get(f"{proxy.url}/readyz").status_code, _get(f"{proxy.url}/livez").status_code) == (200, 200)
        with proxy.browser() as browser:
            problem(browser.post("/auth/anonymous"), 503, "upstream_unavailable")


def test_a_store_that_is_not_there_makes_the_proxy_not_ready_but_alive(sandbox: Sandbox) -> None:
    nobody = f"redis://127.0.0.1:{free_port()}/0"
    with LiveProxy(environment(sandbox, nobody)) as proxy:
        ready, live = _get(f"{proxy.url}/readyz"), _get(f"{proxy.url}/livez")
        assert (ready.status_code, ready.text, live.status_code, live.text) == (503, "not ready", 200, "ok")
        with proxy.browser() as browser:
            answer = browser.post("/auth/anonymous")
            problem(answer, 503, "store_unavailable")
            assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_admin_port_has_metrics_and_health_and_nothing_else(
    sandbox: Sandbox, redis_url: str, workers: str
) -> None:
    port = free_port()
    settings = environment(sandbox, redis_url, BFF_ADMIN_PORT=str(port))
    with LiveProxy(settings, "--workers", workers) as proxy:
        with proxy.browser() as browser:
            assert browser.post("/auth/anonymous").status_code == 201
            session = issued(browser.post("/auth/login", json=ADA))
        admin = f"http://127.0.0.1:{port}"
        eventually(lambda: _told(f"{admin}/livez") == (200, "ok"))
        assert _told(f"{admin}/readyz") == (200, "ready")
        answer = _get(f"{admin}/metrics")
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/plain")
        samples = [line for line in answer.text.splitlines() if line and not line.startswith("#")]
        assert samples
        assert not [line for line in samples if not line.startswith("bff_")]
        assert re.search(r'^bff_requests_total\{[^}]*"/auth/login"[^}]*\} [1-9]', answer.text, re.MULTILINE)
        assert not [value for value in {*sandbox.secrets(), session, ADA["email"]} if value in answer.text]
        for path in ("/auth/session", "/api/nothing", "/"):
            assert _get(admin + path).status_code == 404
        problem(_get(f"{proxy.url}/metrics"), 404, "not_found")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere loopback has one address only")
@pytest.mark.parametrize(
    ("settings", "own"), [({}, "127.0.0.1"), ({"BFF_ADMIN_HOST": "127.0.0.2"}, "127.0.0.2")]
)
def test_the_admin_port_is_on_loopback_unless_told_otherwise(
    sandbox: Sandbox, redis_url: str, settings: dict[str, str], own: str
) -> None:
    port = free_port()
    environ = environment(sandbox, redis_url, BFF_ADMIN_PORT=str(port), **settings)
    with LiveProxy(environ, "--host", "0.0.0.0"):  # noqa: S104 - that it is not followed
        eventually(lambda: _told(f"http://{own}:{port}/livez") == (200, "ok"))
        for other in {"127.0.0.1", "127.0.0.2", "127.0.0.3"} - {own}:
            assert _told(f"http://{other}:{port}/livez") == (0, "")


WITHOUT_A_TEMPORARY_DIRECTORY = """
import sys, tempfile
tempfile.tempdir = "/nowhere"
from bff.cli.main import main
sys.exit(main(["serve", "--port", "0", "--workers", sys.argv[1]]))
"""


def test_several_workers_without_a_temporary_directory_say_so(sandbox: Sandbox, redis_url: str) -> None:
    settings = environment(sandbox, redis_url, BFF_PUBLIC_ORIGIN="https://shop.example")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_TEMPORARY_DIRECTORY, "2"],
        env=settings_only(settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "bff: several workers need a temporary directory that can be written" in done.stderr
    assert "TMPDIR" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("workers", "group"), [("1", False), ("2", False), ("2", True)])
def test_sigterm_drains_and_ends_well(sandbox: Sandbox, redis_url: str, workers: str, *, group: bool) -> None:
    settings = environment(sandbox, redis_url, BFF_DRAIN_SECONDS=str(_DRAIN))
    with LiveProxy(settings, "--workers", workers, group=True) as proxy:
        assert _get(f"{proxy.url}/readyz").text == "ready"
        (proxy.kill_group if group else proxy.kill)(signal.SIGTERM)
        eventually(lambda: _told(f"{proxy.url}/readyz") == (503, "not ready"))
        if group:  # the supervisor has told its workers once more
            eventually(lambda: "Terminated child process" in proxy.log)
            time.sleep(1)
        with proxy.browser() as browser:
            assert browser.post("/auth/anonymous").status_code == 201
            assert browser.post("/auth/login", json=ADA).status_code == 200
        assert _get(f"{proxy.url}/livez").text == "ok"
        assert proxy.process.wait(60) == 0


def late_login(
    browser: httpx2.Client, pool: ThreadPoolExecutor, sandbox: Sandbox, *, seconds: int
) -> Future[httpx2.Response]:
    """Begin a login that upstream answers late, and return it once upstream has been asked."""
    fault(sandbox, "POST /customer/", "delay", delay=seconds, times=1)
    before = seen(sandbox)
    login = pool.submit(browser.post, "/auth/login", json=ADA)
    arrived(sandbox, before, CUSTOMER_LOGIN)
    return login


def test_a_request_that_runs_is_finished_before_the_end(sandbox: Sandbox, redis_url: str) -> None:
    with (
        LiveProxy(environment(sandbox, redis_url)) as proxy,
        proxy.browser() as browser,
        ThreadPoolExecutor(1) as pool,
    ):
        login = late_login(browser, pool, sandbox, seconds=2)
        proxy.kill(signal.SIGTERM)
        answer = login.result()
        assert (answer.status_code, answer.json()["kind"]) == (200, "customer")
        assert proxy.process.wait(60) == 0


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["one", "two"])
def test_everything_from_sigterm_to_the_end_fits_into_the_grace(
    sandbox: Sandbox, redis_url: str, workers: tuple[str, ...]
) -> None:
    settings = environment(sandbox, redis_url, BFF_DRAIN_SECONDS="300", BFF_GRACE_SECONDS="2")
    with (
        LiveProxy(settings, *workers) as proxy,
        proxy.browser() as browser,
        ThreadPoolExecutor(1) as pool,
    ):
        login = late_login(browser, pool, sandbox, seconds=120)
        proxy.kill(signal.SIGTERM)
        assert proxy.process.wait(60) == 0
        problem(login.result(), 503, "upstream_unavailable")
        assert login.result().headers["retry-after"] == "1"


def test_check_accepts_a_whole_configuration(sandbox: Sandbox, redis_url: str) -> None:
    settings = environment(sandbox, redis_url, BFF_PUBLIC_ORIGIN="https://shop.example")
    done = _bff("check", **settings)
    assert done.returncode == 0, done.stderr
    key = settings["BFF_KEYS"].partition(":")[2]
    assert key not in done.stdout + done.stderr


def test_check_warns_of_a_page_whose_cookie_would_be_dropped(sandbox: Sandbox, redis_url: str) -> None:
    settings = {"BFF_PUBLIC_ORIGIN": "http://127.0.0.1:8080", "BFF_ALLOWED_ORIGINS": "http://localhost:3000"}
    done = _bff("check", **environment(sandbox, redis_url, **settings))
    assert done.returncode == 0
    assert "WARNING: BFF_ALLOWED_ORIGINS: http://localhost:3000 is on another site" in done.stderr


def test_check_says_every_mistake_at_once_and_no_secret(sandbox: Sandbox) -> None:
    secret = new_key().partition(":")[2]
    done = _bff(
        "check",
        BFF_TENANT="NOT A TENANT",
        BFF_KEYS=f"k1:{secret}X",
        BFF_PUBLIC_ORIGIN="http://shop.example",
        BFF_ALLOWED_ORIGINS="*",
        BFF_REDIS_URL="nothing://user:sesame@host",
        BFF_LOGIN_RATE="often",
        BFF_NO_SUCH_THING="1",
    )
    said = done.stdout + done.stderr
    assert done.returncode == 2
    for name in (
        "TENANT",
        "CLIENT_ID",
        "KEYS",
        "PUBLIC_ORIGIN",
        "ALLOWED_ORIGINS",
        "REDIS_URL",
        "LOGIN_RATE",
    ):
        assert f"BFF_{name}" in said
    assert "BFF_NO_SUCH_THING" in said
    assert secret not in said
    assert "sesame" not in said


def test_check_reads_the_operators_routes_too(sandbox: Sandbox, redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "routes.toml"
    file.write_text('[routes]\n"GET /site/{tenant}/sites" = "everybody"\n')
    settings = {"BFF_PUBLIC_ORIGIN": "https://shop.example", "BFF_ROUTES_FILE": str(file)}
    done = _bff("check", **environment(sandbox, redis_url, **settings))
    assert done.returncode == 2
    assert 'BFF_ROUTES_FILE: "GET /site/{tenant}/sites"' in done.stderr


def test_a_wrong_configuration_does_not_start() -> None:
    done = _bff("serve", "--port", str(free_port()))
    assert done.returncode == 2
    assert {"BFF_TENANT", "BFF_CLIENT_ID", "BFF_KEYS", "BFF_PUBLIC_ORIGIN"} <= set(
        re.findall(r"BFF_[A-Z_]+", done.stderr)
    )


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("taken", "setting"),
    [("public", "--port"), ("admin", "BFF_ADMIN_PORT"), ("by the other", "BFF_ADMIN_PORT")],
)
def test_a_port_that_is_taken_is_a_failed_start(
    sandbox: Sandbox, redis_url: str, taken: str, setting: str, workers: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports = {"public": free_port(), "admin": free_port()}
        ports |= {"admin": ports["public"]} if taken == "by the other" else {taken: other.getsockname()[1]}
        origin = f"http://127.0.0.1:{ports['public']}"
        settings = environment(
            sandbox, redis_url, BFF_PUBLIC_ORIGIN=origin, BFF_ADMIN_PORT=str(ports["admin"])
        )
        done = _bff("serve", "--port", str(ports["public"]), "--workers", workers, **settings)
    assert done.returncode == 3, done.stderr
    assert f"port {ports['public' if setting == '--port' else 'admin']} of " in done.stderr
    assert f": {setting} takes another" in done.stderr


def test_new_keys_are_fresh_and_fit(sandbox: Sandbox, redis_url: str) -> None:
    made = [_bff("keys", "new") for _ in range(2)]
    assert [one.returncode for one in made] == [0, 0]
    keys = [one.stdout.strip() for one in made]
    assert keys[0] != keys[1]
    assert all(re.fullmatch(r"[^:\s]+:[A-Za-z0-9_-]{43}=?", key) for key in keys)
    settings = environment(sandbox, redis_url, BFF_KEYS=",".join(keys))
    assert _bff("check", **settings, BFF_PUBLIC_ORIGIN="https://shop.example").returncode == 0
    with LiveProxy(settings) as proxy, proxy.browser() as browser:
        assert browser.post("/auth/anonymous").status_code == 201


@pytest.mark.parametrize(
    ("level", "requests", "probes"), [("warning", 0, 0), ("info", 2, 0), ("debug", 2, 1)]
)
def test_the_log_level_is_obeyed_but_for_the_audit_trail(
    sandbox: Sandbox, redis_url: str, level: str, requests: int, probes: int
) -> None:
    with LiveProxy(environment(sandbox, redis_url, BFF_LOG_LEVEL=level)) as proxy:
        with proxy.browser() as browser:
            browser.post("/auth/anonymous")
            issued(browser.post("/auth/login", json=ADA))
        _get(f"{proxy.url}/livez")
        with proxy.browser() as browser:  # what comes last: all lines before it are written then
            browser.post("/auth/login", json=ADA | {"password": "wrong-password"})
        eventually(lambda: "login_failed" in proxy.log)
        log = proxy.log.partition("login_failed")[0]
    lines = [json.loads(line) for line in log.splitlines()[:-1] if line.startswith("{")]
    routes = [line["route"] for line in lines if line["event"] == "request"]
    assert len([one for one in routes if one.startswith("/auth")]) == requests
    assert ("/livez" in routes) is bool(probes)
    assert [line["event"] for line in lines if line["logger"] == "bff.audit"] == ["login"]
    assert ADA["email"] not in log
