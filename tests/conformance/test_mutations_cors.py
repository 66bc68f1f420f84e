"""Answers that more pages may read than should, or fewer."""

import pytest

from tests.conformance.deployed import ALLOWED, Deployments, Mutation, assert_caught
from tests.conformance.layers import on_request, on_response
from tests.conformance.messages import Request, Response

_ORIGIN = b"access-control-allow-origin"
_CREDENTIALS = b"access-control-allow-credentials"


def _from_a_page(request: Request) -> bool:
    return bool(request.field(b"origin"))


def _reflected(request: Request, response: Response) -> Response:
    return response.having(_ORIGIN, request.field(b"origin")).having(_CREDENTIALS, b"true")


def _star(request: Request, response: Response) -> Response:
    if request.method == "OPTIONS" and response.status >= 400:
        return response
    return response.without(_CREDENTIALS).having(_ORIGIN, b"*")


MUTATIONS = [
    Mutation(
        "every origin is approved",
        {"cors-unknown-preflight", "cors-unknown-answer"},
        on_response(_reflected, when=_from_a_page),
    ),
    Mutation(
        "the approval is a star",
        {"cors-own-preflight", "cors-allowed-preflight", "cors-readable", "cors-unknown-answer"},
        on_response(_star, when=_from_a_page),
    ),
    Mutation(
        "caches do not tell origins apart",
        {"cors-readable"},
        on_response(lambda _, response: response.without(b"vary")),
    ),
    Mutation(
        "a wrong site is silent",
        {"cors-wrong-site"},
        on_request(
            lambda request: request.without(b"sec-fetch-site"),
            when=lambda request: request.field(b"origin") == ALLOWED.encode(),
        ),
    ),
    Mutation(
        "the allowed origin is forgotten",
        {"cors-allowed-let-in"},
        on_request(
            lambda request: request.without(b"x-csrf"),
            when=lambda request: request.field(b"origin") == ALLOWED.encode(),
        ),
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
