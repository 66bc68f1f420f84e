"""Calls to upstream are counted by how they end, and timed where they were made."""

import asyncio

import pytest

from bff.errors import BodyTooLarge, NotAsked, UpstreamTimeout
from bff.telemetry.metrics import REGISTRY
from bff.upstream.call_metrics import CountedCall


def counted(outcome: str) -> tuple[float, float]:
    """Return how many calls ended so, and how many were timed."""
    labels = {"area": "test", "call": "one"}
    ended = REGISTRY.get_sample_value("bff_upstream_calls_total", labels | {"outcome": outcome})
    return ended or 0.0, REGISTRY.get_sample_value("bff_upstream_seconds_count", labels) or 0.0


@pytest.mark.parametrize(("status", "outcome"), [(200, "2xx"), (304, "3xx"), (404, "4xx"), (502, "5xx")])
def test_an_answer_is_counted_by_its_status(status: int, outcome: str) -> None:
    ended, timed = counted(outcome)
    with CountedCall("test", "one") as call:
        call.status = status
    assert counted(outcome) == (ended + 1, timed + 1)


@pytest.mark.parametrize(
    ("error", "outcome", "made"),
    [
        (UpstreamTimeout(), "no answer", 1),
        (NotAsked(), "not asked", 0),
        (asyncio.CancelledError(), "abandoned", 1),
        (BodyTooLarge(), "abandoned", 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_a_call_without_an_answer_is_counted_by_why(error: BaseException, outcome: str, made: int) -> None:
    ended, timed = counted(outcome)
    with pytest.raises(type(error)), CountedCall("test", "one"):
        raise error
    assert counted(outcome) == (ended + 1, timed + made)
