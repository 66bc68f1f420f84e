"""Keys are rotated while the proxy runs: real processes, told by SIGHUP or by nothing but the changed file."""

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.integration.visitors import carrying, customer, eventually
from tests.live import LiveProxy, Sandbox, environment, free_port, new_key
from tests.resilience.outages import OwnRedis


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return tmp_path / "keys"


@contextmanager
def running(sandbox: Sandbox, redis_url: str, keys: Path, *arguments: str) -> Iterator[LiveProxy]:
    settings = environment(
        sandbox, redis_url, BFF_KEYS_FILE=str(keys), BFF_ADMIN_PORT=str(free_port()), BFF_SESSION_CACHE="32"
    )
    del settings["BFF_KEYS"]
    with LiveProxy(settings, *arguments) as proxy:
        yield proxy


def write(keys: Path, *entries: str) -> None:
    """Put another file in the place of this one, as a careful deployment does."""
    other = keys.with_suffix(".new")
    other.write_text(",".join(entries))
    other.replace(keys)


def reloads(proxy: LiveProxy, event: str = "keys_reloaded", outcome: str | None = "replaced") -> int:
    return sum(line.get("event") == event and line.get("outcome") == outcome for line in proxy.log_lines())


def kind(proxy: LiveProxy, cookie: str) -> str:
    """Ask on a connection of its own: of several workers any may answer."""
    with carrying(proxy, cookie) as browser:
        return str(browser.get("/auth/session?slide=false").json()["kind"])


def opened(proxy: LiveProxy, key: str) -> float:
    port = proxy.environ["BFF_ADMIN_PORT"]
    text = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text
    found = re.search(rf'^bff_keys_opened_total{{key="{key}"}} (\S+)', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("workers", [1, 2])
def test_keys_are_rotated_in_two_steps_while_the_proxy_runs(
    sandbox: Sandbox, redis_url: str, keys: Path, workers: int
) -> None:
    old, new = new_key(), new_key()
    write(keys, old)
    arguments = ("--workers", str(workers)) if workers > 1 else ()
    with running(sandbox, redis_url, keys, *arguments) as proxy:
        with customer(proxy) as browser:
            before = browser.cookies["bff"]
        for step, entries in enumerate([(old, new), (new, old)], start=1):
            write(keys, *entries)
            proxy.kill(signal.SIGHUP)
            eventually(lambda step=step: reloads(proxy) == step * workers)  # type: ignore[misc]
            assert {kind(proxy, before) for _ in range(6)} == {"customer"}
        with customer(proxy) as browser:
            after = browser.cookies["bff"]
        eventually(lambda: opened(proxy, "older") >= 6)
        older = opened(proxy, "older")
        assert kind(proxy, after) == "customer"
        assert opened(proxy, "older") == older
        write(keys, new)
        proxy.kill(signal.SIGHUP)
        eventually(lambda: reloads(proxy) == 3 * workers)
        assert {kind(proxy, before) for _ in range(6)} == {"none"}
        assert {kind(proxy, after) for _ in range(6)} == {"customer"}
        assert proxy.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_changed_file_is_noticed_without_a_signal(
    sandbox: Sandbox, redis_url: str, keys: Path, workers: int
) -> None:
    write(keys, new_key())
    arguments = ("--workers", str(workers)) if workers > 1 else ()
    with running(sandbox, redis_url, keys, *arguments) as proxy:
        with customer(proxy) as browser:
            cookie = browser.cookies["bff"]
        write(keys, new_key())
        eventually(lambda: reloads(proxy) == workers)
        assert {kind(proxy, cookie) for _ in range(4)} == {"none"}


def test_wrong_keys_leave_the_old_ones_in_place_and_are_reported_once(
    sandbox: Sandbox, redis_url: str, keys: Path
) -> None:
    old = new_key()
    write(keys, old)
    with running(sandbox, redis_url, keys) as proxy:
        with customer(proxy) as browser:
            cookie = browser.cookies["bff"]
        write(keys, f"{old},broken-{old}")
        proxy.kill(signal.SIGHUP)
        eventually(lambda: reloads(proxy, "keys_not_reloaded", None) == 1)
        assert kind(proxy, cookie) == "customer"
        write(keys, new_key(), old)
        eventually(lambda: reloads(proxy) == 1)
        assert kind(proxy, cookie) == "customer"
        (report,) = [line for line in proxy.log_lines() if line["event"] == "keys_not_reloaded"]
        assert report["level"] == "error"
        assert report["reason"].startswith("BFF_KEYS_FILE: ")
        assert old.partition(":")[2] not in proxy.log


@pytest.mark.parametrize("workers", [1, 2])
def test_the_password_of_redis_is_rotated_while_the_proxy_runs(
    sandbox: Sandbox, tmp_path: Path, workers: int
) -> None:
    url = tmp_path / "url"
    store = OwnRedis(tmp_path / "redis")
    with store.client() as admin:

        def allow(password: str) -> None:
            admin.execute_command(
                "ACL", "SETUSER", "proxy", "on", "resetpass", f">{password}", "+@all", "~*", "&*"
            )

        allow("one")
        path = urlsplit(store.url).path
        url.write_text(f"unix://proxy:one@{path}")
        settings = environment(sandbox, store.url, BFF_REDIS_URL_FILE=str(url), BFF_SESSION_CACHE="32")
        del settings["BFF_REDIS_URL"]
        arguments = ("--workers", str(workers)) if workers > 1 else ()
        with LiveProxy(settings, *arguments) as proxy:
            with customer(proxy) as browser:
                cookie = browser.cookies["bff"]
            url.write_text(f"unix://proxy:two@{path}")  # before Redis knows of it
            eventually(lambda: reloads(proxy, "redis_url_not_reloaded", None) == workers)
            assert kind(proxy, cookie) == "customer"
            allow("two")
            eventually(lambda: reloads(proxy, "redis_url_reloaded", None) == workers)
            admin.execute_command("CLIENT", "KILL", "USER", "proxy")
            assert {kind(proxy, cookie) for _ in range(6)} == {"customer"}
            assert reloads(proxy, "redis_url_not_reloaded", None) == workers
            assert "proxy:" not in proxy.log
            assert proxy.stop(signal.SIGTERM) == 0
    store.stop()


def test_a_redis_url_that_is_none_leaves_the_old_one_in_place(
    sandbox: Sandbox, redis_url: str, tmp_path: Path
) -> None:
    url = tmp_path / "url"
    url.write_text(redis_url)
    settings = environment(sandbox, redis_url, BFF_REDIS_URL_FILE=str(url))
    del settings["BFF_REDIS_URL"]
    with LiveProxy(settings) as proxy:
        with customer(proxy) as browser:
            cookie = browser.cookies["bff"]
        url.write_text("redis:/127.0.0.1")
        eventually(lambda: reloads(proxy, "keys_not_reloaded", None) == 1)
        (report,) = [line for line in proxy.log_lines() if line["event"] == "keys_not_reloaded"]
        assert report["reason"].startswith("BFF_REDIS_URL_FILE: ")
        assert kind(proxy, cookie) == "customer"


def test_keys_in_the_environment_outlast_a_signal(sandbox: Sandbox, redis_url: str) -> None:
    with LiveProxy(environment(sandbox, redis_url)) as proxy:
        with customer(proxy) as browser:
            cookie = browser.cookies["bff"]
        os.kill(proxy.process.pid, signal.SIGHUP)
        eventually(lambda: reloads(proxy, outcome="same") == 1)
        assert kind(proxy, cookie) == "customer"
