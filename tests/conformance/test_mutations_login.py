"""Logins that keep what they should end, and logouts that end nothing."""

from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from bff.app import Proxy
from bff.emporix.answers import Issued
from bff.endpoints.views import own_session_view
from bff.errors import InvalidCredentials, NoSession
from bff.secret import Secret
from bff.sessions.credentials import Credentials, Presented
from bff.sessions.guests import Guests, Held
from bff.sessions.index import OwnSession
from bff.sessions.manager import SessionManager
from bff.sessions.models import Carrier, Session, Ticket
from bff.sessions.renewal import ROTATED
from bff.sessions.signon import SignOn
from bff.sessions.store import SessionStore
from bff.sessions.visits import Visit
from tests.conformance.deployed import Mutation, assert_caught


def _same_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a customer of the guest under the guest's own id."""
    rotate = SignOn._rotate

    async def kept(self: SignOn, visit: Visit, old: Held, issued: Issued, email: str | None) -> Session:
        async def forget(*_: Any, **__: Any) -> bool:
            await self._store.delete(old.ticket)
            return True

        with pytest.MonkeyPatch.context() as inner:
            await forget()
            inner.setattr(Guests, "ticket", lambda _self: old.ticket)
            inner.setattr(SessionStore, "retire", _done)
            return await rotate(self, visit, old, issued, email)

    monkeypatch.setattr(SignOn, "_rotate", kept)


async def _done(*_: Any, **__: Any) -> bool:
    return True


def _old_id_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SessionStore.retire

    async def retire(self: SessionStore, ticket: Ticket, reason: str, **options: Any) -> bool:
        return True if reason == ROTATED else await real(self, ticket, reason, **options)

    monkeypatch.setattr(SessionStore, "retire", retire)


def _failure_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SignOn.login

    async def login(self: SignOn, visit: Visit, email: str, password: Secret) -> Session:
        try:
            return await real(self, visit, email, password)
        except InvalidCredentials:
            await self._manager.end_now(visit)
            raise

    monkeypatch.setattr(SignOn, "login", login)


def _refs_open(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[Credentials] = []
    begin = Credentials.__init__

    def noted(self: Credentials, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        held.append(self)

    def view(entry: OwnSession, current: Ticket) -> dict[str, Any]:
        return own_session_view(entry, current) | {"ref": held[-1].seal(Carrier.COOKIE, current)}

    monkeypatch.setattr(Credentials, "__init__", noted)
    monkeypatch.setattr("bff.endpoints.auth.own_session_view", view)


def _cookie_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log out in the browser and nowhere else."""

    async def logout(_self: SessionManager, _presented: Presented, visit: Visit) -> None:
        visit.cleared = True

    monkeypatch.setattr(SessionManager, "logout", logout)


def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SessionManager.logout

    async def logout(self: SessionManager, presented: Presented, visit: Visit) -> None:
        if presented.ticket is None:
            raise NoSession
        await real(self, presented, visit)

    monkeypatch.setattr(SessionManager, "logout", logout)


def _by_link(proxy: Proxy) -> None:
    for route in proxy._own.routes:
        if isinstance(route, Route) and route.path == "/auth/logout" and route.methods is not None:
            route.methods |= {"GET"}


MUTATIONS = [
    Mutation("a login keeps the id", {"login-new-id", "login-old-id"}, _same_id),
    Mutation("the old id lives on", {"login-old-id", "login-app"}, _old_id_lives),
    Mutation("a failed login ends the guest", {"login-failed"}, _failure_ends),
    Mutation("the refs open sessions", {"login-sessions"}, _refs_open),
    Mutation("a logout only takes the cookie", {"logout-guest", "logout-customer"}, _cookie_alone),
    Mutation("a link logs out", {"logout-post"}, after=_by_link),
    Mutation("only somebody logs out", {"logout-again"}, _once),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
