"""The line between a replica and a server: where every call meets its fate.

A call arrives at the server in the server's own time. What the caller has given up may still arrive later.
"""

import asyncio
import contextvars
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from tests.simulation.choices import LONGEST_JUMP_SECONDS, Choices, Fault
from tests.simulation.loop import VirtualLoop
from tests.simulation.replica import Replica

T = TypeVar("T")

NEVER: Final = float("inf")
OUTSIDE: Final = contextvars.Context()
"""The context of servers and of whatever else is no replica's."""


@dataclass(frozen=True, slots=True)
class Habits(Generic[T]):
    """How calls to one server go.

    Attributes:
        name: the server's.
        usual: the longest that a way to it or back takes where nothing is wrong, in seconds.
        slow: the longest where it is slow.
        cut: the longest that a line stays cut.
        patience: after this the caller gives up.
        keeps_locks: a replica that cannot reach this server in time loses its locks.
        failed: what a broken line raises.
        late: what is raised when patience is over.
    """

    name: str
    usual: float
    slow: float
    cut: float
    patience: float
    keeps_locks: bool
    failed: Callable[[], Exception]
    late: Callable[[], Exception]


@dataclass(slots=True)
class Line(Generic[T]):
    """Calls from one replica to one server.

    Attributes:
        replica: who calls.
        habits: how such calls go.
        choices: what the seed decides.
        loop: whose time passes.
        trace: takes what happens, for people to read.
        cut_until: when it works again.
    """

    replica: Replica
    habits: Habits[T]
    choices: Choices
    loop: VirtualLoop
    trace: Callable[[str], None]
    cut_until: float = field(default=0.0)

    async def ask(self, what: str, effect: Callable[[Fault | None], T]) -> T:
        """Let the server do `effect`, and return its answer where one comes."""
        fault = self._fault(what)
        there, back = self._way(), self._way()
        if fault is Fault.SLOW:
            there = self.choices.between(0.0, self.habits.slow)
            back = self.choices.between(0.0, self.habits.slow)
        if fault in {Fault.FAIL_BEFORE, Fault.CUT} or self.loop.time() < self.cut_until:
            await asyncio.sleep(there)
            raise self.habits.failed()
        if fault in {Fault.KILL, Fault.FREEZE} and self.choices.chance(0.3):
            self._strike(fault)
            fault = None
        answer: asyncio.Future[T] = self.loop.create_future()
        self.loop.call_later(there, self._arrive, fault, effect, answer, back, context=OUTSIDE)
        if there + back > self.habits.patience or (
            fault is Fault.LOSE_ANSWER and self.habits.patience < NEVER
        ):
            self.loop.call_later(self.habits.patience, _give, answer, self.habits.late(), context=OUTSIDE)
        return await answer

    def _fault(self, what: str) -> Fault | None:
        fault = self.choices.fault(what)
        if fault is not None:
            self.trace(f"{self.replica} → {self.habits.name} {what}: {fault}")
            if self.habits.keeps_locks and fault is not Fault.JUMP:
                self.replica.disturbed_at = max(self.replica.disturbed_at, self.loop.time())
        if fault is Fault.JUMP:
            self.replica.jumped = self.choices.between(-LONGEST_JUMP_SECONDS, LONGEST_JUMP_SECONDS)
            return None
        if fault is Fault.CUT:
            self.cut_until = self.loop.time() + self.choices.between(0.0, self.habits.cut)
            if self.habits.keeps_locks:
                self.replica.disturbed_at = self.cut_until
        return fault

    def _way(self) -> float:
        return self.choices.between(0.0, self.habits.usual)

    def _arrive(
        self,
        fault: Fault | None,
        effect: Callable[[Fault | None], T],
        answer: "asyncio.Future[T]",
        back: float,
    ) -> None:
        """Do it, at the server."""
        result: T | Exception
        try:
            result = effect(fault)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the caller gets it
            result = exc
        if fault in {Fault.KILL, Fault.FREEZE}:
            self._strike(fault)
        if fault is Fault.FAIL_AFTER:
            result = self.habits.failed()
        if fault is not Fault.LOSE_ANSWER:
            self.loop.call_later(back, _give, answer, result, context=OUTSIDE)

    def _strike(self, fault: Fault) -> None:
        """Kill or freeze the replica."""
        if fault is Fault.KILL:
            self.replica.kill()
        else:
            # Half of the time about as long as a lease, where most is decided.
            longest = 7.0 if self.choices.chance(0.5) else 20.0
            self.replica.freeze(self.choices.between(0.1, longest))


def _give(answer: "asyncio.Future[T]", result: T | Exception) -> None:
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)
