"""Health that talks, and operators' pages on the public port."""

import pytest
from prometheus_client import generate_latest

from tests.conformance.deployed import Deployments, Mutation, assert_caught
from tests.conformance.layers import at, respond

MUTATIONS = [
    Mutation(
        "livez says its version",
        {"health-live"},
        respond(200, b'{"status":"ok","version":"1.2.3"}', when=at(b"/livez")),
    ),
    Mutation(
        "readyz says what is wrong",
        {"health-ready"},
        respond(503, b"redis://10.0.0.1 refused", when=at(b"/readyz")),
    ),
    Mutation("metrics are public", {"health-metrics"}, respond(200, generate_latest(), when=at(b"/metrics"))),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
