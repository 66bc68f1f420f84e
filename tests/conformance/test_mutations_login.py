"""Logins that keep what they should end, and logouts that end nothing."""

import pytest

from tests.conformance.deployed import Deployments, Mutation, assert_caught
from tests.conformance.layers import Ask, Layer, at, on_request, on_response
from tests.conformance.messages import Request, Response

_LOGIN, _LOGOUT = at(b"/auth/login"), at(b"/auth/logout")


def _same_id() -> Layer:
    """Make a customer of the guest under the guest's own id."""
    followed: dict[bytes, bytes] = {}

    async def layer(request: Request, ask: Ask) -> Response:
        response = await ask(request.carrying(lambda value: followed.get(value, value)))
        old, new = request.cookie, response.cookie
        if not _LOGIN(request) or not new:
            return response
        followed[old] = new
        return response.setting(lambda text: text.replace(new, old))

    return layer


async def _old_id_lives(request: Request, ask: Ask) -> Response:
    """Log in somebody new in place of the guest, so that nobody's session ends."""
    if not _LOGIN(request):
        return await ask(request)
    new = request.without(b"cookie", b"x-session-id")
    app = request.field(b"x-session-id")
    response = await ask(new.having(b"x-session-transport", b"header") if app else new)
    return response if response.status == 200 else response.without(b"set-cookie")


async def _failure_ends(request: Request, ask: Ask) -> Response:
    response = await ask(request)
    if _LOGIN(request) and response.status == 401:
        await ask(request.following("POST", b"/auth/logout"))
    return response


def _refs_open(request: Request, response: Response) -> Response:
    """Call every session in the list by what opens the caller's."""
    return response.saying_json([one | {"ref": request.cookie.decode()} for one in response.json])


async def _cookie_alone(request: Request, ask: Ask) -> Response:
    """Log out in the browser and nowhere else: what ends is a guest that was begun for it."""
    if not _LOGOUT(request) or not request.cookie:
        return await ask(request)
    begun = await ask(request.without(b"cookie").following("POST", b"/auth/anonymous"))
    return await ask(request.carrying(lambda _: begun.cookie))


def _dead_for_a_while() -> Layer:
    """Refuse whatever carries an id that has logged out, as if there were nothing to begin."""
    ended: set[bytes] = set()

    async def layer(request: Request, ask: Ask) -> Response:
        if request.cookie in ended and not _LOGOUT(request):
            return Response(401, []).saying_json({"code": "no_session"})
        response = await ask(request)
        if _LOGOUT(request) and response.status == 204 and request.cookie:
            ended.add(request.cookie)
        return response

    return layer


def _once(request: Request, response: Response) -> Response:
    nobody = not request.cookie and not request.field(b"x-session-id")
    return Response(401, []).saying(b"") if nobody and response.status == 204 else response


MUTATIONS = [
    Mutation("a login keeps the id", {"login-new-id", "login-old-id"}, _same_id()),
    Mutation("the old id lives on", {"login-old-id", "login-app"}, _old_id_lives),
    Mutation("a failed login ends the guest", {"login-failed"}, _failure_ends),
    Mutation(
        "the refs open sessions", {"login-sessions"}, on_response(_refs_open, when=at(b"/auth/sessions"))
    ),
    Mutation(
        "a logout only takes the cookie", {"logout-guest", "logout-customer", "logout-lost"}, _cookie_alone
    ),
    Mutation("an ended id is refused everything", {"logout-lost"}, _dead_for_a_while()),
    Mutation(
        "a link logs out",
        {"logout-post"},
        on_request(
            lambda request: request.using(method="POST"),
            when=lambda request: _LOGOUT(request) and request.method == "GET",
        ),
    ),
    Mutation("only somebody logs out", {"logout-again"}, on_response(_once, when=_LOGOUT)),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
