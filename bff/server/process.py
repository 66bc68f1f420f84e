"""uvicorn, as this proxy runs it: late clients swept, a drain before the end, exit code 0 after a signal."""

import asyncio
import gc
import logging
import math
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import parent_process
from types import FrameType
from typing import Any, ClassVar, Final

import uvicorn
from starlette.types import ASGIApp

from bff.server.connections import ConnectionLimit
from bff.server.draining import DRAINING
from bff.server.http1 import Http1Connection
from bff.server.listening import is_waited_for, let_nobody_in, taken_often
from bff.telemetry.process import note_load, note_start, note_usage

_GRACE_SECONDS: Final = 30
_QUEUE_SECONDS: Final = 0.3
"""How long to take in who is in the listen queue, at least, once nobody can join it."""
_LOOK_SECONDS: Final = 0.05
_WORD_SECONDS: Final = 2.0
"""How long one of several workers waits to hear that nobody can join the queue: its supervisor looks twice a second."""
_TICKS_A_SECOND: Final = 10
_OBJECTS_A_COLLECTION: Final = 50_000
"""A request under way holds some two hundred objects, so that ordinary load alone begins no collection."""
_USAGE_SECONDS: Final = 5
HANG_UP: Final = {signal.SIGHUP}
_log = logging.getLogger(__name__)


class ProxyConfig(uvicorn.Config):
    """uvicorn's configuration, and what a worker process has to know besides.

    Attributes:
        drain_seconds: how long to keep serving after SIGTERM; SIGINT ends it at once, and so does a second SIGTERM
            where there is one worker only.
        grace_seconds: how long everything may take from the signal to the end, the drain included.
        handed_over: whether the public listener outlives this process: what waits on it is the next one's.
        nobody_comes: of several workers: has an end once all are told to end and nobody can join the listen queue.
        secure: whether browsers come over https.
        admin: the second listener, for the application's `admin()`; of several workers each has it, and every
            worker's share of the metrics.
        connections: how many connections clients may have in this process; None: any number.
        reloads: whether the application has a `reload`, which SIGHUP asks for and which looks by itself each second.
    """

    drain_seconds: float = 0.0
    grace_seconds: float = float(_GRACE_SECONDS)
    handed_over: bool = False
    nobody_comes: socket.socket | None = None
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
        self._grace_seconds = config.grace_seconds
        self._handed_over = config.handed_over
        self._nobody_comes = config.nobody_comes
        self._admin = config.admin
        self._until: float | None = None
        self._drained = False
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
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HANG_UP)
        try:
            with super().capture_signals():
                yield
        finally:
            signal.signal(signal.SIGHUP, before)

    def _hang_up(self, _sig: int, _frame: FrameType | None) -> None:
        self._hung_up = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, on the admin port too."""
        await super().startup([each for one in sockets or () for each in taken_often(one)])
        note_start()
        _spare_what_stays()
        if self._admin is not None and not self.should_exit:
            self._ending.enter_context(self._admin)
            self._ending.enter_context(in_background(self.config.loaded_app.admin(), self._admin))

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, on the admin port too; after a drain, whoever has connected is served first."""
        if self._drained:
            await self._empty_queue(sockets or [])
        if DRAINING.begun:
            self.config.timeout_graceful_shutdown = round(DRAINING.seconds_for_requests())
        await super().shutdown(sockets)
        self._ending.close()

    async def _empty_queue(self, listeners: list[socket.socket]) -> None:
        """Let nobody in any more, and go on accepting for a moment.

        One of several workers leaves this to its supervisor. Where that says nothing, this worker alone is to end, and
        the others take what is in the queue, which they share.
        """
        if self._nobody_comes is not None:
            loop = asyncio.get_running_loop()
            self._nobody_comes.setblocking(False)  # noqa: FBT003 - the library's own
            with suppress(TimeoutError):
                async with asyncio.timeout(_WORD_SECONDS):
                    await loop.sock_recv(self._nobody_comes, 1)
        elif not self._handed_over:
            for listener in listeners:
                let_nobody_in(listener)
        await asyncio.sleep(_QUEUE_SECONDS)
        until = time.monotonic() + DRAINING.seconds_for_requests()
        while not self._handed_over and any(map(is_waited_for, listeners)) and time.monotonic() < until:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_SECONDS)
        await asyncio.sleep(_LOOK_SECONDS)  # who was accepted last is a connection of this server then

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        """Take a signal; it is not raised again at the end, because it was obeyed.

        Of several workers each has SIGTERM twice where the whole group is told (systemd): once from its supervisor.
        """
        again = DRAINING.begun
        if sig != signal.SIGTERM or (again and self.config.workers == 1):
            self.should_exit = True
        if not again:
            DRAINING.begin(self._grace_seconds)
            self._until = time.monotonic() + min(self._drain_seconds, DRAINING.seconds_for_requests())

    async def on_tick(self, counter: int) -> bool:
        """End when the drain is over, and at once where the supervisor was killed: its restart needs the port."""
        if not self.should_exit and self._until is not None and time.monotonic() >= self._until:
            self.should_exit = self._drained = True
        if _orphaned():
            self.should_exit = True
        if counter % _TICKS_A_SECOND == 0:
            note_load(len(self.server_state.tasks), len(self.server_state.connections))
        if counter % (_USAGE_SECONDS * _TICKS_A_SECOND) == 0:
            note_usage()
        if self._reloads and (self._hung_up or counter % _TICKS_A_SECOND == 0):
            asked, self._hung_up = self._hung_up, False
            self.config.loaded_app.reload(asked=asked)
        return await super().on_tick(counter)


def _spare_what_stays() -> None:
    """Let the garbage collector leave out what was made until now, which stays, and look for cycles less often.

    A request leaves none behind. Each look at everything held all requests up for some ten milliseconds, and the start
    too: only what is new is looked at once more.
    """
    gc.collect(0)
    gc.freeze()
    gc.set_threshold(_OBJECTS_A_COLLECTION, *gc.get_threshold()[1:])


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


def configured(
    app: ASGIApp | str,
    *,
    drain_seconds: float = 0.0,
    grace_seconds: float = float(_GRACE_SECONDS),
    secure: bool = False,
    handed_over: bool = False,
    admin: socket.socket | None = None,
    connections: ConnectionLimit | None = None,
    reloads: bool = False,
    **options: Any,
) -> ProxyConfig:
    """Return the configuration for everything that this proxy listens with; `options` are uvicorn's."""
    defaults: dict[str, Any] = {"http": Http1Connection, "lifespan": "on", "interface": "asgi3"}
    config = ProxyConfig(
        app,
        ws="none",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=math.ceil(Http1Connection.quiet_seconds),
        timeout_graceful_shutdown=_GRACE_SECONDS,
        **(defaults | options),
    )
    config.drain_seconds = drain_seconds
    config.grace_seconds = grace_seconds
    config.secure = secure
    config.handed_over = handed_over
    config.admin = admin
    config.reloads = reloads
    config.connections = connections
    return config


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
