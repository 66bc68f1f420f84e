"""The session cookie without one of its attributes, or in the wrong place."""

import re
from dataclasses import replace

import pytest

from tests.conformance.deployed import Deployments, Mutation, assert_caught
from tests.conformance.layers import Ask, Layer, on_response, on_session_cookie
from tests.conformance.messages import Request, Response


def _without(attribute: bytes) -> Layer:
    return on_session_cookie(lambda text: text.replace(attribute, b"Priority=High"))


async def _unprefixed(request: Request, ask: Ask) -> Response:
    """Call the cookie `bff` on the way out, and by its name on the way in."""
    named = request.rewriting(b"cookie", lambda text: text.replace(b"bff=", b"__Host-bff="))
    response = await ask(named)
    return response.setting(lambda text: text.replace(b"__Host-bff=", b"bff="))


def _padded(text: bytes) -> bytes:
    return re.sub(rb"^bff=[^;]+", lambda pair: pair[0] + b"A" * 4096, text)


def _repeated(request: Request, response: Response) -> Response:
    """Set what the client carries already."""
    if not request.cookie or response.cookie or response.member("kind") in {"", "none"}:
        return response
    return response.adding(b"set-cookie", b"bff=" + request.cookie)


async def _eager(request: Request, ask: Ask) -> Response:
    """Begin a guest for everybody who looks and has no session."""
    response = await ask(request)
    if request.path != b"/auth/session" or response.member("kind") != "none":
        return response
    begun = await ask(request.following("POST", b"/auth/anonymous"))
    return replace(begun, status=response.status)


def _bare_removal(text: bytes) -> bytes:
    return b"bff=; Max-Age=0" if text.startswith(b"bff=;") else text


MUTATIONS = [
    Mutation("the cookie has no prefix", {"cookie-name"}, _unprefixed, secure=True),
    Mutation("scripts read the cookie", {"cookie-httponly"}, _without(b"HttpOnly")),
    Mutation("the cookie travels by http", {"cookie-secure"}, _without(b"Secure"), secure=True),
    Mutation("the cookie goes with foreign requests", {"cookie-samesite"}, _without(b"SameSite=Strict")),
    Mutation("the cookie is for a part of the host", {"cookie-path"}, _without(b"Path=/")),
    Mutation(
        "the cookie is for sibling hosts too",
        {"cookie-domain"},
        on_session_cookie(lambda text: text + b"; Domain=127.0.0.1"),
    ),
    Mutation("the cookie is longer than browsers keep", {"cookie-size"}, on_session_cookie(_padded)),
    Mutation("every answer sets the cookie", {"cookie-single"}, on_response(_repeated)),
    Mutation("looking begins a session", {"cookie-lazy"}, _eager),
    Mutation(
        "the removal has no attributes", {"cookie-deletion", "logout-guest"}, on_session_cookie(_bare_removal)
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
