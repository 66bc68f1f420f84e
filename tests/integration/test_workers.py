"""Several workers that cannot start: real processes, and exit code 3. And workers whose supervisor is killed."""

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest

from bff.server.listening import listening
from tests.commands import settings_only
from tests.integration.visitors import eventually
from tests.live import LiveProxy, Sandbox, environment, free_port

ROOT = Path(__file__).parents[2]
SUPERVISE = """
import sys
from bff.server.listening import listening
from bff.server.process import configured
from bff.server.workers import supervise
with listening("127.0.0.1", 0) as listener:
    sys.exit({True: 0, False: 3}[supervise(configured("broken:app", workers=2), listener)])
"""
REFUSES = """
async def app(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "out of order"})
"""
# The first worker that looks serves; the other one finds its file and refuses.
ONE_REFUSES = """
from pathlib import Path

async def app(scope, receive, send):
    await receive()
    try:
        Path("serving").touch(exist_ok=False)
    except FileExistsError:
        await send({"type": "lifespan.startup.failed", "message": "out of order"})
    else:
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
"""


def supervised(folder: Path, application: str) -> subprocess.CompletedProcess[str]:
    (folder / "broken.py").write_text(application, "utf-8")
    return subprocess.run(
        [sys.executable, "-c", SUPERVISE],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": f"{folder}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("application", "said"),
    [
        pytest.param(REFUSES, "out of order", id="startup fails"),
        pytest.param(ONE_REFUSES, "out of order", id="startup of one fails"),
        pytest.param("raise RuntimeError('out of order')", "out of order", id="import fails"),
        pytest.param("", "Error loading ASGI app", id="there is no application"),
    ],
)
def test_workers_that_cannot_start_are_a_failed_start(tmp_path: Path, application: str, said: str) -> None:
    ended = supervised(tmp_path, application)
    assert ended.returncode == 3, ended.stderr
    assert said in ended.stderr


def test_bff_serve_ends_with_3_where_its_workers_cannot_start(sandbox: Sandbox, redis_url: str) -> None:
    """Keys that can be read once only are there for the command, and no more for its workers."""
    port = free_port()
    settings = environment(sandbox, redis_url, BFF_PUBLIC_ORIGIN=f"http://127.0.0.1:{port}")
    keys = settings.pop("BFF_KEYS")
    ended = subprocess.run(
        [sys.executable, "-m", "bff", "serve", "--port", str(port), "--workers", "2"],
        env=settings_only(settings | {"BFF_KEYS_FILE": "/dev/stdin"}),
        input=keys,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ended.returncode == 3, ended.stderr
    assert "ConfigurationError" in ended.stderr
    assert keys not in ended.stderr


def free(port: int) -> bool:
    with suppress(OSError), listening("127.0.0.1", port):
        return True
    return False


def test_workers_end_with_a_supervisor_that_is_killed(sandbox: Sandbox, redis_url: str) -> None:
    environ = environment(sandbox, redis_url)
    with LiveProxy(environ, "--workers", "2", group=True) as proxy:
        try:
            proxy.stop(signal.SIGKILL)
            eventually(lambda: free(proxy.port))
        finally:
            with suppress(ProcessLookupError):
                proxy.kill_group(signal.SIGKILL)
        with LiveProxy(environ, "--workers", "2", port=proxy.port) as again, again.browser() as browser:
            assert browser.post("/auth/anonymous").status_code == 201


def metrics(port: int) -> dict[str, float]:
    """Return every sample; nothing where nobody listens yet."""
    try:
        text = httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False, timeout=10).text
    except httpx2.TransportError:
        return {}
    rows = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in rows}


def guests_begun(samples: dict[str, float]) -> float:
    """Return how many requests have begun a guest, as the requests are counted."""
    return sum(
        value
        for name, value in samples.items()
        if name.startswith("bff_requests_total{") and 'route="/auth/anonymous"' in name
    )


def pids(samples: dict[str, float]) -> set[int]:
    found = [re.fullmatch(r'bff_process_cpu_seconds\{pid="(\d+)"\}', name) for name in samples]
    return {int(one[1]) for one in found if one}


def test_a_worker_that_died_is_in_no_metric_any_more(sandbox: Sandbox, redis_url: str) -> None:
    port = free_port()
    environ = environment(sandbox, redis_url, BFF_ADMIN_PORT=str(port))
    with LiveProxy(environ, "--workers", "2") as proxy:
        eventually(lambda: metrics(port).get("bff_workers") == 2)
        with proxy.browser() as browser:
            assert browser.post("/auth/anonymous").status_code == 201
        eventually(lambda: guests_begun(metrics(port)) == 1)
        before = metrics(port)
        assert len(pids(before)) == 2
        assert [value for name, value in before.items() if name.startswith("bff_build_info{")] == [1]
        kid = environ["BFF_KEYS"].partition(":")[0]
        assert before[f'bff_key_place{{kid="{kid}"}}'] == 1
        killed = min(pids(before))
        os.kill(killed, signal.SIGKILL)
        eventually(lambda: killed not in pids(metrics(port)) and metrics(port).get("bff_workers") == 2)
        assert len(pids(metrics(port))) == 2
        had = {name: value for name, value in before.items() if name.startswith("bff_requests_total{")}
        has = metrics(port)
        assert all(has.get(name, 0) >= value for name, value in had.items()), "what it had counted is lost"
        assert guests_begun(has) == 1


def test_a_worker_that_ends_leaves_all_that_it_has_counted(sandbox: Sandbox, redis_url: str) -> None:
    asked, port = 12, free_port()
    environ = environment(sandbox, redis_url, BFF_ADMIN_PORT=str(port))
    with LiveProxy(environ, "--workers", "2") as proxy:
        eventually(lambda: metrics(port).get("bff_workers") == 2)
        for _ in range(asked):  # each on a connection of its own
            assert httpx2.get(f"{proxy.url}/nothing/here", trust_env=False).status_code == 404
        os.kill(min(pids(metrics(port))), signal.SIGTERM)
        eventually(lambda: sum(counted(metrics(port), "not_found")) == asked)


def counted(samples: dict[str, float], code: str) -> list[float]:
    """Return how many requests ended with this error."""
    named = {name: value for name, value in samples.items() if name.startswith("bff_requests_total{")}
    return [value for name, value in named.items() if f'code="{code}"' in name]


COUNT_AND_END = """
import sys
from bff.telemetry.metrics import requests_of
requests_of("GET /x", "GET", 200, "none", "none", "api").add(0.1)
sys.exit(3)
"""
READ = """
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry()
MultiProcessCollector(registry)
labels = {"route": "GET /x", "method": "GET", "status": "200", "code": "none", "fault": "none"}
print(registry.get_sample_value("bff_requests_total", labels))
print(registry.get_sample_value("bff_route_seconds_bucket", {"route": "GET /x", "le": "0.1"}))
"""


def test_counts_are_told_to_the_very_end_of_a_process(tmp_path: Path) -> None:
    environ = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    ended = subprocess.run([sys.executable, "-c", COUNT_AND_END], cwd=ROOT, env=environ, check=False)
    assert ended.returncode == 3
    read = subprocess.run([sys.executable, "-c", READ], env=environ, check=True, capture_output=True)
    assert read.stdout.split() == [b"1.0", b"1.0"]
