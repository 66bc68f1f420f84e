"""A door that asks for less proof than it should."""

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import Scope

from bff.errors import CsrfFailed
from bff.middleware.session_layer import Header, SessionLayer
from bff.session import CarriedTicket
from tests.conformance.deployed import Change, Mutation, assert_caught

_PROVE = SessionLayer._prove


def _proving(change: Callable[[list[Header]], list[Header]], *, bare: bool = False) -> Change:
    """Let the door see other fields than were sent, or none of them missing."""

    def prove(self: SessionLayer, headers: list[Header], *, bare: bool = bare, given: bool = bare) -> None:
        _PROVE(self, change(headers), bare=bare or given)

    return lambda monkeypatch: monkeypatch.setattr(SessionLayer, "_prove", prove)


def _blind(name: bytes) -> Change:
    return _proving(lambda headers: [one for one in headers if one[0] != name])


def _first_alone(headers: list[Header]) -> list[Header]:
    return list(dict(reversed(headers)).items())


def _last_alone(headers: list[Header]) -> list[Header]:
    return list(dict(headers).items())


def _open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SessionLayer, "_prove", lambda *_, **__: None)


def _closed(monkeypatch: pytest.MonkeyPatch) -> None:
    strict = _proving(lambda headers: [(n, b"x" if n == b"origin" else v) for n, v in headers])
    strict(monkeypatch)


def _code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CsrfFailed, "code", "forbidden")


def _clearing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SessionLayer.knock

    def knock(self: SessionLayer, scope: Scope, *, bare: bool = False) -> CarriedTicket:
        try:
            return real(self, scope, bare=bare)
        except CsrfFailed as error:
            cookie = self._credentials.clear_cookie().decode("ascii")
            raise CsrfFailed(error.detail, headers=(("set-cookie", cookie),)) from None

    monkeypatch.setattr(SessionLayer, "knock", knock)


MUTATIONS = [
    Mutation(
        "no proof is wanted",
        {
            *("csrf-get", "csrf-post", "csrf-api", "csrf-origin", "csrf-null-origin", "csrf-fetch-site"),
            *("csrf-twice", "csrf-code", "csrf-nothing", "path-health", "trust-rewritten", "trust-agent"),
        },
        _open,
    ),
    Mutation(
        "the header is not wanted",
        {"csrf-get", "csrf-post", "csrf-api"},
        _proving(lambda headers: headers, bare=True),
    ),
    Mutation("Origin is not looked at", {"csrf-origin", "csrf-null-origin"}, _blind(b"origin")),
    Mutation("Sec-Fetch-Site is not looked at", {"csrf-fetch-site"}, _blind(b"sec-fetch-site")),
    Mutation("the first of two origins counts", {"csrf-twice"}, _proving(_first_alone)),
    Mutation("the last of two origins counts", {"csrf-twice"}, _proving(_last_alone)),
    Mutation("the public origin is refused", {"csrf-own-origin"}, _closed),
    Mutation("the refusal has a common code", {"csrf-code"}, _code),
    Mutation("the refusal takes the cookie away", {"csrf-nothing"}, _clearing),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
