"""Several worker processes on one listener, and the supervisor that begins, tells and replaces them."""

import logging
import os
import signal
import socket
import sys
from multiprocessing.connection import wait

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from bff.server.listening import let_nobody_in
from bff.server.process import HANG_UP, ProxyConfig, ProxyServer
from bff.telemetry.process import note_end_of

_log = logging.getLogger(__name__)


class _Worker(multiprocess.Process):
    """A worker process that serves as a single one does."""

    @property
    def server(self) -> uvicorn.Server:
        if self._server is None:
            assert isinstance(self.config, ProxyConfig)
            self._server = ProxyServer(self.config)
        return self._server

    def start(self) -> None:
        """Start it with SIGHUP held back until it takes it: before that, the signal would end it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, HANG_UP)
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HANG_UP)

    def target(self, sockets: list[socket.socket] | None = None) -> None:
        """Serve; an application that cannot be loaded fails the start, where uvicorn would try again for ever."""
        try:
            super().target(sockets)
        except Exception:
            if self.server.started:
                raise
            _log.exception("the application cannot be loaded")
            sys.exit(STARTUP_FAILURE)


class _Supervisor(multiprocess.Multiprocess):
    """Passes SIGHUP on to its workers, where uvicorn would replace them, and ends the listener that they share.

    Args:
        config: what the workers serve.
        listener: the one that they share.
        word: the other end of `config.nobody_comes`.
    """

    def __init__(self, config: ProxyConfig, listener: socket.socket, word: socket.socket) -> None:
        super().__init__(config, sockets=[listener])
        self._drain_seconds = config.drain_seconds
        self._handed_over = config.handed_over
        self._word = word

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died; their last reports no longer count."""
        before = {worker.pid for worker in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {worker.pid for worker in self.processes}:
            assert pid is not None
            note_end_of(pid)

    def handle_hup(self) -> None:
        """Let every worker reload."""
        for worker in self.processes:
            if worker.pid is not None and worker.exitcode is None:
                os.kill(worker.pid, signal.SIGHUP)

    def join_all(self) -> None:
        """Let nobody in once the drain is over or a worker has ended; a listener left open here would collect more."""
        wait([worker.process.sentinel for worker in self.processes], self._drain_seconds)
        for listener in self.sockets:
            if not self._handed_over:
                let_nobody_in(listener)
            listener.close()
        self._word.close()
        super().join_all()


def supervise(config: ProxyConfig, listener: socket.socket) -> bool:
    """Run `config.workers` processes on one listener until a signal ends them; one that dies is replaced.

    Returns False where it was no signal but a worker that did not get as far as serving.
    """
    # The supervisor has no other way to be told which kind of process it is to start.
    multiprocess.Process = _Worker  # type: ignore[misc]
    word, config.nobody_comes = socket.socketpair()
    with word, config.nobody_comes:
        supervisor = _Supervisor(config, listener, word)
        supervisor.run()
    return all(worker.exitcode != STARTUP_FAILURE for worker in supervisor.processes)
