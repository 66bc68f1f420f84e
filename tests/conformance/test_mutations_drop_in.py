"""Drop-in deployments in which the cookie alone says who calls, as one placeholder for everybody made it."""

import pytest

from tests.conformance.deployed import Deployments, Mutation, assert_caught
from tests.conformance.layers import on_request
from tests.conformance.messages import Request

DROP_IN = {"BFF_DROP_IN": "true"}


def _by_cookie(request: Request) -> Request:
    return request.without(b"authorization").having(b"x-csrf", b"1")


MUTATIONS = [
    Mutation(
        "a call goes by the cookie alone",
        {"drop-in-placeholder", "drop-in-guest"},
        on_request(_by_cookie, when=lambda request: bool(request.field(b"authorization"))),
        settings=DROP_IN,
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
