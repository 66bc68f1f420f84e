"""The proxies that several files of this folder share."""

from collections.abc import Iterator

import pytest

from tests.integration.signing import sso, sso_process, with_providers
from tests.integration.wire import upstream, wired
from tests.live import LiveProxy, Sandbox

__all__ = ["sso", "sso_process", "upstream", "wired"]


@pytest.fixture(scope="module")
def shop(sandbox_process: Sandbox, redis_url: str) -> Iterator[LiveProxy]:
    """A proxy for stock clients that knows identity providers."""
    with LiveProxy(with_providers(sandbox_process, redis_url, BFF_DROP_IN="true")) as proxy:
        yield proxy
