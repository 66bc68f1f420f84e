"""A certificate that the checks trust, and deployments that the tests share."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.certificates import certificate
from tests.conformance.deployed import Deployments


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(autouse=True)
def _trusted(tls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls))


@pytest.fixture(scope="package")
def anyio_backend() -> str:
    """One event loop for the package: the deployments are served in it."""
    return "asyncio"


@pytest.fixture(scope="package")
async def deployments(redis_url: str, tls: Path) -> AsyncIterator[Deployments]:
    async with AsyncExitStack() as ending:
        yield Deployments(redis_url, tls, ending)
