"""A route table that lets more through than it names."""

from pathlib import Path

import pytest
from starlette.types import Scope

from bff.api.routes import Match, Route, RouteTable, TokenKind, _Leaf
from tests.conformance.deployed import Mutation, answering, assert_caught


def _open(monkeypatch: pytest.MonkeyPatch) -> None:
    def match(_self: RouteTable, method: str, _segments: tuple[str, ...]) -> Match:
        return Match(Route(method, "/any", TokenKind.PUBLIC), None)

    monkeypatch.setattr(RouteTable, "match", match)


def _every_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RouteTable, "_allowed_leaf", lambda _self, route: _Leaf(Match(route, None)))


def _guests_token(monkeypatch: pytest.MonkeyPatch) -> None:
    real = RouteTable._allowed_leaf

    def leaf(self: RouteTable, route: Route) -> _Leaf:
        return real(self, Route(route.method, route.template, TokenKind.SESSION))

    monkeypatch.setattr(RouteTable, "_allowed_leaf", leaf)


def _cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Match in lower case and without parameters, and let through what then fits anything."""
    real = RouteTable.match

    def match(self: RouteTable, method: str, segments: tuple[str, ...]) -> Match:
        if segments[0].lower() == "oauth" and segments != ("oauth", "token"):
            return Match(Route(method, "/any", TokenKind.PUBLIC), None)
        return real(self, method, segments)

    monkeypatch.setattr(RouteTable, "match", match)


def _traces(scope: Scope) -> bool:
    return str(scope["method"]) == "TRACE"


MUTATIONS = [
    Mutation(
        "every route is open",
        {
            *("route-closed", "route-auth-calls", "route-deny", "route-parameters"),
            *("route-guest", "route-authorization"),
        },
        _open,
    ),
    Mutation("every tenant is open", {"route-other-tenant"}, _every_tenant),
    Mutation("guests reach customers' routes", {"route-guest", "route-authorization"}, _guests_token),
    Mutation("a closed route opens in another case", {"route-parameters"}, _cut),
    Mutation("TRACE is answered", {"route-methods"}, wrap=answering(200, b"TRACE /", _traces)),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
