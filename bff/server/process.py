"""uvicorn, as this proxy runs it: late clients swept, a drain before the end, exit code 0 after a signal."""

import asyncio
import logging
import math
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing import parent_process
from types import FrameType
from typing import Any, ClassVar, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import multiprocess

from bff.server.connections import ConnectionLimit
from bff.server.http1 import Http1Connection
from bff.telemetry.process import note_end_of, note_load, note_start, note_usage

_BACKLOG: Final = 512
"""How many connections are accepted at once, before any of them is counted."""
_GRACE_SECONDS: Final = 30
_TICKS_A_SECOND: Final = 10
_USAGE_SECONDS: Final = 5
_HANG_UP: Final = {signal.SIGHUP}
_log = logging.getLogger(__name__)


class Draining:
    """Whether this process has been told to end; set once, by the server, and read by `/readyz`."""

    def __init__(self) -> None:
        self.begun = False

    def __call__(self) -> bool:
        return self.begun


DRAINING: Final = Draining()


class ProxyConfig(uvicorn.Config):
    """uvicorn's configuration, and what a worker process has to know besides.

    Attributes:
        drain_seconds: how long to keep serving after SIGTERM; SIGINT ends it at once, and so does a second SIGTERM
            where there is one worker only.
        secure: whether browsers come over https.
        admin: the second listener, for the application's `admin()`; of several workers each has it, and every
            worker's share of the metrics.
        connections: how many connections clients may have in this process; None: any number.
        reloads: whether the application has a `reload`, which SIGHUP asks for and which looks by itself each second.
    """

    drain_seconds: float = 0.0
    secure: bool = False
    reloads: bool = False
    connections: ConnectionLimit | None = None
    admin: socket.socket | None = None


class SweepingServer(uvicorn.Server):
    """Ends the connections of clients that are late, see `Http1Connection`.

    Attributes:
        sweep_seconds: how long from one look at the connections to the next.
    """

    sweep_seconds: ClassVar[float] = 1.0

    async def on_tick(self, counter: int) -> bool:
        """Sweep now and then, and otherwise do as uvicorn does."""
        if counter % round(self.sweep_seconds * _TICKS_A_SECOND) == 0:
            self._sweep()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Go on sweeping while the last requests are waited for, or one late client makes it the whole grace."""
        sweeping = asyncio.get_running_loop().create_task(self._keep_sweeping())
        try:
            await super().shutdown(sockets)
        finally:
            sweeping.cancel()

    async def _keep_sweeping(self) -> None:
        while True:
            await asyncio.sleep(self.sweep_seconds)
            self._sweep()

    def _sweep(self) -> None:
        for connection in tuple(self.server_state.connections):
            assert isinstance(connection, Http1Connection)
            connection.sweep()


class ProxyServer(SweepingServer):
    """Keeps serving for a while after SIGTERM, not ready, so that nobody is sent here any more."""

    def __init__(self, config: ProxyConfig) -> None:
        super().__init__(config)
        self._drain_seconds = config.drain_seconds
        self._admin = config.admin
        self._until: float | None = None
        self._ending = ExitStack()
        self._reloads = config.reloads
        self._hung_up = False

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take SIGHUP too, where that means to reload."""
        if not self._reloads:
            with super().capture_signals():
                yield
            return
        before = signal.signal(signal.SIGHUP, self._hang_up)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANG_UP)
        try:
            with super().capture_signals():
                yield
        finally:
            signal.signal(signal.SIGHUP, before)

    def _hang_up(self, _sig: int, _frame: FrameType | None) -> None:
        self._hung_up = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, on the admin port too."""
        await super().startup(sockets)
        note_start()
        if self._admin is not None and not self.should_exit:
            self._ending.enter_context(self._admin)
            self._ending.enter_context(in_background(self.config.loaded_app.admin(), self._admin))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, on the admin port too."""
        await super().shutdown(sockets)
        self._ending.close()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Take a signal; it is not raised again at the end, because it was obeyed.

        Of several workers each has SIGTERM twice where the whole group is told (systemd): once from its supervisor.
        """
        again = DRAINING.begun
        if sig != signal.SIGTERM or (again and self.config.workers == 1):
            self.should_exit = True
        if not again:
            DRAINING.begun = True
            self._until = time.monotonic() + self._drain_seconds

    async def on_tick(self, counter: int) -> bool:
        """End when the drain is over, and at once where the supervisor was killed: its restart needs the port."""
        over = self._until is not None and time.monotonic() >= self._until
        if over or _orphaned():
            self.should_exit = True
        if counter % _TICKS_A_SECOND == 0:
            note_load(len(self.server_state.tasks), len(self.server_state.connections))
        if counter % (_USAGE_SECONDS * _TICKS_A_SECOND) == 0:
            note_usage()
        if self._reloads and (self._hung_up or counter % _TICKS_A_SECOND == 0):
            asked, self._hung_up = self._hung_up, False
            self.config.loaded_app.reload(asked=asked)
        return await super().on_tick(counter)


def _orphaned() -> bool:
    """Say whether this is a worker whose supervisor is not there any more."""
    supervisor = parent_process()
    return supervisor is not None and not supervisor.is_alive()


class BackgroundServer(SweepingServer):
    """A second listener in the same process; the first one has the signals."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


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
        signal.pthread_sigmask(signal.SIG_BLOCK, _HANG_UP)
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _HANG_UP)

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
    """Passes SIGHUP on to its workers, where uvicorn would replace them."""

    def keep_subprocess_alive(self) -> None:
        """Replace workers that have died; what they said of themselves counts no more."""
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


def supervise(config: ProxyConfig, listener: socket.socket) -> bool:
    """Run `config.workers` processes on one listener until a signal ends them; one that dies is replaced.

    Returns False where it was no signal but a worker that did not get as far as serving.
    """
    # The supervisor has no other way to be told which kind of process it is to start.
    multiprocess.Process = _Worker  # type: ignore[misc]
    supervisor = _Supervisor(config, sockets=[listener])
    supervisor.run()
    return all(worker.exitcode != STARTUP_FAILURE for worker in supervisor.processes)


def configured(
    app: ASGIApp | str,
    *,
    drain_seconds: float = 0.0,
    secure: bool = False,
    admin: socket.socket | None = None,
    connections: ConnectionLimit | None = None,
    reloads: bool = False,
    **options: Any,
) -> ProxyConfig:
    """Return the configuration for everything that this proxy listens with; `options` are uvicorn's."""
    config = ProxyConfig(
        app,
        http=Http1Connection,
        ws="none",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=math.ceil(Http1Connection.quiet_seconds),
        timeout_graceful_shutdown=_GRACE_SECONDS,
        backlog=_BACKLOG,
        **({"lifespan": "on"} | options),
    )
    config.drain_seconds = drain_seconds
    config.secure = secure
    config.admin = admin
    config.reloads = reloads
    config.connections = connections
    return config


@contextmanager
def listening(host: str, port: int, *, setting: str = "--port") -> Iterator[socket.socket]:
    """Listen on a port; 0 takes a free one.

    Raises:
        OSError: the port cannot be had; the message names the `setting` that takes another.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Without the protocol's number asyncio leaves Nagle's algorithm on, which costs 40 ms an answer.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # two sockets may be bound to one port until one of them listens
        except OSError as error:
            raise OSError(
                f"port {port} of {host} cannot be had ({error.strerror}): {setting} takes another"
            ) from None
        yield listener


@contextmanager
def in_background(app: ASGIApp, listener: socket.socket) -> Iterator[None]:
    """Serve `app` on `listener` in the running loop while the block lasts."""
    server = BackgroundServer(configured(app, lifespan="off"))
    task = asyncio.get_running_loop().create_task(server.serve(sockets=[listener]))
    try:
        yield
    finally:
        server.should_exit = True
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
