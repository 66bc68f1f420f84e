"""Answers that hold what nobody should hold."""

from pathlib import Path
from typing import Any

import pytest

from bff.auth.views import session_view
from bff.middleware.carriers import SessionCarriers
from bff.middleware.session_layer import SessionLayer
from bff.security.secret import Secret
from bff.session import Carrier, Session, Ticket
from bff.sessions.request_session import RequestSession
from tests.conformance.deployed import Change, Mutation, assert_caught


def _viewing(**members: str) -> Change:
    def view(session: Session | None) -> dict[str, Any]:
        return session_view(session) | members

    return lambda monkeypatch: monkeypatch.setattr("bff.auth.endpoints.session_view", view)


def _real_token(monkeypatch: pytest.MonkeyPatch) -> None:
    def view(session: Session | None) -> dict[str, Any]:
        return session_view(session) | ({"t": session.tokens.access.reveal()} if session else {})

    monkeypatch.setattr("bff.auth.endpoints.session_view", view)


def _cookie_in_body(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tell a browser what its cookie holds, as an app is told its id."""
    sealed: dict[tuple[Carrier, Ticket], str] = {}
    seal = SessionCarriers.seal

    def once(self: SessionCarriers, carrier: Carrier, ticket: Ticket) -> str:
        return sealed.setdefault((carrier, ticket), seal(self, carrier, ticket))

    def new_session_id(self: SessionLayer, visit: RequestSession) -> Secret | None:
        held = visit.issued
        return None if held is None else Secret(self._credentials.seal(visit.carrier, held.ticket))

    monkeypatch.setattr(SessionCarriers, "seal", once)
    monkeypatch.setattr(SessionLayer, "new_session_id", new_session_id)


MUTATIONS = [
    Mutation("the view shows the access token", {"leak-token"}, _real_token),
    Mutation(
        "the view shows a JWT",
        {"leak-token"},
        _viewing(x="eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0xx.c2lnbmF0dXJl"),
    ),
    Mutation(
        "the view shows something called a token",
        {"leak-token"},
        _viewing(refresh_token="a-secret-that-looks-like-none"),
    ),
    Mutation("the body repeats the cookie", {"leak-carried"}, _cookie_in_body),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
