"""Why the store is not ready is logged once for each reason, however often readiness is asked for."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest

from bff.store import unready
from bff.store.unready import UnreadyReport

pytestmark = pytest.mark.anyio


class Server:
    """Has something wrong with it until that is changed."""

    def __init__(self) -> None:
        self.wrong: str | None = None
        self.looks = 0

    async def mistake(self) -> str | None:
        self.looks += 1
        await asyncio.sleep(0)
        return self.wrong


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def report(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> AsyncIterator[UnreadyReport]:
    monkeypatch.setattr(unready, "LOOK_SECONDS", 0.0)
    caplog.set_level(logging.INFO)
    one = UnreadyReport(server.mistake)
    yield one
    await one.aclose()


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None]]:
    return [(one.getMessage(), one.__dict__["fields"].get("reason")) for one in caplog.records]


async def turns(count: int = 20) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_nothing_is_said_of_a_store_that_is_ready(
    server: Server, report: UnreadyReport, caplog: pytest.LogCaptureFixture
) -> None:
    report.look()
    await turns()
    report.probed(ready=True)
    await turns()
    assert (server.looks, events(caplog)) == (1, [])


async def test_each_reason_is_said_once_and_its_end_too(
    server: Server, report: UnreadyReport, caplog: pytest.LogCaptureFixture
) -> None:
    for server.wrong in ("refuses", "refuses", "is away", None, None):
        report.probed(ready=server.wrong is None)
        await turns()
    assert events(caplog) == [
        ("redis_not_ready", "Redis refuses"),
        ("redis_not_ready", "Redis is away"),
        ("redis_ready", None),
    ]
    assert server.looks == 4, "a store that is ready is left alone"


async def test_a_server_that_answers_and_is_still_unusable_is_not_said_to_be_ready(
    server: Server, report: UnreadyReport, caplog: pytest.LogCaptureFixture
) -> None:
    server.wrong = "takes no writes"
    report.look()
    await turns()
    report.probed(ready=True)
    await turns()
    assert events(caplog) == [("redis_not_ready", "Redis takes no writes")]


async def test_many_probes_are_one_look(server: Server, report: UnreadyReport) -> None:
    for _ in range(10):
        report.probed(ready=False)
    await turns()
    assert server.looks == 1


async def test_the_next_look_waits(
    server: Server, report: UnreadyReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unready, "LOOK_SECONDS", 3600.0)
    for _ in range(3):
        report.probed(ready=False)
        await turns()
    assert server.looks == 1


async def test_the_end_waits_for_no_look_whose_cancellation_was_lost(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unready, "LOOK_SECONDS", 3600.0)

    async def deaf() -> str | None:
        with suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        return "refuses"

    one = UnreadyReport(deaf)
    one.look()
    await turns()
    await one.aclose()
    assert events(caplog) == []
