"""Sign-ons that lead elsewhere, or can be begun by somebody else."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.types import Scope

from bff.auth import sso
from bff.auth.login_state import Header, LoginState, LoginStates, Provider
from bff.auth.return_to import ReturnTo
from tests.conformance.deployed import Mutation, assert_caught, rescoped

_REDIRECTS = {f"sso-redirect-{kind}" for kind in ("host", "full", "script", "space", "wide", "own")}


def _anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReturnTo, "_is_allowed", lambda _self, _value: True)


def _prefixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judge by how an address begins, as so many have done."""

    def fits(self: ReturnTo, value: str) -> bool:
        return value.startswith(self._origins) or (value.startswith("/") and not value.startswith("//"))

    monkeypatch.setattr(ReturnTo, "_is_allowed", fits)


def _unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    def authorize(provider: Provider, attempt: LoginState, redirect_uri: str) -> str:
        query = f"client_id={provider.client_id}&state={attempt.state}&redirect_uri={redirect_uri}"
        return f"{provider.authorize_url}?{query}"

    monkeypatch.setattr(sso, "_authorize", authorize)


def _readable(monkeypatch: pytest.MonkeyPatch) -> None:
    real = LoginStates.cookies

    def cookies(self: LoginStates, attempt: LoginState, headers: Iterable[Header]) -> list[Header]:
        return [(name, value.replace(b"HttpOnly; ", b"")) for name, value in real(self, attempt, headers)]

    monkeypatch.setattr(LoginStates, "cookies", cookies)


def _predictable(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = LoginStates.__init__

    def changed(self: LoginStates, *args: Any, **options: Any) -> None:
        begin(self, *args, **options | {"random_bytes": bytes})

    monkeypatch.setattr(LoginStates, "__init__", changed)


def _last_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def last(request: Request, name: str) -> str | None:
        return "/" if name == "return_to" else request.query_params.get(name)

    monkeypatch.setattr(sso, "_once", last)


def _astray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sso, "with_error", lambda _address, code: f"https://elsewhere.example/?{code}")


def _from_anywhere(scope: Scope) -> None:
    scope["headers"] = [one for one in scope["headers"] if one[0] != b"sec-fetch-dest"]


MUTATIONS = [
    Mutation("every way back is taken", _REDIRECTS, _anywhere),
    Mutation(
        "the way back is judged by its beginning",
        {"sso-redirect-host", "sso-redirect-own", "sso-redirect-space"},
        _prefixed,
    ),
    Mutation("there is no PKCE", {"sso-start"}, _unproven),
    Mutation("scripts read the state", {"sso-cookie"}, _readable),
    Mutation("the state is always the same", {"sso-random"}, _predictable),
    Mutation("one of two ways back is taken", {"sso-redirect-twice"}, _last_counts),
    Mutation("a failed sign-on leads elsewhere", {"sso-forged"}, _astray),
    Mutation("a frame begins a sign-on", {"sso-framed"}, wrap=rescoped(_from_anywhere)),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
