"""Carriers that stand in for each other."""

import re

import pytest

from tests.conformance.deployed import Deployments, Mutation, assert_caught
from tests.conformance.layers import Ask, on_request, on_response
from tests.conformance.messages import Request, Response


def _speaks_as_app(request: Request) -> bool:
    return bool(request.field(b"x-session-id") or request.field(b"x-session-transport"))


async def _either(request: Request, ask: Ask) -> Response:
    """Where a value opens nothing, try it on the other carrier."""
    response = await ask(request)
    if response.status != 401:
        return response
    if app := request.field(b"x-session-id"):
        browser = request.without(b"x-session-id").having(b"x-csrf", b"1")
        return await ask(browser.having(b"cookie", b"bff=" + app))
    return await ask(request.without(b"cookie").having(b"x-session-id", request.cookie))


def _from_the_address(request: Request) -> Request:
    found = re.search(rb"&sid=([^&]+)", request.query)
    return request.having(b"x-session-id", found[1]) if found else request


def _set_for_apps(_request: Request, response: Response) -> Response:
    new = response.member("sessionId")
    return response.adding(b"set-cookie", b"bff=" + new.encode()) if new else response


MUTATIONS = [
    Mutation(
        "the cookie wins where both carriers are presented",
        {"carrier-both"},
        on_request(
            lambda request: request.without(b"x-session-id", b"x-session-transport"),
            when=lambda request: bool(request.cookie),
        ),
    ),
    Mutation(
        "browsers may carry ids",
        {"carrier-browser-id"},
        on_request(lambda request: request.without(b"origin"), when=_speaks_as_app),
    ),
    Mutation(
        "pages may carry ids where they send no origin",
        {"carrier-browser-id"},
        on_request(lambda request: request.without(b"sec-fetch-site"), when=_speaks_as_app),
    ),
    Mutation("a ticket opens on both carriers", {"carrier-id-as-cookie", "carrier-cookie-as-id"}, _either),
    Mutation("an id is taken from the address", {"carrier-address"}, on_request(_from_the_address)),
    Mutation("apps are set a cookie", {"carrier-no-cookie"}, on_response(_set_for_apps, when=_speaks_as_app)),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
