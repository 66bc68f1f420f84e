"""Logins that keep what they should end, and logouts that end nothing."""

from pathlib import Path
from typing import Any

import pytest
from starlette.routing import Route

from bff.app import Proxy
from bff.auth.views import own_session_view
from bff.emporix.token_answers import Issued
from bff.errors import InvalidCredentials, NoSession
from bff.middleware.carriers import SessionCarriers
from bff.security.secret import Secret
from bff.session import CarriedTicket, Carrier, EndReason, HeldSession, Session, Ticket
from bff.sessions.anonymous import AnonymousSessions
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.login import CustomerLogin
from bff.sessions.request_session import RequestSession
from bff.store.customer_index import OwnSession
from bff.store.redis_store import RedisSessionStore
from tests.conformance.deployed import Mutation, assert_caught


def _same_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a customer of the guest under the guest's own id."""
    rotate = CustomerLogin._rotate

    async def kept(
        self: CustomerLogin, visit: RequestSession, old: HeldSession, issued: Issued, email: str | None
    ) -> Session:
        async def forget(*_: Any, **__: Any) -> bool:
            await self._store.delete(old.ticket)
            return True

        with pytest.MonkeyPatch.context() as inner:
            await forget()
            inner.setattr(AnonymousSessions, "ticket", lambda _self: old.ticket)
            inner.setattr(RedisSessionStore, "retire", _done)
            return await rotate(self, visit, old, issued, email)

    monkeypatch.setattr(CustomerLogin, "_rotate", kept)


async def _done(*_: Any, **__: Any) -> bool:
    return True


def _old_id_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    real = RedisSessionStore.retire

    async def retire(self: RedisSessionStore, ticket: Ticket, reason: str, **options: Any) -> bool:
        return True if reason == EndReason.SUPERSEDED else await real(self, ticket, reason, **options)

    monkeypatch.setattr(RedisSessionStore, "retire", retire)


def _failure_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    real = CustomerLogin.login

    async def login(self: CustomerLogin, visit: RequestSession, email: str, password: Secret) -> Session:
        try:
            return await real(self, visit, email, password)
        except InvalidCredentials:
            await self._manager.end_now(visit)
            raise

    monkeypatch.setattr(CustomerLogin, "login", login)


def _refs_open(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[SessionCarriers] = []
    begin = SessionCarriers.__init__

    def noted(self: SessionCarriers, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        held.append(self)

    def view(entry: OwnSession, current: Ticket) -> dict[str, Any]:
        return own_session_view(entry, current) | {"ref": held[-1].seal(Carrier.COOKIE, current)}

    monkeypatch.setattr(SessionCarriers, "__init__", noted)
    monkeypatch.setattr("bff.auth.endpoints.own_session_view", view)


def _cookie_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Log out in the browser and nowhere else."""

    async def logout(_self: SessionLifecycle, _presented: CarriedTicket, visit: RequestSession) -> None:
        visit.cleared = True

    monkeypatch.setattr(SessionLifecycle, "logout", logout)


def _once(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SessionLifecycle.logout

    async def logout(self: SessionLifecycle, presented: CarriedTicket, visit: RequestSession) -> None:
        if presented.ticket is None:
            raise NoSession
        await real(self, presented, visit)

    monkeypatch.setattr(SessionLifecycle, "logout", logout)


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
