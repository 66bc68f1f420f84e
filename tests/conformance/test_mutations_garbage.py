"""Cookies that open although nobody was given them, or that break what reads them."""

import re
from collections.abc import Callable

import pytest

from tests.conformance.deployed import Deployments, Mutation, assert_caught
from tests.conformance.layers import Ask, Layer, on_request, respond
from tests.conformance.messages import Request, Response


def _opening(find: Callable[[list[bytes], bytes], bytes]) -> Layer:
    """Take a carried cookie for the one that is found for it among those that were set."""
    issued: list[bytes] = []

    async def layer(request: Request, ask: Ask) -> Response:
        response = await ask(request.carrying(lambda value: find(issued, value)))
        issued.extend([response.cookie] if response.cookie else [])
        return response

    return layer


def _unauthenticated(issued: list[bytes], carried: bytes) -> bytes:
    """Look at some of the characters alone, as encryption without a tag would."""
    return next((one for one in issued if one[-60:-8] == carried[-60:-8]), carried)


def _any_shape(issued: list[bytes], carried: bytes) -> bytes:
    return issued[-1] if issued else carried


async def _refused_for_good(request: Request, ask: Ask) -> Response:
    """Refuse to begin anything for a cookie that opens nothing."""
    found = await ask(request.following("GET", b"/auth/session"))
    opens_nothing = request.cookie and found.member("kind") == "none"
    return Response(401, []).saying(b"") if opens_nothing else await ask(request)


def _odd(request: Request) -> bool:
    pairs = request.field(b"cookie").split(b";")
    return len(pairs) > 100 or any(b"=" not in pair for pair in pairs if pairs != [b""])


def _first_carried(request: Request) -> Request:
    """Read the first value alone, of several fields and of several cookies in one."""
    single = request.with_one(b"cookie", 0).with_one(b"x-session-id", 0)
    return single.rewriting(b"cookie", lambda text: re.sub(rb"(bff=[^;]*).*", rb"\1", text))


MUTATIONS = [
    Mutation("the cookie is not authenticated", {"garbage-flipped"}, _opening(_unauthenticated)),
    Mutation("a broken cookie is refused for good", {"garbage-healed"}, _refused_for_good),
    Mutation("anything opens", {"garbage-flipped", "garbage-made-up"}, _opening(_any_shape)),
    Mutation(
        "odd Cookie fields are a fault",
        {"garbage-many", "garbage-syntax", "leak-status"},
        respond(500, when=_odd),
    ),
    Mutation("the first of two cookies counts", {"garbage-twice"}, on_request(_first_carried)),
    Mutation(
        "a long cookie is a fault",
        {"garbage-large"},
        respond(500, when=lambda request: len(request.cookie) > 10_000),
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
