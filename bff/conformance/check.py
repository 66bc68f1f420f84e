"""A check: its id, title and source, and the function that checks a deployment and reports what it saw."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bff.conformance.probe import PreconditionFailed, Probe
from bff.conformance.wire import NoResponse

CheckFunction = Callable[[Probe], Awaitable[str]]


class Outcome(StrEnum):
    """How a check ended."""

    PASS = "pass"  # noqa: S105 - an outcome
    FAIL = "fail"
    NOT_APPLICABLE = "n.a."


class Failed(Exception):
    """The deployment does not meet the check; the message says what was seen."""


class NotApplicable(Exception):
    """The check cannot be run against this deployment; the message says why."""


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one check, which is a row of the report."""

    id: str
    title: str
    source: str
    outcome: Outcome
    seen: str


@dataclass(frozen=True, slots=True)
class Check:
    """One item of the checklist.

    Attributes:
        id: its name in reports, which never changes.
        title: the requirement.
        source: where the requirement comes from.
        function: returns what was seen if the requirement is met, otherwise raises `Failed` or `NotApplicable`.
    """

    id: str
    title: str
    source: str
    function: CheckFunction

    async def row(self, probe: Probe) -> Row:
        """Run the check and return its result."""
        try:
            outcome, seen = Outcome.PASS, await self.function(probe)
        except NotApplicable as reason:
            outcome, seen = Outcome.NOT_APPLICABLE, str(reason)
        except (Failed, PreconditionFailed, NoResponse) as reason:
            outcome, seen = Outcome.FAIL, str(reason)
        return Row(self.id, self.title, self.source, outcome, seen)


def check(name: str, title: str, source: str) -> Callable[[CheckFunction], Check]:
    """Turn a function into a check."""
    return lambda function: Check(name, title, source, function)


def verdict(wrong: Sequence[str], seen: str) -> str:
    """Return `seen` if nothing is wrong.

    Raises:
        Failed: something is wrong; its message has the first three mistakes.
    """
    if wrong:
        more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise Failed("; ".join(wrong[:3]) + more)
    return seen
