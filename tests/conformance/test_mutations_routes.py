"""A route table that lets more through than it names."""

import re
from dataclasses import replace

import pytest

from tests.conformance.deployed import Deployments, Mutation, assert_caught
from tests.conformance.layers import Ask, Layer, When, always, on_request, respond, to_upstream
from tests.conformance.messages import Request, Response
from tests.live import TENANT


def _opening(*codes: str, when: When = always) -> Layer:
    """Send on to the upstream what the proxy refuses with one of these codes."""

    async def layer(request: Request, ask: Ask) -> Response:
        refusal = await ask(request)
        if refusal.member("code") not in codes or not when(request):
            return refusal
        found = await ask(to_upstream(request))
        said = replace(refusal, status=found.status).having(b"content-type", found.field(b"content-type"))
        return said.saying(found.body)

    return layer


def _own_tenant(request: Request) -> Request:
    """Take every tenant for the one that is served."""
    return request.at(re.sub(rb"^/api/site/[^/]+", b"/api/site/" + TENANT.encode(), request.path))


def _spelled_otherwise(request: Request) -> bool:
    """Match in lower case and without parameters, and let through what then fits anything."""
    return request.path.lower().startswith(b"/api/oauth") and request.path != b"/api/oauth/token"


MUTATIONS = [
    Mutation(
        "every route is open",
        {
            *("route-closed", "route-auth-calls", "route-deny", "route-parameters"),
            *("route-guest", "route-authorization"),
        },
        _opening("route_not_allowed", "login_required"),
    ),
    Mutation("every tenant is open", {"route-other-tenant"}, on_request(_own_tenant)),
    Mutation(
        "guests reach customers' routes",
        {"route-guest", "route-authorization"},
        _opening("login_required"),
    ),
    Mutation(
        "a closed route opens in another case",
        {"route-parameters"},
        _opening("route_not_allowed", when=_spelled_otherwise),
    ),
    Mutation(
        "TRACE is answered",
        {"route-methods"},
        respond(200, b"TRACE /", when=lambda request: request.method == "TRACE"),
    ),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, deployments: Deployments, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, deployments, monkeypatch)
