"""What a check is: a row's id, title and source, and a look at the deployment that says what was seen."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bff.conformance.probe import Probe, Unmet
from bff.conformance.wire import NoAnswer

Look = Callable[[Probe], Awaitable[str]]


class Outcome(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - an outcome
    FAIL = "fail"
    NOT_APPLICABLE = "n.a."


class Failed(Exception):
    """The deployment does not do what the check asks for; the text says what was seen."""


class NotApplicable(Exception):
    """The check has nothing to look at here; the text says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one check found."""

    id: str
    title: str
    source: str
    outcome: Outcome
    seen: str


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the checklist.

    Attributes:
        id: what it is called in reports, for good.
        title: what must hold.
        source: who asks for it.
        look: returns what was seen where it holds, and raises `Failed` or `NotApplicable` otherwise.
    """

    id: str
    title: str
    source: str
    look: Look

    async def row(self, probe: Probe) -> Row:
        """Look, and say how it ended."""
        try:
            outcome, seen = Outcome.PASS, await self.look(probe)
        except NotApplicable as reason:
            outcome, seen = Outcome.NOT_APPLICABLE, str(reason)
        except (Failed, Unmet, NoAnswer) as reason:
            outcome, seen = Outcome.FAIL, str(reason)
        return Row(self.id, self.title, self.source, outcome, seen)


def check(name: str, title: str, source: str) -> Callable[[Look], Check]:
    """Make a check of a function."""
    return lambda look: Check(name, title, source, look)


def judged(wrong: Sequence[str], seen: str) -> str:
    """Return what was seen where nothing is wrong.

    Raises:
        Failed: something is.
    """
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise Failed("; ".join(wrong[:3]) + more)
    return seen
