"""Answers without the fields that protect them."""

import pytest

from tests.conformance.deployed import Deployments, Mutation, assert_caught
from tests.conformance.layers import Layer, on_response
from tests.conformance.messages import Request, Response


def _without(*names: bytes) -> Layer:
    return on_response(lambda _, response: response.without(*names))


def _shared(_request: Request, response: Response) -> Response:
    return response.rewriting(
        b"cache-control", lambda text: text.replace(b"private, no-store", b"max-age=60")
    )


MUTATIONS = [
    Mutation(
        "answers may be kept", {"field-auth-no-store", "field-api-no-store"}, _without(b"cache-control")
    ),
    Mutation("proxied answers may be kept by all", {"field-api-no-store"}, on_response(_shared)),
    Mutation(
        "there are no protecting fields",
        {"field-nosniff", "field-csp"},
        _without(
            *(b"x-content-type-options", b"referrer-policy"),
            *(b"content-security-policy", b"cross-origin-resource-policy"),
        ),
    ),
    Mutation(
        "https is insisted on for a minute",
        {"field-hsts"},
        on_response(lambda _, response: response.having(b"strict-transport-security", b"max-age=60")),
        secure=True,
    ),
    Mutation(
        "the server names itself",
        {"field-banner"},
        on_response(lambda _, response: response.adding(b"server", b"uvicorn")),
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
