"""The proxies that several files of this folder share."""

from collections.abc import Iterator

import pytest

from tests.integration.signing import sso, sso_process
from tests.integration.wire import Upstream
from tests.live import LiveProxy, Sandbox, environment

__all__ = ["sso", "sso_process"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    """An upstream that answers what a test scripts."""
    with Upstream() as one:
        yield one


@pytest.fixture(scope="module")
def wired(upstream: Upstream, sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    """A proxy in front of the scripted upstream."""
    with LiveProxy(environment(sandbox_process, redis_url, BFF_UPSTREAM_URL=upstream.url)) as proxy:
        yield proxy
