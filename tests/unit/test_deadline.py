"""One deadline per request: known to the last hop, not counted while a client is waited for, not kept by tasks."""

import asyncio
import math

import pytest

from bff.deadline import deadline_in, seconds_left, uncounted
from bff.sessions.tasks import Tasks
from tests.frozen_time import FrozenLoop, advance

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, object]]:
    return "asyncio", {"loop_factory": FrozenLoop}


async def test_a_step_takes_its_own_time_or_what_is_left_of_the_request() -> None:
    assert seconds_left(5) == 5
    with deadline_in(60):
        assert seconds_left(5) == 5
        advance(57)
        assert seconds_left(5) == pytest.approx(3)
        advance(10)
        assert seconds_left(5) == 0
    assert seconds_left(5) == 5


async def test_waiting_for_the_client_does_not_count() -> None:
    with deadline_in(60):
        with uncounted():
            advance(600)
        advance(50)
        assert seconds_left(100) == pytest.approx(10)


async def test_a_task_of_a_request_keeps_the_deadline_and_work_that_must_finish_does_not() -> None:
    async def left() -> float:
        await asyncio.sleep(0)
        return seconds_left(math.inf)

    with deadline_in(60):
        assert await asyncio.ensure_future(left()) == pytest.approx(60)
        assert await Tasks().finish(left()) == math.inf
