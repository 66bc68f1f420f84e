"""Processes of the bench, each on one core where there are two or more."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_START_SECONDS = 15


@contextmanager
def on_core(measured: bool, cores: int = 1) -> Iterator[None]:  # noqa: FBT001 - it says which
    """Begin processes on the measured cores, or on the others, while the block lasts.

    Where the measured ones are all that there are, everything else shares them.
    """
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) < 2:
        yield
        return
    before, theirs = os.sched_getaffinity(0), set(range(cores))
    os.sched_setaffinity(0, theirs if measured else before - theirs or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def started(
    command: Sequence[str], port: int, *, measured: bool, environ: Mapping[str, str] | None = None
) -> Iterator[int]:
    """Run a command until the block ends, and yield its process id once its port answers."""
    with on_core(measured):
        process = subprocess.Popen(
            command,
            env={**os.environ, **(environ or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,  # a proxy that is overrun says so at length
        )
    try:
        _await(process, port)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def _await(process: "subprocess.Popen[bytes]", port: int) -> None:
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r} does not listen on port {port}")


def program(*names: str) -> str | None:
    """Return the path of the first of these programs that is installed."""
    places = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"
    return next((found for name in names if (found := shutil.which(name, path=places))), None)


def nginx_command(folder: Path, http: str) -> list[str]:
    """Write the configuration of an nginx with one worker, and return what runs it."""
    folder.mkdir()
    paths = "\n".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"""{user} daemon off; worker_processes 1; worker_rlimit_nofile 16384;
pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
{paths}
access_log off; keepalive_requests 1000000000; keepalive_timeout 300s; sendfile on; tcp_nopush on;
open_file_cache max=100; server_tokens off;
{http}
}}
""",
        "ascii",
    )
    executable = program("nginx")
    assert executable is not None
    return [executable, "-p", str(folder), "-c", str(folder / "nginx.conf")]
