"""A Chromium of its own for each run, a fresh profile for each test, and shops to visit."""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, expect, sync_playwright

from bff.config.embedded_redis import EmbeddedRedis
from tests.browser.shops import Demo, Shop, open_shop
from tests.live import Sandbox

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_PATIENCE_MS = 20_000


def _chromium() -> str:
    found = shutil.which("chromium")
    if found is not None:
        return found
    message = "no `chromium` on PATH: the browser tests cannot run"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


# Only while this folder runs: the driver's loop is in nobody else's way then.
@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    path = _chromium()
    expect.set_options(timeout=_PATIENCE_MS)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def context(chromium: Browser) -> Iterator[BrowserContext]:
    """A browser profile that knows nothing yet; scripts that fail on the page fail the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, locale="en-GB")
    context.set_default_timeout(_PATIENCE_MS)
    broken: list[str] = []
    context.on("weberror", lambda error: broken.append(str(error.error)))
    yield context
    context.close()
    assert not broken


@pytest.fixture(scope="package")
def demo(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Demo]:
    """The demo, as `bff demo` runs it."""
    with Demo(str(tmp_path_factory.mktemp("state"))) as demo:
        yield demo


@pytest.fixture(scope="package")
def shop_process(
    sandbox_process: Sandbox, tmp_path_factory: pytest.TempPathFactory, chromium: Browser
) -> Iterator[Shop]:
    """The shop's Redis is its own: tests list its sessions, and others leave thousands of theirs."""
    with (
        EmbeddedRedis.start(tmp_path_factory.mktemp("redis")) as own,
        open_shop(sandbox_process, own.url) as shop,
    ):
        yield shop


@pytest.fixture
def shop(shop_process: Shop, sandbox: Sandbox) -> Shop:
    """A shop on `localhost` whose upstream can be looked into."""
    return shop_process
