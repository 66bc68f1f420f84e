"""Health that talks, and operators' pages on the public port."""

from pathlib import Path

import pytest

from bff.app import Proxy
from tests.conformance.deployed import Mutation, answering, assert_caught


def _metrics(proxy: Proxy) -> None:
    proxy._fallback = proxy.admin()


MUTATIONS = [
    Mutation(
        "livez says its version",
        {"health-live"},
        wrap=answering(200, b'{"status":"ok","version":"1.2.3"}', lambda scope: scope["path"] == "/livez"),
    ),
    Mutation(
        "readyz says what is wrong",
        {"health-ready"},
        wrap=answering(503, b"redis://10.0.0.1 refused", lambda scope: scope["path"] == "/readyz"),
    ),
    Mutation("metrics are public", {"health-metrics"}, after=_metrics),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
