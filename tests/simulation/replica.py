"""One life of a replica: a process that can be frozen and killed, with a clock that can jump."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any

from tests.simulation.loop import PROCESS, VirtualLoop
from tests.values import NOW

NEVER = float("inf")


class Replica:
    """A process on the loop.

    Args:
        name: for people.
        loop: runs it.
        on_end: called once it has been killed.
        trace: takes what happens, for people to read.
    """

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        on_end: Callable[["Replica"], None],
        trace: Callable[[str], None],
    ) -> None:
        self.name = name
        self._loop = loop
        self._on_end = on_end
        self._trace = trace
        self._kept: list[asyncio.Handle] = []
        self._context = contextvars.copy_context()
        self._context.run(PROCESS.set, self)
        self.killed = False
        self.frozen_since: float | None = None
        self.gone = loop.create_future()
        self.stopped_at = -NEVER
        self.disturbed_at = -NEVER
        self.jumped = 0.0

    def __str__(self) -> str:
        return self.name

    @property
    def running(self) -> bool:
        return not self.killed and self.frozen_since is None

    def clock(self) -> float:
        """Return the seconds since the epoch, as this replica has them."""
        return NOW + self._loop.time() + self.jumped

    def admits(self, handle: asyncio.Handle) -> bool:
        if not self.running:
            self._kept.append(handle)
        return self.running

    def start(self, work: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        """Run something in this process, in a copy of the caller's context."""
        context = contextvars.copy_context()
        context.run(PROCESS.set, self)
        return self._loop.create_task(work, context=context)

    def freeze(self, seconds: float) -> None:
        """Stop it for a while, as SIGSTOP does."""
        if not self.running:
            return
        self._trace(f"{self} is frozen for {seconds:.2f} s")
        self.frozen_since = self.stopped_at = self._loop.time()
        self._loop.call_later(seconds, self.thaw, context=contextvars.Context())

    def thaw(self) -> None:
        if self.frozen_since is None or self.killed:
            return
        self._trace(f"{self} goes on")
        self.disturbed_at = max(self.disturbed_at, self._loop.time())
        self.frozen_since = None
        self._loop.resume(self._kept, self._context)
        self._kept = []

    def kill(self) -> None:
        """End it, as SIGKILL does."""
        if self.killed:
            return
        self._trace(f"{self} is killed")
        if self.frozen_since is None:
            self.stopped_at = self._loop.time()
        self.killed, self.frozen_since = True, None
        self.gone.set_result(None)
        self._on_end(self)

    def revive(self) -> None:
        """Let everything go on that was left, so that it can be cancelled once the run is over."""
        self.killed, self.frozen_since = False, None
        self._loop.resume(self._kept, self._context)
        self._kept = []
