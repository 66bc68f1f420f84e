"""An asyncio event loop without a clock or a socket: time jumps to the next timer, and a seed says what runs next.

Every callback belongs to the process in whose context it was scheduled. One of a frozen process waits until that goes
on; one of a killed process never runs, so that not even its `finally` blocks do.
"""

import asyncio
import contextvars
import heapq
from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

MOST_STEPS: Final = 400_000


class Process(Protocol):
    """Whom a callback belongs to."""

    def admits(self, handle: asyncio.Handle) -> bool:
        """Say whether a callback runs now; one that does not is the process's to keep or to drop."""
        ...


PROCESS: Final[contextvars.ContextVar[Process | None]] = contextvars.ContextVar("process", default=None)


class Stuck(Exception):
    """Nothing will ever happen again, or it never ends."""


class VirtualLoop:
    """Runs callbacks in a random order and time in jumps; it has what asyncio's tasks and timeouts ask of a loop.

    Args:
        choose: picks one of so many callbacks that are ready.
    """

    def __init__(self, choose: Callable[[int], int]) -> None:
        self._choose = choose
        self._now = 0.0
        self._numbers = count()
        self._ready: list[tuple[asyncio.Handle, contextvars.Context]] = []
        self._timers: list[tuple[float, int, asyncio.TimerHandle, contextvars.Context]] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._steps = 0
        self.on_advance: Callable[[], None] = lambda: None
        self.failures: list[BaseException] = []
        self._for_asyncio: Any = self

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run until `work` is done."""
        asyncio._set_running_loop(self._for_asyncio)
        try:
            task: asyncio.Task[T] = self.create_task(work)
            while not task.done():
                self._step()
                if self.failures:
                    raise self.failures[0]
            return task.result()
        finally:
            asyncio._set_running_loop(None)

    async def cancel_all(self) -> None:
        """Cancel every task but this one, and wait until they have ended."""
        mine = asyncio.current_task()
        left = [task for task in self._tasks if not task.done() and task is not mine]
        while left:
            for task in left:
                task.cancel()
            await asyncio.wait(left)
            left = [task for task in self._tasks if not task.done() and task is not mine]

    def _step(self) -> None:
        if not self._ready:
            self._advance()
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise Stuck("this never ends")
        ready = self._ready
        index = self._choose(len(ready)) if len(ready) > 1 else 0
        ready[index], ready[-1] = ready[-1], ready[index]
        handle, context = ready.pop()
        if handle.cancelled():
            return
        process = context.get(PROCESS)
        if process is None or process.admits(handle):
            handle._run()

    def _advance(self) -> None:
        """Let time pass until the next timer."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise Stuck("everybody waits for something that never comes")
        self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            _, _, handle, context = heapq.heappop(timers)
            self._ready.append((handle, context))
        self.on_advance()

    def resume(self, handles: list[asyncio.Handle], context: contextvars.Context) -> None:
        """Make callbacks ready that a process kept; the context is the process's."""
        self._ready += [(handle, context) for handle in handles]

    def time(self) -> float:
        return self._now

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.Handle(callback, args, self._for_asyncio, context)
        self._ready.append((handle, context))
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        context = contextvars.copy_context() if context is None else context
        handle = asyncio.TimerHandle(when, callback, args, self._for_asyncio, context)
        heapq.heappush(self._timers, (when, next(self._numbers), handle, context))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: a cancelled timer is skipped when its time comes."""

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self._for_asyncio)

    def create_task(self, coro: Any, **options: Any) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self._for_asyncio, **options)
        self._tasks.append(task)
        return task

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Take note of what a callback raised, or of a task that was lost: `run` raises it."""
        self.failures.append(context.get("exception") or Stuck(context["message"]))

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False
