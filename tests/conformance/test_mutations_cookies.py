"""The session cookie without one of its attributes, or in the wrong place."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bff.auth.handling import Reply
from starlette.requests import Request

from bff.auth.endpoints import AuthEndpoints
from bff.config.settings import Settings
from bff.middleware.carriers import SessionCarriers
from bff.middleware.session_layer import Header, SessionLayer
from bff.session import Ticket
from bff.sessions.request_session import RequestSession
from tests.conformance.deployed import Change, Mutation, assert_caught


def _attributes(change: Callable[[str], str]) -> Change:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        begin = SessionCarriers.__init__

        def changed(self: SessionCarriers, *args: Any, **options: Any) -> None:
            begin(self, *args, **options)
            self._attributes = change(self._attributes)

        monkeypatch.setattr(SessionCarriers, "__init__", changed)

    return patch


def _without(text: str) -> Change:
    return _attributes(lambda attributes: attributes.replace(text, "Priority=High"))


def _unprefixed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Settings, "cookie_name", "bff")


def _padded(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SessionCarriers.set_cookie

    def padded(self: SessionCarriers, ticket: Ticket, max_age: int) -> bytes:
        return real(self, ticket, max_age).replace(b"; Max-Age", b"A" * 4096 + b"; Max-Age", 1)

    monkeypatch.setattr(SessionCarriers, "set_cookie", padded)


def _repeating(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SessionLayer.leave

    def leave(self: SessionLayer, visit: RequestSession) -> list[Header]:
        visit.issued = visit.issued or visit.held
        return real(self, visit)

    monkeypatch.setattr(SessionLayer, "leave", leave)


def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    real = AuthEndpoints.session

    async def session(self: AuthEndpoints, request: Request, visit: RequestSession) -> Reply:
        await self._manager.guest(visit)
        return await real(self, request, visit)

    monkeypatch.setattr(AuthEndpoints, "session", session)


def _bare_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    def clear(self: SessionCarriers) -> bytes:
        return f"{self._cookie_name}=; Max-Age=0".encode("ascii")

    monkeypatch.setattr(SessionCarriers, "clear_cookie", clear)


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
