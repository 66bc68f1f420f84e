"""How a conformance check ends."""

import pytest

from bff.conformance.check import Check, Failed, NotApplicable, Outcome, Row, check, judged
from bff.conformance.probe import Options, Probe, Unmet
from bff.conformance.wire import NoAnswer, Target


def test_many_mistakes_are_named_shortly() -> None:
    with pytest.raises(Failed, match=r"^1; 2; 3; and 2 more$"):
        judged(["1", "2", "3", "4", "5"], "fine")
    assert judged([], "fine") == "fine"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (None, Outcome.PASS),
        (Failed("it"), Outcome.FAIL),
        (Unmet("it"), Outcome.FAIL),
        (NoAnswer("it"), Outcome.FAIL),
        (NotApplicable("it"), Outcome.NOT_APPLICABLE),
    ],
)
async def test_a_look_ends_as_a_row(raised: Exception | None, outcome: Outcome) -> None:
    async def look(_probe: Probe) -> str:
        if raised is not None:
            raise raised
        return "it"

    made: Check = check("a-check", "It holds", "RFC 1")(look)
    row = await made.row(Probe(Target("http", "127.0.0.1", 1), Options()))
    assert row == Row("a-check", "It holds", "RFC 1", outcome, "it")
