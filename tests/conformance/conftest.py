"""A certificate that the checks trust."""

from pathlib import Path

import pytest

from tests.conformance.deployed import certificate


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"))
