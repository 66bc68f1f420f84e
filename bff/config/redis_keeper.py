"""Keeps an embedded server running: one that ends by itself is started again, with what is in its file.

The server has its lock (`bff.config.embedded_redis`) for as long as it runs. A thread waits for that lock, whether this
process has started the server or taken over another one's.
"""

import fcntl
import logging
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from bff.config.redis_program import (
    PATIENCE,
    EmbeddedRedisError,
    Server,
    ask,
    launch,
    locate_server,
    terminate,
    unix_url,
)
from bff.telemetry.logs import event

PAUSES: Final = (0.0, 0.5, 2.0, 8.0, 30.0)
"""Seconds before each try to start a server again; after these it is left alone."""

STEADY_SECONDS: Final = 60.0
"""A server that ran for so long starts with all tries before it."""

_log = logging.getLogger(__name__)


class ServerKeeper:
    """The server of one directory, for as long as this process owns it.

    Args:
        home: the directory.
        path: the socket on which the server answers.
        child: the server, where this process has started it; None for one that it has taken over.
    """

    def __init__(self, home: Path, path: Path, child: subprocess.Popen[bytes] | None) -> None:
        self._home = home
        self._path = path
        self._child = child
        self._ending = threading.Event()
        self._turn = threading.Lock()
        self._thread = threading.Thread(target=self._keep, name="embedded redis", daemon=True)
        self._thread.start()

    @classmethod
    def starting(cls, server: Server, home: Path, path: Path, lock: int) -> Self:
        """Start `server` with `lock` handed down, and keep it running.

        Raises:
            EmbeddedRedisError: it does not get to run.
        """
        return cls(home, path, launch(server, home, path, lock))

    def stop(self) -> None:
        """End the server, its data on disk."""
        self._ending.set()
        with self._turn:  # one that is being started has to be there first
            if self._child is not None:
                terminate(self._child)
            else:
                ask(unix_url(self._path), "SHUTDOWN")
        self._thread.join(PATIENCE)

    def _keep(self) -> None:
        tries, began = 0, time.monotonic()
        while True:
            with _free(self._home / "server.lock") as lock:
                if time.monotonic() - began >= STEADY_SECONDS:
                    tries = 0
                if not self._again(lock, tries):
                    return
            tries, began = tries + 1, time.monotonic()

    def _again(self, lock: int, tries: int) -> bool:
        """Start the server again after a pause; return False where it is to stay as it is."""
        if self._ending.is_set():
            return False
        if tries == len(PAUSES):
            event(_log, "embedded_redis_given_up", level=logging.ERROR, reason="it ended too often")
            return False
        event(_log, "embedded_redis_ended", level=logging.WARNING, reason="it was not told to")
        self._ending.wait(PAUSES[tries])
        with self._turn:
            if self._ending.is_set():
                return False
            self._start(lock)
        return True

    def _start(self, lock: int) -> None:
        if self._child is not None:
            terminate(self._child)
        try:
            server = _located()
            self._child = launch(server, self._home, self._path, lock)
        except (EmbeddedRedisError, OSError) as error:
            event(_log, "embedded_redis_not_started", level=logging.ERROR, reason=str(error))
        else:
            event(_log, "embedded_redis_started_again", level=logging.WARNING, outcome=server.kind)


def _located() -> Server:
    """Return the server program; looked for each time, because an upgrade may have put another one there."""
    if server := locate_server():
        return server
    raise EmbeddedRedisError("no server program was found")


@contextmanager
def _free(path: Path) -> Iterator[int]:
    """Wait until nobody has the lock, and take it for the block."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)
