"""Routes are opened and closed while the proxy runs: real processes, told by SIGHUP or by the changed file alone."""

import signal
from pathlib import Path

import pytest

from tests.integration.visitors import eventually, problem
from tests.live import TENANT, LiveProxy, Sandbox, environment

SITES = f"/api/site/{TENANT}/sites"
OFF = '[routes]\n"GET /site/{tenant}/sites" = "off"\n'
ON = "[routes]\n"


@pytest.fixture
def routes(tmp_path: Path) -> Path:
    path = tmp_path / "routes.toml"
    path.write_text(ON)
    return path


def children(proxy: LiveProxy) -> str:
    pid = proxy.process.pid
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return path.read_text() if path.exists() else "nobody tells"


def told(proxy: LiveProxy, event: str, outcome: str | None = None) -> int:
    return sum(line.get("event") == event and line.get("outcome") == outcome for line in proxy.log_lines())


def status(proxy: LiveProxy) -> set[int]:
    """Ask on connections of their own: of several workers any may answer."""
    found = set()
    for _ in range(6):
        with proxy.browser() as browser:
            found.add(browser.get(SITES).status_code)
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_routes_are_closed_and_opened_by_a_signal_and_no_worker_is_replaced(
    sandbox: Sandbox, redis_url: str, routes: Path, workers: int
) -> None:
    arguments = ("--workers", str(workers)) if workers > 1 else ()
    with LiveProxy(environment(sandbox, redis_url, BFF_ROUTES_FILE=str(routes)), *arguments) as proxy:
        assert status(proxy) == {200}
        before = children(proxy)
        for count, (text, expected) in enumerate([(OFF, 403), (ON, 200)], start=1):
            routes.write_text(text)
            proxy.kill(signal.SIGHUP)
            eventually(lambda count=count: told(proxy, "routes_reloaded", "replaced") == count * workers)  # type: ignore[misc]
            assert status(proxy) == {expected}
        assert children(proxy) == before
        assert proxy.stop(signal.SIGTERM) == 0


def test_a_wrong_file_leaves_the_routes_and_its_line_is_named(
    sandbox: Sandbox, redis_url: str, routes: Path
) -> None:
    routes.write_text(OFF)
    with LiveProxy(environment(sandbox, redis_url, BFF_ROUTES_FILE=str(routes))) as proxy:
        routes.write_text("[routes]\nGET /site/{tenant}/sites = on\n")
        proxy.kill(signal.SIGHUP)
        eventually(lambda: told(proxy, "routes_not_reloaded") == 1)
        (line,) = [line for line in proxy.log_lines() if line["event"] == "routes_not_reloaded"]
        assert line["level"] == "error"
        assert line["reason"].startswith("BFF_ROUTES_FILE: line 2, GET /site/{tenant}/sites = on")
        with proxy.browser() as browser:
            problem(browser.get(SITES), 403, "route_not_allowed")
        routes.write_text(ON)  # noticed without a signal
        eventually(lambda: told(proxy, "routes_reloaded", "replaced") == 1)
        assert status(proxy) == {200}
