"""What comes of a refresh: renewed, refused, unclear, or a refresh token that has ended before anyone was asked."""

from dataclasses import replace
from typing import Any

import pytest

from bff.errors import Forbidden, ReauthenticationRequired, SessionExpired, UpstreamUnavailable
from bff.session import EndReason, SessionKind, Tombstone
from bff.sessions.endings import EndedHere
from bff.sessions.engine import Engine
from bff.store.protocol import SessionLocks
from bff.telemetry.metrics import REGISTRY
from tests.component.refusing import (
    API_KEY,
    CUSTOMER_REFRESH,
    REFRESHES,
    TENANT_REFUSED,
    refuse,
    stored,
    visitor_of,
)
from tests.support import Clock, Replica

pytestmark = pytest.mark.anyio


def refreshes(kind: SessionKind) -> dict[str, float]:
    """Return how many refreshes there were of each outcome."""
    outcomes = ("renewed", "shared", "refused", "expired", "failed")
    found = {
        outcome: REGISTRY.get_sample_value("bff_renewals_total", {"kind": kind, "outcome": outcome})
        for outcome in outcomes
    }
    return {outcome: value or 0.0 for outcome, value in found.items()}


def more_than(before: dict[str, float], kind: SessionKind) -> dict[str, float]:
    """Return which outcomes came since, and how often."""
    return {
        outcome: value - before[outcome]
        for outcome, value in refreshes(kind).items()
        if value != before[outcome]
    }


# Refreshes


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_a_customer_whose_refresh_is_refused_is_ended(replica: Replica, status: int) -> None:
    visitor = await visitor_of(replica, logged_in=True)
    held, before = visitor.held, refreshes(SessionKind.CUSTOMER)
    refuse(replica, REFRESHES, status)
    with pytest.raises(SessionExpired):
        await replica.engine.lifecycle.refresh(visitor)
    assert await stored(replica, held) == Tombstone(EndReason.EXPIRED, None)
    assert visitor.cleared
    assert more_than(before, SessionKind.CUSTOMER) == {"refused": 1}


@pytest.mark.parametrize(
    ("status", "body"),
    [
        *((status, None) for status in (404, 405, 409, 410, 422, 451)),
        *((status, API_KEY) for status in (400, 401, 403)),
        (400, TENANT_REFUSED),
    ],
)
@pytest.mark.parametrize("logged_in", [False, True])
async def test_what_says_nothing_about_the_refresh_token_ends_nobody(
    replica: Replica,
    status: int,
    body: Any,
    logged_in: bool,  # noqa: FBT001
) -> None:
    visitor = await visitor_of(replica, logged_in=logged_in)
    held = visitor.held
    assert held is not None
    before = refreshes(held.session.kind)
    refuse(replica, REFRESHES, status, body)
    with pytest.raises(UpstreamUnavailable):
        await replica.engine.lifecycle.refresh(visitor)
    assert await stored(replica, held) == held.session
    assert not visitor.cleared
    assert more_than(before, held.session.kind) == {"failed": 1}


@pytest.mark.parametrize("logged_in", [False, True])
async def test_a_renewal_that_names_another_emporix_session_is_stored_nowhere(
    replica: Replica,
    logged_in: bool,  # noqa: FBT001
) -> None:
    visitor = await visitor_of(replica, logged_in=logged_in)
    held = visitor.held
    assert held is not None
    replica.upstream.fail(REFRESHES, "session_mismatch")
    with pytest.raises(UpstreamUnavailable):
        await replica.engine.lifecycle.refresh(visitor)
    assert await stored(replica, held) == held.session
    assert not visitor.cleared


async def test_a_refresh_token_that_ended_by_its_clock_is_counted_apart_and_nobody_is_asked(
    replica: Replica,
) -> None:
    visitor = await visitor_of(replica, logged_in=True)
    assert visitor.held is not None
    before = refreshes(SessionKind.CUSTOMER)
    replica.clock.at += 86_400
    with pytest.raises(EndedHere):
        await replica.engine.refresher.refresh(visitor.held)
    assert not replica.upstream.calls(CUSTOMER_REFRESH)
    assert await stored(replica, visitor.held) == Tombstone(EndReason.EXPIRED, None)
    assert more_than(before, SessionKind.CUSTOMER) == {"expired": 1}


async def test_a_guest_whose_refresh_token_ended_by_its_clock_becomes_another_guest(replica: Replica) -> None:
    visitor = await visitor_of(replica)
    old, before = visitor.held, refreshes(SessionKind.ANONYMOUS)
    replica.clock.at += 86_399
    session = await replica.engine.lifecycle.refresh(visitor)
    assert session is not None
    assert old is not None
    assert session.upstream_session_id != old.session.upstream_session_id
    assert not replica.upstream.calls("anonymous/refresh")
    assert visitor.held is not None
    assert await stored(replica, old) == Tombstone(EndReason.SUPERSEDED, None, visitor.held.ticket)
    assert more_than(before, SessionKind.ANONYMOUS) == {"expired": 1}


@pytest.mark.parametrize("status", [400, 404, 409])
async def test_a_shared_token_that_cannot_be_refreshed_is_had_anew(replica: Replica, status: int) -> None:
    first = await replica.engine.shared_token.token()
    refuse(replica, "GET /customerlogin/auth/anonymous/refresh", status)
    assert await replica.engine.shared_token.token(refused=first) != first
    assert len(replica.upstream.calls("anonymous/login")) == 2


# Switching the company


class SlowLocks:
    """Locks that a customer's refresh token does not outlive."""

    def __init__(self, locks: SessionLocks, clock: Clock) -> None:
        self._locks = locks
        self._clock = clock

    def hold(self, *arguments: Any, **options: Any) -> Any:
        self._clock.at += 86_399
        return self._locks.hold(*arguments, **options)


@pytest.mark.parametrize(("status", "asked"), [(403, 2), (404, 1), (409, 1), (422, 1)])
async def test_a_refused_company_leaves_the_session_as_it_was(
    replica: Replica, status: int, asked: int
) -> None:
    visitor = await visitor_of(replica, logged_in=True)
    refuse(replica, REFRESHES, status)
    with pytest.raises(Forbidden):
        await replica.engine.legal_entity.switch(visitor, "LE-100")
    assert visitor.held is not None
    assert await stored(replica, visitor.held) == visitor.held.session
    assert len(replica.upstream.calls(CUSTOMER_REFRESH)) == asked


@pytest.mark.parametrize(("status", "asked"), [(400, 2), (401, 3)])
async def test_where_it_is_unclear_a_plain_refresh_tells_that_it_was_the_company(
    replica: Replica, status: int, asked: int
) -> None:
    visitor = await visitor_of(replica, logged_in=True)
    refuse(replica, REFRESHES, status, times=asked - 1)
    with pytest.raises(Forbidden):
        await replica.engine.legal_entity.switch(visitor, "LE-100")
    assert visitor.session is not None
    assert visitor.session.generation == 2
    assert visitor.session.legal_entity_id is None
    assert len(replica.upstream.calls(CUSTOMER_REFRESH)) == asked


@pytest.mark.parametrize("status", [400, 401])
async def test_where_it_is_unclear_a_plain_refresh_tells_that_it_was_the_refresh_token(
    replica: Replica, status: int
) -> None:
    visitor = await visitor_of(replica, logged_in=True)
    held = visitor.held
    refuse(replica, REFRESHES, status)
    with pytest.raises(SessionExpired):
        await replica.engine.legal_entity.switch(visitor, "LE-100")
    assert await stored(replica, held) == Tombstone(EndReason.EXPIRED, None)


async def test_a_refresh_token_that_ends_while_the_switch_waits_ends_no_session(replica: Replica) -> None:
    """The access token lives on: the customer is asked to log in again, and nothing was refused."""
    visitor, engine = await visitor_of(replica, logged_in=True), replica.engine
    slow: Any = SlowLocks(engine.ports.locks, replica.clock)
    with pytest.raises(ReauthenticationRequired):
        await Engine(engine.policy, replace(engine.ports, locks=slow)).legal_entity.switch(visitor, "LE-100")
    assert visitor.held is not None
    assert await stored(replica, visitor.held) == visitor.held.session
    assert not replica.upstream.calls(CUSTOMER_REFRESH)
