"""An embedded Redis that is killed is started again, and with it what was in its file. Real servers, real processes."""

import logging
import os
import signal
from pathlib import Path

import pytest
import redis

from bff.config import redis_keeper
from bff.config.embedded_redis import EmbeddedRedis, locate_server
from tests.integration.test_embedded import child, get, home, install, is_running, pid_of, put, start
from tests.integration.visitors import carrying, customer, eventually
from tests.live import LiveProxy, Sandbox, environment

__all__ = ["home", "start"]
pytestmark = pytest.mark.skipif(locate_server() is None, reason="an imitation ends with its process only")


def answering(server: EmbeddedRedis, *, other_than: int) -> bool:
    """Return whether another process serves now."""
    try:
        return pid_of(server) != other_than
    except redis.ConnectionError:
        return False


def killed(server: EmbeddedRedis) -> int:
    pid = pid_of(server)
    os.kill(pid, signal.SIGKILL)
    return pid


def logged(caplog: pytest.LogCaptureFixture, name: str) -> int:
    return sum(record.getMessage() == name for record in caplog.records)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_keeper, "PAUSES", (0.0,) * 3)


def test_a_killed_server_runs_again_with_its_keys(home: Path, caplog: pytest.LogCaptureFixture) -> None:
    with EmbeddedRedis.start(home) as server:
        put(server, "session", "sealed")
        for times in (1, 2):
            before = killed(server)
            eventually(lambda before=before: answering(server, other_than=before))  # type: ignore[misc]
            assert get(server, "session") == "sealed"
            assert logged(caplog, "embedded_redis_ended") == times
            eventually(lambda times=times: logged(caplog, "embedded_redis_started_again") == times)  # type: ignore[misc]
        last = pid_of(server)
    assert not is_running(last)
    assert not (home / "redis.sock").exists()


def test_others_are_still_attached_to_it(home: Path) -> None:
    with EmbeddedRedis.start(home) as server, EmbeddedRedis.start(home) as attached:
        before = killed(server)
        eventually(lambda: answering(attached, other_than=before))
        assert attached.url == server.url
        with EmbeddedRedis.start(home) as late:
            assert late.kind == "attached"


def test_a_server_that_was_taken_over_is_started_again_too(home: Path) -> None:
    assert child(home, "os.kill(os.getpid(), signal.SIGKILL)").returncode == -signal.SIGKILL
    with EmbeddedRedis.start(home) as server:
        assert server.kind == "adopted"
        put(server, "session", "sealed")
        before = killed(server)
        eventually(lambda: answering(server, other_than=before))
        assert get(server, "session") == "sealed"
        last = pid_of(server)
    assert not is_running(last)


@pytest.mark.usefixtures("no_pauses")
def test_a_server_that_ends_again_and_again_is_given_up(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken = 'case "$1" in --version) echo v=1;; *) echo "no space left" >&2; exit 1;; esac'
    with EmbeddedRedis.start(home) as server:
        put(server, "session", "sealed")
        install(tmp_path / "bin", "redis-server", broken)
        monkeypatch.setenv("PATH", str(tmp_path / "bin"))
        killed(server)
        eventually(lambda: logged(caplog, "embedded_redis_given_up") == 1)
        assert logged(caplog, "embedded_redis_not_started") == 3
    reasons = {getattr(record, "fields", {}).get("reason") for record in caplog.records}
    assert "redis-server 1 did not start: no space left" in reasons
    assert all(record.levelno >= logging.WARNING for record in caplog.records)
    monkeypatch.undo()
    with EmbeddedRedis.start(home) as server:
        assert get(server, "session") == "sealed"


def test_an_end_that_comes_in_a_pause_starts_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(redis_keeper, "PAUSES", (600.0,))
    with EmbeddedRedis.start(home) as server:
        killed(server)
        eventually(lambda: logged(caplog, "embedded_redis_ended") == 1)
    assert logged(caplog, "embedded_redis_started_again") == 0
    monkeypatch.undo()
    with EmbeddedRedis.start(home) as server:
        assert server.kind not in {"adopted", "attached"}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_proxy_whose_redis_is_killed_serves_the_same_sessions_again(
    sandbox: Sandbox, tmp_path: Path, workers: int
) -> None:
    store = tmp_path / "redis"
    arguments = ("--workers", str(workers)) if workers > 1 else ()
    with (
        LiveProxy(environment(sandbox, f"embedded:{store}"), *arguments) as proxy,
        customer(proxy) as browser,
        redis.Redis(unix_socket_path=str(store / "redis.sock")) as client,
    ):
        cookie = browser.cookies["bff"]
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
        eventually(lambda: "embedded_redis_started_again" in proxy.log)
        with carrying(proxy, cookie) as again:
            eventually(lambda: again.get("/auth/session").status_code == 200)
            assert again.get("/auth/session").json()["kind"] == "customer"
        assert proxy.stop(signal.SIGTERM) == 0
    assert not (store / "redis.sock").exists()
