"""The audit trail: each login, failed login, company switch and ended session leaves a line, and names nobody."""

import logging
from typing import Any

import pytest

from bff.emporix.refusals import LoginRefused
from bff.errors import BffError, InvalidCredentials
from bff.security.secret import Secret
from bff.session import HeldSession
from bff.sessions.audit import Audit
from bff.sessions.request_session import RequestSession
from bff.telemetry.metrics import REGISTRY
from tests.component.refusing import REFRESHES, refuse, visitor_of
from tests.live import ADA
from tests.support import TENANT, Replica, a_request_session, leave, new_replica, new_ring

pytestmark = pytest.mark.anyio
CLIENT = "192.0.2.1"
NUMBER = "10000001"


class Trail:
    """The lines of the audit trail, as they are written."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "bff.audit")
        self._caplog = caplog

    def lines(self) -> list[tuple[str, dict[str, Any]]]:
        """Return the events since this was last asked, with their fields."""
        records = [one for one in self._caplog.records if one.name == "bff.audit"]
        self._caplog.clear()
        return [(one.getMessage(), one.__dict__["fields"]) for one in records]

    def line(self) -> tuple[str, dict[str, Any]]:
        (one,) = self.lines()
        return one


@pytest.fixture
def trail(caplog: pytest.LogCaptureFixture) -> Trail:
    return Trail(caplog)


def held_of(visitor: RequestSession) -> HeldSession:
    assert visitor.held is not None
    return visitor.held


def ref_of(replica: Replica, held: HeldSession) -> str:
    return replica.ports.audit.ref(held.ticket.record_name)


def ends(kind: str, reason: str) -> float:
    labels = {"kind": kind, "reason": reason}
    return REGISTRY.get_sample_value("bff_sessions_ended_total", labels) or 0.0


async def test_a_login_leaves_a_line(replica: Replica, trail: Trail) -> None:
    before = ends("anonymous", "login")
    visitor = await visitor_of(replica, logged_in=True)
    name, fields = trail.line()
    audit = replica.ports.audit
    assert (name, fields) == (
        "login",
        {
            "session": ref_of(replica, held_of(visitor)),
            "customer": audit.name(NUMBER),
            "how": "password",
            "account": audit.address(ADA["email"]),
            "client": audit.name(CLIENT),
        },
    )
    assert ends("anonymous", "login") == before + 1


async def test_a_login_whose_client_has_left_leaves_a_line(replica: Replica, trail: Trail) -> None:
    visitor = await visitor_of(replica)
    call = replica.engine.login.login(visitor, ADA["email"], Secret(ADA["password"]))
    async with replica.upstream.delaying(f"/customer/{TENANT}/login", call) as task:
        await leave(task)
    await replica.ports.tasks.drain()
    assert trail.line()[0] == "login"


async def test_a_failed_login_leaves_a_line(replica: Replica, trail: Trail) -> None:
    visitor = a_request_session()
    with pytest.raises(InvalidCredentials):
        await replica.engine.login.login(visitor, ADA["email"].upper(), Secret("wrong-password"))
    name, fields = trail.line()
    assert name == "login_failed"
    assert fields["code"] == "invalid_credentials"
    assert fields["account"] == replica.ports.audit.address(ADA["email"])
    assert fields["client"] == replica.ports.audit.name(CLIENT)


async def test_a_login_with_a_providers_token_says_so(replica: Replica, trail: Trail) -> None:
    with pytest.raises((BffError, LoginRefused)):
        await replica.engine.login.exchange(a_request_session(), Secret("nobodys"), None)
    name, fields = trail.line()
    assert (name, fields["how"], "account" in fields) == ("login_failed", "exchange", False)


async def test_a_company_switch_leaves_a_line(replica: Replica, trail: Trail) -> None:
    visitor = await visitor_of(replica, logged_in=True)
    trail.lines()
    await replica.engine.legal_entity.switch(visitor, "LE-100")
    name, fields = trail.line()
    assert (name, fields["company"]) == ("company_switched", replica.ports.audit.name("LE-100"))
    assert fields["session"] == ref_of(replica, held_of(visitor))


async def test_a_logout_leaves_a_line(replica: Replica, trail: Trail) -> None:
    visitor, before = await visitor_of(replica, logged_in=True), ends("customer", "logout")
    ref = ref_of(replica, held_of(visitor))
    trail.lines()
    await replica.engine.lifecycle.logout(visitor)
    name, fields = trail.line()
    assert (name, fields["session"]) == ("session_ended", ref)
    assert (fields["reason"], fields["by"]) == ("logout", "customer")
    assert ends("customer", "logout") == before + 1


async def test_a_session_that_emporix_refuses_to_renew_leaves_a_line(replica: Replica, trail: Trail) -> None:
    visitor, before = await visitor_of(replica, logged_in=True), ends("customer", "refused")
    trail.lines()
    refuse(replica, REFRESHES, 401)
    with pytest.raises(BffError):
        await replica.engine.lifecycle.refresh(visitor)
    name, fields = trail.line()
    assert (name, fields["reason"], fields["by"]) == ("session_ended", "refused", "emporix")
    assert ends("customer", "refused") == before + 1


async def test_a_session_that_another_login_replaces_leaves_a_line(replica: Replica, trail: Trail) -> None:
    visitor = await visitor_of(replica, logged_in=True)
    ref = ref_of(replica, held_of(visitor))
    trail.lines()
    await replica.engine.login.login(visitor, ADA["email"], Secret(ADA["password"]))
    ended, login = trail.lines()
    assert (ended[0], ended[1]["session"], ended[1]["reason"]) == ("session_ended", ref, "login")
    assert login[0] == "login"


async def test_a_session_that_is_ended_from_another_one_names_both(replica: Replica, trail: Trail) -> None:
    mine, other = [await visitor_of(replica, logged_in=True) for _ in range(2)]
    my_ref, other_ref = ref_of(replica, held_of(mine)), ref_of(replica, held_of(other))
    trail.lines()
    await replica.engine.own_sessions.end_one(mine, other_ref)
    name, fields = trail.line()
    assert (name, fields["session"], fields["bySession"]) == ("session_ended", other_ref, my_ref)
    assert (fields["reason"], fields["by"]) == ("elsewhere", "customer")


async def test_a_password_change_names_every_session_that_it_ended(replica: Replica, trail: Trail) -> None:
    mine, *others = [await visitor_of(replica, logged_in=True) for _ in range(3)]
    before = ends("customer", "password change")
    refs = {ref_of(replica, held_of(one)) for one in others}
    trail.lines()
    await replica.engine.own_sessions.end_others(mine, "password change")
    lines = trail.lines()
    assert {fields["session"] for _, fields in lines} == refs
    assert {fields["reason"] for _, fields in lines} == {"password change"}
    assert ends("customer", "password change") == before + 2


async def test_guests_leave_no_line(replica: Replica, trail: Trail) -> None:
    visitor = await visitor_of(replica, logged_in=False)
    await replica.engine.lifecycle.logout(visitor)
    assert trail.lines() == []


def personal(lines: list[tuple[str, dict[str, Any]]]) -> list[str]:
    return [word for word in (ADA["email"], NUMBER, CLIENT, "LE-100") if word in str(lines)]


async def a_day(replica: Replica) -> None:
    visitor = await visitor_of(replica, logged_in=True)
    await replica.engine.legal_entity.switch(visitor, "LE-100")
    await replica.engine.lifecycle.logout(visitor)


async def test_people_are_digests(replica: Replica, trail: Trail) -> None:
    await a_day(replica)
    lines = trail.lines()
    assert len(lines) == 3
    assert personal(lines) == []
    assert Audit(new_ring()).name(NUMBER) != replica.ports.audit.name(NUMBER), "anybody can make it"


async def test_the_setting_writes_people_in_plain_text(redis_url: str, trail: Trail) -> None:
    async with new_replica(redis_url, log_accounts="plain") as one:
        await a_day(one)
    assert personal(trail.lines()) == [ADA["email"], NUMBER, CLIENT, "LE-100"]
