"""The session cookie without one of its attributes, or in the wrong place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from bff.endpoints.auth import AuthEndpoints
from bff.endpoints.door import Door, Header
from bff.endpoints.handling import Reply
from bff.sessions.credentials import Credentials
from bff.sessions.models import Ticket
from bff.sessions.visits import Visit
from bff.settings import Settings
from tests.conformance.deployed import Change, Mutation, assert_caught


def _attributes(change: Callable[[str], str]) -> Change:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        begin = Credentials.__init__

        def changed(self: Credentials, *args: Any, **options: Any) -> None:
            begin(self, *args, **options)
            self._attributes = change(self._attributes)

        monkeypatch.setattr(Credentials, "__init__", changed)

    return patch


def _without(text: str) -> Change:
    return _attributes(lambda attributes: attributes.replace(text, "Priority=High"))


def _unprefixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "cookie_name", "bff")


def _padded(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Credentials.set_cookie

    def padded(self: Credentials, ticket: Ticket, max_age: int) -> bytes:
        return real(self, ticket, max_age).replace(b"; Max-Age", b"A" * 4096 + b"; Max-Age", 1)

    monkeypatch.setattr(Credentials, "set_cookie", padded)


def _repeating(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Door.leave

    def leave(self: Door, visit: Visit) -> list[Header]:
        visit.issued = visit.issued or visit.held
        return real(self, visit)

    monkeypatch.setattr(Door, "leave", leave)


def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    real = AuthEndpoints.session

    async def session(self: AuthEndpoints, request: Request, visit: Visit) -> Reply:
        await self._manager.guest(visit)
        return await real(self, request, visit)

    monkeypatch.setattr(AuthEndpoints, "session", session)


def _bare_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    def clear(self: Credentials) -> bytes:
        return f"{self._cookie_name}=; Max-Age=0".encode("ascii")

    monkeypatch.setattr(Credentials, "clear_cookie", clear)


MUTATIONS = [
    Mutation("the cookie has no prefix", {"cookie-name"}, _unprefixed, secure=True),
    Mutation("scripts read the cookie", {"cookie-httponly"}, _without("HttpOnly")),
    Mutation("the cookie travels by http", {"cookie-secure"}, _without("Secure"), secure=True),
    Mutation("the cookie goes with foreign requests", {"cookie-samesite"}, _without("SameSite=Strict")),
    Mutation("the cookie is for a part of the host", {"cookie-path"}, _without("Path=/")),
    Mutation(
        "the cookie is for sibling hosts too",
        {"cookie-domain"},
        _attributes(lambda attributes: attributes + "; Domain=127.0.0.1"),
    ),
    Mutation("the cookie is longer than browsers keep", {"cookie-size"}, _padded),
    Mutation("every answer sets the cookie", {"cookie-single"}, _repeating),
    Mutation("looking begins a session", {"cookie-lazy"}, _eager),
    Mutation("the removal has no attributes", {"cookie-deletion", "logout-guest"}, _bare_removal),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
