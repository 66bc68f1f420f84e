"""A deployment that asks for less proof than it should of where a request comes from."""

import pytest

from tests.conformance.deployed import ALLOWED, Deployments, Mutation, assert_caught
from tests.conformance.layers import on_request, on_response
from tests.conformance.messages import Request, Response


def _proven(request: Request) -> Request:
    return request.having(b"x-csrf", b"1")


def _blind_to_origins(request: Request) -> Request:
    """Take off what names a foreign origin; the others are there for CORS too."""
    own = (request.own_origin, ALLOWED.encode())
    seen = [(name, value) for name, value in request.fields if name != b"origin" or value in own]
    return request.using(headers=seen)


def _clearing(_request: Request, response: Response) -> Response:
    refused = response.member("code") == "csrf_failed"
    return response.adding(b"set-cookie", b"bff=; Max-Age=0; Path=/") if refused else response


MUTATIONS = [
    Mutation(
        "no proof is wanted",
        {
            *("csrf-get", "csrf-post", "csrf-api", "csrf-origin", "csrf-null-origin", "csrf-fetch-site"),
            *("csrf-twice", "csrf-code", "csrf-nothing", "path-health", "trust-rewritten", "trust-agent"),
        },
        on_request(lambda request: _blind_to_origins(_proven(request)).without(b"sec-fetch-site")),
    ),
    Mutation("the header is not wanted", {"csrf-get", "csrf-post", "csrf-api"}, on_request(_proven)),
    Mutation(
        "Origin is not looked at",
        {"csrf-origin", "csrf-null-origin"},
        on_request(_blind_to_origins),
    ),
    Mutation(
        "Sec-Fetch-Site is not looked at",
        {"csrf-fetch-site"},
        on_request(lambda request: request.without(b"sec-fetch-site")),
    ),
    Mutation(
        "the first of two origins counts",
        {"csrf-twice"},
        on_request(lambda request: request.with_one(b"origin", 0)),
    ),
    Mutation(
        "the last of two origins counts",
        {"csrf-twice"},
        on_request(lambda request: request.with_one(b"origin", -1)),
    ),
    Mutation(
        "the public origin is refused",
        {"csrf-own-origin"},
        on_request(
            lambda request: request.without(b"x-csrf"), when=lambda request: bool(request.field(b"origin"))
        ),
    ),
    Mutation(
        "the refusal has a common code",
        {"csrf-code"},
        on_response(lambda _, response: response.saying(response.body.replace(b"csrf_failed", b"forbidden"))),
    ),
    Mutation(
        "the refusal takes the cookie away",
        {"csrf-nothing"},
        on_response(_clearing, when=lambda request: not request.path.startswith(b"/auth/sso/")),
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
