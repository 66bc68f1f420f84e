"""Carriers that stand in for each other."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from starlette.types import Scope

from bff.middleware.carriers import SessionCarriers
from bff.middleware.session_layer import Header, SessionLayer
from bff.session import CarriedTicket, Carrier
from bff.sessions.lifecycle import SessionLifecycle
from bff.sessions.request_session import RequestSession
from tests.conformance.deployed import Change, Mutation, assert_caught, rescoped

_Headers = Iterable[tuple[bytes, bytes]]


def _reading(change: Callable[[dict[bytes, bytes]], set[bytes]]) -> Change:
    """Let the carriers be read without some of the fields."""
    real = SessionCarriers.read

    def read(self: SessionCarriers, headers: _Headers) -> CarriedTicket:
        held = list(headers)
        gone = change(dict(held))
        return real(self, [one for one in held if one[0] not in gone])

    return lambda monkeypatch: monkeypatch.setattr(SessionCarriers, "read", read)


def _one_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = SessionCarriers.__init__

    def changed(self: SessionCarriers, *args: Any, **options: Any) -> None:
        begin(self, *args, **options)
        self._sealers[Carrier.HEADER] = self._sealers[Carrier.COOKIE]

    visited = SessionLifecycle.visit

    async def visit(self: SessionLifecycle, presented: CarriedTicket, **options: Any) -> RequestSession:
        """Find what either carrier made."""
        found = await visited(self, presented, **options)
        other = Carrier.COOKIE if presented.carrier is Carrier.HEADER else Carrier.HEADER
        return found if found.held else await visited(self, CarriedTicket(other, presented.ticket), **options)

    monkeypatch.setattr(SessionCarriers, "__init__", changed)
    monkeypatch.setattr(SessionLifecycle, "visit", visit)


def _from_the_address(scope: Scope) -> None:
    for value in parse_qs(scope["query_string"]).get(b"sid", []):
        scope["headers"] = [*scope["headers"], (b"x-session-id", value)]


def _set_for_apps(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SessionLayer.leave

    def leave(self: SessionLayer, visit: RequestSession) -> list[Header]:
        if visit.carrier is Carrier.HEADER and visit.issued is not None:
            return [(b"set-cookie", self._credentials.set_cookie(visit.issued.ticket, 60))]
        return real(self, visit)

    monkeypatch.setattr(SessionLayer, "leave", leave)


_IDS = {b"x-session-id", b"x-session-transport"}

MUTATIONS = [
    Mutation(
        "the cookie wins where both carriers are presented",
        {"carrier-both"},
        _reading(lambda fields: _IDS if b"cookie" in fields else set()),
    ),
    Mutation("browsers may carry ids", {"carrier-browser-id"}, _reading(lambda _: {b"origin"})),
    Mutation(
        "a ticket opens on both carriers", {"carrier-id-as-cookie", "carrier-cookie-as-id"}, _one_purpose
    ),
    Mutation("an id is taken from the address", {"carrier-address"}, wrap=rescoped(_from_the_address)),
    Mutation("apps are set a cookie", {"carrier-no-cookie"}, _set_for_apps),
]


@pytest.mark.anyio
@pytest.mark.parametrize("mutation", MUTATIONS, ids=str)
async def test_a_deployment_without_this_defence_fails_the_row(
    mutation: Mutation, redis_url: str, tls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await assert_caught(mutation, redis_url, tls, monkeypatch)
