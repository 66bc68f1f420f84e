"""The outcome of a conformance check."""

import pytest

from bff.conformance.check import Check, Failed, NotApplicable, Outcome, Row, check, verdict
from bff.conformance.probe import Options, PreconditionFailed, Probe
from bff.conformance.wire import NoResponse, Target


def test_only_the_first_three_mistakes_are_listed() -> None:
    with pytest.raises(Failed, match=r"^1; 2; 3; and 2 more$"):
        verdict(["1", "2", "3", "4", "5"], "fine")
    assert verdict([], "fine") == "fine"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (None, Outcome.PASS),
        (Failed("it"), Outcome.FAIL),
        (PreconditionFailed("it"), Outcome.FAIL),
        (NoResponse("it"), Outcome.FAIL),
        (NotApplicable("it"), Outcome.NOT_APPLICABLE),
    ],
)
async def test_a_check_gives_a_row_with_its_outcome(raised: Exception | None, outcome: Outcome) -> None:
    async def function(_probe: Probe) -> str:
        if raised is not None:
            raise raised
        return "it"

    a_check: Check = check("a-check", "It holds", "RFC 1")(function)
    row = await a_check.row(Probe(Target("http", "127.0.0.1", 1), Options()))
    assert row == Row("a-check", "It holds", "RFC 1", outcome, "it")
