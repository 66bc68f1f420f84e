"""Another URL of the store is taken once it works, and reported once where it does not."""

import asyncio
import logging
from collections.abc import Awaitable

import pytest

from bff.security.secret import Secret
from bff.store import url_change
from bff.store.url_change import UrlChange

pytestmark = pytest.mark.anyio
OLD_PASSWORD, NEW_PASSWORD = Secret("redis://u:one@h"), Secret("redis://u:two@h")


class Server:
    """Answers each try with what is next, the last of it for ever."""

    def __init__(self, *mistakes: str | None) -> None:
        self.mistakes = list(mistakes)
        self.tried: list[str] = []
        self.used: list[str] = []
        self.asked = asyncio.Event()

    async def mistake(self, url: Secret) -> str | None:
        self.tried.append(url.reveal())
        self.asked.set()
        await asyncio.sleep(0)
        return self.mistakes.pop(0) if len(self.mistakes) > 1 else self.mistakes[0]

    def change(self, url: Secret) -> Awaitable[None]:
        self.used.append(url.reveal())
        return asyncio.sleep(0)


def events(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str | None]]:
    return [(one.getMessage(), one.__dict__["fields"].get("reason")) for one in caplog.records]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(url_change, "TRY_SECONDS", 0.0)
    caplog.set_level(logging.INFO)


async def turns(count: int = 50) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_url_that_works_is_used_at_once(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(None)
    UrlChange(server.mistake, server.change)(NEW_PASSWORD)
    await turns()
    assert server.used == [NEW_PASSWORD.reveal()]
    assert events(caplog) == [("redis_url_reloaded", None)]


async def test_a_url_that_does_not_work_yet_is_reported_once_and_used_later(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = Server("refuses the user or the password", "refuses the user or the password", None)
    UrlChange(server.mistake, server.change)(NEW_PASSWORD)
    await turns()
    assert server.used == [NEW_PASSWORD.reveal()]
    assert len(server.tried) == 3
    assert events(caplog) == [
        ("redis_url_not_reloaded", "Redis refuses the user or the password"),
        ("redis_url_reloaded", None),
    ]


async def test_only_the_last_url_is_wanted(caplog: pytest.LogCaptureFixture) -> None:
    server = Server(None)
    change = UrlChange(server.mistake, server.change)
    change(NEW_PASSWORD)
    await server.asked.wait()
    change(OLD_PASSWORD)
    await turns()
    assert server.used == [OLD_PASSWORD.reveal()]
    assert len(events(caplog)) == 1


async def test_nothing_is_tried_after_the_end() -> None:
    server = Server("does not answer")
    change = UrlChange(server.mistake, server.change)
    change(NEW_PASSWORD)
    await server.asked.wait()
    await change.aclose()
    tried = len(server.tried)
    await turns()
    assert len(server.tried) == tried
    assert server.used == []
