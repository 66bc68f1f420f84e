"""Answers that hold what nobody should hold."""

from collections.abc import Callable

import pytest

from tests.conformance.deployed import Deployments, Mutation, assert_caught
from tests.conformance.layers import Ask, Layer, on_response
from tests.conformance.messages import Request, Response


def _viewing(members: Callable[[], dict[str, str]]) -> Layer:
    """Add members to every view of a session."""

    def shown(_request: Request, response: Response) -> Response:
        viewed = response.member("kind") in {"anonymous", "customer"}
        return response.saying_json(response.json | members()) if viewed else response

    return on_response(shown)


class _Tap:
    """Reads along what the upstream gives to the proxy."""

    def __init__(self) -> None:
        self._token = ""

    async def layer(self, request: Request, ask: Ask) -> Response:
        response = await ask(request)
        self._token = response.member("access_token") or self._token
        return response

    def token(self) -> dict[str, str]:
        return {"t": self._token}


_TAP = _Tap()


def _cookie_in_body(_request: Request, response: Response) -> Response:
    """Tell a browser what its cookie holds, as an app is told its id."""
    if not response.cookie:
        return response
    return response.saying_json(response.json | {"sessionId": response.cookie.decode()})


MUTATIONS = [
    Mutation(
        "the view shows the access token",
        {"leak-token"},
        _viewing(_TAP.token),
        behind=_TAP.layer,
    ),
    Mutation(
        "the view shows a JWT",
        {"leak-token"},
        _viewing(lambda: {"x": "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0xx.c2lnbmF0dXJl"}),
    ),
    Mutation(
        "the view shows something called a token",
        {"leak-token"},
        _viewing(lambda: {"refresh_token": "a-secret-that-looks-like-none"}),
    ),
    Mutation("the body repeats the cookie", {"leak-carried"}, on_response(_cookie_in_body)),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
