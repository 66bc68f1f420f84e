"""A call that keeps failing is stopped, and tried again by one request now and then."""

from contextlib import suppress

import pytest

from bff.errors import (
    BadUpstreamAnswer,
    BffError,
    InvalidCredentials,
    TooManyRequests,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from bff.telemetry.metrics import REGISTRY
from bff.upstream.breaker import Breakers
from bff.upstream.failures import Busy, ClosedUnanswered
from tests.values import Clock, new_breakers

FAILURES = (UpstreamUnavailable, UpstreamTimeout, ClosedUnanswered)
TO_OPEN = 10
AREA = "product"


def fail(breakers: Breakers, error: BffError, name: str = "one", *, blameless: bool = False) -> None:
    """Make a call that fails."""
    with pytest.raises(type(error)) as caught, breakers.watch(name, AREA, blameless=blameless):
        raise error
    assert caught.value is error, "it was not made"


def answer(breakers: Breakers, name: str = "one", *, failed: bool = False) -> None:
    """Make a call that is answered."""
    with breakers.watch(name, AREA) as verdict:
        verdict.failed = failed


def refused(breakers: Breakers, name: str = "one") -> int | None:
    """Return the seconds to wait for a call that is not made; None where it is, and fails."""
    error: BffError = UpstreamTimeout()
    with suppress(UpstreamTimeout):
        try:
            with breakers.watch(name, AREA):
                raise error
        except UpstreamUnavailable as stopped:
            return stopped.retry_after
    return None


def counted(event: str) -> float:
    labels = {"area": AREA, "event": event}
    return REGISTRY.get_sample_value("bff_upstream_breaker_total", labels) or 0.0


@pytest.mark.parametrize("error", FAILURES)
def test_a_call_that_keeps_failing_is_not_made(error: type[BffError]) -> None:
    opened, stopped = counted("opened"), counted("refused")
    breakers = new_breakers(Clock())
    for _ in range(TO_OPEN):
        fail(breakers, error())
    assert [refused(breakers) for _ in range(3)] == [1, 1, 1]
    assert (counted("opened"), counted("refused")) == (opened + 1, stopped + 3)


def test_an_answer_may_be_as_bad_as_none() -> None:
    breakers = new_breakers(Clock())
    for _ in range(TO_OPEN):
        answer(breakers, failed=True)
    assert refused(breakers) == 1


def test_one_success_between_keeps_it_closed() -> None:
    breakers = new_breakers(Clock())
    for _ in range(5):
        for _ in range(TO_OPEN - 1):
            fail(breakers, UpstreamTimeout())
        answer(breakers)
    fail(breakers, UpstreamTimeout())


@pytest.mark.parametrize(
    "error",
    [TooManyRequests(), InvalidCredentials(), BadUpstreamAnswer(), Busy(log_detail="no free connection")],
)
def test_what_is_refused_or_fails_here_opens_nothing(error: BffError) -> None:
    breakers = new_breakers(Clock())
    for _ in range(3 * TO_OPEN):
        fail(breakers, error)


def test_a_client_that_leaves_says_nothing_of_upstream() -> None:
    breakers = new_breakers(Clock())
    for _ in range(TO_OPEN - 1):
        fail(breakers, UpstreamTimeout())
    for _ in range(TO_OPEN):
        with pytest.raises(GeneratorExit), breakers.watch("one", AREA):
            raise GeneratorExit
    fail(breakers, UpstreamTimeout())
    assert refused(breakers) == 1, "leaving counted as a success"


def test_a_failure_that_may_be_the_clients_opens_nothing() -> None:
    breakers = new_breakers(Clock())
    for _ in range(2 * TO_OPEN):
        fail(breakers, UpstreamUnavailable(), blameless=True)
    answer(breakers)


def test_one_call_that_fails_takes_no_other_with_it() -> None:
    breakers = new_breakers(Clock())
    for _ in range(TO_OPEN):
        fail(breakers, UpstreamTimeout())
    assert refused(breakers) == 1
    answer(breakers, "other")


def test_one_probe_goes_through_and_closes_it() -> None:
    clock, closed = Clock(), counted("closed")
    breakers = new_breakers(clock)
    for _ in range(TO_OPEN):
        fail(breakers, UpstreamTimeout())
    clock.at += 1
    with breakers.watch("one", AREA):
        assert refused(breakers) is not None, "a second probe beside the first"
    assert counted("closed") == closed + 1
    for _ in range(TO_OPEN):
        fail(breakers, UpstreamTimeout())
    assert refused(breakers) == 1


def test_probes_that_fail_come_less_and_less_often() -> None:
    clock = Clock()
    breakers = new_breakers(clock)
    for _ in range(TO_OPEN):
        fail(breakers, UpstreamTimeout())
    pauses = []
    for _ in range(7):
        pauses.append(refused(breakers))
        clock.at += pauses[-1] or 0
        assert refused(breakers) is None, "no probe"
    assert pauses == [1, 2, 4, 8, 16, 16, 16]


def test_a_probe_that_never_ends_does_not_keep_it_open() -> None:
    clock = Clock()
    breakers = new_breakers(clock)
    for _ in range(TO_OPEN):
        fail(breakers, UpstreamTimeout())
    clock.at += 1
    with breakers.watch("one", AREA) as hanging:
        clock.at += 2
        answer(breakers)  # the next probe, while the first still hangs
        hanging.failed = True
    answer(breakers)
